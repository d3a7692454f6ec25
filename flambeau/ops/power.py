"""Powers. A Python number that is a small whole number or a half is a formula of its own."""

from __future__ import annotations

import math
from typing import Any

from flambeau.graph import dtype as dtypes
from flambeau.graph import op
from flambeau.graph.dtype import bool_
from flambeau.ops import precise as p
from flambeau.ops.comparison import isinf
from flambeau.ops.convert import check_fits
from flambeau.ops.fused import fused
from flambeau.ops.logic import where
from flambeau.ops.math import log
from flambeau.ops.operators import operator
from flambeau.ops.polynomials import fma
from flambeau.ops.promote import as_node, elementwise, result_dtype
from flambeau.ops.publish import public
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor

_HALVES = {dtypes.float32: 4097.0, dtypes.float64: 134217729.0}
"""The factor that splits a number into two halves of its bits (T. Dekker, 1971)."""


def _exact_product(x: Any, y: Any) -> p.Pair:
    """As p.exact_product, but exact without a fused operation, too: powers need both numbers."""
    factor = _HALVES[x.dtype]
    x_high, y_high = (each * factor - (each * factor - each) for each in (x, y))
    x_low, y_low = x - x_high, y - y_high
    product = x * y
    lost = ((x_high * y_high - product) + x_high * y_low + x_low * y_high) + x_low * y_low
    return product, lost


def _magnitude(size: Any, y: Any) -> Any:
    """size to the power y, for positive finite size: y · log(size) as a sum of two numbers."""
    high, low = p.natural(*p.logarithm(size, twice=True))
    product, lost = _exact_product(y, high)
    lost = fma(y, low, lost)
    most = 1.5 * math.log(2) * p.LAYOUT[size.dtype][2]
    inside = (product.abs() < most) & (y.abs() < 1e30)
    product = where(product > most, most, where(product < -most, -most, product))  # NaN stays
    n, high, low = p.exponential_pair(product, where(inside, lost, 0.0))
    return p.scaled(high + low, n)


def _pow_gradient(x: Any, y: Any, g: Any) -> Any:
    to_x = where(y == 0, 0.0, g * (y * elementwise(_pow, x, y - 1)))
    logarithm = log(where((x == 0) & (y >= 0), 1.0, x))
    to_y = g * where((x == 0) & (y >= 0), 0.0, elementwise(_pow, x, y) * logarithm)
    return to_x, to_y


@fused(gradient=_pow_gradient)
def _pow(x: Any, y: Any) -> Any:
    """exp(y log |x|) with the sign of an odd power. Special cases as C's pow."""
    size = x.abs()
    usual = (size > 0) & ~isinf(size)
    value = _magnitude(where(usual, size, 1.0), y)
    unusual = where((size == 0) == (y > 0), p.constant(0.0, size), math.inf)
    value = where(usual, value, where(size != size, size, where(y != y, y, unusual)))
    value = where((size == 1) & isinf(y), 1.0, value)
    whole = record(op.FLOOR, (y,)) == y
    half = y * 0.5
    odd = whole & (record(op.FLOOR, (half,)) != half) & ~isinf(y)
    negative = x.signbit()
    real = whole | isinf(x) | (x == 0)
    signed = where(real, where(odd, -value, value), float("nan"))
    return where((y == 0) | (x == 1), 1.0, where(negative, signed, value))


@fused()
def _repeated(x: Any, exponent: int) -> Any:
    """A positive whole power by repeated squaring."""
    result = None
    while exponent:
        if exponent & 1:
            result = x if result is None else result * x
        exponent >>= 1
        if exponent:
            x = x * x
    return result


@fused(saves="")
def _integer_pow(x: Any, y: Any) -> Any:
    """Repeated squaring over the bits of y; negative powers as integer division gives them."""
    result = x * 0 + 1
    base, left = x, y
    for _ in range(x.dtype.itemsize * 8 - x.dtype.is_signed):
        result = where((left & 1) != 0, result * base, result)
        base, left = base * base, left >> 1
    if not x.dtype.is_signed:
        return result
    alternating = where((y & 1) == 0, 1, -1)
    inverse = where(x == 1, 1, where(x == -1, alternating, 0)).to(x.dtype)
    return where(y < 0, inverse, result)


@fused(saves="")
def _ones(x: Any) -> Any:
    return record(op.EXPAND, (as_node(1, x.dtype),), (tuple(x.shape),))


@fused()
def _inverse_square(x: Any) -> Any:
    return 1 / (x * x)


def _fixed_power(input: Tensor, exponent: Any) -> Any:
    """The formula for a number of its own; None where there is none."""
    floating = input._type.dtype.is_floating_point
    if exponent == 0:
        return record(_ones, (input,))
    if floating and exponent == 0.5:
        return input.sqrt()
    if floating and exponent == -0.5:
        return input.rsqrt()
    if floating and exponent == -1:
        return input.reciprocal()
    if floating and exponent == -2:
        return record(_inverse_square, (input,))
    if exponent == int(exponent) and 0 < exponent <= (4 if floating else 1 << 62):
        return record(_repeated, (input,), (int(exponent),))
    return None


@public(inplace=True)
def pow(input: Any, exponent: Any) -> Any:  # PyTorch's name
    """input to the power `exponent`; tensors or numbers, one of them a tensor.

    Integers to negative numbers raise RuntimeError.
    """
    dtype = result_dtype((input, exponent))
    if dtype.is_complex:
        from flambeau.ops.complex_numbers.functions import power

        return power(input, exponent)
    if isinstance(input, Tensor) and not isinstance(exponent, Tensor):
        if not dtype.is_floating_point and exponent < 0:
            raise RuntimeError("Integers to negative integer powers are not allowed.")
        if not dtype.is_floating_point:
            check_fits(exponent, dtype)
        if input._type.dtype is dtype and math.isfinite(exponent):
            found = _fixed_power(input, exponent)
            if found is not None:
                return found
    if dtype.is_floating_point:
        return elementwise(_pow, input, exponent, dtype=dtype)
    if dtype is bool_:
        raise NotImplementedError("\"pow\" not implemented for 'Bool'")
    for each in (input, exponent):
        if not isinstance(each, Tensor):
            check_fits(each, dtype)
    return elementwise(_integer_pow, input, exponent, dtype=dtype)


@public(inplace=True)
def float_power(input: Any, exponent: Any) -> Any:
    """pow in float64."""
    values = [each.double() if isinstance(each, Tensor) else each for each in (input, exponent)]
    return elementwise(_pow, *values, dtype=dtypes.float64)


operator("pow", pow)
