"""Rewriting a graph by rules: one pass over the Nodes in order, equal Nodes made one.

A rule takes a Node whose inputs are simplified already and gives a simpler Node, or None. What it
builds, it builds with the `Rewriter`'s methods, which simplify in turn; a rule must make progress
(fewer or cheaper Nodes), so that this ends. Chains of any length are walked without recursion: the
pass goes from the inputs to the outputs, and a rule looks only a few Nodes back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flambeau.graph.node import Node, Operation, Site, signature_of, walk

Rule = Callable[["Rewriter", Node], Node | None]
Rules = dict[Any, Sequence[Rule]]


class Rewriter:
    """Rewrites Nodes by a table of rules: operation -> rules, tried in order."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._known: dict[Any, Node] = {}
        self._done: dict[Node, Node] = {}
        self._site: Site | None = None

    def run(self, roots: Sequence[Node]) -> list[Node]:
        """The simplified roots."""
        done = self._done
        for node in walk(roots):
            if node in done:
                continue
            inputs = tuple([done[each] for each in node.inputs])
            self._site = node.site
            done[node] = self._simplest(self._interned(node, inputs))
        return [done[root] for root in roots]

    def make(
        self,
        operation: Operation,
        inputs: tuple[Node, ...],
        attrs: tuple[Any, ...] = (),
        scalars: tuple[Any, ...] = (),
    ) -> Node:
        """The simplest Node for an operation on simplified inputs."""
        signature = signature_of(operation, attrs, tuple([each.type for each in inputs]))
        key = (signature, inputs, _scalar_key(scalars))
        found = self._known.get(key)
        if found is None:
            device = next((each.device for each in inputs if each.device is not None), None)
            found = Node(signature, inputs, scalars, device, self._site)
            self._known[key] = found
        return self._simplest(found)

    def _interned(self, node: Node, inputs: tuple[Node, ...]) -> Node:
        if not inputs and not node.scalars and node.signature.op.name == "BUFFER":
            return node  # inputs are told apart by identity
        signature = node.signature
        if inputs != node.inputs:
            types = tuple([each.type for each in inputs])
            signature = signature_of(node.op, node.attrs, types)
        key = (signature, inputs, _scalar_key(node.scalars))
        found = self._known.get(key)
        if found is None:
            found = node
            if inputs != node.inputs:
                found = Node(signature, inputs, node.scalars, node.device, node.site)
            self._known[key] = found
        return found

    def _simplest(self, node: Node) -> Node:
        chain: list[Node] = []
        while (known := self._done.get(node)) is None:
            chain.append(node)
            for rule in self.rules.get(node.signature.op, ()):
                better = rule(self, node)
                if better is not None and better is not node:
                    node = better
                    break
            else:
                known = node
                break
        assert known is not None
        for each in chain:
            self._done[each] = known
        return known


def _scalar_key(scalars: tuple[Any, ...]) -> tuple[Any, ...]:
    """Scalars as a key: told apart by type too, since 1, 1.0 and True are equal, and by bits."""
    return tuple([each.hex() if type(each) is float else (type(each), each) for each in scalars])
