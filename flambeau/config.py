"""Every environment variable that Flambeau reads, each read once at import."""

from __future__ import annotations

import os
from pathlib import Path


def _number(name: str, default: int, least: int = 0) -> int:
    """A whole number from the environment. Raises ValueError for anything else."""
    text = os.environ.get(name) or str(default)
    if not (text.isascii() and text.isdecimal()) or int(text) < least:
        raise ValueError(f"{name}={text}: expected a whole number, {least} or more")
    return int(text)


DEVICE = os.environ.get("FLAMBEAU_DEVICE", "cpu")
"""The default device's name."""

THREADS = _number("FLAMBEAU_THREADS", 0)
"""Threads of the cpu device; 0 means one per core that this process may use."""

CACHE = Path(
    os.environ.get("FLAMBEAU_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flambeau"
)
"""Where plans and compiled objects are kept; FLAMBEAU_CACHE="" means the default place."""

CACHE_BYTES = _number("FLAMBEAU_CACHE_BYTES", 1 << 30)
"""Bound of the disk cache's size; 0 turns the disk cache off."""

PENDING = _number("FLAMBEAU_PENDING", 2000, least=1)
"""How many recorded operations may wait before a flush is made."""

TORCH_HOME = Path(
    os.environ.get("TORCH_HOME")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "torch"
).expanduser()
"""Where torch.hub keeps what it downloads: PyTorch's place, so that both share files."""
