"""Modules of torch.autograd whose content lies above this layer: found when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


def served_by(module: str, **renamed: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """__getattr__ and __dir__ of a module whose names are those of another."""

    def get(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(module), renamed.get(name, name))

    def names() -> list[str]:
        found = importlib.import_module(module)
        return sorted({*getattr(found, "__all__", dir(found)), *renamed})

    return get, names
