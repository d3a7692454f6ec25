"""One walk of what is pending: its order and its key, and which leaves may be overwritten."""

from __future__ import annotations

from collections.abc import Sequence
from sys import getrefcount
from typing import Any

from flambeau.graph import op
from flambeau.graph.composite import placeholder
from flambeau.graph.dtype import float32
from flambeau.graph.history import keeps_inputs
from flambeau.graph.node import Node, tensor_type


class Walk:
    """One walk of the pending graph: its order, leaves, scalars and key."""

    __slots__ = ("key", "leaves", "marked", "order", "position", "scalars")

    def __init__(self, name: str, roots: Sequence[Node]) -> None:
        self.marked = False  # whether a Node of the order requires a gradient
        self.order: list[Node] = []
        self.leaves: list[Node] = []
        self.scalars: list[Any] = []
        self.position: dict[Node, int] = {}
        self.key: list[Any] = [name]
        self._visit(roots)

    def _visit(self, roots: Sequence[Node]) -> None:
        """Depth first, inputs before users; leaves are taken on the way, without the stack."""
        position, key, order, scalars = self.position, self.key, self.order, self.scalars
        leaves = self.leaves
        stack = list(reversed(roots))
        while stack:
            node = stack.pop()
            if node in position:
                continue
            if node.buffer is not None:
                position[node] = len(position)
                key.append(node.type.uid)
                leaves.append(node)
                continue
            for each in node.inputs:
                if each not in position:
                    if each.buffer is None:
                        stack.append(node)
                        stack.append(each)
                        break
                    position[each] = len(position)
                    key.append(each.type.uid)
                    leaves.append(each)
            else:
                key.append(node.signature.uid)
                key += [position[each] for each in node.inputs]
                position[node] = len(position)
                order.append(node)
                if node.scalars:
                    scalars += node.scalars
                if node.requires_grad:
                    self.marked = True


def _anchor(node: Node) -> Node:
    """What must be stored so that `node` can be had again by moving elements only."""
    while node.buffer is None and (
        (node.op in op.MOVEMENT and node.op is not op.CAT) or node.op is op.DETACH
    ):
        node = node.inputs[0]
    return node


def kept_for_backward(order: Sequence[Node]) -> list[Node]:
    """Pending values that a later backward will need, in forward graphs flushed before it."""
    kept: dict[Node, None] = {}
    for node in order:
        if not node.requires_grad or not keeps_inputs(node):
            continue
        for _storage, _version, which in node.history.saved if node.history else ():
            anchor = _anchor(node if which < 0 else node.inputs[which])
            if (
                anchor.buffer is None
                and anchor.op is not op.CONST
                and hasattr(anchor.type, "dtype")
            ):
                kept[anchor] = None
    return list(kept)


def _retained(order: Sequence[Node]) -> set[Node]:
    """Nodes that stay alive after the flush because a later backward can reach them."""
    retained: set[Node] = set()
    for node in reversed(order):
        if node in retained or keeps_inputs(node):
            retained.add(node)
            retained.update(node.inputs)
    return retained


def _references(leaves: Sequence[Node]) -> list[tuple[int, int]]:
    """How many references there are to each leaf and to its buffer."""
    return [(getrefcount(leaf), getrefcount(leaf.buffer)) for leaf in leaves]


def _baseline() -> tuple[int, int]:
    """The references that come of this module's looking, and the one to the leaf's buffer."""
    leaf = placeholder(tensor_type((), float32))
    leaf.buffer = object()
    looking = Walk("", [leaf])
    ((to_leaf, to_buffer),) = _references(looking.leaves)
    return to_leaf - 1, to_buffer  # but for the variable above


_LOOKING, _BUFFER_ALONE = _baseline()


def _uses(order: Sequence[Node], retained: set[Node]) -> dict[Node, int]:
    """How often Nodes that this flush will let go of refer to each leaf."""
    uses: dict[Node, int] = {}
    for node in order:
        if node not in retained:
            for each in node.inputs:
                if each.buffer is not None:
                    uses[each] = uses.get(each, 0) + 1
    return uses


def donatable(walk: Walk) -> tuple[int, ...]:
    """Leaves that nothing outside this flush refers to: their buffers may be overwritten."""
    retained = _retained(walk.order) if walk.marked else set()
    uses = _uses(walk.order, retained)
    counts = _references(walk.leaves)
    result = []
    for number, leaf in enumerate(walk.leaves):
        if leaf in uses and leaf not in retained:
            to_leaf, to_buffer = counts[number]
            outside = to_leaf - uses[leaf] - 1 - _LOOKING  # 1: the key in `uses`
            if outside <= 0 and to_buffer <= _BUFFER_ALONE:
                result.append(number)
    return tuple(result)
