"""Movement and indexing operations: they turn the index at which their input is wanted.

`pull` says at which index, and under which further conditions, a movement operation reads its
input. It serves loads (what an element is) as well as stores through a view (where an element
goes).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.graph import dtype as dtypes
from flambeau.graph import op
from flambeau.graph.node import Node, Shape
from flambeau.graph.numpy_reference import OUT_OF_BOUNDS, decode_constant
from flambeau.graph.shapes import gather_attrs
from flambeau.kernel.index import Index, Indices, Linear
from flambeau.kernel.ir import Value
from flambeau.kernel.lower import Condition, Guard, Lowering, Step, rule
from flambeau.kernel.sources import runtime_scalar


def start_of(indices: Indices, start: Any, most: int) -> Linear:
    """A slice's start, fixed or a runtime scalar; its bounds were checked when it was recorded."""
    number = runtime_scalar(start)
    return indices.constant(start) if number is None else indices.scalar(number, 0, most)


def pull_slice(
    indices: Indices, index: Index, shape: Shape, steps: Sequence[int], starts: Sequence[Any]
) -> Index:
    """Where in an array of `shape` a slice's element at `index` lies."""
    result: list[Linear] = []
    for position, extent, step, start in zip(index, shape, steps, starts, strict=True):
        first = start_of(indices, start, extent - 1)
        place = indices.add(indices.multiply(position, step), first)
        result.append(indices.within(place, 0, extent - 1))
    return tuple(result)


def pull_view(
    indices: Indices,
    name: str,
    attrs: tuple[Any, ...],
    starts: Sequence[Any],
    index: Index,
    shape: Shape,
    source: Shape,
) -> Index:
    """Where in its input of shape `source` a view's element at `index` of `shape` lies."""
    if name == "RESHAPE":
        return indices.reshape(index, shape, source)
    if name == "PERMUTE":
        result = [indices.zero] * len(index)
        for number, axis in enumerate(attrs[0]):
            result[axis] = index[number]
        return tuple(result)
    if name == "SLICE":
        return pull_slice(indices, index, source, attrs[1], starts)
    if name == "EXPAND":
        lead = len(shape) - len(source)
        return tuple(
            [
                indices.zero if extent == 1 else position
                for extent, position in zip(source, index[lead:], strict=True)
            ]
        )
    if name == "WINDOW":
        return _pull_window(indices, attrs, index, source)
    raise TypeError(f"{name} is no view")


def _pull_window(indices: Indices, attrs: tuple[Any, ...], index: Index, source: Shape) -> Index:
    axes, _sizes, strides, dilations = attrs
    result = list(index[: len(source)])
    for number, axis in enumerate(axes):
        place = indices.multiply(result[axis], strides[number])
        tap = indices.multiply(index[len(source) + number], dilations[number])
        result[axis] = indices.add(place, tap)
    return tuple(result)


def _view(lowering: Lowering, node: Node, index: Index, guard: Guard) -> Step:
    (source,) = node.inputs
    inner = pull_view(
        lowering.indices, node.op.name, node.attrs, node.scalars, index, node.shape, source.shape
    )
    return (yield (source, inner, guard))


for _primitive in (op.RESHAPE, op.PERMUTE, op.SLICE, op.EXPAND, op.WINDOW):
    rule(_primitive)(_view)


def pull_pad(lowering: Lowering, node: Node, index: Index) -> tuple[Index, list[Condition]]:
    """Where in its input a PAD's element lies, and when it lies there at all."""
    indices, source = lowering.indices, node.inputs[0].shape
    result: list[Linear] = []
    conditions: list[Condition] = []
    parts = zip(index, node.shape, source, node.attrs[1], node.scalars, strict=True)
    for position, whole, extent, step, start in parts:
        first = start_of(indices, start, whole - 1)
        place = indices.add(position, indices.multiply(first, -1))
        if step < 0:
            place = indices.multiply(place, -1)
        stride = abs(step)
        if stride > 1:  # keep what is divided from going below 0
            turns = max(0, -(place.low // stride))
            place = indices.shift(place, turns * stride)
            remainder = indices.modulo(place, stride)
            if remainder.high > 0:
                conditions.append((remainder, 0, 1))
            place = indices.shift(indices.divide(place, stride), -turns)
        if place.low < 0 or place.high >= extent:
            conditions.append((place, 0, extent))
        result.append(indices.within(place, 0, extent - 1))
    return tuple(result), conditions


def _never(conditions: list[Condition]) -> bool:
    return any(
        not isinstance(each, Value) and (each[0].high < each[1] or each[0].low >= each[2])
        for each in conditions
    )


@rule(op.PAD)
def _pad(lowering: Lowering, node: Node, index: Index, guard: Guard) -> Step:
    inner, conditions = pull_pad(lowering, node, index)
    fill = lowering.constant(decode_constant(node.attrs[2], node.dtype), node.dtype)
    if _never(conditions):
        return fill
    new = tuple([each for each in conditions if each not in guard])
    value = yield (node.inputs[0], inner, (*guard, *new))
    if not new:
        return value
    if value.op == "load" and len(value.args) == 2 and _is_zero(fill):
        return value
    valid = lowering.conjunction(new)
    assert valid is not None
    return lowering.emit("WHERE", (valid, value, fill), node.dtype)


def _is_zero(value: Value) -> bool:
    """Whether a constant's bits are those of a load that is not carried out."""
    return op.encode_constant(value.payload, value.dtype) in (False, 0, "0x0.0p+0")


def guarded_position(
    lowering: Lowering,
    value: Value,
    extent: int,
    axis: int,
    guard: Guard,
    node: Node,
    message: str = OUT_OF_BOUNDS,
) -> tuple[Linear, Guard]:
    """An index that was computed, as a position below `extent`, and the guard for its use.

    Where it lies outside, a Check records IndexError and nothing is read or written.
    """
    indices = lowering.indices
    if value.op == "const" and 0 <= value.payload < extent:
        return indices.constant(value.payload), guard
    if value.op == "index" and value.payload.low >= 0 and value.payload.high < extent:
        return value.payload, guard
    boolean = dtypes.bool_
    not_below = lowering.emit("LT", (lowering.constant(-1), value), boolean)
    not_above = lowering.emit("LT", (value, lowering.constant(extent)), boolean)
    valid = lowering.emit("AND", (not_below, not_above), boolean)
    text = message.replace("{axis}", str(axis)).replace("{size}", str(extent))
    lowering.check(valid, guard, value, "IndexError", text, node)
    guard = guard if valid in guard else (*guard, valid)
    if value.op == "index":
        return indices.within(value.payload, 0, max(extent - 1, 0)), guard
    return indices.value(value, 0, max(extent - 1, 0)), guard


@rule(op.GATHER)
def _gather(lowering: Lowering, node: Node, index: Index, guard: Guard) -> Step:
    source, places = node.inputs
    axis, message, along = gather_attrs(node.attrs)
    rank = 1 if along else len(places.shape)
    place = yield (places, index if along else index[axis : axis + rank], guard)
    extent, text = source.shape[axis], message or OUT_OF_BOUNDS
    position, inner = guarded_position(lowering, place, extent, axis, guard, node, text)
    return (yield (source, (*index[:axis], position, *index[axis + rank :]), inner))


@rule(op.MATERIALIZE)
def _materialize(lowering: Lowering, node: Node, index: Index, guard: Guard) -> Step:
    return (yield (node.inputs[0], index, guard))
