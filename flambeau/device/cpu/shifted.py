"""Correlations of many rows, such as a convolution's weight gradient: what is cut how.

    w[o, c, t] = Σ n, p   y[n, o, p] · x[n, c, p · stride + t · dilation - padding]

As a matrix product, y times a matrix that has each element of x once for every tap, most of the
time goes into packing that matrix. Here the places of x that a block of k needs are laid out once
for each channel, with their edge (a line), and the micro-kernel reads the same line shifted for
every tap. Columns of the register tile are outputs; rows are channels and the taps along one axis.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from math import prod

from flambeau.device.cpu.tiling import (
    Side,
    Tiling,
    in_blocks,
    joint_k,
    multiplying,
    register_tiles,
    side_of,
)
from flambeau.device.cpu.values import Values
from flambeau.kernel.ir import Axis, Value
from flambeau.kernel.shift import Pair, on_lines, taps_of
from flambeau.kernel.tile import Contraction

NARROW = 4
"""With fewer outputs too little of a vector counts."""

PACKING = 0.1
"""Cycles to pack a line, for each of its elements and taps."""


@dataclass(frozen=True, eq=False)
class Dimension:
    """One axis of a line: an axis of k within a block, alone or with its tap."""

    number: int  # of the axis of k
    pair: Pair | None
    count: int  # positions in a block, at most
    step: int  # elements between neighbours in the line

    @property
    def stride(self) -> int:
        """Places between positions."""
        return self.pair.stride if self.pair else 1

    @property
    def size(self) -> int:
        if self.pair is None:
            return self.count
        reach = (self.pair.tap.extent - 1) * self.pair.dilation
        return (self.count - 1) * self.stride + reach + 1


@dataclass(frozen=True, eq=False)
class Lines:
    """How a block of k lies in lines, and the register tile's rows."""

    tiling: Tiling
    value: Value  # the second factor at a place of a line
    places: dict[Axis, Axis]  # k's axis -> the line's, for pairs
    dimensions: tuple[Dimension, ...]
    channels: tuple[Axis, ...]
    outer: tuple[Pair, ...]  # taps that take a call of the micro-kernel each
    inner: Pair  # the taps that are rows of the register tile
    group: int  # channels in a register tile

    @property
    def length(self) -> int:
        """Elements of a line."""
        return prod(each.size for each in self.dimensions)

    @property
    def taps(self) -> int:
        return prod(pair.tap.extent for pair in (*self.outer, self.inner))

    def step(self, along: Axis, k: tuple[Axis, ...]) -> int:
        """Elements between neighbouring places along an axis of k."""
        return next(each.step for each in self.dimensions if k[each.number] is along)

    def starts(self, k: tuple[Axis, ...]) -> list[int]:
        """Where each run of positions along the last axis of k begins in a line."""
        inside = [each for each in self.dimensions if self.tiling.split <= each.number < len(k) - 1]
        points = itertools.product(*(range(each.count) for each in inside))
        steps = [each.stride * each.step for each in inside]
        return [
            sum(place * step for place, step in zip(point, steps, strict=True)) for point in points
        ]


def lines_of(c: Contraction, tiles: Tiling, values: Values, registers: int) -> Lines | None:
    """How a contraction is computed from lines; None where it is not."""
    found = taps_of(c)
    outputs = prod(axis.extent for axis in c.m)
    if found is None or tiles.direct or outputs < NARROW:
        return None
    pairs = found.pairs
    if c.n[len(c.n) - len(pairs) :] != tuple(pair.tap for pair in pairs):
        return None
    value, places = on_lines(c.b, pairs)
    channels = c.n[: len(c.n) - len(pairs)]
    tile = _register_tile(outputs, prod(x.extent for x in channels), pairs[-1], tiles, registers)
    if tile is None:
        return None
    group, vectors = tile
    taps = prod(pair.tap.extent for pair in pairs)
    total = prod(axis.extent for axis in c.n)
    width = group * taps
    rows = Side(c.b, c.n, False, 1, total, 1, width, width, False, 1, PACKING)
    columns = side_of((c.a, c.m), len(c.m) <= 1, vectors * tiles.lanes, c, values, tiles.lanes)
    batch = prod(axis.extent for axis in c.batch)
    rows, columns = in_blocks(rows, columns, batch, (tiles.parts, tiles.shared), tiles.lanes)
    joint = joint_k(c, (c.a,), tiles.split, tiles.lanes, values)
    tiles = replace(tiles, rows=rows, columns=columns, vectors=vectors, joint_k=joint)
    tiles = replace(tiles, chains=1, once=False, turned=False)
    dimensions = _dimensions(c, pairs, tiles)
    return Lines(tiles, value, places, dimensions, channels, pairs[:-1], pairs[-1], group)


def _register_tile(
    outputs: int, channels: int, inner: Pair, tiles: Tiling, registers: int
) -> tuple[int, int] | None:
    """(channels, vectors) of the cheapest register tile."""
    taps = inner.tap.extent
    best, chosen = None, None
    for rows, vectors in register_tiles(tiles.lanes, registers):
        if rows % taps:
            continue
        group = rows // taps
        calls = -(-outputs // (vectors * tiles.lanes)) * -(-channels // group)
        cost = calls * multiplying(rows, vectors)
        if best is None or cost < best:
            best, chosen = cost, (group, vectors)
    return chosen


def _dimensions(c: Contraction, pairs: tuple[Pair, ...], tiles: Tiling) -> tuple[Dimension, ...]:
    partner = {pair.along: pair for pair in pairs}
    found: list[Dimension] = []
    step = 1
    for number in range(len(c.k) - 1, -1, -1):
        axis = c.k[number]
        pair = partner.get(axis)
        if number < tiles.split and pair is None:
            continue
        count = axis.extent if number > tiles.split else tiles.chunk
        found.append(Dimension(number, pair, count if number >= tiles.split else 1, step))
        step *= found[-1].size
    return tuple(reversed(found))
