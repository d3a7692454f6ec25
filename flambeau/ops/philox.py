"""Random numbers made on the device: Philox 4×32-10, a counter-based generator.

J. Salmon, M. Moraes, R. Dror, D. Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
Each element's number is a function of (seed, offset, its index) alone: nothing is stored, a
backward pass makes the same numbers again, and a new seed or offset needs no new plan.
"""

from __future__ import annotations

import math
from typing import Any

from flambeau.graph import build, op
from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import float32, uint32
from flambeau.graph.node import Node, node
from flambeau.ops.fused import fused
from flambeau.ops.generator import default_generator
from flambeau.ops.promote import number_node
from flambeau.schedule import watch
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_WORD = 1 << 32


def _constant(value: int) -> Node:
    return build.constant(value % _WORD, uint32)


def _high_and_low(x: Node, factor: int) -> tuple[Node, Node]:
    """The two words of x · factor, by halves of 16 bits, since no device need have 64-bit words."""
    half = _constant(16)
    mask = _constant(0xFFFF)
    low, high = _constant(factor & 0xFFFF), _constant(factor >> 16)
    x_low, x_high = build.and_(x, mask), _shift(x, half)
    first = build.mul(x_low, low)
    middle = build.add(build.mul(x_high, low), _shift(first, half))
    other = build.add(build.mul(x_low, high), build.and_(middle, mask))
    top = build.add(build.mul(x_high, high), _shift(middle, half))
    return build.add(top, _shift(other, half)), build.mul(x, _constant(factor))


def _shift(x: Node, bits: Node) -> Node:
    return node(op.SHR, (x, bits))


def _words(counters: list[Node], keys: list[Node]) -> list[Node]:
    """Ten rounds over four counter words and two key words."""
    for number in range(_ROUNDS):
        high0, low0 = _high_and_low(counters[0], _MULTIPLIERS[0])
        high1, low1 = _high_and_low(counters[2], _MULTIPLIERS[1])
        round_keys = [
            build.add(key, _constant(number * step)) for key, step in zip(keys, _WEYL, strict=True)
        ]
        counters = [
            build.xor(build.xor(high1, counters[1]), round_keys[0]),
            low1,
            build.xor(build.xor(high0, counters[3]), round_keys[1]),
            low0,
        ]
    return counters


def _numbers(low: Node, high: Node, offset: Node, shape: tuple[int, ...]) -> Node:
    """Uniform numbers in [0, 1): the upper 24 bits of the first word."""
    count = math.prod(shape)
    index = build.reshape(build.iota(count, uint32), shape)
    zero = _constant(0)
    word = _words([index, zero, offset, zero], [low, high])[0]
    fraction = build.cast(_shift(word, _constant(8)), float32)
    return build.mul(fraction, build.constant(2.0**-24, float32))


@fused(saves="", wide=False)
def _philox_uniform(low: Any, high: Any, offset: Any, shape: tuple[int, ...]) -> Any:
    return Tensor._traced(_numbers(low._read(), high._read(), offset._read(), shape))


def stream(seed: int | None = None, offset: int | None = None) -> tuple[Node, Node, Node]:
    """Seed (two words) and offset as runtime scalars; the default generator's next where None."""
    drawn = offset is None
    if seed is None:
        seed = default_generator.initial_seed()
    if offset is None:
        offset = default_generator.next_offset()
    low, high, place = [build.scalar(each, uint32) for each in _stream_words(seed, offset)]
    if (watcher := watch.active()) is not None and drawn:
        watcher.scalars((low, high, place), _NextOffset())
    return low, high, place


def _stream_words(seed: int, offset: int) -> tuple[int, int, int]:
    return seed % _WORD, seed // _WORD % _WORD, offset % _WORD


class _NextOffset:
    """The default generator's seed and next offset, for a call that is replayed."""

    def ready(self) -> bool:
        return True

    def again(self) -> tuple[int, int, int]:
        return _stream_words(default_generator.initial_seed(), default_generator.next_offset())


def philox_uniform(
    shape: tuple[int, ...],
    seed: int | None = None,
    offset: int | None = None,
    device: str | None = None,
) -> Tensor:
    """float32 numbers that are uniform in [0, 1), a function of seed, offset and place.

    seed: 64 bits; offset: 32 bits. Neither makes a new plan. None: the default generator's seed
    and its next offset.
    """
    from flambeau.ops.creation import placed

    return record(_philox_uniform, stream(seed, offset), (tuple(shape),), device=placed(device))


# dropout ----------------------------------------------------------------------------------------


def _dropout_gradient(x: Any, low: Any, high: Any, offset: Any, p: Any, g: Any, *attrs: Any) -> Any:
    """The same numbers again, for the gradient."""
    return record(_dropout, (g, low, high, offset, p), attrs), None, None, None, None


@fused(saves="", gradient=_dropout_gradient)
def _dropout(x: Any, low: Any, high: Any, offset: Any, p: Any, shared: int) -> Any:
    """0 with probability p, else x / (1 - p). The last `shared` axes have one number together."""
    shape = tuple(x.shape)
    kept = len(shape) - shared
    numbers = _numbers(low._read(), high._read(), offset._read(), (*shape[:kept], *[1] * shared))
    dropped = build.less(numbers, p._read())
    one = build.constant(1.0, float32)
    scale = build.div(one, build.sub(one, p._read()))
    scaled = build.mul(x._read(), build.cast(scale, x.dtype))
    return Tensor._traced(build.where(dropped, build.constant(0.0, x.dtype), scaled))


def drop(input: Tensor, p: float, shared: int = 0) -> Tensor:
    """Dropout of single elements, or of whole trailing maps; see _dropout."""
    if p == 1:
        return input * 0.0
    inputs = (input, *stream(), number_node(p, dtypes.float32))
    return record(_dropout, inputs, (shared,))
