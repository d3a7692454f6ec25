"""torch.compiler: what programs ask and set around torch.compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.stand_in import stand_in


def is_compiling() -> bool:
    """Whether a function is being recorded into one Node or plan just now."""
    from flambeau.autograd.mode import STATE

    return bool(STATE.tracing)


is_dynamo_compiling = is_compiling


def is_exporting() -> bool:
    """False."""
    return False


@stand_in("returns the function")
def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """The function itself, as a decorator with or without arguments."""
    return fn if fn is not None else lambda function: function


@stand_in("returns the function")
def allow_in_graph(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself: everything is allowed."""
    return fn


@stand_in("returns the function")
def assume_constant_result(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself."""
    return fn


@stand_in("accepted")
def reset() -> None:
    """Ignored: what was compiled stays valid."""


@stand_in("accepted")
def cudagraph_mark_step_begin() -> None:
    """Ignored."""
