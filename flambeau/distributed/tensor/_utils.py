"""Sizes of shards. On a mesh of one device each shard is the whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def compute_local_shape_and_global_offset(
    global_shape: Sequence[int], mesh: Any, placements: Sequence[Any], *args: Any, **options: Any
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shape of this process's shard and where it begins: the whole, from 0."""
    return tuple(global_shape), (0,) * len(global_shape)
