"""Numbers as unevaluated sums of two: elementary functions that err by little more than rounding.

`high + low` holds about twice a float's bits; low is below an ulp of high. With a fused
multiply-add a product's rounding error is one instruction (without one it comes out as zero: then
the last bit is lost, and no more). The sums are T. Dekker's (1971) and D. Knuth's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from flambeau.graph import dtype as dtypes
from flambeau.graph import op
from flambeau.graph.exponential import EXP_REST, LN2
from flambeau.ops.logic import where
from flambeau.ops.polynomials import LOG_REST, evaluate, fma
from flambeau.ops.promote import as_node
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor

Pair = tuple[Any, Any]

LAYOUT = {dtypes.float32: (dtypes.int32, 23, 127), dtypes.float64: (dtypes.int64, 52, 1023)}
"""The integer of the same size, bits of the mantissa, and what is added to the exponent."""

# constants as double numbers, and what these lack
TWO_THIRDS = (2 / 3, 3.700743415417188e-17)
LOG_2 = (math.log(2), 2.3190468138462996e-17)
PI = (math.pi, 1.2246467991473532e-16)
HALF_PI = (math.pi / 2, 6.123233995736766e-17)
QUARTER_PI = (math.pi / 4, 3.061616997868383e-17)
PER_BASE = {  # 1 / log of the base, log 2 / log of the base
    2: ((1.4426950408889634, 2.0355273740931032e-17), (1.0, 0.0)),
    10: (
        (0.4342944819032518, 1.0983196502167651e-17),
        (0.3010299956639812, -2.803728127785170e-18),
    ),
}


def constant(value: float, like: Any) -> Any:
    """A number as a tensor of that one's dtype."""
    return Tensor._traced(as_node(value, like.dtype))


def quick_sum(x: Any, y: Any) -> Pair:
    """x + y, and what its rounding lost, where |x| ≥ |y| or x is 0."""
    total = x + y
    return total, (x - total) + y


def exact_sum(x: Any, y: Any) -> Pair:
    """x + y, and what its rounding lost."""
    total = x + y
    back = total - x
    return total, (x - (total - back)) + (y - back)


def exact_product(x: Any, y: Any) -> Pair:
    """x · y, and what its rounding lost."""
    product = x * y
    return product, fma(x, y, -product)


def in_parts(constant: tuple[float, float], dtype: Any) -> tuple[float, float]:
    """A constant as the nearest number of the dtype and what that lacks."""
    value, lost = constant
    if dtype is dtypes.float64:
        return value, lost
    high = float(dtype.numpy.type(value))
    return high, value - high


def quotient(x: Any, x_low: Any, y: Any, y_low: Any) -> Pair:
    """(x + x_low) / (y + y_low)."""
    inverse = 1 / y
    high = x * inverse
    return high, (fma(-high, y, x) + (x_low - high * y_low)) * inverse


def magnitude(x: Any) -> Any:
    """x without its sign."""
    bits = LAYOUT[x.dtype][0]
    rest = record(op.BITCAST, (x,), (bits,)) & ((1 << (8 * x.dtype.itemsize - 1)) - 1)
    return record(op.BITCAST, (rest,), (x.dtype,))


def with_sign(size: Any, x: Any) -> Any:
    """A value that is not negative, with the sign of x."""
    bits, width, _ = LAYOUT[x.dtype]
    sign = record(op.BITCAST, (x,), (bits,)) & -(1 << (8 * x.dtype.itemsize - 1))
    return record(op.BITCAST, (record(op.BITCAST, (size,), (bits,)) | sign,), (x.dtype,))


# powers of two ----------------------------------------------------------------------------------


def power_of_two(exponent: Any) -> Any:
    """2 to a whole power (a float) between the least normal number's and the greatest's.

    Added to 1½ · 2 to the mantissa's bits, the exponent lies in the last bits of the sum.
    """
    bits, width, bias = LAYOUT[exponent.dtype]
    shifted = record(op.BITCAST, (exponent + (1.5 * 2.0**width + bias),), (bits,)) << width
    return record(op.BITCAST, (shifted,), (exponent.dtype,))


def inverse_power(exponent: Any) -> Any:
    """2 to the negative of a whole power; where it is below 2⁻¹⁰⁰, that."""
    return power_of_two(where(exponent > 100.0, -100.0, -exponent))


def scaled(value: Any, exponent: Any) -> Any:
    """value · 2 to a whole power, in two factors so that neither overflows nor vanishes early."""
    half = record(op.FLOOR, (exponent * 0.5,))
    return value * power_of_two(half) * power_of_two(exponent - half)


def split(x: Any) -> Pair:
    """x = mantissa · 2 to the exponent (a float), √½ ≤ mantissa < √2, for positive finite x."""
    bits, width, bias = LAYOUT[x.dtype]
    tiny = x < 2.0 ** (1 - bias)
    whole = record(op.BITCAST, (where(tiny, x * 2.0**width, x),), (bits,))
    exponent = (whole - _ROOT_HALF[x.dtype]) >> width
    mantissa = record(op.BITCAST, (whole - (exponent << width),), (x.dtype,))
    exponent = exponent.to(x.dtype)
    return where(tiny, exponent - float(width), exponent), mantissa


_ROOT_HALF = {dtypes.float32: 0x3F3504F3, dtypes.float64: 0x3FE6A09E667F3BCD}


# exponentials -----------------------------------------------------------------------------------


def _reduced(x: Any, x_low: Any, per_log_2: float = 1.0) -> tuple[Any, Pair]:
    """n, and x · per_log_2 + x_low - n log 2 as a pair, the first of which is at most ½ log 2."""
    first, second = LN2[x.dtype is dtypes.float64]
    n = record(op.FLOOR, (fma(x, per_log_2 / math.log(2), 0.5),))
    x = x if per_log_2 == 1.0 else x * per_log_2
    return n, quick_sum(fma(n, -first, x), fma(n, -second, x_low))


_THIRD = tuple([2.0 * table[0] for table in EXP_REST])
_BEND = (
    tuple([2.0 * each for each in EXP_REST[0][1:]]),
    tuple([2.0 * each for each in EXP_REST[1][1:]]),
)
"""(eʳ - 1 - r - r²/2) / (r³/2) is a third and r times a polynomial."""


def one_plus(r: Any, r_low: Any, one: Any = 1.0) -> Pair:
    """exp(r + r_low) as a sum of two (the second is not small), for |r| ≤ ½ log 2.

    Or that less 1 plus `one`, a number that is greater than r or 0. What the first two sums lose is
    added with the smallest terms, so that few roundings count.
    """
    half = r * (r * 0.5)
    lost = fma(r_low, r + half, fma(r, r * 0.5, -half) + r_low)
    high, low = quick_sum(one, r)
    high, more = quick_sum(high, half)
    cube = half * r
    third = _THIRD[r.dtype is dtypes.float64]
    lost = fma(fma(half, r, -cube), third, lost + (low + more))
    return high, fma(cube, third, fma(cube * r, evaluate(_BEND, r), lost))


def exponential_pair(x: Any, x_low: Any = 0.0) -> tuple[Any, Any, Any]:
    """n, high and low (not small) with exp(x + x_low) = 2ⁿ (high + low), high near 1."""
    n, r = _reduced(x, x_low)
    return (n, *one_plus(*r))


def less_one(x: Any) -> tuple[Any, Any, Any, Any]:
    """n, 2⁻ⁿ, high and low (not small) with eˣ - 1 = 2ⁿ (high + low), relatively exact down to 0.

    n ≥ -100; where it is above 100, 2⁻¹⁰⁰ serves.
    """
    n, r = _reduced(x, 0.0)
    inverse = inverse_power(n)
    base = 1.0 - inverse
    high, low = one_plus(*r, base)
    return n, inverse, high, low + ((1.0 - base) - inverse)


def hyperbolic_tangent(x: Any) -> Any:
    """(e²ˣ - 1) / (e²ˣ + 1) for x ≥ 0, both divided by 2ⁿ: the one is 1 - 2⁻ⁿ + r + …, and the
    other 2 · 2⁻ⁿ more. The last two numbers below 1 are known by their arguments."""
    n, r = _reduced(x, 0.0, 2.0)
    inverse = power_of_two(-n)
    above, low = quick_sum(*one_plus(*r, 1.0 - inverse))
    below, below_low = quick_sum(inverse + inverse, above)  # exact, since the first has one bit
    high, low = quotient(above, low, below, below_low + low)
    digits = LAYOUT[x.dtype][1] + 1
    nearly = where(x > (digits + 2) * math.log(2) / 2, 1.0, constant(1 - 2.0**-digits, x))
    return where(x > (digits + 0.5) * math.log(2) / 2, nearly, high + low)


# logarithms -------------------------------------------------------------------------------------


def logarithm(x: Any, x_low: Any = None, twice: bool = False) -> tuple[Any, Any, Any]:
    """k, high and low with log(x + x_low) = k log 2 + high + low, for positive finite x.

    With m = (x + x_low) / 2ᵏ it is 2 atanh s, s = (m - 1) / (m + 1), |s| < 0.172. The pair errs by
    about a hundredth of high's last place, or with `twice` by a ten-thousandth.
    """
    k, m = split(x)
    f = m - 1.0
    above, above_low = quick_sum(1.0, m)
    f_low: Any = 0.0
    if x_low is not None:
        f_low = x_low * inverse_power(k)
        above_low = above_low + f_low
        f, f_low = quick_sum(f, f_low)
    s, s_low = quotient(f, f_low, above, above_low)
    if twice:
        return k, *_doubled_atanh(s, s_low)
    square = s * s
    curve = square * evaluate(LOG_REST, square) + TWO_THIRDS[0]
    high, low = quick_sum(2.0 * s, s * square * curve)
    return k, high, fma(2.0, s_low, low)


def started(table: Any, x: Any) -> Pair:
    """The polynomial at x as a pair: its first coefficient, the greatest term, is added exactly."""
    first, *rest = table[x.dtype is dtypes.float64]
    return begun(((first, 0.0),), evaluate((tuple(rest), tuple(rest)), x), x)


def begun(coefficients: Sequence[tuple[float, float]], value: Any, x: Any) -> Pair:
    """Horner's last steps as a pair: the lowest coefficients are constants and what these lack.

    Each is greater than what is added to it.
    """
    value_low: Any = 0.0
    for each in reversed(coefficients):
        bend, lost = exact_product(x, value)
        first, first_low = in_parts(each, x.dtype)
        lost = fma(x, value_low, lost + first_low)
        value, value_low = quick_sum(first, bend)
        value_low = value_low + lost
    return value, value_low


def _doubled_atanh(s: Any, s_low: Any) -> Pair:
    """2 atanh(s + s_low), of which the first two terms are pairs."""
    square, square_low = exact_product(s, s)
    square_low = fma(2.0 * s, s_low, square_low)
    # 2/3 + s² · (2/5 + 2/7 s² + …), times s², times s, as pairs
    third, third_low = in_parts(TWO_THIRDS, s.dtype)
    rest = evaluate(LOG_REST, square)
    fifth, fifth_low = exact_product(square, rest)
    curve, curve_low = quick_sum(third, fifth)
    curve_low = curve_low + fma(square_low, rest, fifth_low)
    bend, bend_low = exact_product(square, curve)
    bend_low = bend_low + fma(square, curve_low + third_low, square_low * curve)
    cube, cube_low = exact_product(s, bend)
    cube_low = cube_low + fma(s, bend_low, s_low * bend)
    high, low = quick_sum(2.0 * s, cube)
    return high, fma(2.0, s_low, low + cube_low)


def natural(k: Any, high: Any, low: Any) -> Pair:
    """k log 2 + high + low as a pair."""
    first, second = LN2[high.dtype is dtypes.float64]
    total, rest = quick_sum(k * first, high)
    return total, rest + fma(k, second, low)


def logarithm_of_one_plus(x: Any, x_low: Any = 0.0) -> Pair:
    """log(1 + x + x_low) as a pair, for x > -1."""
    total, low = exact_sum(x, 1.0)
    return natural(*logarithm(total, low + x_low, twice=x.dtype is dtypes.float64))


def logarithm_of_sum(x: Any, y: Any, greater: Any) -> Any:
    """log(eˣ + eʸ): the greater and log(1 + exp(-|x - y|)), which may cancel, as pairs."""
    apart, low = exact_sum(x, -y)
    apart, low = where(apart > 0, -apart, apart), where(apart > 0, -low, low)
    least = -80.0 if x.dtype is dtypes.float32 else -700.0  # its exponential is nothing beside 1
    far = apart < least
    n, high, low = exponential_pair(where(far, least, apart), where(far, 0.0, low))
    scale = power_of_two(n)
    high, low = logarithm_of_one_plus(*quick_sum(high * scale, low * scale))
    total, lost = exact_sum(greater, high)
    return total + (lost + low)


def logarithm_to_base(base: int, k: Any, high: Any, low: Any) -> Any:
    """k log 2 + high + low, divided by log of the base."""
    (factor, factor_low), (each, each_low) = (in_parts(p, high.dtype) for p in PER_BASE[base])
    value, lost = exact_product(high, factor)
    lost = lost + fma(high, factor_low, low * factor)
    if each != 1.0:
        k, more = exact_product(k, each)
        lost = lost + fma(k, each_low / each, more)
    total, rest = quick_sum(k, value)
    return total + (rest + lost)


# roots ------------------------------------------------------------------------------------------


def root(x: Any, x_low: Any) -> Pair:
    """√(x + x_low) as a pair, for positive x."""
    high = record(op.SQRT, (x,))
    return high, (fma(-high, high, x) + x_low) / (high + high)
