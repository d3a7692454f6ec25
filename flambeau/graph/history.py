"""What autograd remembers of a Node that requires a gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.graph.node import Node


class History:
    """The record of one Node.

    leaf       () -> the leaf tensor (or None) whose value the Node is; gradients end there
    saved      (storage, version, position) of what the gradient needs unmodified; position is the
               input's number, -1 is the result
    custom     the user's Function that made the Node, see autograd/function.py
    hooks      called with the Node's gradient; what they return, if anything, replaces it
    retain     tensors' sinks that want the Node's gradient (retain_grad)
    freed      backward has used the record: a second one is an error where something was saved
    """

    __slots__ = ("custom", "freed", "hooks", "leaf", "retain", "saved")

    def __init__(self, leaf: Callable[[], Any] | None = None) -> None:
        self.leaf = leaf
        self.saved: tuple[tuple[Any, int, int], ...] = ()
        self.custom: Any = None
        self.hooks: list[Callable[[Node], Node | None]] | None = None
        self.retain: list[Callable[[Node], None]] | None = None
        self.freed = False


def is_leaf(node: Node) -> bool:
    """Whether gradients end at this Node."""
    return node.history is not None and node.history.leaf is not None


def release(node: Node) -> None:
    """Backward is done with the Node: let go of what it kept alive."""
    history = node.history
    history.freed = True
    history.saved = tuple([(None, 0, position) for _, _, position in history.saved])
    if node.buffer is not None:
        node.inputs = ()
        node.scalars = ()


def keeps_inputs(node: Node) -> bool:
    """Whether a computed Node must still know what it was made of: backward may come."""
    if not node.requires_grad:
        return False
    history = node.history
    return history is None or not (history.freed or history.leaf is not None)
