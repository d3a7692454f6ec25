"""What libraries ask of PyTorch's tracer of Python. Nothing is traced here: see torch.compile."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from flambeau.capture.compiled import CompiledModule as OptimizedModule
from flambeau.compiler import (
    allow_in_graph,
    assume_constant_result,
    disable,
    is_compiling,
    reset,
)
from flambeau.stand_in import stand_in

__all__ = [
    "OptimizedModule",
    "allow_in_graph",
    "assume_constant_result",
    "config",
    "disable",
    "graph_break",
    "is_compiling",
    "list_backends",
    "mark_dynamic",
    "mark_static",
    "mark_static_address",
    "maybe_mark_dynamic",
    "reset",
]

config = SimpleNamespace(
    cache_size_limit=8,
    capture_scalar_outputs=False,
    optimize_ddp=True,
    recompile_limit=8,
    suppress_errors=False,
)
"""Settings of the tracer; setting them changes nothing."""


@stand_in("accepted: nothing is traced")
def graph_break(msg: str = "") -> None:
    """Where a trace would end."""


def _marks(name: str) -> Callable[..., None]:
    @stand_in("accepted: plans are made for the sizes that come")
    def mark(t: Any, index: Any = None, **options: Any) -> None:
        """Says which sizes of a tensor change."""

    mark.__name__ = name
    return mark


mark_dynamic = _marks("mark_dynamic")
mark_static = _marks("mark_static")
mark_static_address = _marks("mark_static_address")
maybe_mark_dynamic = _marks("maybe_mark_dynamic")


def list_backends(exclude_tags: Any = ()) -> list[str]:
    """The names that torch.compile takes and that mean something of their own: none."""
    return []
