"""Differentiation. What works on tensors (backward, grad, …) is published by upper layers."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeVar

from flambeau.autograd.mode import (
    detect_anomaly,
    enable_grad,
    inference_mode,
    no_grad,
    set_detect_anomaly,
    set_grad_enabled,
    set_multithreading_enabled,
)

__all__ = [
    "detect_anomaly",
    "enable_grad",
    "inference_mode",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
    "set_multithreading_enabled",
]

_LATER = frozenset({"forward_ad", "function", "functional", "graph", "profiler"})
"""Modules whose content lies above this layer."""

Public = TypeVar("Public", bound=Callable[..., Any])


def published(public: Public) -> Public:
    """Make a function or class of an upper layer part of this module, as PyTorch has it."""
    globals()[public.__name__] = public
    __all__.append(public.__name__)
    return public


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
