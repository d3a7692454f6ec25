"""A recorded call, done again without its Python: guards, numbers, plans, effects, results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from sys import getrefcount
from typing import Any

from flambeau.capture import nest
from flambeau.capture.facts import Facts
from flambeau.capture.guards import MISS, Guarded, seen_through
from flambeau.capture.observation import Observation, Place, Result
from flambeau.device import base as devices
from flambeau.graph import op
from flambeau.graph.history import History
from flambeau.graph.node import Node, Signature, TensorType, signature_of
from flambeau.graph.storage import Storage
from flambeau.schedule import flush
from flambeau.tensor.tensor import Tensor

_REFERENCES = 3
"""To a Node that its storage alone holds: the storage's, a list's, getrefcount's argument."""


def _buffer_signature(of: TensorType) -> Signature:
    return signature_of(op.BUFFER, (of.shape, of.dtype), ())


def _computed(signature: Signature, device: str, buffer: Any) -> Node:
    made = Node(signature, (), (), device)
    if made.type.dtype.is_complex:
        buffer.become(made.type)  # the plan made pairs of real numbers
    made.buffer = buffer
    return made


def _spent_history() -> History:
    history = History()
    history.freed = True
    history.saved = ((None, 0, 0),)
    return history


class _Step:
    """One plan and how its inputs and scalars are put together of what is there."""

    def __init__(self, run: Any, number: Callable[[Place], int]) -> None:
        self.run = run.executable.run
        self.inputs = [number(each) for each in run.leaves]
        self.scalars = [each[1] if each[0] == "value" else 0 for each in run.scalars]
        self.sources = [
            (place, each[1], each[2])
            for place, each in enumerate(run.scalars)
            if each[0] == "source"
        ]
        self.starts = [
            (place, each[1], each[2])
            for place, each in enumerate(run.scalars)
            if each[0] == "start"
        ]


class Replay(Guarded):
    """A recording of plans: they are run on what the storages hold now."""

    def __init__(
        self, seen: Observation, facts: Facts, later: Facts, leaves: Sequence[Any]
    ) -> None:
        super().__init__(seen, facts, later, leaves)
        self._take_runs(seen)
        self.gradients = [
            (self._renumbered[each.cell], self._number(each.left) if each.left[1:] else -1)
            for each in seen.gradients
            if each.left[0] != "same"
        ]
        self.absent = [
            self._renumbered[each.cell] for each in seen.gradients if each.found == "none"
        ]
        self.results = [self._maker(each) for each in seen.results]

    def _take_runs(self, seen: Observation) -> None:
        """Give every value a number: cells' buffers, constants, then each run's outputs."""
        self._first: list[int] = []
        total = self.cells + len(seen.constants)
        for run in seen.runs:
            self._first.append(total)
            total += len(run.outputs)
        made = [each for run in seen.runs for each in run.outputs]
        held = [(each.type, each.device) for each in seen.constants]
        self.outputs = [(_buffer_signature(of), device) for of, device in (*held, *made)]
        self.steps = [_Step(run, self._number) for run in seen.runs]
        donated = {run.leaves[each] for run in seen.runs for each in run.donated}
        self.donated = sorted(self._number(each) for each in donated if each[0] == "cell")
        self.constants = [
            _constant(each, ("constant", number) in donated)
            for number, each in enumerate(seen.constants)
        ]
        self.writes = [
            (self._renumbered[cell], self._number(place), grown)
            for cell, place, grown in seen.writes
        ]

    def _number(self, place: Place) -> int:
        if place[0] == "cell":
            return self._renumbered[place[1]]
        if place[0] == "constant":
            return self.cells + place[1]
        return self._first[place[1]] + place[2]

    # guards ------------------------------------------------------------------------------------

    def attempt(self, leaves: Sequence[Any]) -> Any:
        """See Guarded.attempt."""
        tensors = self._tensors(leaves)
        if tensors is None:
            return MISS
        storages = [each._storage for each in tensors]
        if not self._take_gradients(tensors, storages):
            return MISS
        nodes = [each.node for each in storages]
        for one, other in self.equal:
            if nodes[one] is not nodes[other]:
                return MISS
        buffers = [each.buffer for each in nodes]
        if None in buffers:
            flush.flush()
            nodes = [each.node for each in storages]
            buffers = [each.buffer for each in nodes]
        if self.devices != [each.device for each in nodes]:
            return MISS
        for number in self.donated:
            if (
                getrefcount(nodes[number]) > _REFERENCES
                or getrefcount(buffers[number]) > _REFERENCES
            ):
                return MISS
        if not self._ready(tensors):
            return MISS
        return self._do(tensors, storages, nodes, buffers)

    def _take_gradients(self, tensors: list[Any], storages: list[Any]) -> bool:
        """Add the .grad that the call reads; False where one is there, or is not, unlike before."""
        for number in self.absent:
            if tensors[number]._grad is not None:
                return False
        for number, of in self.paths:
            found = tensors[number]._grad
            if (
                found is None
                or found._type is not of
                or found._view is not None
                or found.requires_grad
            ):
                return False
            tensors.append(found)
            storages.append(found._storage)
        return True

    # doing -------------------------------------------------------------------------------------

    def _do(
        self, tensors: list[Any], storages: list[Any], nodes: list[Any], values: list[Any]
    ) -> Any:
        """From here on all guards are passed. `values`: of cells, then of constants and runs."""
        count = len(values)
        values += [make() for make in self.constants]
        numbers = [each.again() for each in self.sources]
        done = 0
        try:
            for step in self.steps:
                scalars = step.scalars
                for place, source, number in step.sources:
                    scalars[place] = numbers[source][number]
                for place, cell, number in step.starts:
                    scalars[place] = tensors[cell]._view.starts[number]
                values += step.run([values[each] for each in step.inputs], scalars)
                done += 1
        except (IndexError, RuntimeError) as error:
            met = getattr(error, "failure", None)
            if met is not None and met.outputs is not None:
                values += met.outputs
                met.outputs = None
            self._write(storages, nodes, values, count)
            raise
        self._write(storages, nodes, values, count)
        made: dict[int, Any] = {}
        for cell, number in self.gradients:
            tensors[cell]._grad = self._tensor(number, values) if number >= 0 else None
        leaves = [each(tensors, values, made) for each in self.results]
        return nest.rebuild(self.structure, iter(leaves))

    def _write(self, storages: Any, nodes: Any, values: list[Any], count: int) -> None:
        """Give storages what runs made; what was written in place is there already."""
        for cell, number, grown in self.writes:
            if number >= len(values):
                continue  # not reached: the run before it failed
            storage, buffer = storages[cell], values[number]
            storage.version += grown
            if buffer is not nodes[cell].buffer or not buffer.type.dtype.is_floating_point:
                signature, device = self.outputs[number - self.cells]
                storage.node = _computed(signature, device, buffer)

    def _tensor(self, number: int, values: list[Any]) -> Tensor:
        signature, device = self.outputs[number - self.cells]
        node = _computed(signature, device, values[number])
        return Tensor._make(Storage(node), signature.result)  # type: ignore[arg-type]  # one array

    def _maker(self, result: Result) -> Callable[[list[Any], list[Any], dict[int, Any]], Any]:
        """How one leaf of the result is made: (tensors, values, storages made) -> leaf."""
        kind = result.place[0]
        if kind == "value":
            return lambda tensors, values, made, value=result.place[1]: value  # type: ignore[misc]  # mypy knows no defaults of lambdas
        if kind == "cell":
            place = self._renumbered[result.place[1]]
            return lambda tensors, values, made: tensors[place]
        if kind == "alias":
            place = self._renumbered[result.place[1]]
            return lambda tensors, values, made: seen_through(tensors[place]._storage, result)
        if kind == "share":
            place = self._renumbered[result.place[1]]
            return lambda tensors, values, made: seen_through(
                Storage(tensors[place]._storage.node), result
            )
        number = self._number(result.place)

        def make(tensors: list[Any], values: list[Any], made: dict[int, Any]) -> Tensor:
            storage = made.get(result.storage)
            if storage is None:
                whole = self._tensor(number, values)
                storage = made[result.storage] = whole._storage
                if result.spent:
                    storage.node.requires_grad = True
                    storage.node.history = _spent_history()
            return seen_through(storage, result)

        return make


def _constant(constant: Any, written: bool) -> Callable[[], Any]:
    """How a constant's buffer is had: once, or anew where a plan writes into it or it is drawn."""
    target = devices.get(constant.device)
    of = constant.type
    if constant.draw is not None:
        return lambda: target.from_numpy(constant.draw(), of, False)
    if written:
        return lambda: target.from_numpy(constant.array, of, True)
    buffer = target.from_numpy(constant.shared, of, False)
    return lambda: buffer
