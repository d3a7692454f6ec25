"""Reductions: sums, means, extremes, spreads, norms, truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from flambeau.graph import dtype as dtypes
from flambeau.graph import op
from flambeau.graph.dtype import DType, bool_
from flambeau.ops.axes import DTYPE_TITLES, axes_of
from flambeau.ops.comparison import isnan
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


def folded(x: Any, kind: str, axes: Axes, keepdim: bool) -> Any:
    """The primitive, and the axes away unless they are to stay."""
    result = record(op.REDUCE, (x,), (kind, axes)) if axes else x
    return result if keepdim else without(result, axes)


def without(x: Any, axes: Axes) -> Any:
    shape = tuple([extent for axis, extent in enumerate(x.shape) if axis not in axes])
    return record(op.RESHAPE, (x,), (shape,)) if len(shape) != len(x.shape) else x


def expanded(g: Any, axes: Axes, keepdim: bool, shape: Any) -> Any:
    """A result, or its gradient, laid over the shape that was reduced."""
    if not keepdim:
        kept = tuple([1 if axis in axes else extent for axis, extent in enumerate(shape)])
        g = record(op.RESHAPE, (g,), (kept,))
    return record(op.EXPAND, (g,), (tuple(shape),))


def _accumulated(dtype: DType, given: DType | None) -> DType:
    """The dtype of a sum or product: what is asked for; integers and bools give int64."""
    if given is not None:
        return given
    return dtype if dtype.has_gradient else dtypes.int64


# sums and products ------------------------------------------------------------------------------


@fused(saves="", wide=False)
def _sum(x: Any, axes: Axes, keepdim: bool) -> Any:
    return folded(x, "add", axes, keepdim)


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
    count = count_over(x.shape, axes)
    total = folded(x, "add", axes, keepdim)
    return total / float(count) if count else total * float("nan")


def count_over(shape: Sequence[int], axes: Axes) -> int:
    return math.prod([shape[axis] for axis in axes])


@public()
def mean(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Any:
    """The mean over `dim`; NaN where there is nothing. Raises RuntimeError for integers."""
    of = input._type
    found = of.dtype if dtype is None else dtype
    if not found.has_gradient:
        title = DTYPE_TITLES[found.name]
        what = "could not infer output dtype. Input dtype" if dtype is None else "Got dtype, which"
        raise RuntimeError(
            f"mean(): {what} must be either a floating point or complex dtype. Got: {title}"
        )
    axes = reduced_axes(dim, len(of.shape))
    return record(_mean, (as_node(input, found),), (axes, bool(keepdim)))


@fused(wide=False)
def _prod(x: Any, axes: Axes, keepdim: bool) -> Any:
    return folded(x, "mul", axes, keepdim)


@public()
def prod(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Any:
    """The product over `dim` (None: all). Integers and bools give int64."""
    of = input._type
    axes = reduced_axes(dim, len(of.shape))
    found = _accumulated(of.dtype, dtype)
    if found.is_complex:
        from flambeau.ops.complex_numbers.functions import product

        result: Any = input.to(found)
        for axis in axes:
            result = product(result, axis)
        return result if keepdim else result.squeeze(axes)
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
    return folded(as_bool(x), "max", axes, keepdim)


@fused(saves="", wide=False)
def _all(x: Any, axes: Axes, keepdim: bool) -> Any:
    none = elementwise(op.XOR, as_bool(x), True)
    return elementwise(op.XOR, folded(none, "max", axes, keepdim), True)


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
    return full if keepdim else without(full, axes)


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
