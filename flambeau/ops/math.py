"""Exponentials, logarithms, roots, powers, trigonometry and the error function.

Primitives are EXP, LOG, SIN, COS, TAN and SQRT; all others are compositions that are exact to a few
units in the last place where the primitives are, with polynomials near zero where a formula would
cancel.
"""

from __future__ import annotations

import math
from typing import Any

from flambeau.graph import dtype as dtypes
from flambeau.graph import op
from flambeau.ops import precise as p
from flambeau.ops.axes import DTYPE_TITLES
from flambeau.ops.comparison import isinf, isnan
from flambeau.ops.fused import fused, real
from flambeau.ops.logic import where
from flambeau.ops.polynomials import (
    ERF,
    ERF_CENTER,
    ERF_FIRST,
    ERF_IS_ONE,
    ERF_MIDDLE,
    ERF_NEAR,
    ERF_REST,
    ERFC,
    ERFC_MIDDLE,
    ERFC_ROOT,
    evaluate,
    fma,
)
from flambeau.ops.promote import elementwise, result_dtype
from flambeau.ops.publish import public
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor

# exponentials and logarithms --------------------------------------------------------------------


@public(inplace=True)
def exp(input: Tensor) -> Any:
    """eˣ."""
    return real(op.EXP, input)


@fused(saves="result", gradient=lambda y, g: g * y * math.log(2))
def _exp2(x: Any) -> Any:
    """A whole power of two times e to the rest times log 2."""
    bound = 2.0 * p.LAYOUT[x.dtype][2]
    x = where(x > bound, bound, where(x < -bound, -bound, x))  # NaN stays
    whole = record(op.FLOOR, (x + 0.5,))
    factor, factor_low = p.in_parts(p.LOG_2, x.dtype)
    r, r_low = p.exact_product(x - whole, factor)
    high, low = p.one_plus(r, fma(x - whole, factor_low, r_low))
    return p.scaled(high + low, whole)


@public(inplace=True)
def exp2(input: Tensor) -> Any:
    """2ˣ."""
    return real(_exp2, input)


@fused(saves="result", gradient=lambda y, g: g * (y + 1))
def _expm1(x: Any) -> Any:
    least, most = _EXPM1_ENDS[x.dtype]
    inside = where(x > most, most, where(x < least, least, x))  # NaN stays
    n, _, high, low = p.less_one(inside)
    return where(x == 0, x, 2.0 * (high + low) * p.power_of_two(n - 1.0))


_EXPM1_ENDS = {dtypes.float32: (-20.0, 89.0), dtypes.float64: (-40.0, 710.0)}


@public(inplace=True)
def expm1(input: Tensor) -> Any:
    """eˣ - 1, exact near 0."""
    return real(_expm1, input)


@public(inplace=True)
def log(input: Tensor) -> Any:
    """The natural logarithm."""
    return real(op.LOG, input)


@fused(gradient=lambda x, g: g / (x + 1))
def _log1p(x: Any) -> Any:
    high, low = p.logarithm_of_one_plus(x)
    value = where(x.abs() < 1e-30, x, where(x == math.inf, x, high + low))
    return where(x > -1, value, where(x == -1, p.constant(-math.inf, x), math.nan))


@public(inplace=True)
def log1p(input: Tensor) -> Any:
    """log(1 + x), exact near 0."""
    return real(_log1p, input)


def _to_base(base: int, x: Any) -> Any:
    """Of powers of the base, whole numbers."""
    usual = (x > 0) & ~isinf(x)
    parts = p.logarithm(where(usual, x, 1.0), twice=x.dtype is dtypes.float64)
    return where(usual, p.logarithm_to_base(base, *parts), log(x))


@fused(gradient=lambda x, g: g / (x * math.log(2)))
def _log2(x: Any) -> Any:
    return _to_base(2, x)


@public(inplace=True)
def log2(input: Tensor) -> Any:
    """The logarithm to base 2."""
    return real(_log2, input)


@fused(gradient=lambda x, g: g / (x * math.log(10)))
def _log10(x: Any) -> Any:
    return _to_base(10, x)


@public(inplace=True)
def log10(input: Tensor) -> Any:
    """The logarithm to base 10."""
    return real(_log10, input)


@fused(gradient=lambda x, y, g: (g / (1 + exp(y - x)), g / (1 + exp(x - y))))
def _logaddexp(x: Any, y: Any) -> Any:
    greater = record(op.MAX, (x, y))
    return where(isinf(greater), greater, p.logarithm_of_sum(x, y, greater))


@public()
def logaddexp(input: Tensor, other: Tensor) -> Any:
    """log(eˣ + eʸ), without overflow."""
    return real(_logaddexp, input, other)


@public()
def logaddexp2(input: Tensor, other: Tensor) -> Any:
    """log₂(2ˣ + 2ʸ), without overflow."""
    scale = math.log(2)
    return logaddexp(input * scale, other * scale) / scale


@fused()
def _xlogy(x: Any, y: Any) -> Any:
    safe = where(x == 0, 1.0, y)
    return where(isnan(y), y, where(x == 0, 0.0, x * log(safe)))


@public(inplace=True)
def xlogy(input: Any, other: Any) -> Any:
    """x log y, 0 where x is 0."""
    return real(_xlogy, input, other)


@fused()
def _logit(x: Any) -> Any:
    return log(x / (1 - x))


@public(inplace=True)
def logit(input: Tensor, eps: float | None = None) -> Any:
    """log(x / (1 - x)); with eps, x is first clamped to [eps, 1 - eps]."""
    return real(_logit, input if eps is None else input.clamp(eps, 1 - eps))


# roots and powers -------------------------------------------------------------------------------


@public(inplace=True)
def sqrt(input: Tensor) -> Any:
    """√x."""
    return real(op.SQRT, input)


@fused(saves="result", gradient=lambda y, g: g * (y * y * y) * -0.5)
def _rsqrt(x: Any) -> Any:
    return 1 / sqrt(x)


@public(inplace=True)
def rsqrt(input: Tensor) -> Any:
    """1 / √x."""
    return real(_rsqrt, input)


@fused()
def _square(x: Any) -> Any:
    return x * x


@public(inplace=True)
def square(input: Tensor) -> Any:
    """x²."""
    return record(_square, (input,)) if input.dtype is not dtypes.bool_ else input.to(dtypes.int64)


def _hypot_gradient(x: Any, y: Any, g: Any) -> Any:
    length = hypot(x, y)
    scale = where(length == 0, 0.0, g / where(length == 0, 1.0, length))
    return scale * x, scale * y


@fused(gradient=_hypot_gradient)
def _hypot(x: Any, y: Any) -> Any:
    """Both are multiplied by a power of two first: their squares are numbers."""
    x, y = x.abs(), y.abs()
    most = p.LAYOUT[x.dtype][2] // 2
    greater, smaller = record(op.MAX, (x, y)), -record(op.MAX, (-x, -y))
    great, little = greater > 2.0 ** (most - 3), greater < 2.0 ** (13 - most)
    scale = where(great, 2.0 ** -(most + 7), where(little, p.constant(2.0 ** (most + 27), x), 1.0))
    back = where(great, 2.0 ** (most + 7), where(little, p.constant(2.0 ** -(most + 27), x), 1.0))
    first, first_low = p.exact_product(greater * scale, greater * scale)
    second, second_low = p.exact_product(smaller * scale, smaller * scale)
    total, low = p.quick_sum(first, second)
    length, low = p.root(where(greater == 0, 1.0, total), low + (first_low + second_low))
    length = where(greater == 0, 0.0, (length + low) * back)
    return where(isinf(x) | isinf(y), math.inf, where(x != x, x, where(y != y, y, length)))


@public(inplace=True)
def hypot(input: Tensor, other: Tensor) -> Any:
    """√(x² + y²), without overflow. Raises NotImplementedError for integers."""
    dtype = result_dtype((input, other))
    if not dtype.is_floating_point:
        title = DTYPE_TITLES[dtype.name]
        raise NotImplementedError(f"\"hypot_cpu\" not implemented for '{title}'")
    return elementwise(_hypot, input, other, dtype=dtype)


# the error function -----------------------------------------------------------------------------

_TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)


def scaled_tail(x: Any) -> p.Pair:
    """exp(x²) erfc x as a pair, for x ≥ ½."""
    t, t_low = p.quotient(1.0, 0.0, *p.exact_sum(x * 0.5, 1.0))
    middle, middle_low = p.in_parts(ERFC_MIDDLE, x.dtype)
    u, u_low = p.quick_sum(-0.5, t)
    slope, slope_low = p.started(ERFC, u)
    bend, bend_low = p.exact_product(u, slope)
    high, low = p.exact_sum(bend, middle)
    bend_low = fma(u, slope_low, fma(t_low + u_low, slope, bend_low))
    low = low + (bend_low + middle_low)
    product, lost = p.exact_product(t, high)
    return product, lost + fma(t, low, t_low * high)


def _tail_pair(x: Any) -> tuple[Any, Any, Any]:
    """n, high and low with erfc x = 2ⁿ (high + low), for ½ ≤ x."""
    square, square_low = p.exact_product(x, x)
    n, high, low = p.exponential_pair(-square, -square_low)
    high, low = p.quick_sum(high, low)
    curve, curve_low = scaled_tail(x)
    product, lost = p.exact_product(high, curve)
    return n, product, lost + fma(high, curve_low, low * curve)


def _tail(x: Any) -> Any:
    """erfc x for ½ ≤ x."""
    n, high, low = _tail_pair(x)
    return p.scaled(high + low, n)


def _center(x: Any) -> Any:
    """erf x - x for |x| ≤ 1."""
    return x * evaluate(ERF, x * x)


@fused(gradient=lambda x, g: g * (_TWO_OVER_ROOT_PI * exp(-x * x)))
def _erf(x: Any) -> Any:
    size = x.abs()
    if x.dtype is dtypes.float64:
        near = where(size < 0.5, x, 0.0)
        n, high, low = _tail_pair(where(size < 0.5, 0.5, where(size > 6.0, 6.0, size)))
        scale = p.power_of_two(n)
        one, lost = p.quick_sum(1.0, -(high * scale))
        tail = one + (lost - low * scale)
        near = fma(near, evaluate(ERF, near * near), near)
        return where(size < 0.5, near, where(x < 0, -tail, tail))
    size = where(size > ERF_IS_ONE, ERF_IS_ONE, size)  # NaN stays
    near = fma(x, evaluate(ERF_NEAR, fma(size, size, -ERF_CENTER)), x)
    root = evaluate(ERFC_ROOT, size - ERF_MIDDLE)
    far = fma(-root, root, 1)
    return where(size < ERF_MIDDLE, near, where(x < 0, -far, far))


@public(inplace=True)
def erf(input: Tensor) -> Any:
    """2/√π ∫ exp(-t²) dt from 0 to x."""
    return real(_erf, input)


@fused(gradient=lambda x, g: g * (-_TWO_OVER_ROOT_PI * exp(-x * x)))
def _erfc(x: Any) -> Any:
    size = x.abs()
    most = _ERFC_IS_NOTHING[x.dtype]
    tail = _tail(where(size < 0.5, 0.5, where(size > most, most, size)))  # NaN stays
    near = where(size < 0.5, x, 0.0)
    one, low = p.quick_sum(1.0, -near)
    return where(size < 0.5, one + (low - _center(near)), where(x < 0, 2 - tail, tail))


_ERFC_IS_NOTHING = {dtypes.float32: 11.0, dtypes.float64: 28.0}


@public(inplace=True)
def erfc(input: Tensor) -> Any:
    """1 - erf x, exact for large x."""
    return real(_erfc, input)


def _erf_less(x: Any, y: Any) -> Any:
    """erf x - y, exact to some digits where they are nearly equal; 0 ≤ x and y < 1."""
    middle = where(x < 0.5, x, 0.0)
    square, lost = p.exact_product(middle, middle)
    curve, low = p.begun((ERF_FIRST,), evaluate(ERF_REST, square), square)
    near = fma(middle, curve, middle - y) + middle * fma(lost, ERF[1][1], low)
    n, high, low = _tail_pair(where(x < 0.5, 0.5, x))
    scale = p.power_of_two(n)
    return where(x < 0.5, near, ((1 - y) - high * scale) - low * scale)


@fused(saves="result", gradient=lambda y, g: g * exp(y * y) * (1 / _TWO_OVER_ROOT_PI))
def _erfinv(y: Any) -> Any:
    """S. Winitzki's approximation (2008), then Halley's iteration; the last step's error is exact
    to some digits, so that hardly more than its subtraction rounds."""
    size = y.abs()
    inside = where(size < 1, size, 0.0)
    logarithm = log((1 - inside) * (1 + inside))
    shift = 2 / (math.pi * 0.147) + 0.5 * logarithm
    x = sqrt(sqrt(shift * shift - logarithm * (1 / 0.147)) - shift)
    for _ in range(3):  # the first reaches 8 digits, the second all but one
        step = _erf_less(x, inside) / (_TWO_OVER_ROOT_PI * exp(-x * x))
        x = x - step / (1 + x * step)
    x = where(inside == 0, 0.0, x)
    outside = where(size == 1, p.constant(math.inf, y), math.nan)
    x = where(size < 1, x, outside)
    return p.with_sign(x, y)


@public(inplace=True)
def erfinv(input: Tensor) -> Any:
    """The inverse of erf on (-1, 1)."""
    return real(_erfinv, input)
