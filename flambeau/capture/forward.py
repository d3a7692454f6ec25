"""A call whose results carry a history: its Nodes become one operation, differentiated as one.

The model of a training loop is compiled, its loss and optimizer are not. Nothing is run by such a
call; a replay records one Node (and picks its results), so that forward, backward and update are
planned together as they are without compile.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from flambeau.capture import nest
from flambeau.capture.facts import Facts
from flambeau.capture.guards import MISS, Guarded, seen_through
from flambeau.capture.observation import Observation, Place, Result
from flambeau.graph import build, op
from flambeau.graph.composite import Composite, placeholder, substitute
from flambeau.graph.dtype import DType
from flambeau.graph.history import is_leaf
from flambeau.graph.node import Node, TupleType, node, walk
from flambeau.graph.node import Template as Expansion
from flambeau.graph.storage import Storage
from flambeau.tensor.record import derive, remember, site
from flambeau.tensor.tensor import Tensor

_REFUSED = {
    op.GRAFT: "a tensor with a history is written through detach()",
    op.FUNCTION: "an autograd.Function is used",
    op.COPY: "a tensor is copied to another device",
}


class Template:
    """A call's Nodes on placeholders: an operation, and where its inputs come from."""

    def __init__(self, expansion: Expansion, inputs: list[Place], saves: str) -> None:
        self.inputs = inputs
        self.scalar_dtypes: list[DType | None] = [
            each.dtype if place[0] in ("value", "source") else None
            for each, place in zip(expansion.placeholders, inputs, strict=True)
        ]
        self.name = f"compiled_{_fingerprint(expansion)}"
        self.operation = Composite(
            self.name,
            lambda attrs, *nodes: tuple(substitute(expansion, nodes, _again)),
            saves=saves,
            doc="a call that flambeau.compile recorded",
        )


def _again(each: Node, inputs: tuple[Node, ...]) -> Node:
    return node(each.op, inputs, each.attrs, each.scalars)


def _fingerprint(expansion: Expansion) -> str:
    """A hash of what the operation computes, the same in every process: plans are named by it."""
    places = {each: number for number, each in enumerate(expansion.placeholders)}
    lines = [repr([each.type for each in expansion.placeholders])]
    for each in walk(expansion.results):
        if each not in places:
            places[each] = len(places)
            inputs = [places[source] for source in each.inputs]
            lines.append(f"{each.op.name} {each.attrs!r} {each.type!r} {each.scalars} {inputs}")
    lines.append(repr([places[each] for each in expansion.results]))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


class Forward:
    """Makes the Template of a call that was watched."""

    def __init__(self, seen: Observation, known: Callable[[Node], Place | None]) -> None:
        self.seen = seen
        self.known = known
        self.inputs: list[Place] = []
        self.placeholders: list[Node] = []
        self.by_place: dict[Any, Node] = {}
        self.made: dict[Node, Node] = {}
        self.cut: set[Node] = set()  # several results that were made without a history
        self.reason: str | None = None

    def take(
        self, leaves: Sequence[Any], cells: dict[int, int], storages: dict[int, int]
    ) -> str | None:
        """Fill in the observation; why that cannot be, if so."""
        roots: dict[Node, int] = {}
        for leaf in leaves:
            self.seen.results.append(self._result(leaf, cells, storages, roots))
        for number in storages.values():
            cell = self.seen.cells[number]
            known = self.known(cell.storage.node)
            same = known is not None and (known[-1], number) in self.seen.equal
            if known != ("cell", number) and not same:
                place = ("result", roots.setdefault(cell.storage.node, len(roots)))
                self.seen.writes.append((number, place, cell.storage.version - cell.version))
        saved = self._copy(roots)
        if self.reason is None:
            results = tuple([self.made[each] for each in roots])
            saves = ",".join(map(str, sorted(saved)))
            expansion = Expansion(tuple(self.placeholders), results)
            self.seen.forward = Template(expansion, self.inputs, saves)
        return self.reason

    def _result(self, leaf: Any, cells: Any, storages: Any, roots: dict[Node, int]) -> Result:
        if not isinstance(leaf, Tensor):
            if not isinstance(leaf, (bool, int, float, str, type(None))):
                self.reason = f"a {type(leaf).__name__} is returned"
            return Result(("value", leaf))
        if id(leaf) in cells:
            return Result(("cell", cells[id(leaf)]), leaf._type)
        storage = leaf._storage
        if id(storage) in storages:
            return Result(("alias", storages[id(storage)]), leaf._type, leaf._view, -1, False)
        if leaf._hooks or leaf._leaf:
            self.reason = "a result has hooks, or was made a leaf"
        number = roots.setdefault(storage.node, len(roots))
        return Result(
            ("result", number), leaf._type, leaf._view, number, leaf._tracks, leaf.requires_grad
        )

    def _copy(self, roots: dict[Node, int]) -> set[int]:
        """All Nodes on placeholders; the inputs that the gradient needs unmodified."""
        order = walk(roots, lambda each: self.known(each) is None)
        known = {id(each.storage): number for number, each in enumerate(self.seen.cells)}
        saved: set[int] = set()
        for each in order:
            place = self.known(each)
            if place is not None:
                self.made[each] = self._input(each, place)
                continue
            self._check(each)
            if self.reason is not None:
                break
            inputs = tuple([self.made[source] for source in each.inputs])
            self.made[each] = self._without_history(each, _again(each, inputs))
            for storage, _version, _position in each.history.saved if each.history else ():
                number = known.get(id(storage))
                if number is not None and storage.version == self.seen.cells[number].version:
                    saved.add(self.inputs.index(("cell", number)))
        return saved

    def _input(self, each: Node, place: Place) -> Node:
        key = place if place[0] != "value" else each  # every number is an input of its own
        found = self.by_place.get(key)
        if found is None:
            found = self.by_place[key] = placeholder(each.type)
            self.placeholders.append(found)
            self.inputs.append(place)
        return found

    def _check(self, each: Node) -> None:
        history = each.history
        if each.op in _REFUSED:
            self.reason = _REFUSED[each.op]
        elif history is not None and (history.custom or history.hooks or history.retain):
            self.reason = "a tensor of the call has hooks"
        elif each.buffer is not None or is_leaf(each):
            self.reason = "a value is used of which it is not known where it came from"

    def _without_history(self, each: Node, made: Node) -> Node:
        """What was made under no_grad carries no gradient, though its inputs may."""
        lost = not each.requires_grad and any(
            source.requires_grad or source in self.cut for source in each.inputs
        )
        if not lost:
            return made
        if isinstance(each.type, TupleType):
            self.cut.add(each)
            return made
        return made if each.op is op.DETACH else node(op.DETACH, (made,))


class ForwardReplay(Guarded):
    """A recording of a call whose results carry a history."""

    def __init__(
        self, seen: Observation, facts: Facts, later: Facts, leaves: Sequence[Any]
    ) -> None:
        super().__init__(seen, facts, later, leaves)
        self.template: Template = seen.forward
        self.constants = seen.constants
        self.results = seen.results
        self.writes = [(self._renumbered[cell], place[1]) for cell, place, _ in seen.writes]

    def attempt(self, leaves: Sequence[Any]) -> Any:
        """See Guarded.attempt."""
        tensors = self._tensors(leaves)
        if tensors is None or not self._ready(tensors):
            return MISS
        if self.devices != [each._storage.node.device for each in tensors]:
            return MISS
        for one, other in self.equal:
            if tensors[one]._storage.node is not tensors[other]._storage.node:
                return MISS
        numbers = [each.again() for each in self.sources]
        inputs = [
            self._input(place, dtype, tensors, numbers)
            for place, dtype in zip(self.template.inputs, self.template.scalar_dtypes, strict=True)
        ]
        nodes = tuple([each if type(each) is Node else each._read() for each in inputs])
        whole = derive(self.template.operation, nodes, (), (), site())
        if whole.requires_grad:
            remember(whole, inputs, None)
        found = _Results(whole)
        for cell, number in self.writes:
            written = node(op.MATERIALIZE, (node(op.DETACH, (found.node(number, False),)),))
            tensors[cell]._write(written)
        made = [self._leaf(each, tensors, found) for each in self.results]
        return nest.rebuild(self.structure, iter(made))

    def _input(self, place: Place, dtype: Any, tensors: list[Any], numbers: list[Any]) -> Any:
        kind = place[0]
        if kind == "cell":
            return tensors[self._renumbered[place[1]]]
        if kind == "constant":
            constant = self.constants[place[1]]
            array = constant.draw() if constant.draw is not None else constant.array
            return Tensor._from_numpy(array, constant.device)
        value = place[1] if kind == "value" else numbers[place[1]][place[2]]
        return build.scalar(value, dtype)

    def _leaf(self, result: Result, tensors: list[Any], found: _Results) -> Any:
        kind = result.place[0]
        if kind == "value":
            return result.place[1]
        if kind == "cell":
            return tensors[self._renumbered[result.place[1]]]
        if kind == "alias":
            return seen_through(tensors[self._renumbered[result.place[1]]]._storage, result)
        return seen_through(found.storage(result.place[1], result.spent), result)


class _Results:
    """The results of one Node, each picked once."""

    def __init__(self, whole: Node) -> None:
        self.whole = whole
        self.several = isinstance(whole.type, TupleType)
        self.storages: dict[int, Storage] = {}

    def node(self, number: int, carries: bool) -> Node:
        if not self.several:
            return self.whole
        make = derive if carries else node
        return make(op.PICK, (self.whole,), (number,), (), self.whole.site)

    def storage(self, number: int, carries: bool) -> Storage:
        """The storage of result `number`; `carries`: it has a history."""
        found = self.storages.get(number)
        if found is None:
            made = self.node(number, carries)
            if made.requires_grad and not carries:
                made = node(op.DETACH, (made,))
            found = self.storages[number] = Tensor._own(made)._storage
        return found
