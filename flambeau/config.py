"""Every environment variable that Flambeau reads, each read once at import."""

from __future__ import annotations

import os
from pathlib import Path

DEVICE = os.environ.get("FLAMBEAU_DEVICE", "cpu")
"""The default device's name."""

THREADS = int(os.environ.get("FLAMBEAU_THREADS", "0"))
"""Threads of the cpu device; 0 means one per core that this process may use."""

CACHE = Path(
    os.environ.get("FLAMBEAU_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flambeau"
)
"""Where plans and compiled objects are kept; FLAMBEAU_CACHE="" means the default place."""

CACHE_BYTES = int(os.environ.get("FLAMBEAU_CACHE_BYTES", str(1 << 30)))
"""Bound of the disk cache's size; 0 turns the disk cache off."""

PENDING = int(os.environ.get("FLAMBEAU_PENDING", "2000"))
"""How many recorded operations may wait before a flush is made."""

TORCH_HOME = Path(
    os.environ.get("TORCH_HOME")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "torch"
).expanduser()
"""Where torch.hub keeps what it downloads: PyTorch's place, so that both share files."""
