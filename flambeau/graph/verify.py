"""Structural checks of a graph before it is scheduled."""

from __future__ import annotations

from flambeau.graph import op
from flambeau.graph.graph import Graph
from flambeau.graph.node import Node, ScalarRef, walk


def verify(graph: Graph) -> None:
    """Raise ValueError where the graph is not well formed.

    Primitives only; every type is what its operation gives for its inputs' types (Signatures hold
    that, so what is checked is that a Node's inputs have its signature's types); BUFFERs are the
    graph's inputs; ScalarRefs exist; donated inputs exist.
    """
    known = set(graph.inputs)
    for node in graph.inputs:
        if node.op is not op.BUFFER:
            raise ValueError(f"a graph's inputs are BUFFERs, got {node!r}")
    for number in graph.donatable:
        if not 0 <= number < len(graph.inputs):
            raise ValueError(
                f"donatable input {number} does not exist: there are {len(graph.inputs)}"
            )
    for node in walk(graph.outputs):
        _verify_node(node, graph, known)


def _verify_node(node: Node, graph: Graph, known: set[Node]) -> None:
    if not isinstance(node.op, op.Primitive):
        raise ValueError(f"expected primitives only, got {node!r}: expand composites first")
    if node.op is op.BUFFER and node not in known:
        raise ValueError(f"{node!r} is not among the graph's inputs")
    if node.op is op.COPY:
        raise ValueError("COPY moves arrays between devices: a plan runs on one device")
    types = node.signature.inputs
    if len(types) != len(node.inputs) or node.type is not node.signature.result:
        raise ValueError(f"{node!r} does not have the inputs and type of its signature")
    for each, expected in zip(node.inputs, types, strict=True):
        if each.type is not expected:
            raise ValueError(f"{node!r} has an input of type {each.type!r}, not {expected!r}")
    for value in node.scalars:
        if isinstance(value, ScalarRef) and not 0 <= value.index < len(graph.scalars):
            raise ValueError(
                f"{node!r} refers to scalar {value.index}; there are {len(graph.scalars)}"
            )
