"""Comparisons, what is NaN or infinite, closeness, and the greater and smaller of two."""

from __future__ import annotations

from typing import Any

from flambeau.graph import dtype as dtypes
from flambeau.graph import op
from flambeau.graph.dtype import DType
from flambeau.ops.fused import fused
from flambeau.ops.logic import where
from flambeau.ops.operators import operator
from flambeau.ops.promote import elementwise, floating, number_node, result_dtype
from flambeau.ops.publish import public, title
from flambeau.tensor.attach import method
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor


@fused(saves="", wide=False)
def _ne(x: Any, y: Any) -> Any:
    return elementwise(op.XOR, record(op.EQ, (x, y)), True)


@fused(saves="", wide=False)
def _le(x: Any, y: Any) -> Any:
    if x.dtype.is_floating_point:
        return record(op.OR, (record(op.LT, (x, y)), record(op.EQ, (x, y))))
    return elementwise(op.XOR, record(op.LT, (y, x)), True)


@public(inplace=True)
def eq(input: Any, other: Any) -> Any:
    """input = other, element by element."""
    return elementwise(op.EQ, input, other)


@public("not_equal", inplace=True)
def ne(input: Any, other: Any) -> Any:
    """input ≠ other, element by element."""
    return elementwise(_ne, input, other)


@public("less", inplace=True)
def lt(input: Any, other: Any) -> Any:
    """input < other, element by element."""
    return elementwise(op.LT, input, other)


@public("less_equal", inplace=True)
def le(input: Any, other: Any) -> Any:
    """input ≤ other, element by element."""
    return elementwise(_le, input, other)


@public("greater", inplace=True)
def gt(input: Any, other: Any) -> Any:
    """input > other, element by element."""
    return elementwise(op.LT, other, input)


@public("greater_equal", inplace=True)
def ge(input: Any, other: Any) -> Any:
    """input ≥ other, element by element."""
    return elementwise(_le, other, input)


for _name, _function in (("eq", eq), ("ne", ne), ("lt", lt), ("le", le), ("gt", gt), ("ge", ge)):
    operator(_name, _function, reflected=False, inplace=False)


# NaN and infinity, by their bits: some GPU drivers take NaN to be equal to itself ---------------

_BITS = {2: dtypes.int16, 4: dtypes.int32, 8: dtypes.int64}
_INFINITY = {
    dtypes.float16: 0x7C00,
    dtypes.bfloat16: 0x7F80,
    dtypes.float32: 0x7F800000,
    dtypes.float64: 0x7FF0000000000000,
}


def _magnitude(x: Any) -> tuple[Any, Any]:
    """The bits without the sign, and infinity's: NaN's are greater, finite numbers' smaller."""
    bits = _BITS[x.dtype.itemsize]
    mask = (1 << (x.dtype.itemsize * 8 - 1)) - 1
    whole = record(op.BITCAST, (x,), (bits,))
    return elementwise(op.AND, whole, mask), number_node(_INFINITY[x.dtype], bits)


@fused(saves="", wide=False)
def _isnan(x: Any) -> Any:
    bits, infinity = _magnitude(x)
    return record(op.LT, (infinity, bits))


@fused(saves="", wide=False)
def _isinf(x: Any) -> Any:
    bits, infinity = _magnitude(x)
    return record(op.EQ, (bits, infinity))


@fused(saves="", wide=False)
def _isfinite(x: Any) -> Any:
    bits, infinity = _magnitude(x)
    return record(op.LT, (bits, infinity))


@fused(saves="", wide=False)
def _constant_like(x: Any, value: bool) -> Any:
    return record(op.EXPAND, (number_node(value, dtypes.bool_),), (tuple(x.shape),))


def _of_float(formula: Any, input: Tensor, otherwise: bool) -> Any:
    if input._type.dtype.is_floating_point:
        return record(formula, (input,))
    return record(_constant_like, (input,), (otherwise,))


def _any_part(input: Tensor, test: Any) -> Any:
    from flambeau.ops.complex_numbers.functions import any_part

    return any_part(input, test)


@public(out=False)
def isnan(input: Tensor) -> Any:
    """Where it, or one of its parts, is NaN."""
    if input._type.dtype.is_complex:
        return _any_part(input, isnan)
    return _of_float(_isnan, input, False)


@public(out=False)
def isinf(input: Tensor) -> Any:
    """Where it, or one of its parts, is ∞ or -∞."""
    if input._type.dtype.is_complex:
        return _any_part(input, isinf)
    return _of_float(_isinf, input, False)


@public(out=False)
def isfinite(input: Tensor) -> Any:
    """Where it is neither NaN nor infinite."""
    if input._type.dtype.is_complex:
        return ~_any_part(input, lambda part: ~isfinite(part))
    return _of_float(_isfinite, input, True)


@public()
def isposinf(input: Tensor) -> Any:
    """Where it is ∞."""
    return input == float("inf")


@public()
def isneginf(input: Tensor) -> Any:
    """Where it is -∞."""
    return input == -float("inf")


@public(out=False)
def isreal(input: Tensor) -> Any:
    """Where the imaginary part is 0."""
    if input._type.dtype.is_complex:
        return input.imag == 0
    return record(_constant_like, (input,), (True,))


@fused(saves="", wide=False)
def _signbit(x: Any) -> Any:
    if x.dtype.is_floating_point:
        x = record(op.BITCAST, (x,), (_BITS[x.dtype.itemsize],))
    return x < 0


@public()
def signbit(input: Tensor) -> Any:
    """Where the sign is minus, also that of -0.0."""
    return record(_signbit, (input,))


# closeness --------------------------------------------------------------------------------------


@fused(saves="")
def _isclose(x: Any, y: Any, rtol: Any, atol: Any, equal_nan: bool) -> Any:
    close = x == y
    if equal_nan:
        close = close | (isnan(x) & isnan(y))
    return close | (isfinite(y) & isfinite(x) & ((x - y).abs() <= atol + rtol * y.abs()))


@fused(saves="")
def _isclose_integers(x: Any, y: Any, rtol: Any, atol: Any, equal_nan: bool) -> Any:
    x, y = x.to(dtypes.float32), y.to(dtypes.float32)
    return (x - y).abs() <= atol + rtol * y.abs()


def _same_dtype(input: Tensor, other: Tensor) -> DType:
    if input._type.dtype is not other._type.dtype:
        raise RuntimeError(f"{title(input.dtype)} did not match {title(other.dtype)}")
    return input._type.dtype


@public(out=False)
def isclose(
    input: Tensor,
    other: Tensor,
    rtol: float = 1e-05,
    atol: float = 1e-08,
    equal_nan: bool = False,
) -> Any:
    """Where |input - other| ≤ atol + rtol · |other|; infinities only where they are equal."""
    dtype = _same_dtype(input, other)
    if dtype.is_complex:
        from flambeau.ops.complex_numbers.functions import near

        return near(input, other, rtol, atol, bool(equal_nan))
    formula = _isclose
    number = dtype
    if not dtype.is_floating_point:
        formula, number = _isclose_integers, dtypes.float32
    elif dtype.itemsize == 2:
        number = dtypes.float32
    inputs = (input, other, number_node(rtol, number), number_node(atol, number))
    return record(formula, inputs, (bool(equal_nan),))


@public(out=False)
def allclose(
    input: Tensor,
    other: Tensor,
    rtol: float = 1e-05,
    atol: float = 1e-08,
    equal_nan: bool = False,
) -> bool:
    """Whether isclose holds everywhere."""
    return bool(isclose(input.detach(), other.detach(), rtol, atol, equal_nan).all())


@public(out=False)
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether shapes and all elements are the same."""
    if input._type.shape != other._type.shape:
        return False
    return bool((input.detach() == other.detach()).all())


# the greater and the smaller of two -------------------------------------------------------------


@fused(wide=False)
def _minimum(x: Any, y: Any) -> Any:
    if x.dtype.is_floating_point:
        return -record(op.MAX, (-x, -y))
    return where(record(op.LT, (y, x)), y, x)


def _both_tensors(name: str, input: Any, other: Any) -> None:
    for place, (label, each) in enumerate((("input", input), ("other", other)), 1):
        if not isinstance(each, Tensor):
            raise TypeError(
                f"{name}(): argument '{label}' (position {place}) must be Tensor, not "
                f"{type(each).__name__}"
            )


@public()
def maximum(input: Tensor, other: Tensor) -> Any:
    """The greater of two; NaN where one is NaN. Equal ones share the gradient."""
    _both_tensors("maximum", input, other)
    return elementwise(op.MAX, input, other)


@public()
def minimum(input: Tensor, other: Tensor) -> Any:
    """The smaller of two; NaN where one is NaN. Equal ones share the gradient."""
    _both_tensors("minimum", input, other)
    return elementwise(_minimum, input, other)


@fused()
def _fmax(x: Any, y: Any) -> Any:
    return where(isnan(x), y, where(isnan(y) | (y <= x), x, y))


@fused()
def _fmin(x: Any, y: Any) -> Any:
    return where(isnan(x), y, where(isnan(y) | (x <= y), x, y))


@public()
def fmax(input: Tensor, other: Tensor) -> Any:
    """The greater of two; NaN only where both are NaN."""
    return elementwise(_fmax, input, other)


@public()
def fmin(input: Tensor, other: Tensor) -> Any:
    """The smaller of two; NaN only where both are NaN."""
    return elementwise(_fmin, input, other)


@fused(saves="", wide=False)
def _heaviside(x: Any, values: Any) -> Any:
    return where(x == 0, values, (x > 0).to(x.dtype))


@public(inplace=True)
def heaviside(input: Tensor, values: Tensor) -> Any:
    """0 below 0, 1 above, `values` at 0. Raises RuntimeError where dtypes differ."""
    if input._type.dtype is not values._type.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")
    return elementwise(_heaviside, input, values)


@fused(gradient=lambda x, y, g: (g * where(signbit(x) == signbit(y), 1.0, -1.0), None))
def _copysign(x: Any, y: Any) -> Any:
    return where(signbit(x) == signbit(y), x, -x)


@public(inplace=True)
def copysign(input: Tensor, other: Any) -> Any:
    """|input| with the sign of other."""
    return elementwise(_copysign, input, other, dtype=floating(result_dtype((input, other))))


@method("__contains__")
def contains(self: Tensor, element: Any) -> bool:
    """Whether one of the elements equals `element`."""
    return bool((self.detach() == element).any())
