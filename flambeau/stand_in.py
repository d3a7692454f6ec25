"""Names that are here so that programs run, though what they control is not.

PyTorch's programs ask for CUDA's memory, launch processes, or choose among implementations. On one
machine without CUDA such calls have a sensible answer; what has one only in that sense is marked,
so that the table of the API and docs/differences.md can say so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

_T = TypeVar("_T")
_MARKED: dict[int, tuple[Any, str]] = {}  # by identity; the object is kept, so that ids stay


def stand_in(meaning: str) -> Callable[[_T], _T]:
    """Mark a function or class as standing in; `meaning` says what it does here."""

    def mark(thing: _T) -> _T:
        _MARKED[id(thing)] = (thing, meaning)
        return thing

    return mark


def is_stand_in(thing: object) -> bool:
    """Whether `thing` was marked."""
    return id(thing) in _MARKED


def meaning_of(thing: object) -> str:
    """What a marked name does here. Raises KeyError where it is not marked."""
    return _MARKED[id(thing)][1]
