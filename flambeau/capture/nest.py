"""Nested tuples, lists and dicts as a flat list of leaves and a structure that can be compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

LEAF = None
"""The structure of everything that is no container."""


def flatten(value: Any, leaves: list[Any]) -> Any:
    """Append the leaves of `value` to `leaves`; the structure around them, which can be hashed."""
    kind = type(value)
    if kind is tuple or kind is list or (isinstance(value, tuple) and hasattr(value, "_fields")):
        return kind, tuple([flatten(each, leaves) for each in value])
    if isinstance(value, dict):
        return kind, tuple(value), tuple([flatten(each, leaves) for each in value.values()])
    leaves.append(value)
    return LEAF


def rebuild(structure: Any, leaves: Iterator[Any]) -> Any:
    """The value of this structure with the next leaves."""
    if structure is LEAF:
        return next(leaves)
    kind, *keys, parts = structure
    values = [rebuild(each, leaves) for each in parts]
    if keys:
        return kind(zip(keys[0], values, strict=True))
    return kind(*values) if hasattr(kind, "_fields") else kind(values)
