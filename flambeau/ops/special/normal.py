"""Functions of the normal distribution and of entropy: ndtr, ndtri, log_ndtr, erfcx, entr, xlog1py.

Errors: a few units in the last place, ndtri 1e-6 (float32) and 1e-14 (float64).
"""

from __future__ import annotations

import math
from typing import Any

from flambeau.ops.comparison import isnan
from flambeau.ops.fused import fused, real
from flambeau.ops.logic import where
from flambeau.ops.math import erf, erfc, erfinv, exp, log, log1p, scaled_tail, sqrt
from flambeau.ops.publish import public
from flambeau.tensor.tensor import Tensor

_ROOT_HALF = math.sqrt(0.5)
_DENSITY = 1 / math.sqrt(2 * math.pi)


def _erfcx_gradient(x: Any, g: Any) -> Any:
    return g * (2 * x * erfcx(x) - 2 / math.sqrt(math.pi))


@fused(gradient=_erfcx_gradient)
def _erfcx(x: Any) -> Any:
    high = x > 0.9
    low = where(high, 0.0, x)
    tail, tail_low = scaled_tail(where(high, x, 1.0))
    return where(high, tail + tail_low, exp(low * low) * erfc(low))


@public(method=False, function=False)
def erfcx(input: Tensor) -> Any:
    """exp(x²) erfc x, without underflow."""
    return real(_erfcx, input)


def _ndtr_gradient(x: Any, g: Any) -> Any:
    return g * (_DENSITY * exp(-0.5 * x * x))


@fused(gradient=_ndtr_gradient)
def _ndtr(x: Any) -> Any:
    scaled = x * _ROOT_HALF
    low = scaled < -_ROOT_HALF
    center = 0.5 + 0.5 * erf(scaled)
    return where(low, 0.5 * erfc(-scaled), center)


@public(method=False, function=False)
def ndtr(input: Tensor) -> Any:
    """The standard normal distribution's function: the probability of a number ≤ x."""
    return real(_ndtr, input)


def _log_ndtr_gradient(x: Any, g: Any) -> Any:
    """The density over the probability; their common exp(-x²/2) cancels below 0."""
    low = x < 0
    minus = where(low, x, 0.0)
    plus = where(low, 0.0, x)
    below = 2 * _DENSITY / erfcx(minus * -_ROOT_HALF)
    return g * where(low, below, _DENSITY * exp(-0.5 * plus * plus) / ndtr(plus))


@fused(gradient=_log_ndtr_gradient)
def _log_ndtr(x: Any) -> Any:
    low = x < -1
    minus = where(low, x, -1.0)
    below = log(0.5 * erfcx(minus * -_ROOT_HALF)) - 0.5 * minus * minus
    return where(low, below, log1p(-0.5 * erfc(where(low, 0.0, x) * _ROOT_HALF)))


@public(method=False, function=False)
def log_ndtr(input: Tensor) -> Any:
    """log ndtr x, without underflow."""
    return real(_log_ndtr, input)


def _ndtri_gradient(y: Any, g: Any) -> Any:
    return g * exp(0.5 * y * y) / _DENSITY


@fused(saves="result", gradient=_ndtri_gradient)
def _ndtri(p: Any) -> Any:
    """erfinv in the middle; in the tails S. Winitzki's approximation, then Newton's on log_ndtr."""
    rest = 1 - p
    upper = p > 0.5
    tail = where(upper, rest, p)
    middle = tail > 0.25
    small = where((tail > 0) & ~middle, tail, 0.125)
    target = log(small)
    logarithm = log(4 * (1 - small)) + target
    shift = 2 / (math.pi * 0.147) + 0.5 * logarithm
    x = -math.sqrt(2) * sqrt(sqrt(shift * shift - logarithm * (1 / 0.147)) - shift)
    for _ in range(3):
        reached = log_ndtr(x)
        x = x - (reached - target) * exp(reached + 0.5 * x * x) / _DENSITY
    x = where(tail == 0, -math.inf, where(tail < 0, math.nan, x))
    center = math.sqrt(2) * erfinv(where(middle, 2 * p - 1, 0.0))
    return where(isnan(p), p, where(middle, center, where(upper, -x, x)))


@public(method=False, function=False)
def ndtri(input: Tensor) -> Any:
    """The inverse of ndtr; infinite at 0 and 1, NaN outside."""
    return real(_ndtri, input)


def _entr_gradient(x: Any, g: Any) -> Any:
    return g * (-1 - log(x))


@fused(gradient=_entr_gradient)
def _entr(x: Any) -> Any:
    usual = -x * log(where(x > 0, x, 1.0))
    return where(isnan(x), x, where(x > 0, usual, where(x == 0, 0.0, -math.inf)))


@public(method=False, function=False)
def entr(input: Tensor) -> Any:
    """-x log x; 0 at 0, -∞ below."""
    return real(_entr, input)


def _xlog1py_gradient(x: Any, y: Any, g: Any) -> Any:
    return (g * _xlog1py_of(x, y), g * (x / (y + 1)))


@fused(gradient=_xlog1py_gradient)
def _xlog1py(x: Any, y: Any) -> Any:
    return where(isnan(y), y, where(x == 0, 0.0, x * log1p(where(x == 0, 0.0, y))))


def _xlog1py_of(x: Any, y: Any) -> Any:
    """The derivative by x: log(1 + y), 0 where x is 0 and y ≤ -1."""
    return where((x == 0) & (y <= -1), 0.0, log1p(y))


@public(method=False, function=False)
def xlog1py(input: Any, other: Any) -> Any:
    """x log(1 + y), 0 where x is 0."""
    return real(_xlog1py, input, other)
