"""torch.Size: the shape of a tensor."""

from __future__ import annotations

import math


class Size(tuple[int, ...]):
    """A tuple of extents, printed as PyTorch prints it."""

    __slots__ = ()

    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self)

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"

    def __getitem__(self, index: object) -> object:  # type: ignore[override]  # Size of a slice
        found = tuple.__getitem__(self, index)  # type: ignore[call-overload]  # as tuple's
        return Size(found) if isinstance(index, slice) else found

    def __add__(self, other: tuple[int, ...]) -> Size:  # type: ignore[override]  # stays a Size
        return Size(tuple.__add__(self, other))
