"""What was seen of one call: plans and what they took and gave, in a form that can be compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flambeau.graph.node import TensorType
from flambeau.schedule.watch import Source

Place = tuple[Any, ...]
"""Where a value comes from or goes to; the first item says how to read the others:

("cell", i)          the storage of cell number i: an argument, a captured tensor or a gradient
("alias", i)         of results: another tensor of the storage of cell i
("share", i)         of results: a storage of its own, with the value of cell i
("made", run, n)     output n of a run of this call
("constant", k)      made on the host by the call
("value", v), ("source", s, n), ("start", i, n)     of scalars: a number; number n of a Source; the
                     n-th start of the view that argument i is
"""


@dataclass
class Cell:
    """A tensor that was there before the call."""

    tensor: Any
    kind: str
    """"argument", "captured" or "gradient" (the .grad of cell `of`)."""
    of: int
    type: TensorType
    """Of the storage."""
    device: str
    version: int
    requires_grad: bool
    view: Any
    storage: Any


@dataclass
class Run:
    """One plan that was run."""

    executable: Any
    leaves: list[Place]
    scalars: list[Place]
    outputs: list[tuple[TensorType, str]]
    donated: tuple[int, ...]


@dataclass
class Constant:
    """Values that the call made on the host; `draw`, where given, makes new ones each time."""

    array: Any
    """As it was."""
    shared: Any
    """What the tensor may share memory with."""
    type: TensorType
    device: str
    draw: Any = None


@dataclass
class Gradient:
    """What became of the .grad of a cell's tensor."""

    cell: int
    found: str
    """"none", "tensor", or "unseen": dropped before anybody looked."""
    left: Any = None
    """("none",), ("same",) or ("made", run, n)."""


@dataclass
class Result:
    """A tensor that the call returned, or the Python value."""

    place: Place
    type: TensorType | None = None
    """Of the tensor; of the storage it is that of the place."""
    view: Any = None
    storage: int = -1
    """Results of one number share a storage."""
    tracks: bool = True
    spent: bool = False
    """Whether it requires a gradient, but backward has been there."""


@dataclass
class Observation:
    """All that a replay needs."""

    cells: list[Cell] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    constants: list[Constant] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    writes: list[tuple[int, Place, int]] = field(default_factory=list)
    """(cell, where its new value comes from, by how much its version grew)"""
    gradients: list[Gradient] = field(default_factory=list)
    equal: list[tuple[int, int]] = field(default_factory=list)
    """Cells of different storages that hold one Node."""
    checks: list[tuple[int, Any]] = field(default_factory=list)
    """(cell, check of its values on the host)"""
    forward: Any = None
    """A Template (forward.py) where the result carries a history: nothing was run."""
    structure: Any = None
    results: list[Result] = field(default_factory=list)

    def parts(self) -> dict[str, Any]:
        """What must be the same in two calls for a third to be replayed, by name."""
        return {
            "the tensors that are used": [
                (each.kind, each.of, each.type.uid, each.device, each.requires_grad)
                + ((id(each.storage),) if each.kind == "captured" else ())
                for each in self.cells
            ],
            "the operations": self.forward and (self.forward.name, self.forward.inputs),
            "the tensors of one value": self.equal,
            "the plans": [(id(each.executable), each.leaves, each.donated) for each in self.runs],
            "a number": [repr(each.scalars) for each in self.runs],
            "a tensor that is made of Python values": [
                "drawn" if each.draw else each.array.tobytes() for each in self.constants
            ],
            "what is written": self.writes,
            "the gradients": [(each.cell, each.found, each.left) for each in self.gradients],
            "the result": (
                self.structure,
                [
                    (each.place if each.type else repr(each.place), each.storage, each.spent)
                    for each in self.results
                ],
            ),
            "the optimizers": [type(each).__name__ for each in self.sources],
        }

    def difference(self, other: Observation) -> str | None:
        """The name of something that differs between two calls."""
        mine, theirs = self.parts(), other.parts()
        for name, part in mine.items():
            if part != theirs[name]:
                return name
        return None
