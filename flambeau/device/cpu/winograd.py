"""3×3 convolutions of stride 1 with fewer multiplications: which ones, and how they are cut.

Winograd's F(2×2, 3×3) (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015)
computes a square of 2×2 results from a tile of 4×4 places with 16 multiplications for each pair of
channels, where the definition takes 36. Tiles and weights are transformed, which takes additions
only; then one matrix product over the channels for each of the 16 places of a tile; then the
products are transformed back.

Whether it is used depends on a sample's shape and on the channels, never on the batch: a sample's
bits are those that it has alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from flambeau.device.cpu.target import Target
from flambeau.device.cpu.tiling import multiplying, register_tiles
from flambeau.device.cpu.values import Values
from flambeau.graph import dtype as dtypes
from flambeau.kernel.ir import Axis, Value, linear_terms
from flambeau.kernel.tile import Contraction

PLACES = 16
"""Of a tile, and so matrix products."""

TAPS = 9

DEPTH = 32
"""Channels that are summed at once. Shorter sums round less: with this many the error is that of
the sum in the definition's order, and about PyTorch's."""

CHANNELS = 16
"""With fewer channels on either side the transforms take what the products save."""

SAVED = 1.5
"""How many times as many multiplications the definition must take: edges fill tiles partly."""

RESIDENT = 1 << 18
"""Bytes of transformed tiles in a block, where one panel of them is not more. They are read again
for every panel of weights and must stay in the core's own cache: where other programs use the cache
that cores share, one image with 128 channels of 28×28 takes 0.39 ms in blocks of one panel (256
KiB), 0.43 of two and 0.76 of all seven (1.8 MiB), eight with 512 of 7×7 4.5, 5.2 and 7.3 ms."""

PIECE = 16
"""Tiles of one row that are transformed at once, at most."""


@dataclass(frozen=True, eq=False)
class Window:
    """One spatial axis: places first … first + 2 beside a result are read, where they lie within
    low … high. `step` lies between neighbours in memory."""

    axis: Axis
    tap: Axis
    backwards: bool
    step: int
    low: int
    high: int

    @property
    def first(self) -> int:
        return -2 if self.backwards else 0

    @property
    def tiles(self) -> int:
        return -(-self.axis.extent // 2)

    def tap_at(self, place: int) -> int:
        """The tap that multiplies the place first + `place`."""
        return 2 - place if self.backwards else place


@dataclass(frozen=True, eq=False)
class Convolution:
    """A contraction that is a convolution with 3×3 taps: result[m, sample, y, x]."""

    m: Axis
    channel: Axis
    sample: Axis | None
    y: Window
    x: Window
    weight: Value
    buffer: int
    others: tuple[tuple[Value, int], ...]  # terms of the image's index beside y's and x's
    constant: int

    @property
    def tiles(self) -> int:
        return (self.sample.extent if self.sample else 1) * self.y.tiles * self.x.tiles


@dataclass(frozen=True)
class Cut:
    """Sizes: register tiles of `rows` × `width`; `block` panels of tiles are transformed together,
    `blocks` times; a panel of weights by each work item (`inside`) or once for all."""

    rows: int
    vectors: int
    lanes: int
    row_panels: int
    panels: int
    block: int
    piece: int
    inside: bool

    @property
    def width(self) -> int:
        return self.vectors * self.lanes

    @property
    def blocks(self) -> int:
        return -(-self.panels // self.block)


def convolution_of(c: Contraction, values: Values) -> Convolution | None:
    """The contraction as a 3×3 convolution that is worth transforming; None where it is none."""
    if c.batch or len(c.m) != 1 or len(c.k) != 3 or not 2 <= len(c.n) <= 3:
        return None
    if c.fold.dtype is not dtypes.float32 or c.a.dtype is not dtypes.float32:
        return None
    channel, *taps = c.k
    if any(tap.extent != 3 for tap in taps) or min(channel.extent, c.m[0].extent) < CHANNELS:
        return None
    if c.b.op != "load" or c.a.op != "load" or c.b.dtype is not dtypes.float32:
        return None
    y, x = c.n[-2:]
    sides = prod(2 * -(-axis.extent // 2) for axis in (y, x))
    if TAPS * y.extent * x.extent < SAVED * 4 * sides:
        return None
    constant, terms = linear_terms(c.b.args[0])
    steps = {atom.payload: step for atom, step in terms if atom.op == "axis"}
    windows: list[Window] = []
    for axis, tap in zip((y, x), taps, strict=True):
        step, along = steps.get(axis, 0), steps.get(tap, 0)
        if step == 0 or abs(along) != abs(step):
            return None
        first = 0 if along == step else -2
        ends = (first, first + axis.extent + 1)
        windows.append(Window(axis, tap, along != step, step, *ends))
    if windows[1].step != 1:
        return None
    found = _bounded(windows, c.b.args[1:])
    spatial = {y, x, *taps}
    others = [(atom, step) for atom, step in terms if atom.payload not in spatial]
    if found is None or any(spatial & values.dependencies(atom) for atom, _ in others):
        return None
    sample = c.n[0] if len(c.n) == 3 else None
    buffer = int(c.b.payload)
    return Convolution(c.m[0], channel, sample, *found, c.a, buffer, tuple(others), constant)


def _bounded(windows: Sequence[Window], valid: Sequence[Value]) -> tuple[Window, Window] | None:
    """The windows within the bounds that a condition states; None where it states other things."""
    bounds = [[window.low, window.high] for window in windows]
    for each in _conditions(valid):
        if each.op != "LT" or each.args[0].dtype is not dtypes.int64:
            return None
        low, high = each.args
        constant, terms = linear_terms(high if low.op == "const" else low)
        for window, ends in zip(windows, bounds, strict=True):
            along = {window.axis: 1, window.tap: -1 if window.backwards else 1}
            if {atom.payload: step for atom, step in terms} == along:
                if low.op == "const":
                    ends[0] = max(ends[0], int(low.payload) + 1 - constant)
                else:
                    ends[1] = min(ends[1], int(high.payload) - 1 - constant)
                break
        else:
            return None
    y, x = (
        Window(each.axis, each.tap, each.backwards, each.step, low, high)
        for each, (low, high) in zip(windows, bounds, strict=True)
    )
    return y, x


def _conditions(valid: Sequence[Value]) -> Iterator[Value]:
    """The parts of a conjunction."""
    for each in valid:
        if each.op == "AND":
            yield from _conditions(each.args)
        else:
            yield each


def cut_of(found: Convolution, target: Target) -> Cut:
    """The sizes for a target. The order of each sum is the same for all of them."""
    lanes = max(2, target.vector_bytes // 4)
    channels = found.channel.extent
    best, rows, vectors = None, 1, 1
    for height, wide in register_tiles(lanes, target.registers):
        panels = -(-found.tiles // (wide * lanes))
        cost = -(-found.m.extent // height) * panels * multiplying(height, wide)
        if wide * lanes > 32:
            cost *= 1.1  # as in tiling.py
        if best is None or cost < best:
            best, rows, vectors = cost, height, wide
    panels = -(-found.tiles // (vectors * lanes))
    bytes_each = PLACES * channels * vectors * lanes * 4
    block = min(panels, max(1, RESIDENT // bytes_each))
    piece = min(PIECE, 1 << (found.x.tiles - 1).bit_length())
    row_panels = -(-found.m.extent // rows)
    return Cut(rows, vectors, lanes, row_panels, panels, block, max(piece, 2), block == panels)
