"""Modules, parameters, losses and their functions. PyTorch's torch.nn."""

import importlib
from typing import Any

from flambeau.nn import functional, init, modules, utils
from flambeau.nn.modules import *  # noqa: F403  # the list of modules is kept there
from flambeau.nn.parameter import (
    Buffer,
    Parameter,
    UninitializedBuffer,
    UninitializedParameter,
)

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter"]
__all__ += ["functional", "init", "modules", "utils"]
__all__ += modules.__all__

_LATER = {"DataParallel": "flambeau.nn.parallel"}
_MODULES = ("attention", "parallel", "quantized")


def __getattr__(name: str) -> Any:
    """What is imported when it is first asked for."""
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
