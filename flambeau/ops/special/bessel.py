"""Modified Bessel functions of the first kind, of order 0 and 1, plain and times exp(-|x|).

The power series, all of whose terms are positive, up to |x| = 7.75 (float32) or 20 (float64), then
H. Hankel's asymptotic series (Abramowitz and Stegun 9.6.10 and 9.7.1). Errors: up to 4.5 units in
the last place.
"""

from __future__ import annotations

import math
from typing import Any

from flambeau.graph import dtype as dtypes
from flambeau.ops import precise as p
from flambeau.ops.fused import fused, real
from flambeau.ops.logic import where
from flambeau.ops.math import exp, sqrt
from flambeau.ops.polynomials import evaluate, fma
from flambeau.ops.publish import public
from flambeau.ops.rounding import sign
from flambeau.tensor.tensor import Tensor

_BORDER = {dtypes.float32: 7.75, dtypes.float64: 20.0}
_OVERFLOWS = {dtypes.float32: 95.0, dtypes.float64: 720.0}
"""Both functions are infinite from here on, and shortly before."""


def _power_series(order: int, count: int) -> tuple[float, ...]:
    """Of I(x) (2/x)^order in x²/4: 1 / (k! (k + order)!)."""
    return tuple([1 / (math.factorial(k) * math.factorial(k + order)) for k in range(count)])


def _asymptotic_series(order: int, count: int) -> tuple[float, ...]:
    """Of exp(-x) √(2πx) I(x) in 1/x."""
    terms = [1.0]
    for k in range(1, count):
        terms.append(terms[-1] * ((2 * k - 1) ** 2 - 4 * order * order) / (8 * k))
    return tuple(terms)


_POWERS = [(_power_series(order, 26), _power_series(order, 56)) for order in (0, 1)]
_FAR = [(_asymptotic_series(order, 14), _asymptotic_series(order, 24)) for order in (0, 1)]


def _near(x: Any, order: int) -> Any:
    """The power series.

    A relative error of the square counts x/4 times over: what its rounding lost is added by the
    series' own slope, for which I₁/I₀ and I₂/I₁ are known closely enough (D. Amos, 1974).
    """
    square, lost = p.exact_product(x, x)
    series = evaluate(_POWERS[order], square * 0.25)
    middle = order + 0.5
    slope = 0.5 / (middle + sqrt(square + (middle + 1) ** 2))
    series = fma(series, lost * slope, series)
    return series * (0.5 * x) if order else series


def _far(x: Any, order: int) -> Any:
    """The asymptotic series, without its exponential."""
    return evaluate(_FAR[order], 1 / x) / sqrt(x * (2 * math.pi))


def _bessel(x: Any, order: int, scaled: bool) -> Any:
    size = x.abs()
    border = _BORDER[x.dtype]
    near = where(size < border, size, 0.0)
    series = _near(near, order)
    far = where(size < border, border, size)
    if scaled:
        series = series * exp(-near)
        tail = where(size == math.inf, 0.0, _far(far, order))
    else:
        most = _OVERFLOWS[x.dtype]
        far = where(far > most, most, far)  # NaN stays
        n, high, low = p.exponential_pair(far)
        tail = _far(far, order)
        tail = where(size > most, math.inf, p.scaled(fma(tail, high, tail * low), n))
    result = where(size < border, series, tail)
    return where(x < 0, -result, result) if order else result


def _i0_gradient(x: Any, g: Any) -> Any:
    return g * i1(x)


@fused(gradient=_i0_gradient)
def _i0(x: Any) -> Any:
    return _bessel(x, 0, False)


def _i0e_gradient(x: Any, g: Any) -> Any:
    return g * (i1e(x) - sign(x) * i0e(x))


@fused(gradient=_i0e_gradient)
def _i0e(x: Any) -> Any:
    return _bessel(x, 0, True)


def _quotient(function: Any, x: Any) -> Any:
    """function(x) / x, one half at 0."""
    zero = x == 0
    return where(zero, 0.5, function(x) / where(zero, 1.0, x))


def _i1_gradient(x: Any, g: Any) -> Any:
    return g * (i0(x) - _quotient(i1, x))


@fused(gradient=_i1_gradient)
def _i1(x: Any) -> Any:
    return _bessel(x, 1, False)


def _i1e_gradient(x: Any, g: Any) -> Any:
    return g * (i0e(x) - _quotient(i1e, x) - sign(x) * i1e(x))


@fused(gradient=_i1e_gradient)
def _i1e(x: Any) -> Any:
    return _bessel(x, 1, True)


@public(inplace=True)
def i0(input: Tensor) -> Any:
    """The modified Bessel function of the first kind, of order 0."""
    return real(_i0, input)


@public(method=False, function=False)
def i0e(input: Tensor) -> Any:
    """exp(-|x|) i0(x)."""
    return real(_i0e, input)


@public(method=False, function=False)
def i1(input: Tensor) -> Any:
    """The modified Bessel function of the first kind, of order 1."""
    return real(_i1, input)


@public(method=False, function=False)
def i1e(input: Tensor) -> Any:
    """exp(-|x|) i1(x)."""
    return real(_i1e, input)
