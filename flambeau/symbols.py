"""torch.SymInt and its like: sizes that a tracer does not know. Here sizes are always numbers.

The classes are there for annotations and isinstance, which is False of everything; torch.sym_max
and its like are Python's.
"""

from __future__ import annotations

import builtins
import math
from typing import Any, NoReturn

from flambeau.stand_in import stand_in

__all__ = [
    "SymBool",
    "SymFloat",
    "SymInt",
    "sym_float",
    "sym_int",
    "sym_ite",
    "sym_max",
    "sym_min",
    "sym_not",
    "sym_sum",
]


class _Symbol:
    def __init__(self, *args: Any) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__}: sizes are plain Python numbers in Flambeau; there is no "
            "tracer that would leave one open"
        )


@stand_in("a class without instances: sizes are numbers")
class SymInt(_Symbol):
    """An integer that is not known yet: there are none."""


@stand_in("a class without instances: sizes are numbers")
class SymFloat(_Symbol):
    """A float that is not known yet: there are none."""


@stand_in("a class without instances: sizes are numbers")
class SymBool(_Symbol):
    """A bool that is not known yet: there are none."""


def sym_int(a: Any) -> int:
    """The number without its fraction."""
    return math.trunc(a)


def sym_float(a: Any) -> float:
    """The number as a float."""
    return float(a)


def sym_not(a: Any) -> bool:
    """not a"""
    return not a


def _common(a: Any, b: Any, found: Any) -> Any:
    """A float where one of both is one."""
    return float(found) if isinstance(a, float) or isinstance(b, float) else found


def sym_max(a: Any, b: Any) -> Any:
    """The greater."""
    return _common(a, b, builtins.max(a, b))


def sym_min(a: Any, b: Any) -> Any:
    """The less."""
    return _common(a, b, builtins.min(a, b))


def sym_sum(args: Any) -> Any:
    """The sum of a list."""
    return builtins.sum(args)


def sym_ite(b: Any, t: Any, f: Any) -> Any:
    """t if b else f"""
    return t if b else f
