"""Reductions: sums, means, extremes, spreads, norms, truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from flambeau.graph import build, op
from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType, bool_
from flambeau.ops import return_types
from flambeau.ops.axes import DTYPE_TITLES, axes_of, axis_of
from flambeau.ops.comparison import isinf, isnan
from flambeau.ops.fused import fused
from flambeau.ops.logic import as_bool, where
from flambeau.ops.promote import as_node, elementwise, number_node
from flambeau.ops.publish import public
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor

Axes = tuple[int, ...]


def reduced_axes(dim: Any, rank: int) -> Axes:
    """The axes that `dim` names, sorted; None and () are all of them."""
    if dim is None or (isinstance(dim, (tuple, list)) and not dim):
        return tuple(range(rank))
    axes = axes_of(dim, rank)
    return tuple(sorted(axes)) if rank else ()


def _folded(x: Any, kind: str, axes: Axes, keepdim: bool) -> Any:
    """The primitive, and the axes away unless they are to stay."""
    result = record(op.REDUCE, (x,), (kind, axes)) if axes else x
    return result if keepdim else _without(result, axes)


def _without(x: Any, axes: Axes) -> Any:
    shape = tuple([extent for axis, extent in enumerate(x.shape) if axis not in axes])
    return record(op.RESHAPE, (x,), (shape,)) if len(shape) != len(x.shape) else x


def _expanded(g: Any, axes: Axes, keepdim: bool, shape: Any) -> Any:
    """A result, or its gradient, laid over the shape that was reduced."""
    if not keepdim:
        kept = tuple([1 if axis in axes else extent for axis, extent in enumerate(shape)])
        g = record(op.RESHAPE, (g,), (kept,))
    return record(op.EXPAND, (g,), (tuple(shape),))


def _accumulated(dtype: DType, given: DType | None) -> DType:
    """The dtype of a sum or product: what is asked for; integers and bools give int64."""
    if given is not None:
        return given
    return dtype if dtype.is_floating_point else dtypes.int64


# sums and products ------------------------------------------------------------------------------


@fused(saves="", wide=False)
def _sum(x: Any, axes: Axes, keepdim: bool) -> Any:
    return _folded(x, "add", axes, keepdim)


@public()
def sum(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Any:
    """The sum over `dim` (a number, several, or None: all). Integers and bools give int64."""
    of = input._type
    found = _accumulated(of.dtype, dtype)
    axes = reduced_axes(dim, len(of.shape))
    return record(_sum, (as_node(input, found),), (axes, bool(keepdim)))


@fused(saves="", wide=False)
def _mean(x: Any, axes: Axes, keepdim: bool) -> Any:
    count = _count(x.shape, axes)
    total = _folded(x, "add", axes, keepdim)
    return total / float(count) if count else total * float("nan")


def _count(shape: Sequence[int], axes: Axes) -> int:
    return math.prod([shape[axis] for axis in axes])


@public()
def mean(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Any:
    """The mean over `dim`; NaN where there is nothing. Raises RuntimeError for integers."""
    of = input._type
    found = of.dtype if dtype is None else dtype
    if not found.is_floating_point:
        title = DTYPE_TITLES[found.name]
        what = "could not infer output dtype. Input dtype" if dtype is None else "Got dtype, which"
        raise RuntimeError(
            f"mean(): {what} must be either a floating point or complex dtype. Got: {title}"
        )
    axes = reduced_axes(dim, len(of.shape))
    return record(_mean, (as_node(input, found),), (axes, bool(keepdim)))


@fused(wide=False)
def _prod(x: Any, axes: Axes, keepdim: bool) -> Any:
    return _folded(x, "mul", axes, keepdim)


@public()
def prod(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Any:
    """The product over `dim` (None: all). Integers and bools give int64."""
    of = input._type
    axes = reduced_axes(dim, len(of.shape))
    found = _accumulated(of.dtype, dtype)
    return record(_prod, (as_node(input, found),), (axes, bool(keepdim)))


@public()
def nansum(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Any:
    """The sum of what is not NaN."""
    return sum(where(isnan(input), 0, input), dim, keepdim, dtype=dtype)


@public()
def nanmean(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Any:
    """The mean of what is not NaN."""
    total = nansum(input, dim, keepdim, dtype=dtype)
    return total / sum(isnan(input).logical_not(), dim, keepdim)


# truth ------------------------------------------------------------------------------------------


@fused(saves="", wide=False)
def _any(x: Any, axes: Axes, keepdim: bool) -> Any:
    return _folded(as_bool(x), "max", axes, keepdim)


@fused(saves="", wide=False)
def _all(x: Any, axes: Axes, keepdim: bool) -> Any:
    none = elementwise(op.XOR, as_bool(x), True)
    return elementwise(op.XOR, _folded(none, "max", axes, keepdim), True)


def _truth(formula: Any, input: Tensor, dim: Any, keepdim: bool, empty: bool) -> Any:
    of = input._type
    axes = reduced_axes(dim, len(of.shape))
    if 0 in [of.shape[axis] for axis in axes]:
        found = record(_nothing, (input,), (empty, axes, bool(keepdim)))
    else:
        found = record(formula, (input,), (axes, bool(keepdim)))
    return found.to(dtypes.uint8) if of.dtype is dtypes.uint8 else found


@fused(saves="", wide=False)
def _nothing(x: Any, value: bool, axes: Axes, keepdim: bool) -> Any:
    """What a reduction over nothing gives."""
    shape = tuple([1 if axis in axes else extent for axis, extent in enumerate(x.shape)])
    full = record(op.EXPAND, (number_node(value, bool_),), (shape,))
    return full if keepdim else _without(full, axes)


@public()
def any(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """Whether one is not zero."""
    return _truth(_any, input, dim, keepdim, False)


@public()
def all(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """Whether none is zero."""
    return _truth(_all, input, dim, keepdim, True)


@public(out=False)
def count_nonzero(input: Tensor, dim: Any = None) -> Any:
    """How many are not zero."""
    return sum(input.detach() != 0, dim)


# extremes ---------------------------------------------------------------------------------------


def _reversed_order(x: Any) -> Any:
    """A map that reverses the order of numbers, and is its own inverse."""
    if x.dtype.is_floating_point:
        return -x
    return elementwise(op.XOR, x, True if x.dtype is bool_ else -1)


@fused(wide=False)
def _amax(x: Any, axes: Axes, keepdim: bool) -> Any:
    return _folded(x, "max", axes, keepdim)


@fused(wide=False)
def _amin(x: Any, axes: Axes, keepdim: bool) -> Any:
    return _reversed_order(_folded(_reversed_order(x), "max", axes, keepdim))


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
    return found if keepdim else _without(found, (axis,))


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
    return where(chosen, _expanded(g, (axis,), keepdim, x.shape), 0.0)


@fused(gradient=_value_gradient, wide=False)
def _value_and_place(x: Any, axis: int, keepdim: bool, smallest: bool) -> Any:
    ordered = _reversed_order(x) if smallest else x
    extreme = record(op.REDUCE, (ordered,), ("max", (axis,)))
    value = _reversed_order(extreme) if smallest else extreme
    place = first_place(x, axis, smallest)
    return (value, place) if keepdim else (_without(value, (axis,)), _without(place, (axis,)))


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


# spread -----------------------------------------------------------------------------------------


def _deviation(x: Any, axes: Axes) -> tuple[Any, Any]:
    """The mean, and the differences from it: two passes, so that nothing cancels."""
    center = _mean_kept(x, axes)
    return center, x - center


def _mean_kept(x: Any, axes: Axes) -> Any:
    total = record(op.REDUCE, (x,), ("add", axes)) if axes else x
    return total / float(_count(x.shape, axes) or float("nan"))


def _variance(x: Any, axes: Axes, correction: float) -> tuple[Any, Any]:
    center, rest = _deviation(x, axes)
    squares = rest * rest
    total = record(op.REDUCE, (squares,), ("add", axes)) if axes else squares
    degrees = _count(x.shape, axes) - correction
    scale = 1 / degrees if degrees > 0 else float("nan")
    if degrees <= 0 and _count(x.shape, axes):
        return center, total / 0.0
    return center, total * scale if degrees <= 0 else total / float(degrees)


@fused()
def _var(x: Any, axes: Axes, keepdim: bool, correction: float) -> Any:
    found = _variance(x, axes, correction)[1]
    return found if keepdim else _without(found, axes)


@fused()
def _var_mean(x: Any, axes: Axes, keepdim: bool, correction: float) -> Any:
    center, found = _variance(x, axes, correction)
    return (found, center) if keepdim else (_without(found, axes), _without(center, axes))


def _std_gradient(x: Any, g: Any, axes: Axes, keepdim: bool, correction: float) -> Any:
    """g · (x - mean) / (degrees · std), 0 where the deviation is 0."""
    g = g if keepdim else _kept(g, axes, x.shape)
    rest = _deviation(x, axes)[1]
    spread = record(_std, (x,), (axes, True, correction))
    degrees = float(_count(x.shape, axes) - correction)
    return where(spread == 0, 0.0, g / (where(spread == 0, 1.0, spread) * degrees)) * rest


def _kept(g: Any, axes: Axes, shape: Any) -> Any:
    kept = tuple([1 if axis in axes else extent for axis, extent in enumerate(shape)])
    return record(op.RESHAPE, (g,), (kept,))


@fused(gradient=_std_gradient)
def _std(x: Any, axes: Axes, keepdim: bool, correction: float) -> Any:
    found = record(op.SQRT, (_variance(x, axes, correction)[1],))
    return found if keepdim else _without(found, axes)


def _spread(
    formula: Any, input: Tensor, dim: Any, unbiased: Any, correction: Any, keepdim: bool
) -> Any:
    """The arguments of var and std: dim or unbiased first, correction or unbiased."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise TypeError("var() received an invalid combination of arguments: unbiased, correction")
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    if not input._type.dtype.is_floating_point:
        raise RuntimeError("std and var only support floating point and complex dtypes")
    axes = reduced_axes(dim, input.ndim)
    return record(formula, (input,), (axes, bool(keepdim), float(correction)))


@public()
def var(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """The variance: squared deviations from the mean, divided by n - correction (default 1)."""
    return _spread(_var, input, dim, unbiased, correction, keepdim)


@public()
def std(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """The standard deviation: the root of var."""
    return _spread(_std, input, dim, unbiased, correction, keepdim)


@public(out=False, method=False)
def var_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """(variance, mean)."""
    return tuple(_spread(_var_mean, input, dim, unbiased, correction, keepdim))


@public(out=False, method=False)
def std_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """(standard deviation, mean)."""
    spread = _spread(_std, input, dim, unbiased, correction, keepdim)
    return spread, mean(input, None if isinstance(dim, bool) else dim, keepdim)


# sums of exponentials and norms -----------------------------------------------------------------


def _logsumexp_gradient(x: Any, g: Any, axes: Axes, keepdim: bool) -> Any:
    """g · softmax."""
    total = record(_logsumexp, (x,), (axes, True))
    weight = record(op.EXP, (x - total,))
    weight = where(x == total, 1.0, weight)  # ∞ - ∞
    return (g if keepdim else _kept(g, axes, x.shape)) * weight


@fused(gradient=_logsumexp_gradient)
def _logsumexp(x: Any, axes: Axes, keepdim: bool) -> Any:
    """The greatest is taken out first, so that nothing overflows."""
    greatest = record(op.REDUCE, (x,), ("max", axes)) if axes else x
    shift = where(isinf(greatest), 0.0, greatest)
    total = record(op.EXP, (x - shift,))
    total = record(op.REDUCE, (total,), ("add", axes)) if axes else total
    found = record(op.LOG, (total,)) + shift
    return found if keepdim else _without(found, axes)


@public()
def logsumexp(input: Tensor, dim: Any, keepdim: bool = False) -> Any:
    """log Σ eˣ over `dim`, without overflow."""
    of = input._type
    axes = reduced_axes(dim, len(of.shape))
    x = input if of.dtype.is_floating_point else input.float()
    if 0 in [of.shape[axis] for axis in axes]:
        return sum(x, dim, keepdim).log()
    return record(_logsumexp, (x,), (axes, bool(keepdim)))


def _root_gradient(x: Any, g: Any, axes: Axes, keepdim: bool) -> Any:
    """g · x / norm, 0 where the norm is 0."""
    g = g if keepdim else _kept(g, axes, x.shape)
    length = record(_norm2, (x,), (axes, True))
    return x * where(length == 0, 0.0, g / where(length == 0, 1.0, length))


@fused(gradient=_root_gradient)
def _norm2(x: Any, axes: Axes, keepdim: bool) -> Any:
    return record(op.SQRT, (_folded(x * x, "add", axes, keepdim),))


@fused()
def _norm(x: Any, order: Any, axes: Axes, keepdim: bool) -> Any:
    size = x.abs()
    zero = size == 0
    powers = where(zero, 0.0, where(zero, 1.0, size) ** order)
    total = _folded(powers, "add", axes, keepdim)
    nothing = total == 0
    return where(nothing, 0.0, where(nothing, 1.0, total) ** (1 / order))


def _norm_of(x: Tensor, order: float, axes: Axes, keepdim: bool) -> Any:
    """The vector norm of an order over axes."""
    if order == 2:
        return record(_norm2, (x,), (axes, keepdim))
    if order == float("inf"):
        return amax(x.abs(), axes, keepdim)
    if order == -float("inf"):
        return amin(x.abs(), axes, keepdim)
    if order == 0:
        return sum((x != 0).to(x.dtype), axes, keepdim)
    if order == 1:
        return sum(x.abs(), axes, keepdim)
    return record(_norm, (x, number_node(order, x.dtype)), (axes, keepdim))


@public()
def norm(
    input: Tensor,
    p: Any = "fro",
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Any:
    """The p-norm over `dim`; "fro" is 2. At 0 the gradient is 0. Raises for integers."""
    if dtype is not None:
        input = input.to(dtype)
    if not input._type.dtype.is_floating_point:
        raise RuntimeError(
            "linalg.vector_norm: Expected a floating point or complex tensor as input. Got "
            f"{DTYPE_TITLES[input.dtype.name]}"
        )
    if p is None or p == "fro":
        p = 2
    elif isinstance(p, str):
        raise NotImplementedError(f"norm of order {p!r} is not available: use p=2 or a number")
    axes = reduced_axes(dim, input.ndim)
    return _norm_of(input, float(p), axes, bool(keepdim))


@public()
def dist(input: Tensor, other: Tensor, p: float = 2) -> Any:
    """The p-norm of the difference."""
    return norm(input - other, p)
