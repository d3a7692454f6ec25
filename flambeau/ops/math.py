"""Exponentials, logarithms, roots, powers, trigonometry and the error function.

Primitives are EXP, LOG, SIN and SQRT; all others are compositions that are exact to a few units in
the last place where the primitives are, with polynomials near zero where a formula would cancel.
"""

from __future__ import annotations

import math
from typing import Any

from flambeau.graph import dtype as dtypes
from flambeau.graph import op
from flambeau.ops.axes import DTYPE_TITLES
from flambeau.ops.comparison import isinf, isnan
from flambeau.ops.fused import fused, real
from flambeau.ops.logic import where
from flambeau.ops.polynomials import (
    ERF,
    ERF_IS_ONE,
    ERF_NEAR,
    ERFC,
    ERFC_ROOT,
    EXPM1,
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
    """2ⁿ made of bits, times e to the rest."""
    bound = 2.0 * _LAYOUT[x.dtype][2]
    x = x.clamp(-bound, bound)
    return _power_of_two_times(record(op.FLOOR, (x + 0.5,)), lambda n: exp((x - n) * math.log(2)))


_LAYOUT = {dtypes.float32: (dtypes.int32, 23, 127), dtypes.float64: (dtypes.int64, 52, 1023)}


def _power_of_two_times(whole: Any, rest: Any) -> Any:
    """2 to the power `whole` times rest(whole), in two factors so that neither overflows early."""
    bits, mantissa, bias = _LAYOUT[whole.dtype]
    half = record(op.FLOOR, (whole * 0.5,))

    def factor(exponent: Any) -> Any:
        biased = (exponent + float(bias)).to(bits)
        return record(op.BITCAST, (biased * (1 << mantissa),), (whole.dtype,))

    return rest(whole) * factor(half) * factor(whole - half)


@public(inplace=True)
def exp2(input: Tensor) -> Any:
    """2ˣ."""
    return real(_exp2, input)


@fused(saves="result", gradient=lambda y, g: g * (y + 1))
def _expm1(x: Any) -> Any:
    near = where(x.abs() < 0.5, x, 0.0)
    return where(x.abs() < 0.5, fma(near, near * evaluate(EXPM1, near), near), exp(x) - 1)


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
    """log u · x / (u - 1) with u = 1 + x rounded: the rounding cancels (W. Kahan)."""
    u = 1 + x
    small = u - 1
    return where(
        small == 0, x, where(u == math.inf, x, log(u) * (x / where(small == 0, 1.0, small)))
    )


@public(inplace=True)
def log1p(input: Tensor) -> Any:
    """log(1 + x), exact near 0."""
    return real(_log1p, input)


@fused(gradient=lambda x, g: g / (x * math.log(2)))
def _log2(x: Any) -> Any:
    """The exponent, exact, plus the mantissa's logarithm: powers of two give whole numbers."""
    exponent, mantissa = _split(x)
    usual = (x > 0) & ~isinf(x)
    return where(usual, exponent + log(mantissa) * (1 / math.log(2)), log(x))


def _split(x: Any) -> tuple[Any, Any]:
    """x = mantissa · 2 to the exponent, √½ < mantissa ≤ √2, for positive finite x."""
    bits, width, bias = _LAYOUT[x.dtype]
    least = 2.0 ** (1 - bias)
    tiny = x < least
    scaled = where(tiny, x * 2.0**width, x)
    whole = record(op.BITCAST, (scaled,), (bits,))
    exponent = (whole >> width) - bias
    mantissa = record(op.BITCAST, (whole - exponent * (1 << width),), (x.dtype,))
    high = mantissa > math.sqrt(2)
    mantissa = where(high, mantissa * 0.5, mantissa)
    exponent = exponent.to(x.dtype) + high.to(x.dtype) - where(tiny, float(width), 0.0)
    return exponent, mantissa


@public(inplace=True)
def log2(input: Tensor) -> Any:
    """The logarithm to base 2."""
    return real(_log2, input)


@fused(gradient=lambda x, g: g / (x * math.log(10)))
def _log10(x: Any) -> Any:
    """log x · log₁₀ e, the constant in two parts."""
    logarithm = log(x)
    if x.dtype is dtypes.float32:
        return logarithm * 0.43359375 + logarithm * 0.00070073190325
    return logarithm * (1 / math.log(10))


@public(inplace=True)
def log10(input: Tensor) -> Any:
    """The logarithm to base 10."""
    return real(_log10, input)


@fused()
def _logaddexp(x: Any, y: Any) -> Any:
    greater = record(op.MAX, (x, y)).detach()
    shift = where(isinf(greater), 0.0, greater)
    return log(exp(x - shift) + exp(y - shift)) + shift


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
    """The greater times √(1 + (smaller / greater)²): no overflow."""
    x, y = x.abs(), y.abs()
    greater, smaller = record(op.MAX, (x, y)), -record(op.MAX, (-x, -y))
    nothing = greater == 0
    ratio = smaller / where(nothing, 1.0, greater)
    length = where(nothing, 0.0, greater * sqrt(1 + ratio * ratio))
    return where(isinf(x) | isinf(y), math.inf, length)


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


def _bell(x: Any) -> Any:
    """exp(-x²): the square in two parts, so that its rounding does not show for large x."""
    bits = _LAYOUT[x.dtype][0]
    mask = -(1 << 12) if bits is dtypes.int32 else -(1 << 27)
    whole = record(op.BITCAST, (x,), (bits,)) & mask
    high = record(op.BITCAST, (whole,), (x.dtype,))
    return exp(-(high * high)) * exp((high - x) * (high + x))


def _tail(x: Any) -> Any:
    """erfc x for x ≥ 0.9."""
    t = 1 / (1 + 0.5 * x)
    return t * evaluate(ERFC, t) * _bell(x)


def _center(x: Any) -> Any:
    """erf x for |x| ≤ 1."""
    return x * evaluate(ERF, x * x)


@fused(gradient=lambda x, g: g * (_TWO_OVER_ROOT_PI * exp(-x * x)))
def _erf(x: Any) -> Any:
    size = x.abs()
    if x.dtype is dtypes.float64:
        t = 1 / (1 + 0.5 * size)
        tail = 1 - t * evaluate(ERFC, t) * exp(-size * size)
        return where(size < 1, _center(where(size < 1, x, 0.0)), where(x < 0, -tail, tail))
    size = where(size > ERF_IS_ONE, ERF_IS_ONE, size)  # NaN stays
    near = fma(x, evaluate(ERF_NEAR, size * size), x)
    root = evaluate(ERFC_ROOT, size - 2.25)
    far = fma(-root, root, 1)
    return where(size < 1, near, where(x < 0, -far, far))


@public(inplace=True)
def erf(input: Tensor) -> Any:
    """2/√π ∫ exp(-t²) dt from 0 to x."""
    return real(_erf, input)


@fused(gradient=lambda x, g: g * (-_TWO_OVER_ROOT_PI * exp(-x * x)))
def _erfc(x: Any) -> Any:
    size = x.abs()
    tail = _tail(where(size > 30.0, 30.0, size))
    return where(size < 0.9, 1 - _center(where(size < 1, x, 0.0)), where(x < 0, 2 - tail, tail))


@public(inplace=True)
def erfc(input: Tensor) -> Any:
    """1 - erf x, exact for large x."""
    return real(_erfc, input)


@fused(saves="result", gradient=lambda y, g: g * exp(y * y) * (1 / _TWO_OVER_ROOT_PI))
def _erfinv(y: Any) -> Any:
    """S. Winitzki's approximation (2008), then Halley's iteration on erf, or on erfc."""
    size = y.abs()
    inside = where(size < 1, size, 0.0)
    logarithm = log((1 - inside) * (1 + inside))
    shift = 2 / (math.pi * 0.147) + 0.5 * logarithm
    x = sqrt(sqrt(shift * shift - logarithm * (1 / 0.147)) - shift)
    for _ in range(3):
        middle = where(x < 0.9, x, 0.0)
        rest = where(x < 0.9, _center(middle) - inside, (1 - inside) - _tail(x))
        step = rest / (_TWO_OVER_ROOT_PI * exp(-x * x))
        x = x - step / (1 + x * step)
    x = where(inside == 0, 0.0, x)
    outside = where(size == 1, float("inf"), float("nan"))
    x = where(size < 1, x, outside)
    return where(y < 0, -x, x)


@public(inplace=True)
def erfinv(input: Tensor) -> Any:
    """The inverse of erf on (-1, 1)."""
    return real(_erfinv, input)
