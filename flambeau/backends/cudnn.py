"""torch.backends.cudnn. PyTorch's settings of cuDNN."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flambeau.stand_in import stand_in

enabled = False
benchmark = False
benchmark_limit = 10
deterministic = True
allow_tf32 = False


@stand_in("False")
def is_available() -> bool:
    """False: there is no cuDNN here."""
    return False


@stand_in("None")
def version() -> int | None:
    """None: there is no cuDNN here."""
    return None


@contextmanager
def flags(**settings: Any) -> Iterator[None]:
    """Other settings within the block."""
    names = globals()
    before = {name: names[name] for name in settings if name in names}
    names.update((name, settings[name]) for name in before)
    try:
        yield
    finally:
        names.update(before)
