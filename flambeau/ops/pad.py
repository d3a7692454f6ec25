"""functional.pad: constants, reflections, repeated edges, wrapping around."""

from __future__ import annotations

from typing import Any

from flambeau.graph import build as b
from flambeau.graph import op
from flambeau.graph.dtype import int64
from flambeau.graph.node import Node, Shape
from flambeau.ops.axes import integers
from flambeau.ops.composite import composite
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor

Pairs = tuple[tuple[int, int], ...]


def _pairs(padding: Shape, rank: int) -> Pairs:
    """(before, after) for each axis; the argument names them from the last axis backwards."""
    pairs = [(0, 0)] * rank
    for place in range(len(padding) // 2):
        pairs[rank - 1 - place] = (padding[2 * place], padding[2 * place + 1])
    return tuple(pairs)


@composite(saves="")
def _constant(input: Tensor, pairs: Pairs, value: Any) -> Tensor:
    x = input._read()
    cut = [(max(-low, 0), max(-high, 0)) for low, high in pairs]
    sizes = tuple([n - low - high for n, (low, high) in zip(x.shape, cut, strict=True)])
    if sizes != x.shape:
        x = b.slice_(x, tuple([low for low, _ in cut]), sizes)
    grown = [(max(low, 0), max(high, 0)) for low, high in pairs]
    shape = tuple([n + low + high for n, (low, high) in zip(sizes, grown, strict=True)])
    starts = tuple([low for low, _ in grown])
    return Tensor._traced(b.pad(x, shape, starts, fill=value) if shape != sizes else x)


def _along(x: Node, axis: int, start: int, size: int) -> Node:
    starts = tuple([start if place == axis else 0 for place in range(len(x.shape))])
    return b.slice_(x, starts, (*x.shape[:axis], size, *x.shape[axis + 1 :]))


def _edge(x: Node, axis: int, mode: str, low: int, high: int) -> tuple[Node | None, Node | None]:
    """What comes before and after x along an axis."""
    n = x.shape[axis]
    if mode == "reflect":
        before, after = (_along(x, axis, 1, low), _along(x, axis, n - 1 - high, high))
        return (b.flip(before, (axis,)) if low else None, b.flip(after, (axis,)) if high else None)
    if mode == "circular":
        before, after = _along(x, axis, n - low, low), _along(x, axis, 0, high)
        return (before if low else None, after if high else None)
    sizes = [(*x.shape[:axis], count, *x.shape[axis + 1 :]) for count in (low, high)]
    first, last = _along(x, axis, 0, 1), _along(x, axis, n - 1, 1)
    return (
        b.expand(first, sizes[0]) if low else None,
        b.expand(last, sizes[1]) if high else None,
    )


def _clamped(x: Node, axis: int, low: int, places: int) -> Node:
    """Element i is that at i - low, or the edge nearest to it, of the whole axis."""
    at = b.add(b.iota(places), b.constant(-low, int64))
    last = b.constant(x.shape[axis] - 1, int64)
    at = b.where(b.less(last, at), last, b.maximum(at, b.constant(0, int64)))
    return b.gather(x, at, axis)


@composite(saves="")
def _continued(input: Tensor, pairs: Pairs, mode: str) -> Tensor:
    x = input._read()
    for axis, (low, high) in enumerate(pairs):
        if mode == "replicate" and min(low, high) < 0:
            x = _clamped(x, axis, low, x.shape[axis] + low + high)
            continue
        if min(low, high) < 0:
            x = _along(x, axis, max(-low, 0), x.shape[axis] + min(low, 0) + min(high, 0))
        before, after = _edge(x, axis, mode, max(low, 0), max(high, 0))
        x = b.cat([each for each in (before, x, after) if each is not None], axis)
    return Tensor._traced(x)


def _check_continued(shape: Shape, padding: Shape, mode: str) -> None:
    rank, count = len(shape), len(padding)
    if count // 2 not in (1, 2, 3) or rank not in (count // 2 + 1, count // 2 + 2):
        raise NotImplementedError(
            f"Padding size {count} is not supported for {rank}D input tensor."
        )
    for place in range(count // 2):
        axis = rank - 1 - place
        low, high = padding[2 * place : 2 * place + 2]
        if mode == "reflect" and max(low, high) >= shape[axis]:
            raise RuntimeError(
                "Argument #4: Padding size should be less than the corresponding input dimension, "
                f"but got: padding ({low}, {high}) at dimension {axis} of input {list(shape)}"
            )
        if mode == "circular" and max(low, high) > shape[axis]:
            raise RuntimeError("Padding value causes wrapping around more than once.")


def pad(input: Tensor, pad: Any, mode: str = "constant", value: float | None = None) -> Tensor:
    """Elements added before and after: `pad` is (low, high) of the last dimension, of the one
    before it, and so on; negative numbers take away.

    mode "constant" adds `value` (0), "reflect" mirrors without the edge, "replicate" repeats the
    edge, "circular" goes on at the other end. Raises RuntimeError where it does not fit.
    """
    padding = integers(pad, "pad")
    if len(padding) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    shape = input._type.shape
    if len(padding) > 2 * len(shape):
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got "
            f"padding length {len(padding)} and input of dimension {len(shape)}"
        )
    pairs = _pairs(padding, len(shape))
    for axis, (extent, (low, high)) in enumerate(zip(shape, pairs, strict=True)):
        if extent + low + high < 0 or extent + min(low, 0) + min(high, 0) < 0:
            raise RuntimeError(
                f"The input size {extent}, plus negative padding {low} and {high}, resulted in a "
                f"negative output size at dimension {axis}"
            )
    if mode == "constant":
        fill = 0 if value is None else value
        exact = float(fill) if input._type.dtype.is_floating_point else int(fill)
        return _constant(input, pairs, exact)
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if value is not None:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    _check_continued(shape, padding, mode)
    if not any(padding):
        return record(op.MATERIALIZE, (input,))
    return _continued(input, pairs, mode)
