"""What holds an array's values on a device."""

from __future__ import annotations

from flambeau.graph.node import TensorType


class Buffer:
    """Memory of one array on a device: contiguous, row-major. Subclasses say where it lies."""

    __slots__ = ("__weakref__", "type")

    def __init__(self, of: TensorType) -> None:
        self.type = of

    def become(self, of: TensorType) -> None:
        """The same memory as an array of another type with as many bytes."""
        self.type = of
