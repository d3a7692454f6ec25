"""What max pooling took away, put back where it was: functional.max_unpool."""

from __future__ import annotations

import math
from typing import Any

from flambeau.graph import build as b
from flambeau.graph.dtype import int64
from flambeau.graph.node import Node, Shape
from flambeau.ops.axes import integers
from flambeau.ops.bounds import check_bounds
from flambeau.ops.composite import composite
from flambeau.ops.places import checked
from flambeau.tensor.tensor import Tensor

_OUT_OF_RANGE = "Found an invalid max index: {detail}"


@composite(saves="1")
def _put_back(input: Tensor, indices: Tensor, spatial: Shape) -> Tensor:
    x, places = input._read(), indices._read()
    lead = x.shape[: len(x.shape) - len(spatial)]
    planes, extent = math.prod(lead), math.prod(spatial)
    per_plane = x.type.size // max(planes, 1)
    at = checked(b.reshape(places, (planes, per_plane)), 1, extent, _OUT_OF_RANGE)
    start = b.mul(b.reshape(b.iota(planes), (planes, 1)), b.constant(extent, int64))
    flat = b.reshape(b.add(at, start), (planes * per_plane,))
    values = _given_back(b.reshape(x, flat.shape), flat, planes * extent)
    return Tensor._traced(b.reshape(values, (*lead, *spatial)))


def _given_back(values: Node, places: Node, extent: int) -> Node:
    """Zeros with the values written at their places; of several at one place the last one counts,
    and each gets the gradient."""
    zeros = b.full((extent,), 0, values.dtype)
    written = b.scatter(zeros, places, values, 0, "set")
    return b.graft(written, b.scatter(zeros, places, values, 0, "add"))


def _each(value: Any, rank: int, name: str) -> Shape:
    found = integers(value, name)
    return found * rank if len(found) == 1 else found


def _spatial(shape: Shape, kernel: Shape, stride: Shape, padding: Shape, output_size: Any) -> Shape:
    """The extents of the result. Raises ValueError where `output_size` is not possible."""
    rank = len(kernel)
    parts = zip(shape[-rank:], kernel, stride, padding, strict=True)
    usual = tuple([(n - 1) * s + k - 2 * p for n, k, s, p in parts])
    if output_size is None:
        return usual
    given = integers(output_size, "output_size")
    given = given[2:] if len(given) == rank + 2 else given
    if len(given) != rank:
        raise ValueError(
            f"output_size should be a sequence containing {rank} or {rank + 2} elements, but it "
            f"has a length of '{len(given)}'"
        )
    for axis, (wanted, extent, step) in enumerate(zip(given, usual, stride, strict=True)):
        if not extent - step < wanted < extent + step:
            raise ValueError(
                f'invalid output_size "{list(given)}" (dim {axis} must be between '
                f"{extent - step} and {extent + step})"
            )
    return given


def _unpool(
    rank: int,
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    output_size: Any,
) -> Tensor:
    name, shape = f"max_unpool{rank}d", input._type.shape
    kernel = _each(kernel_size, rank, "kernel_size")
    empty = stride is None or stride in ((), [])
    steps = kernel if empty else _each(stride, rank, "stride")
    if len(shape) not in (rank + 1, rank + 2):
        raise RuntimeError(
            f"{name}: Input to {name} should be a {rank + 1}d or {rank + 2}d Tensor, but got "
            f"{len(shape)} dimensions"
        )
    spatial = _spatial(shape, kernel, steps, _each(padding, rank, "padding"), output_size)
    if indices._type.dtype is not int64:
        raise RuntimeError(f"elements in indices should be type int64 but got: {indices.dtype}")
    if indices._type.shape != shape:
        raise RuntimeError(
            f"Expected shape of indices to be: {list(shape)} but got: {list(indices._type.shape)}"
        )
    check_bounds(indices, 0, math.prod(spatial), _OUT_OF_RANGE, error=RuntimeError)
    return _put_back(input, indices, spatial)


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Zeros, and each of (n, c, l) where the indices of max_pool1d say that it was.

    output_size says which of the lengths that were pooled to l it was. Raises ValueError or
    RuntimeError where arguments do not fit.
    """
    return _unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """max_unpool1d with two spatial dimensions."""
    return _unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """max_unpool1d with three spatial dimensions."""
    return _unpool(3, input, indices, kernel_size, stride, padding, output_size)
