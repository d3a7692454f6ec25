"""From what a user's calls recorded to a graph of primitives.

Composites are replaced by their templates, equal Nodes become one (hash-consing), runtime scalars
become ScalarRefs, and what exists for autograd alone (DETACH, GRAFT, FUNCTION) disappears.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flambeau.graph import dtype as dtypes
from flambeau.graph import op
from flambeau.graph.composite import Composite, placeholder, substitute, template_of
from flambeau.graph.dtype import DType
from flambeau.graph.graph import Graph
from flambeau.graph.node import Node, ScalarRef, Signature
from flambeau.schedule.complex_parts import Expansion, Parts, is_complex, stored


def _of_complex(signature: Signature) -> bool:
    """Whether it is a result of a host function that has complex results, too."""
    return signature.op is op.PICK and is_complex(signature.inputs[0])


class _Expander:
    def __init__(self) -> None:
        self.interned: dict[tuple[Any, ...], Node] = {}
        self.several: dict[Node, Sequence[Node]] = {}  # stands for a composite's several results

    def intern(
        self, signature: Signature, inputs: tuple[Any, ...], scalars: tuple[Any, ...], origin: Node
    ) -> Node:
        """The one Node of this meaning; composites and autograd's own Nodes are resolved."""
        operation = signature.op
        if operation is op.DETACH or operation is op.GRAFT:
            return inputs[0]
        if operation is op.PICK and inputs[0] in self.several:
            return self.several[inputs[0]][signature.attrs[0]]
        if operation is op.FUNCTION:
            return self._stand_in(origin, inputs[: signature.attrs[0]])
        if isinstance(operation, Composite):
            results = substitute(
                template_of(signature),
                inputs,
                lambda each, sources: self.intern(each.signature, sources, each.scalars, origin),
            )
            return results[0] if len(results) == 1 else self._stand_in(origin, results)
        if is_complex(signature.result) or Parts in map(type, inputs) or _of_complex(signature):
            return Expansion(self.intern, origin).run(signature, inputs, scalars)
        key = (signature, inputs, scalars)
        found = self.interned.get(key)
        if found is None:
            found = self.interned[key] = Node(
                signature, inputs, scalars, origin.device, origin.site
            )
        return found

    def _stand_in(self, origin: Node, results: Sequence[Node]) -> Node:
        whole = Node(origin.signature, ())
        self.several[whole] = results
        return whole


def expand(
    order: Iterable[Node],
    leaves: Iterable[Node],
    outputs: Iterable[Node],
    donatable: frozenset[int] = frozenset(),
) -> Graph:
    """The primitive graph of `order` (inputs first); `leaves` are its inputs, which have buffers.

    Runtime scalars are numbered in the order in which they appear in `order`.
    """
    expander = _Expander()
    made: dict[Node, Any] = {leaf: placeholder(stored(leaf.type)) for leaf in leaves}
    inputs = tuple(made.values())
    for leaf, held in made.items():
        if leaf.dtype.is_complex:
            made[leaf] = Expansion(expander.intern, leaf).split(held)
    scalars: list[DType] = []
    for node in order:
        if node in made:
            continue
        signature, refs = node.signature, node.scalars
        if refs:
            dtype = node.dtype if signature.op is op.CONST else dtypes.int64
            refs = tuple([ScalarRef(len(scalars) + place) for place in range(len(refs))])
            scalars.extend([dtype] * len(refs))
        made[node] = expander.intern(
            signature, tuple([made[each] for each in node.inputs]), refs, node
        )
    wanted = []
    for each in outputs:
        found = made[each]
        joined = isinstance(found, Parts)
        wanted.append(Expansion(expander.intern, each).join(found) if joined else found)
    return Graph(inputs, tuple(wanted), tuple(scalars), donatable)


def signature_key(signature: Signature) -> str:
    """A signature as text that means the same in every process."""
    return f"{signature.op.name}{signature.attrs!r}{signature.inputs!r}"
