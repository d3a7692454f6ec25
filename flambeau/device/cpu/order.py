"""The order in which a product's sum over k is added up: by the extents of k alone.

k is cut into blocks, a block's sum is made of chains of multiply-adds, and the blocks' sums are
added one after the other. An element's bits depend neither on threads, nor on where in the result
it lies, nor on how many rows or columns there are: tiles (micro.py), few rows (few.py) and plain
loops (render.py) all keep this order.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

DEPTH = 256
"""Steps of k that are packed and multiplied at once."""

CHAINS, CHAINED = 4, 128
"""A sum over one axis of at least CHAINED steps has CHAINS chains in each block of k: step i
belongs to chain i modulo CHAINS, and the chains are added up in order. A row of a matrix then lies
in memory as its chains lie in the lanes of a small vector (few.py); tiles lose nothing (micro.py).
"""

MOST_PARTS, FEW_PARTS = 64, 16
"""See tiling._parts."""


def cut(extents: Sequence[int]) -> tuple[int, int, int, int, int]:
    """(axis, chunk, chunks, depth, blocks): blocks of about DEPTH steps of k."""
    split = 0
    while prod(extents[split + 1 :]) > DEPTH:
        split += 1
    inner = prod(extents[split + 1 :])
    most = max(1, DEPTH // inner)
    count = -(-extents[split] // most)
    chunk = -(-extents[split] // count)
    if count > 1 and split == len(extents) - 1:
        chunk = -(-chunk // 16) * 16
    chunks = -(-extents[split] // chunk)
    return split, chunk, chunks, chunk * inner, prod(extents[:split]) * chunks


def chains(extents: Sequence[int]) -> int:
    """How many chains a block's sum has, by the extents of k."""
    return CHAINS if len(extents) == 1 and extents[0] >= CHAINED else 1
