"""torch.cuda.nvtx: marks for NVIDIA's profilers, of which there are none here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flambeau.stand_in import stand_in

__all__ = ["mark", "range", "range_end", "range_pop", "range_push", "range_start"]

_depth = 0


@stand_in("counts how deep it is")
def range_push(msg: str) -> int:
    """Begin a part; how many are open, from 0."""
    global _depth
    _depth += 1
    return _depth - 1


@stand_in("counts how deep it is")
def range_pop() -> int:
    """End the innermost part; how many are open then."""
    global _depth
    _depth = max(_depth - 1, 0)
    return _depth


@stand_in("accepted")
def range_start(msg: str) -> int:
    """0."""
    return 0


@stand_in("accepted")
def range_end(range_id: int) -> None:
    """Nothing to do."""


@stand_in("accepted")
def mark(msg: str) -> None:
    """Nothing to do."""


@stand_in("a block in which nothing changes")
@contextmanager
def range(msg: str, *args: Any, **kwargs: Any) -> Iterator[None]:  # noqa: A001  # PyTorch's name
    """A part of the program."""
    range_push(msg.format(*args, **kwargs))
    try:
        yield
    finally:
        range_pop()
