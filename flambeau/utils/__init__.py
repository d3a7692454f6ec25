"""Utilities. PyTorch's torch.utils."""

from __future__ import annotations

import importlib
from typing import Any

from flambeau.utils import data, hooks, provenance

_LATER = frozenset(
    {
        "_pytree",
        "benchmark",
        "checkpoint",
        "cpp_extension",
        "deterministic",
        "dlpack",
        "model_zoo",
        "tensorboard",
    }
)
"""Modules that are imported when they are first asked for."""

_FUNCTIONS = {"swap_tensors": "flambeau.ops.arrays.memory"}

__all__ = ["data", "hooks", "provenance", *sorted(_LATER), *_FUNCTIONS]  # names, sorted


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(_FUNCTIONS[name]), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
