"""REDUCE and SCAN: Folds over the reduced axes."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from flambeau.graph import dtype as dtypes
from flambeau.graph import op
from flambeau.graph.dtype import DType
from flambeau.graph.node import Node
from flambeau.kernel.index import Index
from flambeau.kernel.ir import Axis, Fold, Value
from flambeau.kernel.lower import Guard, Lowered, Lowering, Request, Step, accumulator, rule


def fold_kind(kind: str, dtype: DType) -> tuple[str, DType]:
    """How a reduction of `dtype` is folded: bools as small numbers, 16-bit floats in float32."""
    if dtype.kind == "bool":
        return ("max" if kind == "add" else kind), dtypes.uint8
    return kind, accumulator(dtype)


@rule(op.REDUCE)
def _reduce(lowering: Lowering, node: Node, index: Index, guard: Guard) -> Step:
    (source,) = node.inputs
    kind, axes = node.attrs
    kind, wide = fold_kind(kind, node.dtype)

    def make(steps: Index) -> Generator[Request, Value, Value]:
        inner = list(index)
        for axis, step in zip(axes, steps, strict=True):
            inner[axis] = step
        value = yield (source, tuple(inner), guard)
        return lowering.cast(value, wide)

    total = yield from lowering.fold(kind, wide, [source.shape[axis] for axis in axes], make)
    return lowering.cast(total, node.dtype)


def lower_scan(node: Node, name: str, stored: Any, scalars: Any) -> Lowered:
    """A SCAN: one point of the domain for each row, a Fold that stores after each step."""
    lowering = Lowering(stored, frozenset({node}), scalars)
    kind, along = node.attrs
    kind, wide = fold_kind(kind, node.dtype)
    axes = [Axis(extent) for extent in node.shape]
    index = tuple([lowering.indices.axis(each) for each in axes])
    lowering.scopes.append([])
    value = lowering.cast(lowering.value(node.inputs[0], index), wide)
    checks = lowering.scopes.pop()
    fold = Fold((axes[along],), kind, value, wide)
    running = Value("result", (), wide, fold)
    lowering.scopes.append([])
    flat = lowering.indices.flatten(index, node.shape)
    lowering.store(node, flat, lowering.cast(running, node.dtype))
    fold.body = (*checks, *lowering.scopes.pop())
    lowering.body.append(fold)
    return lowering.finish(name, [each for number, each in enumerate(axes) if number != along])
