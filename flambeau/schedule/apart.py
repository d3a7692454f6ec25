"""Graphs that are as long as a loop was: computed Node by Node, not as one plan.

A program that draws its actions one by one and goes back through all of them at once records the
same few operations again and again, another number of times in each episode. As one plan every
number of steps would be compiled anew, about 2 ms for each Node; Node by Node, the plan of each is
known after its first. A graph is computed apart where

- it has many Nodes, of few signatures, and
- another with the same repeated signatures was planned before, which had other numbers of them, or
  it is so long that planning it takes longer than the many runs that would pay for it.

A graph that comes again and again is planned as a whole in the end. All this depends on what the
process recorded before, never on clocks or the disk: the same program computes the same bits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from flambeau.graph import op
from flambeau.graph.node import Node

MANY = 96
"""Fewer Nodes are planned at once."""

REPEATS = 8
"""How often a signature occurs, on average, where a graph may be a loop's."""

LONG, LONG_REPEATS = 1500, 32
"""A graph of so many Nodes and repeats is not planned before it came again and again."""

OFTEN = 50
"""A graph that came so often pays for its plan: planning a Node costs about as many runs of it."""

_planned: dict[frozenset[int], Counter[int]] = {}
_sightings: Counter[tuple[Any, ...]] = Counter()


def is_loop(order: Sequence[Node], key: tuple[Any, ...]) -> bool:
    """Whether to compute a graph Node by Node, of which there is no plan yet."""
    if len(order) < MANY:
        return False
    counts = Counter([node.signature.uid for node in order if not _is_free(node)])
    repeats = sum(counts.values()) / max(len(counts), 1)
    if repeats < REPEATS:
        return False
    repeated = Counter({uid: count for uid, count in counts.items() if count >= 4})
    family = frozenset(repeated)
    before = _planned.get(family)
    if before is None and (len(order) < LONG or repeats < LONG_REPEATS):
        _planned[family] = repeated
        return False
    if before is not None:
        same = sum(before[uid] == count for uid, count in repeated.items())
        if 2 * same > len(repeated):
            return False
    _sightings[key] += 1
    return _sightings[key] <= OFTEN


def stages(order: Sequence[Node]) -> list[list[Node]]:
    """What to compute one after the other: single Nodes, and all parts of what gives several."""
    parts: dict[Node, list[Node]] = {}
    for node in order:
        if node.op is op.PICK:
            parts.setdefault(node.inputs[0], []).append(node)
    found: list[list[Node]] = []
    for node in order:
        if node.op is op.PICK:
            together = parts.pop(node.inputs[0], None)
            if together is not None:
                found.append(together)
        elif not _is_free(node) and hasattr(node.type, "dtype"):
            found.append([node])
    return found


def _is_free(node: Node) -> bool:
    """Constants and what only moves elements are part of what reads them."""
    moves = node.op in op.MOVEMENT and node.op is not op.CAT
    return moves or not node.inputs or node.op is op.DETACH
