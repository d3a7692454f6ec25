"""Whether the hot modules were compiled ahead of time (hatch_build.py), and what that changes."""

from __future__ import annotations

import types
from typing import Any

from flambeau.graph.node import node

COMPILED = not isinstance(node, types.FunctionType)
"""Functions that were compiled have no frames, and a type of their own."""

COMPILED_FUNCTIONS: tuple[type[Any], ...] = (type(node),) if COMPILED else ()

FUNCTIONS: tuple[type[Any], ...] = (types.FunctionType, *COMPILED_FUNCTIONS)
"""The types of functions that are written in Python."""
