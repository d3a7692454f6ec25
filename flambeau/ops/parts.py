"""Parts of a tensor along a dimension: slices, splits, diagonals. All are views of its storage."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from flambeau.ops.axes import axis_of, integers
from flambeau.ops.view import permute, reshape
from flambeau.tensor.attach import method
from flambeau.tensor.tensor import Tensor

__all__ = [
    "chunk",
    "diagonal",
    "narrow",
    "select",
    "split",
    "split_with_sizes",
    "tensor_split",
    "unbind",
]


def part(input: Tensor, axis: int, start: int, extent: int, step: int = 1) -> Tensor:
    """A slice along one axis that is known to fit. A view."""
    shape = input._type.shape
    starts = tuple([start if place == axis else 0 for place in range(len(shape))])
    steps = tuple([step if place == axis else 1 for place in range(len(shape))])
    sizes = (*shape[:axis], extent, *shape[axis + 1 :])
    return input._view_as(input._layout().sliced(starts, sizes, steps))


def _together(parts: list[Tensor], function: str) -> tuple[Tensor, ...]:
    """Views that were made at once: PyTorch forbids writing into them where gradients flow."""
    for number, each in enumerate(parts):
        each._origin = f"Output {number} of {function}"
    return tuple(parts)


@method()
def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """`length` elements from `start` along `dim`. A view."""
    shape = input._type.shape
    if not shape:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    axis = axis_of(dim, len(shape))
    begin, extent = integers((start, length), "start and length")
    if extent < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -shape[axis] <= begin <= shape[axis]:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-shape[axis]}, "
            f"{shape[axis]}], but got {begin})"
        )
    begin = begin + shape[axis] if begin < 0 else begin
    if begin + extent > shape[axis]:
        raise RuntimeError(
            f"start ({begin}) + length ({extent}) exceeds dimension size ({shape[axis]})."
        )
    return part(input, axis, begin, extent)


@method()
def select(input: Tensor, dim: int, index: Any) -> Tensor:
    """Element `index` along `dim`, which disappears. A view."""
    shape = input._type.shape
    if not shape:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    axis = axis_of(dim, len(shape))
    (place,) = integers(index, "index")
    if not -shape[axis] <= place < shape[axis]:
        raise IndexError(
            f"select(): index {place} out of range for tensor of size {list(shape)} at "
            f"dimension {axis}"
        )
    place = place + shape[axis] if place < 0 else place
    return reshape(part(input, axis, place, 1), shape[:axis] + shape[axis + 1 :])


@method()
def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Parts of the given sizes along `dim`. Views."""
    shape = input._type.shape
    axis = axis_of(dim, len(shape))
    sizes = integers(split_sizes, "split_sizes")
    if sum(sizes) != shape[axis] or min(sizes, default=0) < 0:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {shape[axis]} (input "
            f"tensor's size at dimension {axis}), but got split_sizes={list(sizes)}"
        )
    starts = [0, *itertools.accumulate(sizes)]
    parts = [part(input, axis, *each) for each in zip(starts, sizes, strict=False)]
    return _together(parts, "Split")


@method("split")
def split(input: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Parts of a size (the last may be smaller), or of those in a list, along `dim`. Views."""
    if isinstance(split_size_or_sections, (list, tuple)):
        return split_with_sizes(input, split_size_or_sections, dim)
    extent = input._type.shape[axis_of(dim, len(input._type.shape))]
    (each,) = integers(split_size_or_sections, "split_size")
    if each < 0:
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={each}")
    if each == 0:
        if extent:
            raise RuntimeError(
                "split_size can only be 0 if dimension size is 0, but got dimension size of "
                f"{extent}"
            )
        return (input,)
    sizes = [each] * (extent // each) + ([extent % each] if extent % each else [])
    return split_with_sizes(input, sizes or [0], dim)


@method()
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` parts of equal size (the last may be smaller) along `dim`. Views."""
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    extent = input._type.shape[axis_of(dim, len(input._type.shape))]
    if extent == 0:
        return split_with_sizes(input, [0] * chunks, dim)
    return split(input, -(-extent // chunks), dim)


@method()
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """`n` parts of nearly equal size, or parts that end at the given indices. Views."""
    extent = input._type.shape[axis_of(dim, len(input._type.shape))]
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = indices_or_sections.tolist()
    if isinstance(indices_or_sections, (list, tuple)):
        marks = [slice(0, each).indices(extent)[1] for each in integers(indices_or_sections)]
        bounds = [0, *marks, extent]
        pieces = itertools.pairwise(bounds)
        return tuple([narrow(input, dim, low, max(high - low, 0)) for low, high in pieces])
    if indices_or_sections <= 0:
        raise RuntimeError(f"number of sections must be larger than 0, got {indices_or_sections}")
    least, larger = divmod(extent, indices_or_sections)
    sizes = [least + (place < larger) for place in range(indices_or_sections)]
    return split_with_sizes(input, sizes, dim)


@method()
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """All elements along `dim`, which disappears. Views."""
    if not input._type.shape:
        raise RuntimeError("Dimension specified as 0 but tensor has no dimensions")
    axis = axis_of(dim, len(input._type.shape))
    parts = [select(input, axis, place) for place in range(input._type.shape[axis])]
    return _together(parts, "Unbind")


@method()
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of two dimensions, as the last dimension.

    A view where the two dimensions lie in memory as one (as in a contiguous tensor), else a copy.
    """
    shape = input._type.shape
    first, second = axis_of(dim1, len(shape)), axis_of(dim2, len(shape))
    if first == second:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    if first > second:
        first, second, offset = second, first, -offset
    rest = tuple([axis for axis in range(len(shape)) if axis not in (first, second)])
    rows, columns = shape[first], shape[second]
    lead = tuple([shape[axis] for axis in rest])
    below, right = max(-offset, 0), max(offset, 0)
    extent = max(min(rows - below, columns - right), 0)
    flat = reshape(permute(input, (*rest, first, second)), (*lead, rows * columns))
    start = min(below * columns + right, max(rows * columns - 1, 0))
    return part(flat, len(lead), start if extent else 0, extent, columns + 1)
