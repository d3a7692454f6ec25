"""Circular and hyperbolic functions and their inverses: primitives, SQRT and `precise`."""

from __future__ import annotations

import math
from typing import Any

from flambeau.graph import dtype as dtypes
from flambeau.graph import op
from flambeau.ops import precise as p
from flambeau.ops.comparison import isinf
from flambeau.ops.fused import fused, real
from flambeau.ops.logic import where
from flambeau.ops.math import sqrt
from flambeau.ops.polynomials import ASIN, ASINH, ATAN, evaluate, fma, odd
from flambeau.ops.publish import public
from flambeau.tensor.tensor import Tensor


@public(inplace=True)
def sin(input: Tensor) -> Any:
    """The sine of an angle in radians."""
    return real(op.SIN, input)


@public(inplace=True)
def cos(input: Tensor) -> Any:
    """The cosine of an angle in radians."""
    return real(op.COS, input)


@public(inplace=True)
def tan(input: Tensor) -> Any:
    """The tangent of an angle in radians."""
    return real(op.TAN, input)


# inverses ---------------------------------------------------------------------------------------


def _arctangent(x: Any, x_low: Any) -> p.Pair:
    """atan(x + x_low) as a pair, for 0 ≤ x ≤ 1; above ½ it is π/4 + atan((x - 1) / (x + 1))."""
    upper = x > 0.5
    below, below_low = p.quick_sum(1.0, x)
    below, below_low = where(upper, below, 1.0), where(upper, below_low + x_low, 0.0)
    t, t_low = p.quotient(where(upper, x - 1.0, x), x_low, below, below_low)
    square = t * t
    bend = fma(t * square, evaluate(ATAN, square), t_low)
    base, base_low = p.in_parts(p.QUARTER_PI, x.dtype)
    angle, lost = p.quick_sum(where(upper, p.constant(base, x), 0.0), t)
    return angle, lost + (bend + where(upper, p.constant(base_low, x), 0.0))


def _from(angle: tuple[float, float], x: Any, x_low: Any) -> p.Pair:
    """angle - (x + x_low), for x that is not greater."""
    high, low = p.in_parts(angle, x.dtype)
    total, rest = p.quick_sum(high, -x)
    return total, rest + (low - x_low)


def _choose(condition: Any, x: p.Pair, y: p.Pair) -> p.Pair:
    return where(condition, x[0], y[0]), where(condition, x[1], y[1])


def _turned(steep: Any, smaller: Any, greater: Any) -> p.Pair:
    """atan(smaller / greater) as a pair, or where it is steep π/2 less that; 0 of two zeros."""
    greater = where(greater == 0, 1.0, greater)
    ratio = smaller / greater
    lost = fma(-ratio, greater, smaller) / greater
    angle = _arctangent(ratio, where(isinf(greater), 0.0, lost))
    return _choose(steep, _from(p.HALF_PI, *angle), angle)


@fused(gradient=lambda x, g: g / (1 + x * x))
def _atan(x: Any) -> Any:
    size = x.abs()
    steep = size > 1
    angle, low = _turned(steep, where(steep, 1.0, size), where(steep, size, 1.0))
    return p.with_sign(angle + low, x)


@public("arctan", inplace=True)
def atan(input: Tensor) -> Any:
    """The angle in (-π/2, π/2) whose tangent is x."""
    return real(_atan, input)


def _atan2_gradient(y: Any, x: Any, g: Any) -> Any:
    scale = g / (x * x + y * y)
    scale = where((x == 0) & (y == 0), 0.0, scale)
    return scale * x, -scale * y


@fused(gradient=_atan2_gradient)
def _atan2(y: Any, x: Any) -> Any:
    tall, wide = y.abs(), x.abs()
    steep = wide < tall
    greater, smaller = where(steep, tall, wide), where(steep, wide, tall)
    both = isinf(greater) & isinf(smaller)
    angle = _turned(steep, where(both, 1.0, smaller), where(both, 1.0, greater))
    angle, low = _choose(x.signbit(), _from(p.PI, *angle), angle)
    return where((y != y) | (x != x), y + x, p.with_sign(angle + low, y))


@public("arctan2", inplace=True)
def atan2(input: Tensor, other: Tensor) -> Any:
    """The angle of the point (other, input), in [-π, π]."""
    return real(_atan2, input, other)


def _arcsine_parts(x: Any) -> tuple[Any, p.Pair, p.Pair]:
    """For |x| ≤ ½ asin x; beyond, 2 asin √((1 - |x|)/2): the angle from the end. Both as pairs."""
    size = x.abs()
    outer = size > 0.5
    inner = where(outer, 0.0, x)
    square = inner * inner
    rest = where(outer, (1 - size) * 0.5, 0.0)
    root = sqrt(rest)
    low = fma(-root, root, rest) / where(root == 0, 1.0, 2.0 * root)
    bend = fma(root * rest, evaluate(ASIN, rest), low)
    return outer, (inner, inner * square * evaluate(ASIN, square)), (2.0 * root, 2.0 * bend)


@fused(gradient=lambda x, g: g / sqrt((1 - x) * (1 + x)))
def _asin(x: Any) -> Any:
    outer, inner, end = _arcsine_parts(x)
    angle, low = _from(p.HALF_PI, *end)
    return where(outer, p.with_sign(angle + low, x), where(x != x, x, inner[0] + inner[1]))


@public("arcsin", inplace=True)
def asin(input: Tensor) -> Any:
    """The angle in [-π/2, π/2] whose sine is x; NaN beyond [-1, 1]."""
    return real(_asin, input)


@fused(gradient=lambda x, g: -g / sqrt((1 - x) * (1 + x)))
def _acos(x: Any) -> Any:
    outer, inner, end = _arcsine_parts(x)
    end = _choose(x < 0, _from(p.PI, *end), end)
    angle, low = _choose(outer, end, _from(p.HALF_PI, *inner))
    return where(x != x, x, angle + low)


@public("arccos", inplace=True)
def acos(input: Tensor) -> Any:
    """The angle in [0, π] whose cosine is x; NaN beyond [-1, 1]."""
    return real(_acos, input)


# hyperbolic -------------------------------------------------------------------------------------


@fused(saves="result", gradient=lambda y, g: g * (1 - y * y))
def _tanh(x: Any) -> Any:
    return p.with_sign(p.hyperbolic_tangent(p.magnitude(x)), x)


@public(inplace=True)
def tanh(input: Tensor) -> Any:
    """The hyperbolic tangent."""
    return real(_tanh, input)


def _half_exponentials(x: Any) -> tuple[Any, p.Pair, p.Pair, Any]:
    """n, and 2⁻ⁿ (eˣ - 1) and 2⁻ⁿ eˣ as pairs, and 2⁻ⁿ, for x ≥ 0 that does not overflow."""
    most = _SINH_OVERFLOWS[x.dtype]
    n, inverse, *parts = p.less_one(where(x > most, most, x))  # NaN stays
    high, low = p.quick_sum(*parts)
    total, more = p.exact_sum(high, inverse)
    return n, (high, low), (total, low + more), inverse


_SINH_OVERFLOWS = {dtypes.float32: 89.5, dtypes.float64: 710.5}


@fused(gradient=lambda x, g: g * cosh(x))  # type: ignore[has-type]  # defined below
def _sinh(x: Any) -> Any:
    """Half of (eˣ - 1) + (eˣ - 1) / eˣ."""
    n, less, whole, inverse = _half_exponentials(x.abs())
    ratio, ratio_low = p.quotient(*less, *whole)
    high, low = p.quick_sum(less[0], inverse * ratio)
    low = low + fma(inverse, ratio_low, less[1])
    return where(x == 0, x, p.with_sign(2.0 * (high + low) * p.power_of_two(n - 2.0), x))


@public(inplace=True)
def sinh(input: Tensor) -> Any:
    """(eˣ - e⁻ˣ) / 2."""
    return real(_sinh, input)


@fused(gradient=lambda x, g: g * sinh(x))
def _cosh(x: Any) -> Any:
    """Half of eˣ + 1 / eˣ."""
    n, _, whole, inverse = _half_exponentials(x.abs())
    ratio, ratio_low = p.quotient(inverse, 0.0, *whole)
    high, low = p.quick_sum(whole[0], inverse * ratio)
    low = low + fma(inverse, ratio_low, whole[1])
    return 2.0 * (high + low) * p.power_of_two(n - 2.0)


@public(inplace=True)
def cosh(input: Tensor) -> Any:
    """(eˣ + e⁻ˣ) / 2."""
    return real(_cosh, input)


_HUGE = {dtypes.float32: 1e9, dtypes.float64: 1e150}


@fused(gradient=lambda x, g: g / sqrt(x * x + 1))
def _asinh(x: Any) -> Any:
    """log(|x| + √(x² + 1)); a polynomial below ½."""
    size = x.abs()
    huge = _HUGE[x.dtype] < size
    usual = where(huge, 1.0, size)
    square, lost = p.exact_product(usual, usual)
    total, more = p.exact_sum(square, 1.0)
    root, low = p.root(total, lost + more)
    both, rest = p.quick_sum(root, usual)
    k, high, low = p.logarithm(where(huge, size, both), where(huge, 0.0, rest + low))
    high, low = p.natural(where(huge, k + 1.0, k), high, low)
    value = where(size < 0.5, odd(ASINH, where(size < 0.5, size, 0.0)), high + low)
    return p.with_sign(where(isinf(x), size, value), x)


@public("arcsinh", inplace=True)
def asinh(input: Tensor) -> Any:
    """The inverse of sinh."""
    return real(_asinh, input)


@fused(gradient=lambda x, g: g / sqrt((x - 1) * (x + 1)))
def _acosh(x: Any) -> Any:
    """log(x + √(x² - 1))."""
    huge = _HUGE[x.dtype] < x
    usual = where(huge, 2.0, x)
    square, lost = p.exact_product(usual, usual)
    total, more = p.exact_sum(square, -1.0)
    root, low = p.root(where(total > 0, total, 1.0), lost + more)
    both, rest = p.quick_sum(usual, root)
    k, high, low = p.logarithm(where(huge, x, both), where(huge, 0.0, rest + low))
    high, low = p.natural(where(huge, k + 1.0, k), high, low)
    value = where(x == 1, 0.0, where(x == math.inf, x, high + low))
    return where(x >= 1, value, math.nan)


@public("arccosh", inplace=True)
def acosh(input: Tensor) -> Any:
    """The inverse of cosh, for x ≥ 1."""
    return real(_acosh, input)


@fused(gradient=lambda x, g: g / ((1 - x) * (1 + x)))
def _atanh(x: Any) -> Any:
    """Half of log(1 + 2|x| / (1 - |x|))."""
    size = x.abs()
    inside = where(size < 1, size, 0.0)
    below, low = p.quick_sum(1.0, -inside)
    high, low = p.logarithm_of_one_plus(*p.quotient(2.0 * inside, 0.0, below, low))
    value = where(size < 1e-30, size, 0.5 * (high + low))
    return p.with_sign(
        where(size < 1, value, where(size == 1, p.constant(math.inf, x), math.nan)), x
    )


@public("arctanh", inplace=True)
def atanh(input: Tensor) -> Any:
    """The inverse of tanh, for |x| ≤ 1."""
    return real(_atanh, input)


@fused()
def _sinc(x: Any) -> Any:
    angle = where(x == 0, 1.0, x * math.pi)
    return where(x == 0, 1.0, sin(angle) / angle)


@public(inplace=True)
def sinc(input: Tensor) -> Any:
    """sin πx / πx, 1 at 0."""
    return real(_sinc, input)


@public(inplace=True)
def deg2rad(input: Tensor) -> Any:
    """Degrees as radians."""
    return input * (math.pi / 180)


@public(inplace=True)
def rad2deg(input: Tensor) -> Any:
    """Radians as degrees."""
    return input * (180 / math.pi)
