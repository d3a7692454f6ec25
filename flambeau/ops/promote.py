"""PyTorch's type promotion and the way of an elementwise operation's arguments to Nodes.

A tensor with dimensions decides over a 0-d tensor, and that over a Python number, unless the
weaker one is of a higher category (bool < int < float): torch.result_type.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy

from flambeau.graph import build, op
from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType, promote
from flambeau.graph.node import Node, Operation, node
from flambeau.tensor.device import get_default_dtype
from flambeau.tensor.fields import TensorFields
from flambeau.tensor.record import derive, is_tracing, record
from flambeau.tensor.tensor import Tensor

_CATEGORY = {"bool": 0, "uint": 1, "int": 1, "float": 2, "complex": 3}
Number = bool | int | float | complex


def number_dtype(value: Any) -> DType:
    """The dtype of a Python or numpy number on its own."""
    if isinstance(value, (bool, numpy.bool_)):
        return dtypes.bool_
    if isinstance(value, (int, numpy.integer)):
        return dtypes.int64
    if isinstance(value, (float, numpy.floating)):
        return get_default_dtype()
    if isinstance(value, (complex, numpy.complexfloating)):
        return get_default_dtype().to_complex()
    raise TypeError(f"expected a Tensor or a number, but got {type(value).__name__}")


def result_dtype(values: Sequence[Any]) -> DType:
    """The dtype of an operation on tensors and numbers. Raises TypeError for anything else."""
    found: list[DType | None] = [None, None, None]  # with dimensions, 0-d tensors, numbers
    for each in values:
        if isinstance(each, Tensor):
            rank, dtype = (0 if each._type.shape else 1), each._type.dtype
        else:
            rank, dtype = 2, number_dtype(each)
        before = found[rank]
        found[rank] = dtype if before is None else promote(before, dtype)
    result: DType | None = None
    for each in found:
        if each is None:
            continue
        if result is None:
            result = each
        elif _CATEGORY[each.kind] > _CATEGORY[result.kind]:
            result = promote(result, each) if result.has_gradient else each
    assert result is not None
    return result


def as_node(value: Any, dtype: DType) -> Any:
    """A tensor (or number) as an input of `dtype`; a number becomes a runtime scalar."""
    if isinstance(value, Tensor):
        if value._type.dtype is dtype:
            return value
        return derive(op.CAST, (value._read(),), (dtype,))
    return number_node(value, dtype)


def number_node(value: Any, dtype: DType) -> Node:
    """A number as a runtime scalar, or as a fixed one within a composite's expansion.

    Integers wrap around, as PyTorch's do in arithmetic.
    """
    if dtype.is_complex:
        both = [number_node(each, dtype.real) for each in (value.real, value.imag)]
        return node(op.COMPLEX_OF, tuple(both))
    if dtype.is_floating_point:
        value = float(value)
    elif dtype.kind == "bool":
        value = bool(value)
    else:
        value = wrapped(int(value), dtype)
    if is_tracing():
        return build.constant(value, dtype)
    return build.scalar(value, dtype)


def wrapped(value: int, dtype: DType) -> int:
    """`value` modulo 2 to the bits of an integer dtype, within its range."""
    low, high = integer_range(dtype)
    if not -(1 << 63) <= value < 1 << 64:
        raise OverflowError(f"int too big to convert: {value} does not fit 64 bits")
    return value if low <= value <= high else (value - low) % (high - low + 1) + low


def integer_range(dtype: DType) -> tuple[int, int]:
    """The least and the greatest value of an integer dtype."""
    bits = dtype.itemsize * 8
    if dtype.is_signed:
        return -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    return 0, (1 << bits) - 1


def elementwise(operation: Operation, *values: Any, dtype: DType | None = None) -> Any:
    """Promote, broadcast and record an elementwise operation on tensors and numbers."""
    if dtype is None:
        if _of_one_dtype(values):
            return record(operation, values)
        dtype = result_dtype(values)
    return record(operation, [as_node(each, dtype) for each in values])


def _of_one_dtype(values: Sequence[Any]) -> bool:
    """Whether all are tensors that need no promotion."""
    dtype: DType | None = None
    for each in values:
        if not isinstance(each, Tensor):
            return False
        fields: TensorFields = each
        of = fields._type.dtype
        if dtype is not None and of is not dtype:
            return False
        dtype = of
    return True


def floating(dtype: DType) -> DType:
    """The dtype of a real-valued function's result: integers give the default dtype."""
    return dtype if dtype.has_gradient else get_default_dtype()


def to_floating(input: Tensor) -> Any:
    """A tensor of integers or bools in the default floating dtype; others as they are."""
    dtype = input._type.dtype
    return input if dtype.is_floating_point else record(op.CAST, (input,), (floating(dtype),))
