"""Addition, multiplication, division, remainders and powers."""

from __future__ import annotations

from typing import Any

from flambeau.graph import op
from flambeau.graph.dtype import bool_
from flambeau.ops.fused import fused, real
from flambeau.ops.logic import where
from flambeau.ops.operators import operator
from flambeau.ops.promote import elementwise, floating, result_dtype
from flambeau.ops.publish import public
from flambeau.tensor.fields import TensorFields
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor

# addition ---------------------------------------------------------------------------------------


def _check_alpha(alpha: Any, dtype: Any) -> None:
    if isinstance(alpha, float) and not dtype.is_floating_point:
        raise RuntimeError(
            "For integral input tensors, argument alpha must not be a floating point number."
        )


@fused(saves="")
def _add_scaled(x: Any, y: Any, alpha: Any) -> Any:
    return x + y * alpha


def plus(input: Any, other: Any) -> Any:
    """input + other; of bools: or."""
    return elementwise(op.OR if _of_bools(input, other) else op.ADD, input, other)


def _of_bools(input: Any, other: Any) -> bool:
    first = input if isinstance(input, Tensor) else other
    if isinstance(first, Tensor):
        fields: TensorFields = first
        if fields._type.dtype is not bool_:
            return False
    return result_dtype((input, other)) is bool_


@public(inplace=True)
def add(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """input + alpha · other. Broadcasts and promotes; of bools: or."""
    if type(alpha) is int and alpha == 1:
        return plus(input, other)
    dtype = result_dtype((input, other))
    _check_alpha(alpha, dtype)
    return elementwise(_add_scaled, input, other, alpha, dtype=dtype)


@fused(saves="", wide=False)
def _sub(x: Any, y: Any) -> Any:
    return record(op.ADD, (x, record(op.NEG, (y,))))


def _is_bool(value: Any) -> bool:
    return value._type.dtype is bool_ if isinstance(value, Tensor) else isinstance(value, bool)


def minus(input: Any, other: Any) -> Any:
    """input - other. Raises RuntimeError where one is bool."""
    if _is_bool(input) or _is_bool(other):
        if _is_bool(input) and _is_bool(other):
            raise RuntimeError(
                "Subtraction, the `-` operator, with two bool tensors is not supported. "
                "Use the `^` or `logical_xor()` operator instead."
            )
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are "
            "trying to invert a mask, use the `~` or `logical_not()` operator instead."
        )
    return elementwise(_sub, input, other)


@public("subtract", inplace=True)
def sub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """input - alpha · other. Broadcasts and promotes."""
    if type(alpha) is int and alpha == 1:
        return minus(input, other)
    dtype = result_dtype((input, other))
    _check_alpha(alpha, dtype)
    return elementwise(_add_scaled, input, other, -alpha, dtype=dtype)


@public()
def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """other - alpha · input."""
    return sub(other, input, alpha=alpha)


@public("negative", inplace=True)
def neg(input: Tensor) -> Any:
    """-input. Raises RuntimeError for bools."""
    if input._type.dtype is bool_:
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to "
            "invert a mask, use the `~` or `logical_not()` operator instead."
        )
    return record(op.NEG, (input,))


@public()
def positive(input: Tensor) -> Tensor:
    """input itself. Raises RuntimeError for bools."""
    if input._type.dtype is bool_:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


# multiplication and division --------------------------------------------------------------------


def times(input: Any, other: Any) -> Any:
    """input · other; of bools: and."""
    return elementwise(op.AND if _of_bools(input, other) else op.MUL, input, other)


@public("multiply", inplace=True)
def mul(input: Any, other: Any) -> Any:
    """input · other. Broadcasts and promotes; of bools: and."""
    return times(input, other)


def over(input: Any, other: Any) -> Any:
    """input / other; integers give the default floating dtype."""
    return elementwise(op.DIV, input, other, dtype=floating(result_dtype((input, other))))


def _no_gradient(x: Any, y: Any, g: Any) -> Any:
    return None, None


@fused(saves="", gradient=_no_gradient)
def _floor_divide(x: Any, y: Any) -> Any:
    """⌊x / y⌋ of the exact quotient: the remainder is taken off before dividing."""
    rest = _truncated_remainder(x, y)
    quotient = (x - rest) / y
    crossed = (rest != 0) & ((rest < 0) != (y < 0))
    quotient = (quotient + 0.5 - crossed.to(x.dtype)).floor()  # was whole but for rounding
    return where(y == 0, x / y, quotient)


def _truncated_remainder(x: Any, y: Any) -> Any:
    """x - y·trunc(x / y) of floats, exact, with the sign of x."""
    rest = record(op.MOD, (x.abs(), y.abs()))
    return where(x < 0, -rest, rest)


@fused(saves="")
def _truncate_divide(x: Any, y: Any) -> Any:
    """The integer quotient rounded towards zero."""
    quotient = record(op.IDIV, (x, y))
    exact = quotient * y == x
    return quotient + (~exact & ((x < 0) != (y < 0))).to(x.dtype)


@public("divide", inplace=True)
def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """input / other. rounding_mode: None (true division), "floor" or "trunc"."""
    if rounding_mode is None:
        return over(input, other)
    if rounding_mode == "floor":
        return floor_divide(input, other)
    if rounding_mode != "trunc":
        raise RuntimeError(
            "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
            f"'{rounding_mode}'"
        )
    dtype = result_dtype((input, other))
    if dtype.is_floating_point:
        return over(input, other).trunc()
    return elementwise(_truncate_divide, input, other, dtype=_no_bool("div_trunc", dtype))


@public("true_divide", inplace=True)
def true_divide(input: Any, other: Any) -> Any:
    """input / other."""
    return over(input, other)


def _no_bool(name: str, dtype: Any) -> Any:
    if dtype is bool_:
        raise NotImplementedError(f"\"{name}\" not implemented for 'Bool'")
    return dtype


@public(inplace=True)
def floor_divide(input: Any, other: Any) -> Any:
    """⌊input / other⌋. Integers: division by zero raises RuntimeError (ZeroDivisionError)."""
    dtype = result_dtype((input, other))
    if dtype.is_floating_point:
        return elementwise(_floor_divide, input, other, dtype=dtype)
    return elementwise(op.IDIV, input, other, dtype=_no_bool("div_floor", dtype))


@public(inplace=True)
def remainder(input: Any, other: Any) -> Any:
    """input - other·⌊input / other⌋: the sign is that of other."""
    dtype = _no_bool("remainder", result_dtype((input, other)))
    return elementwise(op.MOD, input, other, dtype=dtype)


def _fmod_gradient(x: Any, y: Any, g: Any) -> Any:
    return g, -g * (x / y).trunc()


@fused(gradient=_fmod_gradient)
def _fmod(x: Any, y: Any) -> Any:
    if x.dtype.is_floating_point:
        return _truncated_remainder(x, y)
    rest = record(op.MOD, (x, y))
    return where((rest != 0) & ((rest < 0) != (x < 0)), rest - y, rest)


@public(inplace=True)
def fmod(input: Any, other: Any) -> Any:
    """The remainder of the division rounded towards zero: the sign is that of input."""
    dtype = _no_bool("fmod", result_dtype((input, other)))
    return elementwise(_fmod, input, other, dtype=dtype)


def _reciprocal_gradient(y: Any, g: Any) -> Any:
    return -g * (y * y)


@fused(saves="result", gradient=_reciprocal_gradient)
def _reciprocal(x: Any) -> Any:
    return 1.0 / x


@public(inplace=True)
def reciprocal(input: Tensor) -> Any:
    """1 / input."""
    return real(_reciprocal, input)


# sums of products -------------------------------------------------------------------------------


@fused(saves="1?2+3,2?1+3,3?1+2")
def _addcmul(x: Any, first: Any, second: Any, value: Any) -> Any:
    return x + value * (first * second)


@public(inplace=True)
def addcmul(input: Tensor, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """input + value · tensor1 · tensor2."""
    dtype = result_dtype((input, tensor1, tensor2))
    return elementwise(_addcmul, input, tensor1, tensor2, value, dtype=dtype)


@fused(saves="1?2+3,2?1+2+3,3?1+2")
def _addcdiv(x: Any, first: Any, second: Any, value: Any) -> Any:
    return x + value * (first / second)


@public(inplace=True)
def addcdiv(input: Tensor, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """input + value · tensor1 / tensor2. Raises RuntimeError for integers."""
    dtype = result_dtype((input, tensor1, tensor2))
    if not dtype.is_floating_point:
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported, and in a future release addcdiv "
            "will perform a true division of tensor1 and tensor2."
        )
    return elementwise(_addcdiv, input, tensor1, tensor2, value, dtype=dtype)


@fused(saves="0?2,1?2,2")
def _lerp(start: Any, end: Any, weight: Any) -> Any:
    """From the nearer end, so that weight 1 gives `end` exactly."""
    step = weight * (end - start)
    back = end - (end - start) * (1.0 - weight)
    return where(weight.abs() < 0.5, start + step, back)


@public(inplace=True)
def lerp(input: Tensor, end: Tensor, weight: Any) -> Any:
    """input + weight · (end - input). Raises RuntimeError where dtypes differ."""
    for name, each in (("end", end), ("weight", weight)):
        if isinstance(each, Tensor) and each._type.dtype is not input._type.dtype:
            raise RuntimeError(
                f"expected dtype {input.dtype!r} for `{name}` but got dtype {each.dtype!r}"
            )
    if not input._type.dtype.is_floating_point:
        raise NotImplementedError(f"\"lerp\" not implemented for '{input.dtype!r}'")
    return elementwise(_lerp, input, end, weight, dtype=input._type.dtype)


operator("add", plus)
operator("sub", minus)
operator("mul", times)
operator("truediv", over)
Tensor.__rdiv__ = Tensor.__rtruediv__  # type: ignore[attr-defined]  # Python 2's name, which PyTorch has
operator("floordiv", floor_divide)
operator("mod", remainder)
Tensor.__neg__ = neg  # type: ignore[method-assign, assignment]  # operators come from here
Tensor.__pos__ = positive  # type: ignore[method-assign, assignment]  # operators come from here


def _divmod(self: Tensor, other: Any) -> Any:
    return floor_divide(self, other), remainder(self, other)


Tensor.__divmod__ = _divmod  # type: ignore[method-assign, assignment]  # operators come from here
