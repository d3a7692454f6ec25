"""torch.Size: the shape of a tensor."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, SupportsIndex, overload


class Size(tuple[int, ...]):
    """A tuple of extents, printed as PyTorch prints it."""

    __slots__ = ()

    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self)

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, index: SupportsIndex, /) -> int: ...
        @overload
        def __getitem__(self, index: slice, /) -> Size: ...

    def __getitem__(self, index: Any, /) -> Any:
        found = tuple.__getitem__(self, index)
        return Size(found) if isinstance(index, slice) else found

    def __add__(self, other: tuple[int, ...]) -> Size:  # type: ignore[override]  # stays a Size
        return Size(tuple.__add__(self, other))
