"""Truth values and bits: where, logical_*, bitwise_*, shifts."""

from __future__ import annotations

from typing import Any

from flambeau.graph import dtype as dtypes
from flambeau.graph import op
from flambeau.graph.dtype import DType, bool_
from flambeau.ops.axes import DTYPE_TITLES
from flambeau.ops.fused import fused
from flambeau.ops.operators import operator
from flambeau.ops.promote import as_node, elementwise, result_dtype
from flambeau.ops.publish import public
from flambeau.tensor.attach import method
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor


def as_bool(value: Any) -> Any:
    """A tensor or number as bool: whether it is not zero."""
    if isinstance(value, Tensor):
        return value if value._type.dtype is bool_ else record(op.CAST, (value,), (bool_,))
    return as_node(value, bool_)


@public(method=False)
def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """`input` where the condition holds, else `other`; both broadcast and promote.

    With the condition alone: the indices where it holds, as nonzero(as_tuple=True). Raises
    RuntimeError where the condition is not bool.
    """
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    if not isinstance(condition, Tensor) or condition._type.dtype is not bool_:
        if isinstance(condition, Tensor) and condition._type.dtype is not dtypes.uint8:
            raise RuntimeError(
                "where expected condition to be a boolean tensor, but got a tensor with dtype "
                f"{DTYPE_TITLES[condition.dtype.name]}"
            )
        condition = as_bool(condition)
    dtype = result_dtype((input, other))
    return record(op.WHERE, (condition, as_node(input, dtype), as_node(other, dtype)))


@method("where")
def tensor_where(self: Tensor, condition: Tensor, other: Any) -> Any:
    """self where the condition holds, else `other`."""
    return where(condition, self, other)


# truth ------------------------------------------------------------------------------------------


@public(inplace=True)
def logical_and(input: Tensor, other: Tensor) -> Any:
    """Whether both are not zero."""
    return record(op.AND, (as_bool(input), as_bool(other)))


@public(inplace=True)
def logical_or(input: Tensor, other: Tensor) -> Any:
    """Whether one is not zero."""
    return record(op.OR, (as_bool(input), as_bool(other)))


@public(inplace=True)
def logical_xor(input: Tensor, other: Tensor) -> Any:
    """Whether exactly one is not zero."""
    return record(op.XOR, (as_bool(input), as_bool(other)))


@public(inplace=True)
def logical_not(input: Tensor) -> Any:
    """Whether it is zero."""
    return elementwise(op.XOR, as_bool(input), True)


# bits -------------------------------------------------------------------------------------------


def _integral(name: str, *values: Any) -> DType:
    """The result's dtype. Raises NotImplementedError for floats."""
    dtype = result_dtype(values)
    if dtype.is_floating_point:
        title = DTYPE_TITLES[dtype.name]
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{title}'")
    return dtype


@public(inplace=True)
def bitwise_and(input: Any, other: Any) -> Any:
    """input & other, bit by bit. Raises NotImplementedError for floats."""
    return elementwise(op.AND, input, other, dtype=_integral("bitwise_and", input, other))


@public(inplace=True)
def bitwise_or(input: Any, other: Any) -> Any:
    """input | other, bit by bit. Raises NotImplementedError for floats."""
    return elementwise(op.OR, input, other, dtype=_integral("bitwise_or", input, other))


@public(inplace=True)
def bitwise_xor(input: Any, other: Any) -> Any:
    """input ^ other, bit by bit. Raises NotImplementedError for floats."""
    return elementwise(op.XOR, input, other, dtype=_integral("bitwise_xor", input, other))


@public(inplace=True)
def bitwise_not(input: Tensor) -> Any:
    """Every bit flipped; of bools: not. Raises NotImplementedError for floats."""
    dtype = _integral("bitwise_not", input)
    return elementwise(op.XOR, input, True if dtype is bool_ else -1, dtype=dtype)


@fused(saves="")
def _shift_left(x: Any, bits: Any) -> Any:
    return _shifted(op.SHL, x, bits, record(op.AND, (x, as_node(0, x.dtype))))


@fused(saves="")
def _shift_right(x: Any, bits: Any) -> Any:
    last = record(op.SHR, (x, as_node(x.dtype.itemsize * 8 - 1, x.dtype)))
    return _shifted(op.SHR, x, bits, last if x.dtype.is_signed else as_node(0, x.dtype))


def _shifted(operation: Any, x: Any, bits: Any, beyond: Any) -> Any:
    """The shift where it is less than the width (the primitive's domain), else `beyond`."""
    least, width = as_node(0, x.dtype), as_node(x.dtype.itemsize * 8, x.dtype)
    inside = record(op.LT, (bits, width))
    if x.dtype.is_signed:
        negative = record(op.LT, (bits, least))
        inside = record(op.AND, (inside, elementwise(op.XOR, negative, True)))
    safe = record(op.WHERE, (inside, bits, least))
    return record(op.WHERE, (inside, record(operation, (x, safe)), beyond))


@public(inplace=True)
def bitwise_left_shift(input: Any, other: Any) -> Any:
    """input · 2 to the power of other; 0 where that is the width of the type or more."""
    dtype = _integral("lshift", input, other)
    return elementwise(_shift_left, input, other, dtype=dtype)


@public(inplace=True)
def bitwise_right_shift(input: Any, other: Any) -> Any:
    """⌊input / 2 to the power of other⌋."""
    dtype = _integral("rshift", input, other)
    return elementwise(_shift_right, input, other, dtype=dtype)


operator("and", bitwise_and)
operator("or", bitwise_or)
operator("xor", bitwise_xor)
operator("lshift", bitwise_left_shift)
operator("rshift", bitwise_right_shift)
Tensor.__invert__ = bitwise_not  # type: ignore[method-assign, assignment]  # operators come from here
