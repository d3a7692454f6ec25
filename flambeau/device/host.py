"""Functions that run on the host, on numpy arrays, in the middle of a plan (graph.op.CALL)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

HOST_FUNCTIONS: dict[str, Callable[..., tuple[Any, ...]]] = {}
"""name -> function(attrs, *arrays) -> tuple of arrays

An array comes in the shape in which it was stored: what was reshaped since needs its shape among
the attrs.
"""


def register_host(name: str) -> Callable[[Function], Function]:
    """Make the function callable from a plan as `name`. Names are unique (ValueError)."""

    def register(function: Function) -> Function:
        if name in HOST_FUNCTIONS:
            raise ValueError(f"there is a host function '{name}' already")
        HOST_FUNCTIONS[name] = function
        return function

    return register
