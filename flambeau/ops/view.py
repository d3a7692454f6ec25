"""Views of the same storage in other shapes: nothing is computed; a write through one writes there.

Where the elements do not lie so that strides could describe the result, `reshape` and `flatten`
copy, as PyTorch's do, and `view` raises.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy

from flambeau.graph import op
from flambeau.graph.dtype import DType
from flambeau.graph.node import Shape
from flambeau.graph.shapes import broadcast
from flambeau.ops.axes import axes_of, axis_of, infer_size, integers, title, varargs
from flambeau.tensor.attach import method
from flambeau.tensor.record import record
from flambeau.tensor.size import Size
from flambeau.tensor.tensor import Tensor

__all__ = [
    "adjoint",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_shapes",
    "broadcast_tensors",
    "broadcast_to",
    "flatten",
    "moveaxis",
    "movedim",
    "permute",
    "ravel",
    "reshape",
    "squeeze",
    "swapaxes",
    "swapdims",
    "t",
    "transpose",
    "unflatten",
    "unsqueeze",
]


# facts ------------------------------------------------------------------------------------------


@method()
def size(self: Tensor, dim: int | None = None) -> Any:
    """The shape, or the extent of one dimension."""
    shape = self._type.shape
    if dim is None:
        return Size(shape)
    if not shape:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    return shape[axis_of(dim, len(shape))]


@method("dim", "ndimension")
def dim_(self: Tensor) -> int:
    """The number of dimensions."""
    return len(self._type.shape)


@method("__len__")
def length(self: Tensor) -> int:
    """The extent of the first dimension. Raises TypeError for 0-d tensors."""
    if not self._type.shape:
        raise TypeError("len() of a 0-d tensor")
    return self._type.shape[0]


# reshaping --------------------------------------------------------------------------------------


def _reshaped(input: Tensor, shape: Shape) -> Tensor:
    """A view where strides allow, else a copy."""
    view = input._layout().reshaped(shape)
    if view is not None:
        return input._view_as(view)
    return record(op.RESHAPE, (input,), (shape,))


def reshape(input: Tensor, shape: Sequence[int]) -> Tensor:
    """The same elements in another shape; one extent may be -1. A view where possible.

    Raises RuntimeError where the number of elements differs.
    """
    return _reshaped(input, infer_size(integers(shape, "shape"), input._type.size))


@method("reshape")
def _reshape_method(self: Tensor, *shape: Any, **keywords: Any) -> Tensor:
    return reshape(self, varargs(shape or (keywords["shape"],), "shape"))


@method("view")
def _view_method(self: Tensor, *shape: Any, dtype: DType | None = None) -> Tensor:
    """The same storage in another shape; or, given a dtype, the same bits: the last dimension
    grows or shrinks where the sizes of elements differ.

    Raises RuntimeError where strides do not allow it. The view as another dtype is a copy: see
    docs/differences.md.
    """
    if dtype is not None:
        return _view_dtype(self, dtype)
    if len(shape) == 1 and isinstance(shape[0], DType):
        return _view_dtype(self, shape[0])
    target = infer_size(varargs(shape, "shape"), self._type.size)
    view = self._layout().reshaped(target)
    if view is None:
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one "
            "dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    return self._view_as(view)


def _view_dtype(self: Tensor, dtype: DType) -> Tensor:
    if dtype is self._type.dtype:
        return self._view_as(self._layout())
    if dtype.itemsize != self._type.dtype.itemsize:
        return _view_other_size(self, dtype)
    return record(op.BITCAST, (self,), (dtype,))


def _view_other_size(self: Tensor, dtype: DType) -> Tensor:
    """The bits as elements of another size; made on the host."""
    shape, before = self._type.shape, self._type.dtype
    if not shape:
        raise RuntimeError(
            f"self.dim() cannot be 0 to view {before.name} as {dtype.name} (different element "
            "sizes)"
        )
    if shape[-1] * before.itemsize % dtype.itemsize:
        raise RuntimeError(
            f"self.size(-1) must be divisible by {dtype.itemsize // before.itemsize} to view "
            f"{before.name} as {dtype.name} (different element sizes), but got {shape[-1]}"
        )
    array = numpy.ascontiguousarray(self.detach()._to_numpy()).view(dtype.numpy)
    return Tensor._from_numpy(array, self._storage.node.device)


@method()
def view_as(self: Tensor, other: Tensor) -> Tensor:
    """view in the shape of `other`."""
    return _view_method(self, other._type.shape)


@method()
def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """reshape to the shape of `other`."""
    return reshape(self, other._type.shape)


@method()
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions start_dim … end_dim as one. A view where possible."""
    shape = input._type.shape
    first, last = axis_of(start_dim, len(shape)), axis_of(end_dim, len(shape))
    if first > last:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if first == last and shape:
        return input
    merged = math.prod(shape[first : last + 1])
    return _reshaped(input, (*shape[:first], merged, *shape[last + 1 :]))


@method()
def ravel(input: Tensor) -> Tensor:
    """All dimensions as one. A view where possible."""
    return flatten(input)


def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """One dimension as several; one of `sizes` may be -1."""
    shape = input._type.shape
    axis = axis_of(dim, len(shape))
    wanted = integers(sizes, "sizes")
    try:
        found = infer_size(wanted, shape[axis])
    except RuntimeError:
        raise RuntimeError(
            f"unflatten: Provided sizes {list(wanted)} don't multiply up to the size of dim "
            f"{axis} ({shape[axis]}) in the input tensor"
        ) from None
    return _reshaped(input, (*shape[:axis], *found, *shape[axis + 1 :]))


@method("unflatten")
def _unflatten_method(self: Tensor, dim: int, *sizes: Any, **keywords: Any) -> Tensor:
    return unflatten(self, dim, varargs(sizes or (keywords["sizes"],), "sizes"))


def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Without the dimensions of extent 1, or without those of `dim` that have extent 1."""
    shape = input._type.shape
    axes = range(len(shape)) if dim is None else axes_of(dim, len(shape))
    kept = tuple(n for axis, n in enumerate(shape) if n != 1 or axis not in axes)
    return _reshaped(input, kept)


@method("squeeze")
def _squeeze_method(self: Tensor, *dim: Any, **keywords: Any) -> Tensor:
    chosen = keywords.get("dim") if not dim else dim[0] if len(dim) == 1 else dim
    return squeeze(self, chosen)


@method()
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With a new dimension of extent 1 at `dim`."""
    axis = axis_of(dim, len(input._type.shape) + 1)
    return input._view_as(input._layout().unsqueezed(axis))


# order of dimensions ----------------------------------------------------------------------------


def permute(input: Tensor, dims: Sequence[int]) -> Tensor:
    """Result dimension i is input dimension dims[i]. A view."""
    dims = integers(dims, "dims")
    rank = len(input._type.shape)
    if len(dims) != rank:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the "
            "length of the desired ordering of dimensions i.e. "
            f"input.dim() = {rank} is not equal to len(dims) = {len(dims)}"
        )
    axes = tuple([axis_of(each, rank) for each in dims])
    if len(set(axes)) != rank:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return input._view_as(input._layout().permuted(axes))


@method("permute")
def _permute_method(self: Tensor, *dims: Any, **keywords: Any) -> Tensor:
    return permute(self, varargs(dims if dims or "dims" not in keywords else (keywords["dims"],)))


@method("transpose", "swapaxes", "swapdims")
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions exchanged. A view."""
    rank = len(input._type.shape)
    first, second = axis_of(dim0, rank), axis_of(dim1, rank)
    order = list(range(rank))
    if rank:
        order[first], order[second] = second, first
    return input._view_as(input._layout().permuted(tuple(order)))


swapaxes = swapdims = transpose


@method()
def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; vectors and 0-d tensors stay. A view."""
    rank = len(input._type.shape)
    if rank > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {rank}D")
    return transpose(input, 0, rank - 1) if rank else input._view_as(input._layout())


def _reversed(self: Tensor) -> Tensor:
    """Dimensions in reverse order. A view."""
    return self._view_as(self._layout().permuted(tuple(reversed(range(len(self._type.shape))))))


def _matrix_transposed(self: Tensor) -> Tensor:
    """The last two dimensions exchanged. A view."""
    rank = len(self._type.shape)
    if rank < 2:
        raise RuntimeError(
            f"tensor.mT is only supported on matrices or batches of matrices. Got {rank}-D tensor."
        )
    return transpose(self, -2, -1)


@method()
def adjoint(input: Tensor) -> Tensor:
    """The last two dimensions exchanged, and conjugates. A view of a real tensor."""
    return _conjugate(_matrix_transposed(input))


def _conjugate(x: Tensor) -> Tensor:
    return x.conj() if x._type.dtype.is_complex else x


def _hermitian(self: Tensor) -> Tensor:
    """t() of conjugates. A view of a real matrix."""
    return _conjugate(t(self))


Tensor.T = property(_reversed)  # type: ignore[attr-defined]  # a property like a method
Tensor.H = property(_hermitian)  # type: ignore[attr-defined]  # as T
Tensor.mT = property(_matrix_transposed)  # type: ignore[attr-defined]  # as T
Tensor.mH = property(adjoint)  # type: ignore[attr-defined]  # as T


@method("movedim", "moveaxis")
def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Dimensions `source` at the places `destination`, the others in their order. A view."""
    rank = len(input._type.shape)
    places = [integers(each, "dims") for each in (source, destination)]
    if len(places[0]) != len(places[1]):
        raise RuntimeError(
            "movedim: Invalid source or destination dims: source "
            f"({list(places[0])} dims) should contain the same number of dims as destination "
            f"({list(places[1])} dims)"
        )
    found = [tuple([axis_of(each, rank) for each in dims]) for dims in places]
    for name, dims, axes in zip(("source", "destination"), places, found, strict=True):
        if len(set(axes)) != len(axes):
            raise RuntimeError(f"movedim: repeated dim in `{name}` ({list(dims)})")
    taken = dict(zip(found[1], found[0], strict=True))
    rest = iter([axis for axis in range(rank) if axis not in found[0]])
    return permute(input, [taken[axis] if axis in taken else next(rest) for axis in range(rank)])


moveaxis = movedim


# repeating without copying ----------------------------------------------------------------------


@method()
def expand(self: Tensor, *sizes: Any, implicit: bool = False) -> Tensor:
    """Repeated along dimensions of extent 1 and new leading dimensions; -1 keeps. A view."""
    shape, wanted = self._type.shape, list(varargs(sizes))
    lead = len(wanted) - len(shape)
    if lead < 0:
        raise RuntimeError(
            f"expand(torch.{title(self)}Tensor{{{list(shape)}}}, size={wanted}): the number of "
            f"sizes provided ({len(wanted)}) must be greater or equal to the number of dimensions "
            f"in the tensor ({len(shape)})"
        )
    asked = tuple(wanted)
    for place, extent in enumerate(asked):
        if extent == -1:
            if place < lead:
                raise RuntimeError(
                    "The expanded size of the tensor (-1) isn't allowed in a leading, "
                    f"non-existing dimension {place}"
                )
            wanted[place] = shape[place - lead]
        elif place >= lead and shape[place - lead] not in (1, extent):
            raise RuntimeError(
                f"The expanded size of the tensor ({extent}) must match the existing size "
                f"({shape[place - lead]}) at non-singleton dimension {place}.  Target sizes: "
                f"{list(asked)}.  Tensor sizes: {list(shape)}"
            )
    target = tuple(wanted)
    layout = self._layout()
    return self._view_as(layout if target == shape else layout.expanded(target))


@method()
def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """expand to the shape of `other`."""
    return expand(self, other._type.shape)


def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """expand as a function."""
    return expand(input, tuple(size))


@method("broadcast_to")
def _broadcast_to(self: Tensor, *sizes: Any, size: Sequence[int] = ()) -> Tensor:
    return expand(self, *(sizes or size))


def broadcast_shapes(*shapes: Any) -> Size:
    """The shape that all broadcast to. Raises RuntimeError where there is none."""
    return Size(broadcast(*[integers(each, "shape") for each in shapes]))


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """All tensors expanded to their common shape. Views."""
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    shape = broadcast(*[each._type.shape for each in tensors])
    return tuple([expand(each, shape) for each in tensors])


# more dimensions --------------------------------------------------------------------------------


def _at_least(tensors: tuple[Any, ...], widen: Any) -> Any:
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return widen(tensors[0])
    if len(tensors) == 1:
        tensors = tuple(tensors[0])
    return tuple([widen(each) for each in tensors])


def atleast_1d(*tensors: Any) -> Any:
    """0-d tensors as 1-d. Views."""
    return _at_least(tensors, lambda x: x if x.ndim >= 1 else _reshaped(x, (1,)))


def _two(x: Tensor) -> Tensor:
    return x if x.ndim >= 2 else _reshaped(x, (1, x._type.size))


def _three(x: Tensor) -> Tensor:
    return x if x.ndim >= 3 else unsqueeze(_two(x), -1)


def atleast_2d(*tensors: Any) -> Any:
    """With new leading dimensions up to 2. Views."""
    return _at_least(tensors, _two)


def atleast_3d(*tensors: Any) -> Any:
    """With new dimensions up to 3: rows first, then a last one. Views."""
    return _at_least(tensors, _three)


# in place ---------------------------------------------------------------------------------------


def _become(self: Tensor, view: Tensor) -> Tensor:
    """Make `self` see what `view`, a view of it, sees."""
    if self._leaf:
        raise RuntimeError(
            "a leaf Variable that requires grad cannot change its shape in place: use the "
            "operation without the underscore"
        )
    if self._base is None:
        self._base = Tensor._make(self._storage, self._type)
        self._base._tracks = self._tracks
    self._type, self._view = view._type, view._view
    self._read_cache = None
    return self


@method()
def squeeze_(self: Tensor, dim: Any = None) -> Tensor:
    """squeeze in place."""
    return _become(self, squeeze(self, dim))


@method()
def unsqueeze_(self: Tensor, dim: int) -> Tensor:
    """unsqueeze in place."""
    return _become(self, unsqueeze(self, dim))


@method()
def t_(self: Tensor) -> Tensor:
    """t in place."""
    return _become(self, t(self))


@method("transpose_", "swapaxes_", "swapdims_")
def transpose_(self: Tensor, dim0: int, dim1: int) -> Tensor:
    """transpose in place."""
    return _become(self, transpose(self, dim0, dim1))
