"""Quantiles, covariance, correlation, numeric gradients and integrals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.ops.axes import axes_of, axis_of
from flambeau.ops.data import tensor
from flambeau.ops.gather import gather_along
from flambeau.ops.logic import where
from flambeau.ops.promote import to_floating
from flambeau.ops.publish import public
from flambeau.ops.return_types import nanmedian_
from flambeau.ops.shape import cat
from flambeau.tensor.tensor import Tensor

_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _levels(input: Tensor, q: Any) -> Tensor:
    if not isinstance(q, Tensor):
        if not 0 <= q <= 1:
            raise RuntimeError(f"quantile() q must be in the range [0, 1] but got {q}")
        return tensor(float(q), dtype=input.dtype, device=input.device)
    if q.ndim > 1:
        raise RuntimeError(f"quantile() q must be a scalar or 1D tensor, but got {q.ndim}D")
    if q._type.dtype is not input._type.dtype:
        raise RuntimeError("quantile() q tensor must be same dtype as the input tensor")
    return q


def _quantile(
    input: Tensor, q: Any, dim: int | None, keepdim: bool, interpolation: str, skip_nan: bool
) -> Any:
    if not input._type.dtype.is_floating_point or input._type.dtype.itemsize == 2:
        raise RuntimeError("quantile() input tensor must be either float or double dtype")
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(
            "quantile() interpolation must be one of linear, lower, higher, midpoint or nearest, "
            f"but got {interpolation}"
        )
    if not input._type.size:
        raise RuntimeError("quantile() input tensor must be non-empty")
    levels = _levels(input, q)
    rows = input.flatten() if dim is None else input
    axis = axis_of(0 if dim is None else dim, rows.ndim)
    rows = (rows if rows.ndim else rows.reshape(1)).movedim(axis, -1)
    ordered = rows.sort(-1).values
    bad = rows.isnan()
    if skip_nan:
        last = ((~bad).sum(-1, True) - 1).clamp(min=0).to(input.dtype)
    else:
        last = (bad.sum(-1, True) * 0 + rows._type.shape[-1] - 1).to(input.dtype)
    found = _between(ordered, levels.reshape(-1) * last, interpolation)
    if not skip_nan:
        found = where(bad.any(-1, True), float("nan"), found)
    found = found.movedim(-1, 0)  # the levels first
    if keepdim:
        found = found.reshape(-1, *[1] * input.ndim) if dim is None else found.unsqueeze(axis + 1)
    return found.squeeze(0) if levels.ndim == 0 else found


def _between(ordered: Any, ranks: Any, interpolation: str) -> Any:
    """Elements of sorted rows at ranks that need not be whole numbers."""
    axis = ordered.ndim - 1
    if interpolation == "nearest":
        ranks = ranks.round()
    low = ranks.ceil() if interpolation == "higher" else ranks.floor()
    below = gather_along(ordered, low.long(), axis)
    if interpolation not in ("linear", "midpoint"):
        return below
    above = gather_along(ordered, ranks.ceil().long(), axis)
    weight = ranks - low if interpolation == "linear" else 0.5
    return below + (above - below) * weight


@public()
def quantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Any:
    """The q-th quantiles along dim, or of all: q in [0, 1], a number or a 1-d tensor (first axis).

    Between two elements they are interpolated. NaN where a row has one.
    """
    return _quantile(input, q, dim, keepdim, interpolation, False)


@public()
def nanquantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Any:
    """As quantile, of the elements that are not NaN."""
    return _quantile(input, q, dim, keepdim, interpolation, True)


@public()
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle (the lower of two) of the elements that are not NaN.

    With dim (values, indices) along it, else of all elements.
    """
    if dim is None:
        return nanmedian(input.flatten(), 0).values
    axis = axis_of(dim, input.ndim)
    if not input.ndim:
        return nanmedian_(input.clone(), input.long() * 0)
    ordered = input.sort(axis)
    count = (input == input).sum(axis, True)
    middle = ((count - 1) // 2).clamp(min=0)
    places = gather_along(ordered.indices, middle, axis)
    found = (gather_along(input, places, axis), places)
    return nanmedian_(*[each if keepdim else each.squeeze(axis) for each in found])


# covariance -------------------------------------------------------------------------------------


@public()
def cov(
    input: Tensor,
    *,
    correction: int = 1,
    fweights: Tensor | None = None,
    aweights: Tensor | None = None,
) -> Any:
    """The covariances of rows (variables) over columns (observations).

    fweights   how often each observation was made, integers
    aweights   how much each observation counts
    """
    if input.ndim > 2:
        raise RuntimeError(
            f"cov(): expected input to have two or fewer dimensions but got {input.ndim}"
        )
    rows = input if input.ndim == 2 else input.reshape(1, -1)
    if not rows._type.dtype.is_floating_point:
        rows = rows / 1
    weights = None
    for each in (fweights, aweights):
        if each is not None:
            weights = each if weights is None else weights * each
    if weights is None:
        total: Any = rows._type.shape[1]
        centred = rows - rows.mean(1, True)
        weighted, degrees = centred, total - correction
    else:
        total = weights.sum()
        centred = rows - (rows * weights).sum(1, True) / total
        weighted = centred * weights
        degrees = total - correction
        if aweights is not None and correction:
            degrees = total - correction * (weights * aweights).sum() / total
    found = weighted @ centred.mH
    scale = degrees.clamp(min=0) if isinstance(degrees, Tensor) else max(degrees, 0)
    found = found / scale
    return found.reshape(()) if rows._type.shape[0] == 1 else found


@public()
def corrcoef(input: Tensor) -> Any:
    """The correlations of rows (variables) over columns (observations)."""
    if input.ndim > 2:
        raise RuntimeError(
            f"corrcoef(): expected input to have two or fewer dimensions but got {input.ndim}"
        )
    found = cov(input)
    if not found.ndim:
        return found / found
    deviation = found.diagonal().sqrt()
    return (found / deviation.unsqueeze(1) / deviation.unsqueeze(0)).clamp(-1, 1)


# differences and sums ---------------------------------------------------------------------------


def _along(values: Any, axis: int, rank: int) -> Any:
    """A vector along one axis."""
    return values.reshape([-1 if each == axis else 1 for each in range(rank)])


@public(method=False)
def cumulative_trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: float = 1.0, dim: int = -1
) -> Any:
    """The running integral of y over x, or over steps of dx, by the trapezoidal rule."""
    axis = axis_of(dim, y.ndim)
    extent = max(y._type.shape[axis] - 1, 0)
    sums = y.narrow(axis, 1, extent) + y.narrow(axis, 0, extent)
    if x is None:
        return (sums * (dx / 2)).cumsum(axis)
    along = _along(x, axis, y.ndim) if x.ndim == 1 else x
    steps = along.narrow(axis, 1, extent) - along.narrow(axis, 0, extent)
    return (sums * steps / 2).cumsum(axis)


def _spacings(input: Tensor, spacing: Any, count: int) -> list[Any]:
    if isinstance(spacing, (int, float)):
        return [float(spacing)] * count
    found = list(spacing)
    if len(found) != count:
        raise RuntimeError(
            f"torch.gradient expected spacing to be unspecified, a scalar, or a list of length "
            f"{count}, but got a list of length {len(found)}"
        )
    return [each if isinstance(each, Tensor) else float(each) for each in found]


@public(method=False, out=False)
def gradient(
    input: Tensor, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1
) -> tuple[Any, ...]:
    """Numeric derivatives along each of `dim` (all): central differences, one-sided at the ends.

    spacing      the step, one for each dimension, or tensors of coordinates
    edge_order   1 or 2: of the differences at the ends
    """
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    axes = tuple(range(input.ndim)) if dim is None else axes_of(dim, input.ndim)
    if min([input._type.shape[axis] for axis in axes], default=2) <= edge_order:
        raise RuntimeError(
            "torch.gradient expected each dimension size to be at least edge_order+1"
        )
    steps = _spacings(input, 1 if spacing is None else spacing, len(axes))
    y = input if input._type.dtype.has_gradient else to_floating(input)
    return tuple(
        [_derivative(y, axis, step, edge_order) for axis, step in zip(axes, steps, strict=True)]
    )


def _derivative(y: Any, axis: int, step: Any, order: int) -> Any:
    extent = y._type.shape[axis]

    def part(x: Any, start: int, size: int) -> Any:
        return x.narrow(axis, start, size)

    if isinstance(step, Tensor):
        points = _along(step, axis, y.ndim)
        gaps = part(points, 1, extent - 1) - part(points, 0, extent - 1)
    else:
        gaps = y.new_full([extent - 1 if each == axis else 1 for each in range(y.ndim)], step)
    slopes = (part(y, 1, extent - 1) - part(y, 0, extent - 1)) / gaps
    ends = [part(slopes, 0, 1), part(slopes, extent - 2, 1)]
    if extent == 2:
        return cat(ends, axis)
    before, after = part(gaps, 0, extent - 2), part(gaps, 1, extent - 2)
    first, second = part(slopes, 0, extent - 2), part(slopes, 1, extent - 2)
    inner = (after * first + before * second) / (before + after)
    if order == 2:
        curves = (second - first) / (before + after)
        ends[0] = ends[0] - part(curves, 0, 1) * part(gaps, 0, 1)
        ends[1] = ends[1] + part(curves, extent - 3, 1) * part(gaps, extent - 2, 1)
    return cat([ends[0], inner, ends[1]], axis)


@public(inplace=True)
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Any:
    """Each part along `dim` whose p-norm is greater than maxnorm is scaled down to it."""
    axis = axis_of(dim, input.ndim)
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if maxnorm < 0:
        raise RuntimeError("renorm: expected maxnorm to be >= 0")
    others: Sequence[int] = [each for each in range(input.ndim) if each != axis]
    size = input.norm(p, others, True)
    return input * where(size > maxnorm, maxnorm / (size + 1e-7), 1.0)
