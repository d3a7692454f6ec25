"""Circular and hyperbolic functions and their inverses, made of SIN, EXP, LOG and SQRT."""

from __future__ import annotations

import math
from typing import Any

from flambeau.graph import dtype as dtypes
from flambeau.graph import op
from flambeau.ops.comparison import isinf
from flambeau.ops.fused import fused, real
from flambeau.ops.logic import where
from flambeau.ops.math import exp, log, log1p, sqrt
from flambeau.ops.polynomials import ASIN, ATAN, SINH, TANH, odd
from flambeau.ops.publish import public
from flambeau.tensor.tensor import Tensor

# π/2 as the nearest number and what it lacks, and up to where shifting by it keeps all bits
_QUARTER = {
    dtypes.float32: (1.57079637050628662109375, -4.37113900018624283e-8, 2.0**20),
    dtypes.float64: (1.5707963267948966, 6.123233995736766e-17, 2.0**48),
}


@public(inplace=True)
def sin(input: Tensor) -> Any:
    """The sine of an angle in radians."""
    return real(op.SIN, input)


@fused(gradient=lambda x, g: -g * sin(x))
def _cos(x: Any) -> Any:
    """From sin(x + π/2), whose rounding e is known: cos x = (sin(x + π/2 - e) - sin x sin e)/cos e.

    Beyond 2²⁰ (2⁴⁸ in float64) 1 - 2 sin²(x/2), whose error is absolute.
    """
    quarter, lack, most = _QUARTER[x.dtype]
    shifted = x + quarter
    back = shifted - x
    lost = (x - (shifted - back)) + (quarter - back) + lack
    square = lost * lost
    sine = lost - lost * square * (1 / 6)
    cosine = 1 - square * 0.5 + square * square * (1 / 24)
    near = (sin(shifted) - sin(x) * sine) / cosine
    half = sin(x * 0.5)
    return where(x.abs() < most, near, 1 - 2 * (half * half))


@public(inplace=True)
def cos(input: Tensor) -> Any:
    """The cosine of an angle in radians."""
    return real(_cos, input)


@fused(saves="result", gradient=lambda y, g: g * (1 + y * y))
def _tan(x: Any) -> Any:
    return sin(x) / cos(x)


@public(inplace=True)
def tan(input: Tensor) -> Any:
    """The tangent of an angle in radians."""
    return real(_tan, input)


# inverses ---------------------------------------------------------------------------------------


def _arctangent(x: Any) -> Any:
    """Octants: |x| above 1 by π/2 - atan(1/x), above tan π/8 by π/4 + atan((x - 1)/(x + 1))."""
    size = x.abs()
    inverted = size > 1
    unit = where(inverted, 1 / where(inverted, size, 1.0), size)
    upper = math.tan(math.pi / 8) < unit
    small = odd(ATAN, where(upper, (unit - 1) / (unit + 1), unit))
    angle = where(upper, small + math.pi / 4, small)
    angle = where(inverted, math.pi / 2 - angle, angle)
    return where(x < 0, -angle, where(x == 0, x, angle))


@fused(gradient=lambda x, g: g / (1 + x * x))
def _atan(x: Any) -> Any:
    return _arctangent(x)


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
    ratio = where(both, 1.0, smaller / where(greater == 0, 1.0, greater))
    angle = _arctangent(ratio)
    angle = where(steep, math.pi / 2 - angle, angle)
    left = x.signbit()
    angle = where(left, math.pi - angle, angle)
    return where((y != y) | (x != x), y + x, where(y.signbit(), -angle, angle))


@public("arctan2", inplace=True)
def atan2(input: Tensor, other: Tensor) -> Any:
    """The angle of the point (other, input), in [-π, π]."""
    return real(_atan2, input, other)


def _arcsine_parts(x: Any) -> tuple[Any, Any, Any]:
    """For |x| ≤ ½ asin x; beyond, 2 asin √((1 - |x|)/2): the angle from the end."""
    size = x.abs()
    outer = size > 0.5
    rest = (1 - size) * 0.5
    root = sqrt(where(outer, rest, 0.0))
    return outer, odd(ASIN, where(outer, 0.0, x)), 2 * odd(ASIN, root)


@fused(gradient=lambda x, g: g / sqrt((1 - x) * (1 + x)))
def _asin(x: Any) -> Any:
    outer, inner, end = _arcsine_parts(x)
    angle = math.pi / 2 - end
    return where(outer, where(x < 0, -angle, angle), where(x != x, x, inner))


@public("arcsin", inplace=True)
def asin(input: Tensor) -> Any:
    """The angle in [-π/2, π/2] whose sine is x; NaN beyond [-1, 1]."""
    return real(_asin, input)


@fused(gradient=lambda x, g: -g / sqrt((1 - x) * (1 + x)))
def _acos(x: Any) -> Any:
    outer, inner, end = _arcsine_parts(x)
    return where(outer, where(x < 0, math.pi - end, end), math.pi / 2 - where(x != x, x, inner))


@public("arccos", inplace=True)
def acos(input: Tensor) -> Any:
    """The angle in [0, π] whose cosine is x; NaN beyond [-1, 1]."""
    return real(_acos, input)


# hyperbolic -------------------------------------------------------------------------------------


@fused(saves="result", gradient=lambda y, g: g * (1 - y * y))
def _tanh(x: Any) -> Any:
    size = x.abs()
    small = odd(TANH, where(size < 0.625, x, 0.0))
    large = 1 - 2 / (exp(2 * size) + 1)
    return where(size < 0.625, small, where(x < 0, -large, large))


@public(inplace=True)
def tanh(input: Tensor) -> Any:
    """The hyperbolic tangent."""
    return real(_tanh, input)


@fused(gradient=lambda x, g: g * cosh(x))  # type: ignore[has-type]  # defined below
def _sinh(x: Any) -> Any:
    size = x.abs()
    half = exp(size * 0.5)
    large = (0.5 * half) * half - 0.5 / (half * half)
    small = odd(SINH, where(size < 1, x, 0.0))
    return where(size < 1, small, where(x < 0, -large, large))


@public(inplace=True)
def sinh(input: Tensor) -> Any:
    """(eˣ - e⁻ˣ) / 2."""
    return real(_sinh, input)


@fused(gradient=lambda x, g: g * sinh(x))
def _cosh(x: Any) -> Any:
    half = exp(x.abs() * 0.5)
    return (0.5 * half) * half + 0.5 / (half * half)


@public(inplace=True)
def cosh(input: Tensor) -> Any:
    """(eˣ + e⁻ˣ) / 2."""
    return real(_cosh, input)


_HUGE = {dtypes.float32: 1e9, dtypes.float64: 1e150}


@fused(gradient=lambda x, g: g / sqrt(x * x + 1))
def _asinh(x: Any) -> Any:
    size = x.abs()
    huge = _HUGE[x.dtype] < size
    usual = where(huge, 0.0, size)
    square = usual * usual
    value = log1p(usual + square / (1 + sqrt(square + 1)))
    value = where(huge, log(size) + math.log(2), value)
    return where(x < 0, -value, where(x == 0, x, value))


@public("arcsinh", inplace=True)
def asinh(input: Tensor) -> Any:
    """The inverse of sinh."""
    return real(_asinh, input)


@fused(gradient=lambda x, g: g / sqrt((x - 1) * (x + 1)))
def _acosh(x: Any) -> Any:
    huge = _HUGE[x.dtype] < x
    above = where(huge, 0.0, x - 1)
    value = log1p(above + sqrt(2 * above + above * above))
    return where(huge, log(x) + math.log(2), value)


@public("arccosh", inplace=True)
def acosh(input: Tensor) -> Any:
    """The inverse of cosh, for x ≥ 1."""
    return real(_acosh, input)


@fused(gradient=lambda x, g: g / ((1 - x) * (1 + x)))
def _atanh(x: Any) -> Any:
    size = x.abs()
    value = 0.5 * log1p(2 * size / (1 - size))
    return where(x < 0, -value, where(x == 0, x, value))


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
