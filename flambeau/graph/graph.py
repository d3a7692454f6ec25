"""A graph of primitives, ready to be scheduled."""

from __future__ import annotations

from dataclasses import dataclass

from flambeau.graph.dtype import DType
from flambeau.graph.node import Node


@dataclass(slots=True)
class Graph:
    """Primitives only: composites are expanded and equal Nodes are one Node (hash-consed).

    `inputs` are BUFFER Nodes in the order of a run's buffers; `scalars` the dtypes of its runtime
    scalars (int64 for slice starts), which Nodes refer to by ScalarRef; all other scalars are
    fixed. `outputs` become contiguous buffers of their own, also where two are one Node or where
    one is an input. `donatable` numbers the inputs whose old content nobody needs after the run.
    """

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    scalars: tuple[DType, ...] = ()
    donatable: frozenset[int] = frozenset()
