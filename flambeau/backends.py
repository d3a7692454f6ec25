"""torch.backends, as far as programs ask what is there or set what they would like."""

from __future__ import annotations

import types
from typing import Any


class _Backend(types.SimpleNamespace):
    """A library that PyTorch may use and Flambeau does not: settings are kept, nothing follows."""

    def is_available(self) -> bool:
        return False

    def is_built(self) -> bool:
        return False

    def __repr__(self) -> str:
        settings: dict[str, Any] = vars(self)
        return f"backend (not used by Flambeau): {settings}"


cudnn = _Backend(enabled=False, benchmark=False, deterministic=True, allow_tf32=False)
cuda = _Backend(matmul=types.SimpleNamespace(allow_tf32=False))
mps = _Backend()
mkl = _Backend()
mkldnn = _Backend(enabled=False)
openmp = _Backend()
