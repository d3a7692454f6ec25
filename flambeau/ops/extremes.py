"""The greatest and the smallest, and where they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.graph import build, op
from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import bool_
from flambeau.ops import return_types
from flambeau.ops.axes import axis_of
from flambeau.ops.comparison import isnan
from flambeau.ops.fused import fused
from flambeau.ops.logic import where
from flambeau.ops.promote import elementwise, number_node
from flambeau.ops.publish import public
from flambeau.ops.reduce import Axes, expanded, folded, reduced_axes, without
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor


def _reversed_order(x: Any) -> Any:
    """A map that reverses the order of numbers, and is its own inverse."""
    if x.dtype.is_floating_point:
        return -x
    return elementwise(op.XOR, x, True if x.dtype is bool_ else -1)


@fused(wide=False)
def _amax(x: Any, axes: Axes, keepdim: bool) -> Any:
    return folded(x, "max", axes, keepdim)


@fused(wide=False)
def _amin(x: Any, axes: Axes, keepdim: bool) -> Any:
    return _reversed_order(folded(_reversed_order(x), "max", axes, keepdim))


def _extreme(formula: Any, name: str, input: Tensor, dim: Any, keepdim: bool) -> Any:
    of = input._type
    axes = reduced_axes(dim, len(of.shape))
    _check_not_empty(name, of.shape, axes, dim)
    return record(formula, (input,), (axes, bool(keepdim)))


def _check_not_empty(name: str, shape: Sequence[int], axes: Axes, dim: Any) -> None:
    """Raises where a reduction that has no identity meets nothing."""
    for axis in axes:
        if shape[axis] == 0:
            if dim is None or (isinstance(dim, (tuple, list)) and not dim):
                raise RuntimeError(
                    f"{name}(): Expected reduction dim to be specified for input.numel() == 0. "
                    "Specify the reduction dim with the 'dim' argument."
                )
            raise IndexError(f"{name}(): Expected reduction dim {axis} to have non-zero size.")


@public()
def amax(input: Tensor, dim: Any = (), keepdim: bool = False) -> Any:
    """The greatest over `dim` (several allowed); equal ones share the gradient."""
    return _extreme(_amax, "amax", input, dim, keepdim)


@public()
def amin(input: Tensor, dim: Any = (), keepdim: bool = False) -> Any:
    """The smallest over `dim` (several allowed); equal ones share the gradient."""
    return _extreme(_amin, "amin", input, dim, keepdim)


@public()
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """(min, max) over one dimension, or over all."""
    low, high = amin(input, dim, keepdim), amax(input, dim, keepdim)
    return return_types.aminmax_(low, high)


def first_place(x: Any, axis: int, smallest: bool) -> Any:
    """The index of the first greatest (or smallest) along axis, which stays as 1. NaN wins.

    The greatest of the indices counted from the end, over those that reach the extreme: two
    reductions of one row, which fuse.
    """
    length = x.shape[axis]
    ordered = _reversed_order(x) if smallest else x
    extreme = record(op.REDUCE, (ordered,), ("max", (axis,)))
    reached = ordered == extreme
    if x.dtype.is_floating_point:
        reached = reached | isnan(x)
    line = tuple([length if place == axis else 1 for place in range(len(x.shape))])
    places = Tensor._traced(build.reshape(build.iota(length), line))
    found = record(op.REDUCE, (where(reached, (length - 1) - places, -1),), ("max", (axis,)))
    return (length - 1) - found


@fused(saves="", wide=False)
def _place(x: Any, axis: int, keepdim: bool, smallest: bool) -> Any:
    found = first_place(x, axis, smallest)
    return found if keepdim else without(found, (axis,))


def _place_in(name: str, input: Tensor, dim: Any, keepdim: bool, smallest: bool) -> Any:
    of = input._type
    if of.dtype is bool_:
        raise RuntimeError(f"{name}(): does not support bool input")
    rank = len(of.shape)
    if rank == 0:
        if dim is not None:
            axis_of(dim, 0)
        return record(_zero_place, (input,), ())
    if dim is None:
        _check_not_empty(name, of.shape, tuple(range(rank)), None)
        flat = record(op.RESHAPE, (input.detach(),), ((of.size,),))
        found = record(_place, (flat,), (0, bool(keepdim), smallest))
        return record(op.RESHAPE, (found,), ((1,) * rank,)) if keepdim else found
    axis = axis_of(dim, rank)
    _check_not_empty(name, of.shape, (axis,), dim)
    return record(_place, (input,), (axis, bool(keepdim), smallest))


@fused(saves="", wide=False)
def _zero_place(x: Any) -> Any:
    return record(op.EXPAND, (number_node(0, dtypes.int64),), ((),))


@public()
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The index of the first greatest along `dim`, or in the flattened tensor. NaN wins."""
    return _place_in("argmax", input, dim, keepdim, False)


@public()
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The index of the first smallest along `dim`, or in the flattened tensor. NaN wins."""
    return _place_in("argmin", input, dim, keepdim, True)


def _value_gradient(x: Any, g: Any, places: Any, axis: int, keepdim: bool, smallest: bool) -> Any:
    """All of it to the first that reaches the extreme."""
    if g is None:
        return None
    line = tuple([x.shape[axis] if place == axis else 1 for place in range(len(x.shape))])
    here = Tensor._traced(build.reshape(build.iota(x.shape[axis]), line))
    chosen = here == first_place(x, axis, smallest)
    return where(chosen, expanded(g, (axis,), keepdim, x.shape), 0.0)


@fused(gradient=_value_gradient, wide=False)
def _value_and_place(x: Any, axis: int, keepdim: bool, smallest: bool) -> Any:
    ordered = _reversed_order(x) if smallest else x
    extreme = record(op.REDUCE, (ordered,), ("max", (axis,)))
    value = _reversed_order(extreme) if smallest else extreme
    place = first_place(x, axis, smallest)
    return (value, place) if keepdim else (without(value, (axis,)), without(place, (axis,)))


def _extreme_along(name: str, input: Tensor, dim: int, keepdim: bool, smallest: bool) -> Any:
    kind = return_types.min_ if smallest else return_types.max_
    axis = axis_of(dim, input.ndim)
    if input.ndim == 0:
        return kind(input.clone(), record(_zero_place, (input,), ()))
    _check_not_empty(name, input._type.shape, (axis,), dim)
    return kind(*record(_value_and_place, (input,), (axis, bool(keepdim), smallest)))


@public()
def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """max(): the greatest of all. max(dim): (values, indices) along it. max(other): elementwise.

    max() shares the gradient among equal ones, max(dim) gives it to the first.
    """
    other = dim if isinstance(dim, Tensor) else other
    if other is not None:
        return input.maximum(other)
    if dim is None:
        return _extreme(_amax, "max", input, None, False)
    return _extreme_along("max", input, dim, keepdim, False)


@public()
def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """min(): the smallest of all. min(dim): (values, indices) along it. min(other): elementwise.

    min() shares the gradient among equal ones, min(dim) gives it to the first.
    """
    other = dim if isinstance(dim, Tensor) else other
    if other is not None:
        return input.minimum(other)
    if dim is None:
        return _extreme(_amin, "min", input, None, False)
    return _extreme_along("min", input, dim, keepdim, True)
