"""Constants, runtime scalars and IOTA: values that are not read from memory."""

from __future__ import annotations

from typing import Any

from flambeau.graph import op
from flambeau.graph.node import Node, ScalarRef
from flambeau.graph.numpy_reference import decode_constant
from flambeau.kernel.index import Index
from flambeau.kernel.lower import Guard, Lowering, Step, rule


@rule(op.CONST)
def _const(lowering: Lowering, node: Node, index: Index, guard: Guard) -> Step:
    dtype = node.dtype
    if len(node.attrs) > 1:
        return lowering.constant(decode_constant(node.attrs[1], dtype), dtype)
    number = runtime_scalar(node.scalars[0])
    if number is None:
        convert = float if dtype.is_floating_point else int
        return lowering.constant(convert(node.scalars[0]), dtype)
    return lowering.cast(lowering.scalar(number), dtype)
    yield


@rule(op.IOTA)
def _iota(lowering: Lowering, node: Node, index: Index, guard: Guard) -> Step:
    return lowering.cast(lowering.indexed(index[0]), node.dtype)
    yield


def runtime_scalar(value: Any) -> int | None:
    """The number of the plan's scalar that `value` stands for; None where it is fixed."""
    return value.index if isinstance(value, ScalarRef) else None
