"""How ops/ gives Tensor its methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flambeau.tensor.tensor import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])


def method(*names: str) -> Callable[[Function], Function]:
    """Make the function a method of Tensor under its own name, or under `names`."""

    def attach(function: Function) -> Function:
        for name in names or (function.__name__,):
            setattr(Tensor, name, function)
        if names and function.__name__.startswith("_"):
            function.__name__ = names[0]  # what __torch_function__ is told
        return function

    return attach
