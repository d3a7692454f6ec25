"""Handles of hooks that modules and optimizers keep in ordered dictionaries."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import MutableMapping
from typing import Any

__all__ = ["RemovableHandle"]


class RemovableHandle:
    """What register_*_hook returns: remove() takes the hook away. Also a context manager.

    `extra` are further dictionaries or sets that hold the same id.
    """

    next_id = 0

    def __init__(self, hooks: MutableMapping[int, Any], *extra: Any) -> None:
        self.id = RemovableHandle.next_id
        RemovableHandle.next_id += 1
        self._places = [weakref.ref(each) for each in (hooks, *extra)]

    def remove(self) -> None:
        """Take the hook away; a second call does nothing."""
        for place in self._places:
            held = place()
            if held is not None and self.id in held:
                del held[self.id]

    def __getstate__(self) -> tuple[int, list[Any]]:
        return self.id, [place() for place in self._places]

    def __setstate__(self, state: tuple[int, list[Any]]) -> None:
        self.id, places = state
        self._places = [weakref.ref(OrderedDict() if each is None else each) for each in places]
        RemovableHandle.next_id = max(RemovableHandle.next_id, self.id + 1)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()
