"""The template of most kernels: a domain, Folds of what is reduced, stores of the results.

A frame is a group's iteration space: axes, some of which are looped over inside (the reduced axes
of a row kernel). Each root is stored at an index of the frame. A map has no loops and no folds; a
row kernel folds and then loops; a matrix product or convolution folds and stores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flambeau.graph import op
from flambeau.graph.node import Node
from flambeau.kernel.conv import conv_variants
from flambeau.kernel.index import Atom, Index, Linear
from flambeau.kernel.ir import Axis, Loop
from flambeau.kernel.lower import Lowered, Lowering
from flambeau.kernel.matmul import is_turned, matmul_domain


class Frame:
    """An iteration space: one axis for each dimension of `shape`; those in `loops` run inside."""

    __slots__ = ("axes", "loops", "shape")

    def __init__(self, shape: Sequence[int], loops: Sequence[int] = ()) -> None:
        self.shape = tuple(shape)
        self.loops = frozenset(loops)
        self.axes = tuple([Axis(extent) for extent in shape])


def lower_frame(
    frame: Frame,
    anchor: Node | None,
    roots: Mapping[Node, Index],
    name: str,
    stored: Any,
    scalars: Any,
) -> list[Lowered]:
    """The kernels that compute `roots`, each given with its index in the frame.

    `anchor` is the group's MATMUL or CONV, if it has one; its result spans the frame.
    """
    if anchor is not None and anchor.op is op.CONV:
        return _lower_conv(frame, anchor, roots, name, stored, scalars)
    lowering = Lowering(stored, frozenset(roots), scalars)
    axes = [Axis(extent) for extent in frame.shape]
    places = [lowering.indices.axis(each) for each in axes]
    domain = [each for number, each in enumerate(axes) if number not in frame.loops]
    if anchor is not None:
        node, index = next(iter(roots.items()))
        place = _translated(lowering, frame, index, places)
        lowering.turned = is_turned(lowering.indices.flatten(place, node.shape), axes)
        domain = matmul_domain(anchor, axes, lowering.turned)
        lowering.value(anchor, tuple(places))
    _store_roots(lowering, frame, roots, axes, places)
    return [lowering.finish(name, domain)]


def _lower_conv(
    frame: Frame,
    anchor: Node,
    roots: Mapping[Node, Index],
    name: str,
    stored: Any,
    scalars: Any,
) -> list[Lowered]:
    """A CONV in mode "input" with a stride needs a launch for each phase."""
    result: list[Lowered] = []
    count = len(conv_variants(anchor, Lowering(stored).indices))
    for number in range(count):
        lowering = Lowering(stored, frozenset(roots), scalars)
        domain, places = conv_variants(anchor, lowering.indices)[number]
        lowering.value(anchor, places)
        _store_roots(lowering, frame, roots, None, list(places))
        result.append(lowering.finish(name, domain))
    return result


def _store_roots(
    lowering: Lowering,
    frame: Frame,
    roots: Mapping[Node, Index],
    axes: list[Axis] | None,
    places: list[Linear],
) -> None:
    """Stores of the roots: those that span loop axes go into a Loop behind the others."""
    plain: list[Node] = []
    looped: dict[tuple[int, ...], list[Node]] = {}
    for node, index in roots.items():
        used = tuple([number for number in sorted(frame.loops) if _uses(frame, index, number)])
        if used:
            looped.setdefault(used, []).append(node)
        else:
            plain.append(node)
    for node in plain:
        _store(lowering, node, _translated(lowering, frame, roots[node], places))
    for used, nodes in looped.items():
        inner = {number: Axis(frame.shape[number]) for number in used}
        moved = list(places)
        for number, each in inner.items():
            moved[number] = lowering.indices.axis(each)
        lowering.scopes.append([])
        for node in nodes:
            _store(lowering, node, _translated(lowering, frame, roots[node], moved))
        body = tuple(lowering.scopes.pop())
        lowering.body.append(Loop(tuple(inner.values()), body))


def _store(lowering: Lowering, node: Node, index: Index) -> None:
    value = lowering.value(node, index)
    lowering.store(node, lowering.indices.flatten(index, node.shape), value)


def _uses(frame: Frame, index: Index, number: int) -> bool:
    axis = frame.axes[number]
    return any(_atom_uses(each, axis) for each in index)


def _atom_uses(linear: Linear, axis: Axis) -> bool:
    return any(
        atom.payload is axis
        if atom.kind == "axis"
        else isinstance(atom.payload, Linear) and _atom_uses(atom.payload, axis)
        for atom, _ in linear.terms
    )


def _translated(lowering: Lowering, frame: Frame, index: Index, places: Sequence[Linear]) -> Index:
    """An index of the frame's axes as one of the kernel's."""
    numbers = {axis: number for number, axis in enumerate(frame.axes)}

    def leaf(atom: Atom) -> Linear | None:
        return places[numbers[atom.payload]] if atom.kind == "axis" else None

    return tuple([lowering.indices.substitute(each, leaf) for each in index])
