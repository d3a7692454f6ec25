"""Advanced indices as one linear index into merged dimensions, for gathering and scattering.

Reading and writing record one Node each, on the index tensors as they were given: what shapes say
about them is worked out once for each signature, where the Node is expanded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy

from flambeau.graph import build as b
from flambeau.graph import op
from flambeau.graph.dtype import bool_, int64, uint8
from flambeau.graph.node import Node, Shape
from flambeau.graph.shapes import broadcast
from flambeau.kernel.ir import MAXIMUM_RANK
from flambeau.ops.bounds import check_bounds
from flambeau.ops.fused import fused
from flambeau.ops.truth import chosen, coordinates, flat_places
from flambeau.ops.view import reshape
from flambeau.tensor.record import copied, record
from flambeau.tensor.tensor import Tensor

Advanced = Sequence[tuple[int, Tensor]]
"""Index tensors, each with the dimension that it indexes (a mask: the first of its dimensions)."""


# what is known at the call ----------------------------------------------------------------------


def take_places(input: Tensor, advanced: Advanced) -> Tensor:
    """The advanced part of reading."""
    if len(advanced) == 1 and advanced[0][1]._type.dtype in _MASKS:
        return _take_mask(input, *advanced[0])
    indices, axes = _known(input, advanced)
    return record(_index, (input, *indices), (axes,))


def put_places(input: Tensor, advanced: Advanced, value: Tensor | Node, mode: str) -> Tensor:
    """`input` with `value` (of its dtype) written at the advanced indices; a new tensor."""
    if len(advanced) == 1 and advanced[0][1]._type.dtype in _MASKS:
        return _put_mask(input, *advanced[0], value, mode)
    indices, axes = _known(input, advanced)
    return record(_index_put, (input, value, *indices), (axes, mode))


def _take_mask(input: Tensor, axis: int, mask: Tensor) -> Tensor:
    """A mask alone: its dimensions are merged into one."""
    if mask._type.shape == input._type.shape:
        found = chosen(input, mask)
        if found is not None:
            return found
    flat, places = _merged(input, axis, mask)
    return record(_index, (flat, places), ((axis,),))


def _put_mask(input: Tensor, axis: int, mask: Tensor, value: Tensor | Node, mode: str) -> Tensor:
    flat, places = _merged(input, axis, mask)
    written = record(_index_put, (flat, value, places), ((axis,), mode))
    return record(op.RESHAPE, (written,), (input._type.shape,))


def _merged(input: Tensor, axis: int, mask: Tensor) -> tuple[Tensor, Tensor]:
    """`input` with the dimensions of a mask as one, and where along it the mask holds."""
    shape = input._type.shape
    lead, behind = shape[:axis], shape[axis + mask.ndim :]
    flat = reshape(input, (*lead, mask._type.size, *behind))
    device = input._storage.node.device
    return flat, Tensor._from_numpy(flat_places(mask), device, copy=False)


def _known(input: Tensor, advanced: Advanced) -> tuple[list[Tensor], Shape]:
    """The integer indices, on the device of `input`, and their dimensions; bounds are checked."""
    shape, device = input._type.shape, input._storage.node.device
    axes: list[int] = []
    indices: list[Tensor] = []
    for axis, index in advanced:
        if index._type.dtype in _MASKS:
            places = flat_places(index)
            found = numpy.empty((index.ndim, len(places)), numpy.int64)
            coordinates(places, index._type.shape, found)
            axes.extend(range(axis, axis + index.ndim))
            indices.extend([Tensor._from_numpy(each, device, copy=False) for each in found])
            continue
        check_bounds(index, axis, shape[axis], least=-shape[axis])
        if index._storage.node.device != device:
            index = Tensor._own(copied(index._read(), device))
        axes.append(axis)
        indices.append(index)
    return indices, tuple(axes)


_MASKS = frozenset({bool_, uint8})


# what shapes say --------------------------------------------------------------------------------


class _Places(NamedTuple):
    """Where advanced indices point, as one index into merged dimensions.

    `order` permutes the indexed dimensions next to each other, `first` is the first of them then
    and `number` how many they are; `linear` indexes them merged into one of `extent`. Dimensions of
    the result: those before `first`, those of the index, the others.
    """

    order: Shape
    first: int
    number: int
    extent: int
    linear: Node

    def merged(self, x: Node) -> Node:
        x = b.permute(x, self.order)
        lead, behind = x.shape[: self.first], x.shape[self.first + self.number :]
        return b.reshape(x, (*lead, self.extent, *behind))


def _places_of(shape: Shape, indices: Sequence[Node], axes: Shape) -> _Places:
    """Raises IndexError where the indices do not broadcast together."""
    try:
        broadcast(*[each.shape for each in indices])
    except RuntimeError:
        raise IndexError(
            "shape mismatch: indexing tensors could not be broadcast together with shapes "
            + ", ".join(str(list(each.shape)) for each in indices)
        ) from None
    adjacent = axes == tuple(range(axes[0], axes[0] + len(axes)))
    first = axes[0] if adjacent else 0
    rest = [axis for axis in range(len(shape)) if axis not in axes]
    order = (*rest[:first], *axes, *rest[first:])
    extents = tuple([shape[axis] for axis in axes])
    linear = _linear([b.cast(each, int64) for each in indices], axes, extents)
    return _Places(order, first, len(axes), math.prod(extents), linear)


def _linear(indices: Sequence[Node], axes: Shape, extents: Shape) -> Node:
    """Indices of several dimensions as one index of these dimensions merged."""
    if len(indices) == 1:
        return wrapped(indices[0], extents[0])
    total: Node | None = None
    for index, axis, extent in zip(indices, axes, extents, strict=True):
        place = checked(wrapped(index, extent), axis, extent)
        total = place if total is None else b.add(b.mul(total, b.constant(extent, int64)), place)
    assert total is not None
    return total


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


def _from_input(first: int) -> str:
    """What is saved where all inputs from `first` on are indices."""
    return ",".join(str(number) for number in range(first, first + MAXIMUM_RANK))


@fused(saves=_from_input(1), wide=False)
def _index(input: Tensor, *rest: Any) -> Tensor:
    """input at indices of some of its dimensions; `rest` is the indices, and which dimensions."""
    *indices, axes = rest
    x = input._read()
    at = _places_of(x.shape, [each._read() for each in indices], axes)
    return Tensor._traced(b.gather(at.merged(x), at.linear, at.first))


@fused(saves=_from_input(2), wide=False)
def _index_put(input: Tensor, value: Tensor, *rest: Any) -> Tensor:
    """input with `value` written at indices; `rest` is as for _index, and the scatter's mode."""
    *indices, axes, mode = rest
    x, new = input._read(), value._read()
    at = _places_of(x.shape, [each._read() for each in indices], axes)
    merged = at.merged(x)
    target = (*merged.shape[: at.first], *at.linear.shape, *merged.shape[at.first + 1 :])
    shape = new.shape
    while len(shape) > len(target) and shape[0] == 1:
        shape = shape[1:]
    if not fits(shape, target):
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(new.shape)} cannot be broadcast "
            f"to indexing result of shape {list(target)}"
        )
    spread = b.expand(b.reshape(new, shape), target)
    written = b.scatter(merged, at.linear, spread, at.first, mode)
    ordered = tuple([x.shape[axis] for axis in at.order])
    inverse = tuple([at.order.index(axis) for axis in range(len(at.order))])
    return Tensor._traced(b.permute(b.reshape(written, ordered), inverse))


def fits(shape: Shape, wanted: Shape) -> bool:
    """Whether `shape` broadcasts to `wanted`."""
    return len(shape) <= len(wanted) and all(
        extent in (1, other)
        for extent, other in zip(reversed(shape), reversed(wanted), strict=False)
    )
