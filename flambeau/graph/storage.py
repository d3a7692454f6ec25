"""The array that a tensor and its views share."""

from __future__ import annotations

from flambeau.graph.node import Node


class Storage:
    """One array that tensors share: the Node that it holds now, and how often it was written."""

    __slots__ = ("__weakref__", "node", "version")

    def __init__(self, held: Node) -> None:
        self.node = held
        self.version = 0
