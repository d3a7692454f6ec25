"""SCATTER, ASSIGN, CAT: writing into part of an array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.graph import op
from flambeau.graph.node import Node, Shape
from flambeau.kernel.index import Index, Linear
from flambeau.kernel.ir import Axis, Loop
from flambeau.kernel.lower import Lowered, Lowering
from flambeau.kernel.movement import guarded_position, pull_view


def lower_copy(target: Node, source: Node, name: str, stored: Any, scalars: Any) -> Lowered:
    """target's buffer = source, an array of the same size; target is not computed."""
    lowering = Lowering(stored, frozenset(), scalars)
    axes = [Axis(extent) for extent in source.shape]
    index = tuple([lowering.indices.axis(each) for each in axes])
    value = lowering.value(source, index)
    lowering.store(target, lowering.indices.flatten(index, source.shape), value)
    return lowering.finish(name, axes)


def lower_scatter(node: Node, name: str, stored: Any, scalars: Any) -> Lowered:
    """The updates of a SCATTER whose buffer holds the target already.

    The index is walked in order along its axis, so that duplicates give the same result every
    time; the other axes are the domain, so that no two points of it write the same element.
    """
    lowering = Lowering(stored, frozenset({node}), scalars)
    indices = lowering.indices
    target, places, value = node.inputs
    axis, mode, *along = node.attrs
    rank = 1 if along else len(places.shape)
    axes = [Axis(extent) for extent in value.shape]
    inner, domain = axes[axis : axis + rank], [*axes[:axis], *axes[axis + rank :]]
    index = tuple([indices.axis(each) for each in axes])
    lowering.scopes.append([])
    place = lowering.value(places, index if along else index[axis : axis + rank])
    position, guard = guarded_position(lowering, place, target.shape[axis], axis, (), node)
    update = lowering.value(value, index, guard)
    at = (*index[:axis], position, *index[axis + rank :])
    flat = indices.flatten(at, target.shape)
    lowering.store(node, flat, update, guard, None if mode == "set" else mode)
    lowering.body.append(Loop(tuple(inner), tuple(lowering.scopes.pop())))
    return lowering.finish(name, domain)


def lower_assign(node: Node, name: str, stored: Any, scalars: Any) -> Lowered:
    """The writes of an ASSIGN whose buffer holds the base already."""
    lowering = Lowering(stored, frozenset({node}), scalars)
    base, value = node.inputs
    shapes = view_shapes(node.attrs[0], base.shape)
    axes = [Axis(extent) for extent in shapes[-1]]
    index = tuple([lowering.indices.axis(each) for each in axes])
    update = lowering.value(value, lowering.broadcast(index, value))
    place = _through_view(lowering, node, shapes, index)
    lowering.store(node, lowering.indices.flatten(place, base.shape), update)
    return lowering.finish(name, axes)


def view_shapes(chain: Sequence[Any], shape: Shape) -> list[Shape]:
    """The shapes before, between and after the steps of a view."""
    shapes = [shape]
    for name, *attrs in chain:
        shapes.append(op.PRIMITIVES[name].shape(tuple(attrs), [shapes[-1]]))
    return shapes


def _through_view(lowering: Lowering, node: Node, shapes: list[Shape], index: Index) -> Index:
    """Where in the base an element of the view lies."""
    chain = node.attrs[0]
    starts: list[tuple[Any, ...]] = []
    used = 0
    for name, *attrs in chain:
        count = len(attrs[0]) if name == "SLICE" else 0
        starts.append(node.scalars[used : used + count])
        used += count
    for number in reversed(range(len(chain))):
        name, *attrs = chain[number]
        index = pull_view(
            lowering.indices,
            name,
            tuple(attrs),
            starts[number],
            index,
            shapes[number + 1],
            shapes[number],
        )
    return index


def lower_cat(
    node: Node, parts: Sequence[tuple[int, Node]], name: str, stored: Any, scalars: Any
) -> Lowered:
    """Parts of equal shape of a CAT, each given with where it starts along the axis."""
    lowering = Lowering(stored, frozenset({node}), scalars)
    (along,) = node.attrs
    axes = [Axis(extent) for extent in parts[0][1].shape]
    index: list[Linear] = [lowering.indices.axis(each) for each in axes]
    for start, part in parts:
        value = lowering.value(part, tuple(index))
        at = list(index)
        at[along] = lowering.indices.shift(at[along], start)
        lowering.store(node, lowering.indices.flatten(at, node.shape), value)
    return lowering.finish(name, axes)
