"""Elementary functions of complex numbers, made of real ones of their parts.

So their gradients, PyTorch's convention included, are those of the parts. Formulas: Abramowitz and
Stegun, chapters 3 and 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from flambeau.ops.complex_numbers.parts import imaginary_part, made_of, real_part
from flambeau.ops.logic import where
from flambeau.ops.promote import result_dtype
from flambeau.tensor.tensor import Tensor

_FUNCTIONS: dict[str, Callable[[Any], Any]] = {}


def apply(name: str, *values: Any) -> Any:
    """The function that the real formula `name` is for real numbers."""
    found = _FUNCTIONS.get(name.lower())
    dtype = result_dtype(values)
    if found is None or len(values) != 1:
        raise NotImplementedError(f'"{name.lower()}" is not there for {dtype!r}')
    return found(*values)


def _of(*names: str) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    def register(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        for name in names:
            _FUNCTIONS[name] = function
        return function

    return register


def parts_of(z: Tensor) -> tuple[Any, Any]:
    """(real, imaginary)"""
    return real_part(z), imaginary_part(z)


def absolute(z: Tensor) -> Any:
    """|z|, without overflow; its gradient at 0 is 0."""
    return real_part(z).hypot(imaginary_part(z))


@_of("exp")
def _exp(z: Any) -> Any:
    x, y = parts_of(z)
    size = x.exp()
    return made_of(size * y.cos(), size * y.sin())


@_of("exp2")
def _exp2(z: Any) -> Any:
    return _exp(z * math.log(2))


@_of("expm1")
def _expm1(z: Any) -> Any:
    return _exp(z) - 1


@_of("log")
def _log(z: Any) -> Any:
    x, y = parts_of(z)
    return made_of(x.hypot(y).log(), y.atan2(x))


@_of("log2")
def _log2(z: Any) -> Any:
    return _log(z) / math.log(2)


@_of("log10")
def _log10(z: Any) -> Any:
    return _log(z) / math.log(10)


@_of("log1p")
def _log1p(z: Any) -> Any:
    return _log(z + 1)


@_of("sqrt")
def _sqrt(z: Any) -> Any:
    """The root with the greater part first; the other is y / 2 of it, so that nothing cancels."""
    x, y = parts_of(z)
    size = x.hypot(y)
    zero = size == 0
    root = ((size + x.abs()) * 0.5 + where(zero, 1.0, 0.0).to(x.dtype)).sqrt()
    other = y / (2 * root)
    right = x >= 0
    real = where(right, root, other.abs())
    imag = where(right, other, where(y.signbit(), -root, root))
    return made_of(where(zero, 0.0, real).to(x.dtype), where(zero, y, imag))


@_of("rsqrt")
def _rsqrt(z: Any) -> Any:
    return 1 / _sqrt(z)


@_of("reciprocal")
def _reciprocal(z: Any) -> Any:
    return 1 / z


@_of("sin")
def _sin(z: Any) -> Any:
    x, y = parts_of(z)
    return made_of(x.sin() * y.cosh(), x.cos() * y.sinh())


@_of("cos")
def _cos(z: Any) -> Any:
    x, y = parts_of(z)
    return made_of(x.cos() * y.cosh(), -(x.sin() * y.sinh()))


@_of("tan")
def _tan(z: Any) -> Any:
    return _sin(z) / _cos(z)


@_of("sinh")
def _sinh(z: Any) -> Any:
    x, y = parts_of(z)
    return made_of(x.sinh() * y.cos(), x.cosh() * y.sin())


@_of("cosh")
def _cosh(z: Any) -> Any:
    x, y = parts_of(z)
    return made_of(x.cosh() * y.cos(), x.sinh() * y.sin())


@_of("tanh")
def _tanh(z: Any) -> Any:
    """(tanh x + i tan y) / (1 + i tanh x tan y)"""
    x, y = parts_of(z)
    first, second = x.tanh(), y.tan()
    return made_of(first, second) / made_of(first * 0 + 1, first * second)


@_of("sigmoid")
def _sigmoid(z: Any) -> Any:
    return 1 / (1 + _exp(-z))


def _times_i(z: Any) -> Any:
    x, y = parts_of(z)
    return made_of(-y, x)


@_of("asinh")
def _asinh(z: Any) -> Any:
    return _log(z + _sqrt(z * z + 1))


@_of("acosh")
def _acosh(z: Any) -> Any:
    return _log(z + _sqrt(z + 1) * _sqrt(z - 1))


@_of("atanh")
def _atanh(z: Any) -> Any:
    return (_log(1 + z) - _log(1 - z)) * 0.5


@_of("asin")
def _asin(z: Any) -> Any:
    return -_times_i(_asinh(_times_i(z)))


@_of("acos")
def _acos(z: Any) -> Any:
    return math.pi / 2 - _asin(z)


@_of("atan")
def _atan(z: Any) -> Any:
    return -_times_i(_atanh(_times_i(z)))


def power(base: Any, exponent: Any) -> Any:
    """exp(exponent · log base); small whole exponents by products; 0 to a positive power is 0."""
    dtype = result_dtype((base, exponent))
    whole = isinstance(exponent, (int, float)) and exponent == int(exponent)
    if whole and 0 <= exponent <= 16 and isinstance(base, Tensor):
        return _whole_power(base.to(dtype), int(exponent))
    like = base if isinstance(base, Tensor) else exponent
    x, y = (
        each.to(dtype) if isinstance(each, Tensor) else like.new_full((), each, dtype=dtype)
        for each in (base, exponent)
    )
    zero = x == 0
    found = _exp(_log(where(zero, 1.0, x).to(dtype)) * y)
    return where(zero & (y != 0), 0.0, found).to(dtype)


def _whole_power(z: Tensor, exponent: int) -> Any:
    if exponent == 0:
        return z * 0 + 1
    result, square = None, z
    while exponent:
        if exponent & 1:
            result = square if result is None else result * square
        exponent >>= 1
        if exponent:
            square = square * square
    return result


def product(z: Any, axis: int) -> Any:
    """The product along an axis, which stays as 1: by halves."""
    extent = z._type.shape[axis]
    if extent == 0:
        return z.sum(axis, True) + 1
    while extent > 1:
        half = extent // 2
        rest = z.narrow(axis, 2 * half, extent - 2 * half)
        z = z.narrow(axis, 0, half) * z.narrow(axis, half, half)
        if extent % 2:
            first = z.narrow(axis, 0, 1) * rest
            from flambeau.ops.shape import cat

            z = cat([first, z.narrow(axis, 1, half - 1)], axis) if half > 1 else first
        extent = half
    return z


def sign(z: Tensor) -> Any:
    """z / |z|, 0 where it is 0."""
    size = absolute(z)
    zero = size == 0
    return where(zero, 0.0, z / where(zero, 1.0, size).to(z.dtype)).to(z.dtype)


def any_part(z: Tensor, test: Callable[[Any], Any]) -> Any:
    """Where a test holds for one of the parts."""
    return test(real_part(z)) | test(imaginary_part(z))


def near(x: Tensor, y: Tensor, rtol: float, atol: float, equal_nan: bool) -> Any:
    """isclose for complex numbers: by the size of the difference."""
    close = absolute(x - y) <= atol + rtol * absolute(y)
    found = (x == y) | (close & y.isfinite())
    return found | (x.isnan() & y.isnan()) if equal_nan else found
