"""torch.fx: `wrap`, with which modules say that a function must not be traced into.

Flambeau records Nodes while a program runs and has no symbolic tracer of Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from flambeau.stand_in import stand_in

_T = TypeVar("_T", str, Callable[..., object])


@stand_in("returns its argument: nothing is traced symbolically")
def wrap(fn_or_name: _T) -> _T:
    """The function, or the name of one, itself."""
    return fn_or_name
