"""torch.cuda.profiler: NVIDIA's profiler, which is not there. torch.profiler is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flambeau.stand_in import stand_in

__all__ = ["profile", "start", "stop"]


@stand_in("accepted")
def start() -> None:
    """Nothing to do."""


@stand_in("accepted")
def stop() -> None:
    """Nothing to do."""


@stand_in("a block in which nothing changes")
@contextmanager
def profile() -> Iterator[None]:
    """Nothing changes within."""
    yield
