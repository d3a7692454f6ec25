"""Advanced indices as one linear index into merged dimensions, for gathering and scattering."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from flambeau.graph import build as b
from flambeau.graph import op
from flambeau.graph.dtype import bool_, int64, uint8
from flambeau.graph.node import Node, Shape
from flambeau.graph.shapes import broadcast
from flambeau.ops.bounds import check_bounds
from flambeau.ops.composite import composite
from flambeau.tensor.record import copied, derive, record
from flambeau.tensor.tensor import Tensor


class Places(NamedTuple):
    """Where advanced indices point, as one index into merged dimensions.

    `order` permutes the indexed dimensions next to each other, `first` is the first of them then
    and `number` how many they are; `linear` indexes them merged into one of `extent`. Dimensions of
    the result: those before `first`, those of the index, the others.
    """

    order: Shape
    first: int
    number: int
    extent: int
    linear: Tensor


def places_of(shape: Shape, advanced: Sequence[tuple[int, Tensor]], device: str) -> Places:
    """One linear index for all advanced indices of a tensor of `shape`."""
    axes: list[int] = []
    indices: list[Tensor] = []
    for axis, index in advanced:
        if index._type.dtype in (bool_, uint8):
            found = index.detach()._to_numpy().nonzero()
            axes.extend(range(axis, axis + index.ndim))
            indices.extend([Tensor._from_numpy(each, device, copy=False) for each in found])
        else:
            check_bounds(index, axis, shape[axis], least=-shape[axis])
            axes.append(axis)
            indices.append(index)
    nodes = [_moved(each._read(), device) for each in indices]
    try:
        broadcast(*[each.shape for each in nodes])
    except RuntimeError:
        raise IndexError(
            "shape mismatch: indexing tensors could not be broadcast together with shapes "
            + ", ".join(str(list(each.shape)) for each in nodes)
        ) from None
    adjacent = axes == list(range(axes[0], axes[0] + len(axes)))
    first = axes[0] if adjacent else 0
    rest = [axis for axis in range(len(shape)) if axis not in axes]
    order = (*rest[:first], *axes, *rest[first:])
    extents = tuple([shape[axis] for axis in axes])
    linear = _linear(nodes, tuple(axes), extents)
    return Places(order, first, len(axes), math.prod(extents), linear)


def _moved(node: Node, device: str) -> Node:
    """An index as int64 on the device of what it indexes."""
    if node.device is not None and node.device != device:
        node = copied(node, device)
    return derive(op.CAST, (node,), (int64,)) if node.dtype is not int64 else node


def _linear(nodes: Sequence[Node], axes: Shape, extents: Shape) -> Tensor:
    tensors: Any = [Tensor._own(each) for each in nodes]
    return linear_index(tensors, axes, extents)


def wrapped(index: Node, extent: int) -> Node:
    """Negative places counted from the end; what is out of range stays as it is."""
    least = b.constant(-extent - 1, int64)
    negative = b.and_(b.less(index, b.constant(0, int64)), b.less(least, index))
    return b.where(negative, b.add(index, b.constant(extent, int64)), index)


def checked(index: Node, axis: int, extent: int, message: str | None = None) -> Node:
    """`index`, with a check on the device that it lies within dimension `axis`.

    A gather from 0, 1, 2, … is the index itself: it costs the comparison alone. `message` replaces
    what IndexError says.
    """
    lead = (1,) * axis
    found = b.gather(b.reshape(b.iota(extent), (*lead, extent)), index, axis, message)
    return b.reshape(found, index.shape)


@composite(saves="")
def linear_index(indices: list[Tensor], axes: Shape, extents: Shape) -> Tensor:
    """Indices of several dimensions as one index of these dimensions merged."""
    if len(indices) == 1:
        return Tensor._traced(wrapped(indices[0]._read(), extents[0]))
    total: Node | None = None
    for index, axis, extent in zip(indices, axes, extents, strict=True):
        place = checked(wrapped(index._read(), extent), axis, extent)
        total = place if total is None else b.add(b.mul(total, b.constant(extent, int64)), place)
    assert total is not None
    return Tensor._traced(total)


def _merged(x: Node, places: Shape, first: int, count: int, extent: int) -> Node:
    x = b.permute(x, places)
    return b.reshape(x, (*x.shape[:first], extent, *x.shape[first + count :]))


@composite(saves="1")
def index(input: Tensor, linear: Tensor, order: Shape, first: int, count: int) -> Tensor:
    """Elements at `linear` of the merged dimensions: see Places."""
    x = input._read()
    extent = math.prod([x.shape[axis] for axis in order[first : first + count]])
    merged = _merged(x, order, first, count, extent)
    return Tensor._traced(b.gather(merged, linear._read(), first))


@composite(saves="1")
def index_put(
    input: Tensor,
    linear: Tensor,
    value: Tensor,
    order: Shape,
    first: int,
    count: int,
    mode: str,
) -> Tensor:
    """`input` with `value` written at `linear` of the merged dimensions: see Places."""
    x, places = input._read(), linear._read()
    extent = math.prod([x.shape[axis] for axis in order[first : first + count]])
    merged = _merged(x, order, first, count, extent)
    target = (*merged.shape[:first], *places.shape, *merged.shape[first + 1 :])
    written = b.scatter(merged, places, b.expand(value._read(), target), first, mode)
    ordered = tuple([x.shape[axis] for axis in order])
    inverse = tuple([order.index(axis) for axis in range(len(order))])
    return Tensor._traced(b.permute(b.reshape(written, ordered), inverse))


def take_places(input: Tensor, advanced: Sequence[tuple[int, Tensor]]) -> Tensor:
    """The advanced part of reading."""
    device = input._storage.node.device
    at = places_of(input._type.shape, advanced, device)
    return index(input, at.linear, at.order, at.first, at.number)


def _result_shape(shape: Shape, at: Places) -> Shape:
    ordered = [shape[axis] for axis in at.order]
    return (
        *ordered[: at.first],
        *at.linear._type.shape,
        *ordered[at.first + at.number :],
    )


def put_places(
    input: Tensor, advanced: Sequence[tuple[int, Tensor]], value: Tensor, mode: str
) -> Tensor:
    """`input` with `value` (of its dtype) written at the advanced indices; a new tensor."""
    device = input._storage.node.device
    at = places_of(input._type.shape, advanced, device)
    wanted = _result_shape(input._type.shape, at)
    shape = value._type.shape
    while len(shape) > len(wanted) and shape[0] == 1:
        shape = shape[1:]
    if not fits(shape, wanted):
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(value._type.shape)} cannot be broadcast "
            f"to indexing result of shape {list(wanted)}"
        )
    if shape != value._type.shape:
        value = record(op.RESHAPE, (value,), (shape,))
    return index_put(input, at.linear, value, at.order, at.first, at.number, mode)


def fits(shape: Shape, wanted: Shape) -> bool:
    """Whether `shape` broadcasts to `wanted`."""
    return len(shape) <= len(wanted) and all(
        extent in (1, other)
        for extent, other in zip(reversed(shape), reversed(wanted), strict=False)
    )
