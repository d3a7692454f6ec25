"""Variances, standard deviations, sums of exponentials and norms."""

from __future__ import annotations

from typing import Any

from flambeau.graph import op
from flambeau.graph.dtype import DType
from flambeau.ops.axes import DTYPE_TITLES
from flambeau.ops.comparison import isinf
from flambeau.ops.extremes import amax, amin
from flambeau.ops.fused import fused
from flambeau.ops.logic import where
from flambeau.ops.promote import number_node
from flambeau.ops.publish import public
from flambeau.ops.reduce import Axes, count_over, folded, mean, reduced_axes, without
from flambeau.ops.reduce import sum as sum_over
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor


def _deviation(x: Any, axes: Axes) -> tuple[Any, Any]:
    """The mean, and the differences from it: two passes, so that nothing cancels."""
    center = _mean_kept(x, axes)
    return center, x - center


def _mean_kept(x: Any, axes: Axes) -> Any:
    total = record(op.REDUCE, (x,), ("add", axes)) if axes else x
    return total / float(count_over(x.shape, axes) or float("nan"))


def _variance(x: Any, axes: Axes, correction: float) -> tuple[Any, Any]:
    center, rest = _deviation(x, axes)
    squares = rest * rest
    total = record(op.REDUCE, (squares,), ("add", axes)) if axes else squares
    degrees = count_over(x.shape, axes) - correction
    scale = 1 / degrees if degrees > 0 else float("nan")
    if degrees <= 0 and count_over(x.shape, axes):
        return center, total / 0.0
    return center, total * scale if degrees <= 0 else total / float(degrees)


@fused()
def _var(x: Any, axes: Axes, keepdim: bool, correction: float) -> Any:
    found = _variance(x, axes, correction)[1]
    return found if keepdim else without(found, axes)


@fused()
def _var_mean(x: Any, axes: Axes, keepdim: bool, correction: float) -> Any:
    center, found = _variance(x, axes, correction)
    return (found, center) if keepdim else (without(found, axes), without(center, axes))


def _std_gradient(x: Any, g: Any, axes: Axes, keepdim: bool, correction: float) -> Any:
    """g · (x - mean) / (degrees · std), 0 where the deviation is 0."""
    g = g if keepdim else _kept(g, axes, x.shape)
    rest = _deviation(x, axes)[1]
    spread = record(_std, (x,), (axes, True, correction))
    degrees = float(count_over(x.shape, axes) - correction)
    return where(spread == 0, 0.0, g / (where(spread == 0, 1.0, spread) * degrees)) * rest


def _kept(g: Any, axes: Axes, shape: Any) -> Any:
    kept = tuple([1 if axis in axes else extent for axis, extent in enumerate(shape)])
    return record(op.RESHAPE, (g,), (kept,))


@fused(gradient=_std_gradient)
def _std(x: Any, axes: Axes, keepdim: bool, correction: float) -> Any:
    found = record(op.SQRT, (_variance(x, axes, correction)[1],))
    return found if keepdim else without(found, axes)


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
    return found if keepdim else without(found, axes)


@public()
def logsumexp(input: Tensor, dim: Any, keepdim: bool = False) -> Any:
    """log Σ eˣ over `dim`, without overflow."""
    of = input._type
    axes = reduced_axes(dim, len(of.shape))
    x = input if of.dtype.is_floating_point else input.float()
    if 0 in [of.shape[axis] for axis in axes]:
        return sum_over(x, dim, keepdim).log()
    return record(_logsumexp, (x,), (axes, bool(keepdim)))


def _root_gradient(x: Any, g: Any, axes: Axes, keepdim: bool) -> Any:
    """g · x / norm, 0 where the norm is 0."""
    g = g if keepdim else _kept(g, axes, x.shape)
    length = record(_norm2, (x,), (axes, True))
    return x * where(length == 0, 0.0, g / where(length == 0, 1.0, length))


@fused(gradient=_root_gradient)
def _norm2(x: Any, axes: Axes, keepdim: bool) -> Any:
    return record(op.SQRT, (folded(x * x, "add", axes, keepdim),))


@fused()
def _norm(x: Any, order: Any, axes: Axes, keepdim: bool) -> Any:
    size = x.abs()
    zero = size == 0
    powers = where(zero, 0.0, where(zero, 1.0, size) ** order)
    total = folded(powers, "add", axes, keepdim)
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
        return sum_over(where(x != 0, 1.0, x * 0), axes, keepdim)  # its gradient is 0
    if order == 1:
        return sum_over(x.abs(), axes, keepdim)
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
    if input._type.dtype.is_complex:
        if p == "nuc":
            from flambeau.ops.linalg.norms import matrix_norm

            return matrix_norm(input, p, (-2, -1) if dim is None else dim, keepdim)
        input = input.abs()
    if not input._type.dtype.is_floating_point:
        raise RuntimeError(
            "linalg.vector_norm: Expected a floating point or complex tensor as input. Got "
            f"{DTYPE_TITLES[input.dtype.name]}"
        )
    if p is None or p == "fro":
        p = 2
    elif p == "nuc":
        from flambeau.ops.linalg.norms import matrix_norm

        return matrix_norm(input, p, (-2, -1) if dim is None else dim, keepdim)
    elif isinstance(p, str):
        raise RuntimeError(f'only "fro" and "nuc" are names of a norm\'s order, got {p!r}')
    axes = reduced_axes(dim, input.ndim)
    return _norm_of(input, float(p), axes, bool(keepdim))


@public()
def dist(input: Tensor, other: Tensor, p: float = 2) -> Any:
    """The p-norm of the difference."""
    return norm(input - other, p)
