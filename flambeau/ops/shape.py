"""Joining, repeating and reordering elements: what makes a new tensor by moving elements only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.graph import build as b
from flambeau.graph import op
from flambeau.graph.dtype import promote
from flambeau.graph.node import Node
from flambeau.ops.axes import axes_of, axis_of, integers, tensors_of, varargs
from flambeau.ops.composite import composite
from flambeau.ops.publish import public
from flambeau.ops.view import atleast_1d, atleast_2d, atleast_3d, expand, reshape, unsqueeze
from flambeau.tensor.attach import method
from flambeau.tensor.record import derive, record
from flambeau.tensor.tensor import Tensor

__all__ = [
    "cartesian_prod",
    "column_stack",
    "dstack",
    "flip",
    "fliplr",
    "flipud",
    "hstack",
    "meshgrid",
    "repeat_interleave",
    "roll",
    "rot90",
    "row_stack",
    "tile",
    "vstack",
]


# joining ----------------------------------------------------------------------------------------


def promoted(tensors: Sequence[Tensor]) -> list[Any]:
    """The tensors with their common dtype."""
    dtype = tensors[0]._type.dtype
    for each in tensors:
        dtype = promote(dtype, each._type.dtype)
    return [
        each if each._type.dtype is dtype else derive(op.CAST, (each._read(),), (dtype,))
        for each in tensors
    ]


def _check_sizes(tensors: Sequence[Tensor], axis: int) -> None:
    first = tensors[0]._type.shape
    for number, each in enumerate(tensors):
        shape = each._type.shape
        if len(shape) != len(first):
            raise RuntimeError(
                f"Tensors must have same number of dimensions: got {len(first)} and {len(shape)}"
            )
        for place, (wanted, extent) in enumerate(zip(first, shape, strict=True)):
            if place != axis and wanted != extent:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {axis}. Expected size "
                    f"{wanted} but got size {extent} for tensor number {number} in the list."
                )


@public("concat", "concatenate", method=False)
def cat(tensors: Any, dim: int = 0) -> Tensor:
    """The tensors one behind the other along `dim`; dtypes are promoted.

    Raises RuntimeError where other dimensions differ, ValueError for an empty list.
    """
    given = tensors_of(tensors, "cat")
    if not given:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    if any(not each._type.shape for each in given):
        place = next(place for place, each in enumerate(given) if not each._type.shape)
        raise RuntimeError(f"zero-dimensional tensor (at position {place}) cannot be concatenated")
    parts = [each for each in given if each._type.shape != (0,)] or given
    axis = axis_of(dim, parts[0].ndim)
    _check_sizes(parts, axis)
    kept = promoted(given) if len(parts) == len(given) else promoted(parts)
    return record(op.CAT, kept, (axis,)) if len(kept) > 1 else record(op.MATERIALIZE, kept)


@public(method=False)
def stack(tensors: Any, dim: int = 0) -> Tensor:
    """The tensors side by side along a new dimension. Raises RuntimeError where shapes differ."""
    parts = tensors_of(tensors, "stack")
    if not parts:
        raise RuntimeError("stack expects a non-empty TensorList")
    first = parts[0]._type.shape
    for place, each in enumerate(parts):
        if each._type.shape != first:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(first)} at entry 0 "
                f"and {list(each._type.shape)} at entry {place}"
            )
    axis = axis_of(dim, len(first) + 1)
    return _stack(promoted(parts), axis) if len(parts) > 1 else _alone(parts[0], axis)


def _alone(tensor: Tensor, axis: int) -> Tensor:
    return record(op.MATERIALIZE, (unsqueeze(tensor, axis),))


def _stack(parts: Sequence[Any], axis: int) -> Tensor:
    nodes = [each if isinstance(each, Node) else each._read() for each in parts]
    shape = (*nodes[0].shape[:axis], 1, *nodes[0].shape[axis:])
    return record(op.CAT, [derive(op.RESHAPE, (each,), (shape,)) for each in nodes], (axis,))


def hstack(tensors: Any) -> Tensor:
    """cat along dimension 1 (0 for vectors)."""
    parts = atleast_1d(*_some(tensors, "hstack"))
    parts = parts if isinstance(parts, tuple) else (parts,)
    return cat(parts, 0 if parts[0].ndim == 1 else 1)


def vstack(tensors: Any) -> Tensor:
    """cat along dimension 0, vectors as rows."""
    parts = atleast_2d(*_some(tensors, "vstack"))
    return cat(parts if isinstance(parts, tuple) else (parts,), 0)


row_stack = vstack


def dstack(tensors: Any) -> Tensor:
    """cat along dimension 2."""
    parts = atleast_3d(*_some(tensors, "dstack"))
    return cat(parts if isinstance(parts, tuple) else (parts,), 2)


def column_stack(tensors: Any) -> Tensor:
    """hstack with vectors as columns."""
    parts = _some(tensors, "column_stack")
    return hstack([each if each.ndim > 1 else reshape(each, (-1, 1)) for each in parts])


def _some(tensors: Any, function: str) -> list[Tensor]:
    parts = tensors_of(tensors, function)
    if not parts:
        raise RuntimeError(f"{function} expects a non-empty TensorList")
    return parts


# repeating --------------------------------------------------------------------------------------


@composite(saves="")
def _repeat(input: Tensor, repeats: tuple[int, ...]) -> Tensor:
    x = input._read()
    shape = (1,) * (len(repeats) - len(x.shape)) + x.shape
    spread = tuple([n for extent in shape for n in (1, extent)])
    wide = tuple([n for pair in zip(repeats, shape, strict=True) for n in pair])
    total = tuple([count * extent for count, extent in zip(repeats, shape, strict=True)])
    return Tensor._traced(b.reshape(b.expand(b.reshape(x, spread), wide), total))


@method()
def repeat(self: Tensor, *repeats: Any) -> Tensor:
    """The tensor repeated so often along each dimension: a copy."""
    counts = varargs(repeats, "repeats")
    if len(counts) < self.ndim:
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
            "tensor"
        )
    if min(counts, default=0) < 0:
        raise RuntimeError(f"repeat counts must not be negative, got {list(counts)}")
    return _repeat(self, counts)


def tile(input: Tensor, dims: Sequence[int]) -> Tensor:
    """repeat, with counts of 1 for dimensions that are not named."""
    counts = integers(dims, "dims")
    return repeat(input, (1,) * (input.ndim - len(counts)) + counts)


@method("tile")
def _tile_method(self: Tensor, *dims: Any) -> Tensor:
    return tile(self, varargs(dims, "dims"))


@composite(saves="")
def _repeat_each(input: Tensor, repeats: int, axis: int) -> Tensor:
    x = input._read()
    spread = (*x.shape[: axis + 1], 1, *x.shape[axis + 1 :])
    wide = (*x.shape[: axis + 1], repeats, *x.shape[axis + 1 :])
    total = (*x.shape[:axis], x.shape[axis] * repeats, *x.shape[axis + 1 :])
    return Tensor._traced(b.reshape(b.expand(b.reshape(x, spread), wide), total))


@method()
def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each element repeated, all equally often or as the tensor `repeats` says (read on the host).

    Without `dim` the tensor is flattened first.
    """
    from flambeau.ops.gather import index_select

    if repeats is None:
        counts = input.detach()._to_numpy()
        return _places(counts, input)
    if dim is None:
        return repeat_interleave(reshape(input, (-1,)), repeats, 0)
    axis = axis_of(dim, input.ndim)
    if isinstance(repeats, Tensor) and repeats._type.size == 1:
        repeats = int(repeats.detach()._to_numpy().reshape(()))
    if isinstance(repeats, Tensor):
        extent = input._type.shape[axis]
        if repeats._type.shape != (extent,):
            raise RuntimeError(
                "repeats must have the same size as input along dim, but got "
                f"repeats.size(0) = {repeats._type.size} and input.size({axis}) = {extent}"
            )
        return index_select(input, axis, _places(repeats.detach()._to_numpy(), input))
    if repeats < 0:
        raise RuntimeError("repeats can not be negative")
    return _repeat_each(input, repeats, axis)


def _places(counts: Any, like: Tensor) -> Tensor:
    import numpy

    if counts.dtype.kind not in "iu":
        raise RuntimeError("repeats has to be Long or Int tensor")
    if (counts < 0).any():
        raise RuntimeError("repeats can not be negative")
    places = numpy.repeat(numpy.arange(counts.size), counts)
    return Tensor._from_numpy(places, like.device.type, copy=False)


# reordering -------------------------------------------------------------------------------------


def flip(input: Tensor, dims: Any) -> Tensor:
    """In reverse order along `dims`: a copy."""
    axes = axes_of(dims, input.ndim)
    shape = input._type.shape
    if not input._type.size or not axes:
        return record(op.MATERIALIZE, (input,))
    starts = tuple([n - 1 if axis in axes else 0 for axis, n in enumerate(shape)])
    steps = tuple([-1 if axis in axes else 1 for axis in range(len(shape))])
    return record(op.SLICE, (input,), (shape, steps), starts)


@method("flip")
def _flip_method(self: Tensor, *dims: Any, **keywords: Any) -> Tensor:
    return flip(self, varargs(dims or (keywords["dims"],), "dims"))


@method()
def fliplr(input: Tensor) -> Tensor:
    """flip of dimension 1."""
    if input.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, (1,))


@method()
def flipud(input: Tensor) -> Tensor:
    """flip of dimension 0."""
    if input.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, (0,))


@composite(saves="")
def _roll(input: Tensor, shifts: tuple[int, ...], axes: tuple[int, ...]) -> Tensor:
    x = input._read()
    for shift, axis in zip(shifts, axes, strict=True):
        extent = x.shape[axis]
        cut = extent - shift % extent
        if cut == extent:
            continue
        parts = []
        for start, size in ((cut, extent - cut), (0, cut)):
            starts = tuple([start if place == axis else 0 for place in range(len(x.shape))])
            parts.append(b.slice_(x, starts, (*x.shape[:axis], size, *x.shape[axis + 1 :])))
        x = b.cat(parts, axis)
    return Tensor._traced(b.materialize(x) if x is input._read() else x)


@method()
def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Elements moved along `dims`, what falls off comes in at the start. No dims: flattened."""
    moves = integers(shifts, "shifts")
    if dims is None or dims == ():
        if len(moves) != 1:
            raise RuntimeError(f"shifts and dimensions must align. shifts: {len(moves)}, dims:0")
        return reshape(roll(reshape(input, (-1,)), moves, 0), input._type.shape)
    axes = tuple([axis_of(each, input.ndim) for each in integers(dims, "dims")])
    if len(moves) != len(axes):
        raise RuntimeError(
            f"shifts and dimensions must align. shifts: {len(moves)}, dims:{len(axes)}"
        )
    return _roll(input, moves, axes) if input._type.size else record(op.MATERIALIZE, (input,))


@method()
def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turned by 90 degrees k times in the plane of two dimensions."""
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    first, second = (axis_of(each, input.ndim) for each in dims)
    if first == second:
        raise RuntimeError(
            f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}"
        )
    turned = {1: (second,), 2: (first, second), 3: (first,)}.get(k % 4)
    if turned is None:
        return record(op.MATERIALIZE, (input,))
    flipped = flip(input, turned)
    return flipped if k % 4 == 2 else flipped.transpose(first, second)


@method("unfold")
def _unfold_method(self: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Windows of `size` every `step` along a dimension, as a new last dimension. A copy."""
    axis = axis_of(dimension, self.ndim)
    extent = self._type.shape[axis] if self.ndim else 1
    if size > extent:
        raise RuntimeError(
            f"maximum size for tensor at dimension {axis} is {extent} but size is {size}"
        )
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    if not self.ndim:
        return reshape(self.clone(), (1,)).narrow(0, 0, size)
    return record(op.WINDOW, (self,), ((axis,), (size,), (step,), (1,)))


# grids ------------------------------------------------------------------------------------------


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Coordinates of the grid that the vectors span, one tensor each. Views.

    indexing "ij" (the default) has the first vector along the first dimension, "xy" along the
    second.
    """
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    if not tensors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    for each in tensors:
        if each.ndim > 1:
            raise RuntimeError(
                "torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: "
                f"{list(each._type.shape)}"
            )
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(
            'torch.meshgrid: indexing must be one of "xy" or "ij", but received: ' + str(indexing)
        )
    given = list(tensors)
    swap = indexing == "xy" and len(given) > 1
    if swap:
        given[0], given[1] = given[1], given[0]
    shape = tuple([each._type.size for each in given])
    grids = [
        expand(reshape(each, (1,) * place + (-1,) + (1,) * (len(given) - place - 1)), shape)
        for place, each in enumerate(given)
    ]
    if swap:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of the vectors' elements, one a row."""
    if len(tensors) == 1:
        return tensors[0]
    return stack([reshape(each, (-1,)) for each in meshgrid(*tensors, indexing="ij")], 1)
