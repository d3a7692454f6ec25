"""Modules without their initial values."""

from __future__ import annotations

import inspect
from typing import Any

from flambeau.nn.modules.module import Module
from flambeau.ops.generator import default_generator

__all__ = ["skip_init"]


def skip_init(module_cls: type[Module], *args: Any, **kwargs: Any) -> Module:
    """A module for values that are loaded next: making it moves the generator not at all.

    Its values are undefined in PyTorch. The class must be a Module that takes `device`
    (RuntimeError).
    """
    if not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    before = default_generator.get_state()
    try:
        return module_cls(*args, **kwargs)
    finally:
        default_generator.set_state(before)
