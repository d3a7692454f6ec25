"""One walk of what is pending: its order and its key, and which leaves may be overwritten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.graph import op, references
from flambeau.graph.composite import placeholder
from flambeau.graph.dtype import float32
from flambeau.graph.history import keeps_inputs
from flambeau.graph.node import Node, tensor_type


class Walk:
    """One walk of the pending graph: its order, leaves, scalars and key.

    position and uses are of all Nodes: their numbers, and how many inputs of the order they are.
    """

    __slots__ = ("key", "leaves", "marked", "order", "position", "scalars", "uses")

    def __init__(self, name: str, roots: Sequence[Node]) -> None:
        self.marked = False  # whether a Node of the order requires a gradient
        self.order: list[Node] = []
        self.leaves: list[Node] = []
        self.scalars: list[Any] = []
        self.position: dict[Node, int] = {}
        self.uses: list[int] = []
        self.key: list[Any] = [name]
        for root in roots:
            if root not in self.position:
                self._visit(root)

    def _visit(self, root: Node) -> None:
        """Depth first, inputs before users; leaves are taken on the way, without the stack."""
        position, key, order, uses = self.position, self.key, self.order, self.uses
        if root.buffer is not None:
            self._take(root)
            return
        stack = [root]
        while stack:
            node = stack[-1]
            for each in node.inputs:
                if each not in position:
                    if each.buffer is None:
                        stack.append(each)
                        break
                    self._take(each)
            else:
                stack.pop()
                key.append(node.signature.uid)
                for each in node.inputs:
                    number = position[each]
                    key.append(number)
                    uses[number] += 1
                position[node] = len(position)
                uses.append(0)
                order.append(node)
                if node.scalars:
                    self.scalars += node.scalars
                if node.requires_grad:
                    self.marked = True

    def _take(self, leaf: Node) -> None:
        self.position[leaf] = len(self.position)
        self.uses.append(0)
        self.key.append(leaf.type.uid)
        self.leaves.append(leaf)


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


def _to_leaf(leaves: Sequence[Node], number: int) -> int:
    """How many references there are to a leaf."""
    return references.count(leaves[number])


def _to_buffer(leaves: Sequence[Node], number: int) -> int:
    leaf = leaves[number]
    return references.count(leaf.buffer)


def _baseline() -> tuple[int, int]:
    """The references that come of a walk and of looking, and the one to the leaf's buffer."""
    leaf = placeholder(tensor_type((), float32))
    leaf.buffer = object()
    walk = Walk("", [leaf])
    del leaf
    return _to_leaf(walk.leaves, 0), _to_buffer(walk.leaves, 0)


_LOOKING, _BUFFER_ALONE = _baseline()


def _uses(walk: Walk, retained: set[Node]) -> list[int]:
    """How often Nodes that this flush will let go of refer to each Node."""
    uses = list(walk.uses)
    for node in walk.order:
        if node in retained:
            for each in node.inputs:
                uses[walk.position[each]] -= 1
    return uses


def donatable(walk: Walk) -> tuple[int, ...]:
    """Leaves that nothing outside this flush refers to: their buffers may be overwritten."""
    leaves, uses, retained = walk.leaves, walk.uses, _NONE
    if walk.marked:
        retained = _retained(walk.order)
        uses = _uses(walk, retained)
    result: list[int] = []
    for number in range(len(leaves)):
        count = uses[walk.position[leaves[number]]]
        if (
            count
            and _to_leaf(leaves, number) - count <= _LOOKING
            and _to_buffer(leaves, number) <= _BUFFER_ALONE
            and leaves[number] not in retained
        ):
            result.append(number)
    return tuple(result)


_NONE: set[Node] = set()
