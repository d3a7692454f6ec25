"""How many references there are to an object. Compiled modules ask C: see references.pxd."""

from __future__ import annotations

from sys import getrefcount
from typing import Any


def count(thing: Any) -> int:
    """References to `thing`, without those that come of asking."""
    return getrefcount(thing) - 2
