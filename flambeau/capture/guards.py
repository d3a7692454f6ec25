"""What must be as it was for a recorded call to be done again without its Python."""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_
from typing import Any

from flambeau.autograd.mode import STATE
from flambeau.capture.facts import Facts
from flambeau.capture.observation import Cell, Observation, Result
from flambeau.graph.storage import Storage
from flambeau.tensor.tensor import Tensor

MISS = object()
"""What an attempt returns where this recording does not fit the call."""


class Guarded:
    """A recording and its guards: arguments, captured tensors, Python state, modes."""

    def __init__(
        self, seen: Observation, facts: Facts, later: Facts, leaves: Sequence[Any]
    ) -> None:
        self.facts, self.later = facts, later
        self.enabled, self.inference = STATE.enabled, STATE.inference
        self.sources = seen.sources
        self.structure = seen.structure
        self._take_leaves(leaves)
        self._take_cells(seen.cells)
        self.equal = [(self._renumbered[a], self._renumbered[b]) for a, b in seen.equal]
        self.checks = [(self._renumbered[cell], check) for cell, check in seen.checks]

    def attempt(self, leaves: Sequence[Any]) -> Any:
        """Do the call and return its result, or change nothing and return MISS."""
        raise NotImplementedError

    def _take_leaves(self, leaves: Sequence[Any]) -> None:
        """Leaves of the arguments: tensors are cells in this order, others must be the same."""
        self.tensors = [number for number, each in enumerate(leaves) if isinstance(each, Tensor)]
        self.others = [
            (number, each) for number, each in enumerate(leaves) if not isinstance(each, Tensor)
        ]
        self.kinds = [type(leaves[number]) for number in self.tensors]
        self.types = [leaves[number]._type for number in self.tensors]
        views = [leaves[number]._view for number in self.tensors]
        self.any_view = any(each is not None for each in views)
        self.views = [None if each is None else (each.steps, each.strides) for each in views]

    def _take_cells(self, cells: Sequence[Cell]) -> None:
        count = len(self.tensors)
        self.arguments = [(each.type, each.device, each.requires_grad) for each in cells[:count]]
        fixed = [each for each in cells[count:] if each.kind == "captured"]
        paths = [each for each in cells[count:] if each.kind == "gradient"]
        order = [*cells[:count], *fixed, *paths]
        places = {id(each): number for number, each in enumerate(order)}
        self._renumbered = [places[id(each)] for each in cells]
        self.captured = [each.tensor for each in fixed]
        self.storages = [each.storage for each in fixed]
        self.leaves = [each.tensor._leaf for each in fixed]
        self.captured_types = [each.type for each in fixed]
        self.paths = [(self._renumbered[each.of], each.type) for each in paths]
        self.devices = [each.device for each in order]
        self.cells = len(order)

    def _tensors(self, leaves: Sequence[Any]) -> list[Any] | None:
        """The tensors among the arguments and the captured ones, if all guards but those of the
        subclass are passed."""
        tensors = self._matching(leaves)
        if tensors is None or not (self.facts.hold() and self.later.hold()):
            return None
        captured = [each._storage for each in self.captured]
        return tensors if all(map(is_, captured, self.storages)) else None

    def _ready(self, tensors: list[Any]) -> bool:
        """Whether Python state can be advanced as it was. Raises what a check of values raises."""
        for each in self.sources:
            if not each.ready():
                return False
        for number, check in self.checks:
            check(tensors[number])
        return True

    def _matching(self, leaves: Sequence[Any]) -> list[Any] | None:
        """The tensors among the arguments and the captured ones, if all are as they were."""
        if STATE.enabled is not self.enabled or STATE.inference is not self.inference:
            return None
        for number, value in self.others:
            if not _equal(leaves[number], value):
                return None
        tensors = [leaves[number] for number in self.tensors]
        if [type(each) for each in tensors] != self.kinds:
            return None
        for tensor, of, (whole, _, needs) in zip(tensors, self.types, self.arguments, strict=True):
            held = tensor._storage.node
            if tensor._type is not of or held.type is not whole or tensor.requires_grad != needs:
                return None
        if not self._same_views(tensors):
            return None
        tensors += self.captured
        return tensors if self._same_captured() else None

    def _same_views(self, tensors: list[Any]) -> bool:
        if not self.any_view:
            return all(each._view is None for each in tensors)
        found = [each._view for each in tensors]
        return [
            None if each is None else (each.steps, each.strides) for each in found
        ] == self.views

    def _same_captured(self) -> bool:
        return [each._leaf for each in self.captured] == self.leaves and all(
            map(is_, [each._type for each in self.captured], self.captured_types)
        )


def _equal(one: Any, other: Any) -> bool:
    """Whether an argument that is no tensor is the one that was recorded."""
    if one is other:
        return True
    return type(one) is type(other) and isinstance(one, (bool, int, float, str)) and one == other


def seen_through(storage: Storage, result: Result) -> Tensor:
    """A tensor of the call's result over a storage."""
    assert result.type is not None
    tensor = Tensor._make(storage, result.type)
    tensor._tracks = result.tracks
    if result.view is not None:
        whole = Tensor._make(storage, storage.node.type)
        whole._tracks = result.tracks
        tensor._view, tensor._base = result.view, whole
    return tensor
