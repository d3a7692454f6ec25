"""Pooling to a given size: window i of n elements goes from ⌊i·n/m⌋ to ⌈(i+1)·n/m⌉."""

from __future__ import annotations

import math
from typing import Any

from flambeau.graph import build as b
from flambeau.graph.dtype import int64
from flambeau.graph.node import Node, Shape
from flambeau.ops.axes import integers
from flambeau.ops.composite import composite
from flambeau.ops.pool import Geometry, max_windows, max_windows_with_places, mean_windows
from flambeau.ops.publish import public
from flambeau.ops.view import reshape, unsqueeze
from flambeau.tensor.tensor import Tensor


def _starts(extent: int, places: int) -> tuple[Node, Node]:
    """Where each window starts, and where it ends."""
    at = b.iota(places)
    n, m = b.constant(extent, int64), b.constant(places, int64)
    start = b.idiv(b.mul(at, n), m)
    after = b.mul(b.add(at, b.constant(1, int64)), n)
    stop = b.idiv(b.add(after, b.constant(places - 1, int64)), m)
    return start, stop


def _mean_axis(x: Node, axis: int, places: int) -> Node:
    """The means along one axis: a product with the matrix of weights."""
    extent = x.shape[axis]
    if extent == places:
        return x
    start, stop = _starts(extent, places)
    at = b.reshape(b.iota(extent), (extent, 1))
    outside = b.or_(b.less(at, start), b.not_(b.less(at, stop)))
    size = b.cast(b.sub(stop, start), x.dtype)
    share = b.div(b.constant(1, x.dtype), size)
    weights = b.where(outside, b.constant(0, x.dtype), share)
    order = (*(other for other in range(len(x.shape)) if other != axis), axis)
    moved = b.permute(x, order)
    flat = b.reshape(moved, (math.prod(moved.shape[:-1]), extent))
    made = b.reshape(b.matmul(flat, weights), (*moved.shape[:-1], places))
    return b.permute(made, tuple(order.index(other) for other in range(len(order))))


def _within(extent: int, places: int) -> Node:
    """(places, taps): what each window reads; one shorter than the longest repeats its end."""
    start, stop = _starts(extent, places)
    longest = max(-(-(i + 1) * extent // places) - i * extent // places for i in range(places))
    at = b.add(b.reshape(start, (places, 1)), b.iota(longest))
    last = b.reshape(b.sub(stop, b.constant(1, int64)), (places, 1))
    return b.where(b.less(last, at), last, at)


def _greatest_axis(x: Node, axis: int, places: int) -> Node:
    """The greatest along one axis."""
    if x.shape[axis] == places:
        return x
    taken = b.gather(x, _within(x.shape[axis], places), axis)
    shape = (*x.shape[:axis], places, *x.shape[axis + 1 :])
    return b.reshape(b.reduce("max", taken, (axis + 1,)), shape)


@composite(saves="")
def _windows_apart(input: Tensor, sizes: Shape) -> tuple[Tensor, Tensor]:
    """(…, windows, taps): what each window reads, and where in the flattened spatial axes."""
    x = input._read()
    lead, spatial = x.shape[: -len(sizes)], x.shape[-len(sizes) :]
    at = _flat_places(spatial, sizes)
    made = b.gather(b.reshape(x, (*lead, math.prod(spatial))), at, len(lead))
    return Tensor._traced(made), Tensor._traced(b.expand(at, made.shape))


def _flat_places(spatial: Shape, sizes: Shape) -> Node:
    """(windows, taps): where in the flattened spatial axes each window reads."""
    total: Node | None = None
    for axis, (extent, places) in enumerate(zip(spatial, sizes, strict=True)):
        at = _within(extent, places)
        line = [1] * (2 * len(sizes))
        line[axis], line[len(sizes) + axis] = at.shape
        term = b.reshape(at, tuple(line))
        if total is not None:
            total = b.mul(total, b.constant(extent, int64))
        total = term if total is None else b.add(total, term)
    assert total is not None
    return b.reshape(total, (math.prod(sizes), total.type.size // max(math.prod(sizes), 1)))


def _greatest_with_places(input: Any, sizes: Shape) -> Any:
    """The greatest of each window and the first place that has it, in flattened spatial axes."""
    shape = (*input._type.shape[: input.ndim - len(sizes)], *sizes)
    return first_greatest(*_windows_apart(input, sizes), shape)


def first_greatest(windows: Any, places: Any, shape: Shape) -> Any:
    """Of windows (…, taps) the greatest, and the first of the places (…, taps) that has it."""
    tap = windows.detach().argmax(-1, keepdim=True)
    return tuple([reshape(each.gather(-1, tap), shape) for each in (windows, places)])


@composite(saves="")
def _mean(input: Tensor, sizes: Shape) -> Tensor:
    x = input._read()
    for place, extent in enumerate(sizes):
        x = _mean_axis(x, len(x.shape) - len(sizes) + place, extent)
    return Tensor._traced(x)


@composite(saves="inputs")
def _greatest(input: Tensor, sizes: Shape) -> Tensor:
    x = input._read()
    for place, extent in enumerate(sizes):
        x = _greatest_axis(x, len(x.shape) - len(sizes) + place, extent)
    return Tensor._traced(x)


def _sizes(input: Tensor, output_size: Any, rank: int, name: str) -> Shape:
    given = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * rank
    if len(given) != rank:
        raise RuntimeError(f"{name}: output_size must be {rank}")
    if input.ndim not in (rank + 1, rank + 2):
        raise RuntimeError(
            f"{name}(): Expected {rank + 1}D or {rank + 2}D tensor, but got "
            f"{list(input._type.shape)}"
        )
    shape = input._type.shape[-rank:]
    return integers([n if each is None else each for n, each in zip(shape, given, strict=True)])


def _even(shape: Shape, sizes: Shape) -> Geometry | None:
    """The windows, where all have one size."""
    if any(size == 0 or extent % size for extent, size in zip(shape, sizes, strict=True)):
        return None
    kernel = tuple([extent // size for extent, size in zip(shape, sizes, strict=True)])
    zeros, ones = (0,) * len(sizes), (1,) * len(sizes)
    return Geometry(kernel, kernel, zeros, zeros, ones, sizes)


def _adaptive_mean(input: Tensor, output_size: Any, rank: int) -> Tensor:
    sizes = _sizes(input, output_size, rank, f"adaptive_avg_pool{rank}d")
    even = _even(input._type.shape[-rank:], sizes)
    return _mean(input, sizes) if even is None else mean_windows(input, even, True, None)


def _adaptive_max(input: Tensor, output_size: Any, rank: int, return_indices: bool) -> Any:
    sizes = _sizes(input, output_size, rank, f"adaptive_max_pool{rank}d")
    even = _even(input._type.shape[-rank:], sizes)
    if even is None:
        return _greatest_with_places(input, sizes) if return_indices else _greatest(input, sizes)
    if not return_indices:
        return max_windows(input, even)
    batch = input if input.ndim == rank + 2 else unsqueeze(input, 0)
    both = max_windows_with_places(batch, even)
    if batch is input:
        return both
    return tuple([reshape(each, each._type.shape[1:]) for each in both])


@public(method=False, out=False)
def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """The means of output_size windows of (n, c, l)."""
    return _adaptive_mean(input, output_size, 1)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """adaptive_avg_pool1d with two spatial dimensions; None keeps an extent."""
    return _adaptive_mean(input, output_size, 2)


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """adaptive_avg_pool1d with three spatial dimensions; None keeps an extent."""
    return _adaptive_mean(input, output_size, 3)


@public(method=False, out=False)
def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The greatest of output_size windows of (n, c, l)."""
    return _adaptive_max(input, output_size, 1, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """adaptive_max_pool1d with two spatial dimensions; None keeps an extent."""
    return _adaptive_max(input, output_size, 2, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """adaptive_max_pool1d with three spatial dimensions; None keeps an extent."""
    return _adaptive_max(input, output_size, 3, return_indices)
