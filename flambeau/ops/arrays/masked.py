"""Reductions and normalisations of the elements that a mask lets through.

The mask is True where an element takes part, and is broadcast to the input. Where nothing takes
part a reduction gives its neutral element (mean, var, std and median: NaN), and softmax NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from flambeau.graph.dtype import DType, bool_, int64
from flambeau.ops import extremes, reduce, scan, spread
from flambeau.ops import softmax as exponentials
from flambeau.ops.limits import iinfo
from flambeau.ops.logic import where
from flambeau.ops.math import logaddexp as log_of_both
from flambeau.ops.promote import floating
from flambeau.tensor.tensor import Tensor


def _typed(input: Tensor, dtype: DType | None, name: str = "") -> Tensor:
    """The input in the dtype of the result; `name` wants a floating one."""
    if dtype is None:
        dtype = input._type.dtype
    if name and not dtype.has_gradient:
        raise ValueError(
            f"{name}(): Could not infer output dtype. Input dtype must be either a floating point "
            f"or complex dtype. Got: {dtype!r}"
        )
    return input if input._type.dtype is dtype else input.to(dtype)


def _summed(input: Tensor, dtype: DType | None) -> Tensor:
    """As _typed; integers are summed as int64."""
    kind = input._type.dtype.kind
    return _typed(input, int64 if dtype is None and kind in ("bool", "int", "uint") else dtype)


def _broadcast(input: Tensor, mask: Tensor | None) -> Tensor | None:
    """The mask in the input's shape."""
    if mask is None:
        return None
    if mask.ndim > input.ndim:
        raise IndexError(
            "_input_mask expected broadcastable mask (got mask dimensionality higher than of the "
            "input)"
        )
    return mask.to(bool_).expand(input._type.shape)


def _filled(input: Tensor, mask: Tensor | None, neutral: Any) -> Any:
    """The input with the neutral element where the mask is False."""
    found = _broadcast(input, mask)
    return input if found is None else where(found, input, neutral)


def _least(dtype: DType, sign: int, name: str) -> Any:
    """The least (sign -1) or greatest value of a dtype."""
    if dtype.is_floating_point:
        return sign * math.inf
    if dtype.kind in ("int", "uint"):
        return iinfo(dtype).min if sign < 0 else iinfo(dtype).max
    raise NotImplementedError(f"identity of {name} on {dtype!r} input")


def _dims(dim: Any) -> Any:
    """() stands for all dimensions, as None."""
    return None if dim is None or dim == () else dim


def _count(input: Tensor, mask: Tensor | None, dim: Any, keepdim: bool) -> Any:
    """How many elements take part."""
    found = _broadcast(input, mask)
    ones = input.new_ones(input.shape, dtype=int64) if found is None else found.to(int64)
    return reduce.sum(ones, _dims(dim), keepdim)


def _output_mask(op: Any, input: Tensor, *args: Any, mask: Tensor, **kwargs: Any) -> Any:
    """Which results of a reduction are made of anything: where a mask lets something through."""
    keepdim = kwargs.get("keepdim", False)
    first = 1 if op is norm else 0
    dim = kwargs.get("dim", args[first] if len(args) > first else None)
    return _count(input, mask, dim, keepdim) > 0


# sums, products and extremes --------------------------------------------------------------------


def sum(
    input: Tensor,
    dim: Any = None,
    *,
    keepdim: bool = False,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Any:
    """Σ over dim of what takes part."""
    return reduce.sum(_filled(_summed(input, dtype), mask, 0), _dims(dim), keepdim)


def prod(
    input: Tensor,
    dim: Any = None,
    *,
    keepdim: bool = False,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Any:
    """Π over dim of what takes part."""
    found = _filled(_summed(input, dtype), mask, 1)
    axes = _dims(dim)
    axes = range(input.ndim) if axes is None else [axes] if isinstance(axes, int) else axes
    for axis in sorted([each % max(input.ndim, 1) for each in axes], reverse=True):
        found = found.prod(axis, keepdim)
    return found if input.ndim else found.clone()


def _extreme(name: str, sign: int, function: Any, doc: str) -> Callable[..., Any]:
    def reduced(
        input: Tensor,
        dim: Any = None,
        *,
        keepdim: bool = False,
        dtype: DType | None = None,
        mask: Tensor | None = None,
    ) -> Any:
        x = _typed(input, dtype)
        filled = _filled(x, mask, _least(x.dtype, sign, name))
        return function(filled, () if _dims(dim) is None else dim, keepdim)

    return _named(reduced, name, doc)


def _named(function: Callable[..., Any], name: str, doc: str) -> Callable[..., Any]:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


amax = _extreme("amax", -1, extremes.amax, "The greatest over dim of what takes part.")
amin = _extreme("amin", 1, extremes.amin, "The least over dim of what takes part.")


def _place(name: str, sign: int, function: Any, doc: str) -> Callable[..., Any]:
    def placed(
        input: Tensor,
        dim: int | None = None,
        *,
        keepdim: bool = False,
        dtype: DType | None = None,
        mask: Tensor | None = None,
    ) -> Any:
        x = _typed(input, dtype)
        filled = _filled(x, mask, _least(x.dtype, sign, name))
        return function(filled, dim, bool(keepdim)).to(x.dtype)

    return _named(placed, name, doc)


argmax = _place(
    "argmax", -1, extremes.argmax, "Where the greatest of what takes part is, in input's dtype."
)
argmin = _place(
    "argmin", 1, extremes.argmin, "Where the least of what takes part is, in input's dtype."
)


def cumsum(
    input: Tensor, dim: int, *, dtype: DType | None = None, mask: Tensor | None = None
) -> Any:
    """Running sums along dim of what takes part."""
    return scan.cumsum(_filled(_summed(input, dtype), mask, 0), dim)


def cumprod(
    input: Tensor, dim: int, *, dtype: DType | None = None, mask: Tensor | None = None
) -> Any:
    """Running products along dim of what takes part."""
    return scan.cumprod(_filled(_summed(input, dtype), mask, 1), dim)


# averages ---------------------------------------------------------------------------------------


def mean(
    input: Tensor,
    dim: Any = None,
    *,
    keepdim: bool = False,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Any:
    """The mean over dim of what takes part."""
    x = _typed(input, dtype, "mean")
    total = reduce.sum(_filled(x, mask, 0), _dims(dim), keepdim)
    return total / _count(x, mask, dim, keepdim).to(total.dtype)


def median(
    input: Tensor,
    dim: int = -1,
    *,
    keepdim: bool = False,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Any:
    """The middle (the lower of two) along dim of what takes part."""
    x = _typed(input, dtype)
    if not x.dtype.is_floating_point:
        raise NotImplementedError(f"identity of median on {x.dtype!r} input")
    if mask is None:
        return x.median(dim, keepdim).values
    if bool(x.isnan().any()):
        raise ValueError("masked median expected no NaNs in the input")
    return _filled(x, mask, math.nan).nanmedian(dim, keepdim).values


def var(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Any:
    """The variance over dim of what takes part: squares over its number less `correction` (1)."""
    if unbiased is not None and correction is not None:
        raise ValueError("Only one of 'unbiased' and 'correction' can be given")
    less = (0 if unbiased is False else 1) if correction is None else correction
    x = _typed(input, dtype if dtype is not None else floating(input.dtype))
    count = _count(x, mask, dim, True).to(x.dtype.real)
    centre = reduce.sum(_filled(x, mask, 0), _dims(dim), True) / count
    apart = _filled(x - centre, mask, 0)
    squares = (apart * apart.conj()).real if x.dtype.is_complex else apart * apart
    total = reduce.sum(squares, _dims(dim), keepdim)
    left = count.reshape(total.shape) - less
    return total / where(left < 0, 0.0, left)


def std(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Any:
    """The root of var."""
    options: dict[str, Any] = {"correction": correction, "keepdim": keepdim, "dtype": dtype}
    return var(input, dim, unbiased, mask=mask, **options).sqrt()


def norm(
    input: Tensor,
    ord: float | None = 2.0,
    dim: Any = None,
    *,
    keepdim: bool = False,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Any:
    """The vector norm of an order over dim of what takes part."""
    x = _typed(input, dtype, "norm")
    order = 2.0 if ord is None else float(ord)
    neutral = math.inf if order == -math.inf else 0
    return spread.norm(_filled(x, mask, neutral), order, _dims(dim), keepdim)


# exponentials -----------------------------------------------------------------------------------


def logsumexp(
    input: Tensor,
    dim: Any = None,
    *,
    keepdim: bool = False,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Any:
    """log Σ eˣ over dim of what takes part."""
    x = _typed(input, dtype)
    axes = tuple(range(x.ndim)) if _dims(dim) is None else dim
    filled = _filled(x.to(floating(x.dtype)), mask, -math.inf)
    return spread.logsumexp(filled, axes, keepdim).to(x.dtype)


def logaddexp(
    input: Tensor,
    other: Tensor,
    *,
    dtype: DType | None = None,
    input_mask: Tensor | None = None,
    other_mask: Tensor | None = None,
) -> Any:
    """log(eˣ + eʸ), each where its own mask lets it through."""
    first = _filled(_typed(input, dtype), input_mask, -math.inf)
    return log_of_both(first, _filled(_typed(other, dtype), other_mask, -math.inf))


def _normalised(name: str, neutral: float, function: Any, doc: str) -> Callable[..., Any]:
    def run(
        input: Tensor, dim: int, *, dtype: DType | None = None, mask: Tensor | None = None
    ) -> Any:
        x = _typed(input, dtype if dtype is not None else floating(input.dtype))
        return function(_filled(x, mask, neutral), dim)

    return _named(run, name, doc)


softmax = _normalised(
    "softmax", -math.inf, exponentials.softmax, "softmax along dim of what takes part, else 0."
)
log_softmax = _normalised(
    "log_softmax", -math.inf, exponentials.log_softmax, "The logarithm of softmax."
)
softmin = _normalised(
    "softmin", math.inf, lambda x, dim: exponentials.softmax(-x, dim), "softmax of -input."
)


def normalize(
    input: Tensor,
    ord: float,
    dim: int,
    *,
    eps: float = 1e-12,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Any:
    """What takes part, divided by the greater of its norm along dim and eps; 0 elsewhere."""
    x = _typed(input, dtype, "normalize")
    length = norm(x, ord, dim, keepdim=True, mask=mask)
    return _filled(x, mask, 0) / length.clamp(min=eps)
