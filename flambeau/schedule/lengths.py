"""One plan for many lengths: a cache that grows, a sequence that is longer every time.

A plan is for fixed sizes. Where a third graph comes that differs from two before in one number
alone (every size that changes is factor · n + offset), a plan is made for a greater n, the
capacity, and serves every n up to it: inputs are laid into arrays of the capacity, what lies beyond
n is kept out of sums, maxima and products by comparing places with n, which is a runtime scalar,
and results are cut out. What could not be shown to be right so (a sort of what grows, say) keeps a
plan for each size.

Correctness is by induction over the graph (`_Padding`): of every Node, the elements within the
first factor · n + offset of each growing axis are those of the exact graph; what is beyond them may
be anything, NaN included.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy

from flambeau.device import base as device
from flambeau.device.base import Executable
from flambeau.graph import op
from flambeau.graph.composite import placeholder
from flambeau.graph.graph import Graph
from flambeau.graph.node import (
    Node,
    ScalarRef,
    Signature,
    TensorType,
    signature_of,
    tensor_type,
    walk,
)
from flambeau.kernel.program import Program
from flambeau.schedule.expand import expand
from flambeau.schedule.padding import NotShown, Padded, padded

INSTANCES = 3
"""From so many sizes on a plan for all is tried: two, as of a last smaller batch, stay exact."""

ATTEMPTS = 6
"""So many sizes that are no function of one number, and the structure keeps exact plans."""

COPIES = 64 << 20
"""When runs for one length have copied so many bytes into and out of larger arrays, that length is
worth an exact plan, which copies nothing."""

RUN = 2 << 20
"""What a run that copies anything counts at least."""

LEAST = 16
"""The smallest capacity; the next are half as much more, twice, three times as much, …"""


@dataclass(slots=True)
class Recorded:
    """A recorded graph that is wanted, as a flush found it; `written` are values in place."""

    device: str
    position: dict[Node, int]
    order: Sequence[Node]
    leaves: Sequence[Node]
    outputs: Sequence[Node]
    donated: Sequence[int]
    scalars: Sequence[Any]
    written: Collection[Node]


Compile = Callable[[Graph, str], Executable]


# structure ---------------------------------------------------------------------------------------

_SKELETONS: dict[Any, int] = {}
_PARTS: dict[int, tuple[int, tuple[int, ...]]] = {}


def _without_integers(value: Any, integers: list[int]) -> Any:
    """The value with `int` for each integer, which are appended in order."""
    if isinstance(value, tuple):
        return _like(value, [_without_integers(each, integers) for each in value])
    if isinstance(value, int) and not isinstance(value, bool):
        integers.append(value)
        return int
    return value


def _with_integers(value: Any, integers: Any) -> Any:
    if isinstance(value, tuple):
        return _like(value, [_with_integers(each, integers) for each in value])
    return next(integers) if isinstance(value, int) and not isinstance(value, bool) else value


def _like(value: Any, parts: list[Any]) -> Any:
    """A tuple of these parts, of the same kind."""
    return tuple.__new__(type(value), parts)


def _parts(node: Node) -> tuple[int, tuple[int, ...]]:
    """A number for what a Node is but for its sizes, and its sizes."""
    leaf = node.buffer is not None
    uid = node.type.uid if leaf else node.signature.uid
    found = _PARTS.get(uid)
    if found is None:
        integers: list[int] = []
        if leaf:
            skeleton: Any = (node.dtype, _without_integers(node.shape, integers))
        elif node.op is op.CONST:
            skeleton = (node.op, node.attrs)  # a number is no size
        else:
            skeleton = (node.op, _without_integers(node.attrs, integers))
        number = _SKELETONS.setdefault(skeleton, len(_SKELETONS))
        found = _PARTS[uid] = (number, tuple(integers))
    return found


def _structure(graph: Recorded) -> tuple[tuple[Any, ...], tuple[int, ...]]:
    """What a graph is but for its sizes, and all its sizes in order."""
    position = graph.position
    key: list[Any] = [graph.device]
    sizes: list[int] = []
    for node in position:
        number, own = _parts(node)
        key.append(number)
        sizes += own
        if node.buffer is None:
            key += [-1 - position[each] for each in node.inputs]
    key.append(tuple([position[each] for each in graph.outputs]))
    key.append(tuple(graph.donated))
    return tuple(key), tuple(sizes)


@dataclass(slots=True)
class _Line:
    """Sizes as functions of one number n, which is the size at `pivot`."""

    pivot: int
    start: tuple[int, ...]
    factors: tuple[int, ...]

    def at(self, n: int) -> tuple[int, ...]:
        step = n - self.start[self.pivot]
        return tuple([a + k * step for a, k in zip(self.start, self.factors, strict=True)])


def _line(instances: Sequence[tuple[int, ...]]) -> _Line | None:
    """The line on which all lie, by the size that changes least."""
    first, second = instances[:2]
    steps = [other - one for one, other in zip(first, second, strict=True)]
    pivot = min((place for place, step in enumerate(steps) if step), key=lambda p: abs(steps[p]))
    if any(step % steps[pivot] for step in steps):
        return None
    line = _Line(pivot, first, tuple([step // steps[pivot] for step in steps]))
    if any(line.at(each[pivot]) != each for each in instances):
        return None
    return line if min(line.factors) >= 0 else None


# families ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Plan:
    """A compiled plan of one capacity."""

    capacity: int
    padded: Padded
    executable: Executable
    program: Callable[[], Program]


@dataclass(slots=True)
class _Family:
    """The graphs of one structure."""

    instances: list[tuple[int, ...]] = field(default_factory=list)
    attempts: int = 0
    line: _Line | None = None
    least: int = 0
    refused: str = ""
    plans: dict[int, _Plan] = field(default_factory=dict)


_FAMILIES: dict[tuple[Any, ...], _Family] = {}


def obtain(
    graph: Recorded, compile_graph: Compile, program: Callable[[Graph], Program]
) -> Executable | None:
    """An executable of a plan that serves many lengths; None where an exact one is to be made."""
    key, sizes = _structure(graph)
    family = _FAMILIES.setdefault(key, _Family())
    if family.refused or (family.line is None and not _learn(family, sizes)):
        return None
    line = family.line
    assert line is not None
    n = sizes[line.pivot]
    if n < family.least or line.at(n) != sizes:
        return None
    plan = next((each for size, each in sorted(family.plans.items()) if size >= n), None)
    if plan is None or plan.capacity > _capacity(n):
        try:
            plan = _planned(graph, family, n, compile_graph, program)
        except NotShown as reason:
            family.refused = str(reason)
            return None
        family.plans[plan.capacity] = plan
    types = [each.type for each in graph.outputs]
    bound = _Bound(plan, graph.device, n, types)
    return bound if bound.fits(graph.scalars) else None


def _learn(family: _Family, sizes: tuple[int, ...]) -> bool:
    family.instances.append(sizes)
    if len(family.instances) < INSTANCES:
        return False
    family.line = _line(family.instances)
    if family.line is None:
        family.attempts += 1
        family.instances.pop(0)
        if family.attempts == ATTEMPTS:
            family.refused = "its sizes are no functions of one number"
        return False
    family.least = min(each[family.line.pivot] for each in family.instances)
    return True


def _capacity(n: int) -> int:
    """The next of 16, 24, 32, 48, 64, 96, …"""
    size = LEAST
    while size < n:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size


def _planned(
    graph: Recorded,
    family: _Family,
    n: int,
    compile_graph: Compile,
    program: Callable[[Graph], Program],
) -> _Plan:
    """A plan for a capacity of n or more. Raises NotShown."""
    line = family.line
    assert line is not None
    capacity = _capacity(n)
    known = sorted({each[line.pivot] for each in family.instances})[:2]
    samples = [_at(graph, line, each) for each in known]
    made = padded(samples, known, _at(graph, line, capacity), capacity)
    if made.most < capacity:
        if made.most < n:
            raise NotShown("a slice of a fixed array is as long as that array")
        capacity = made.most
        made = padded(samples, known, _at(graph, line, capacity), capacity)
    results = {each.type for each in graph.outputs if each in graph.written}
    if any(_grows(leaf, graph, line) and leaf.type in results for leaf in _overwritten(graph)):
        raise NotShown("an array that is overwritten grows")
    executable = compile_graph(made.graph, _digest(made.graph))
    return _Plan(capacity, made, executable, lambda: program(made.graph))


def _overwritten(graph: Recorded) -> list[Node]:
    return [graph.leaves[number] for number in graph.donated]


def _at(graph: Recorded, line: _Line, n: int) -> Graph:
    """The graph of primitives as it would be for another n. Raises NotShown where there is none."""
    sizes = iter(line.at(n))
    made: dict[Node, Node] = {}
    grows = {number for number, each in enumerate(graph.leaves) if _grows(each, graph, line)}
    for node in graph.position:
        if node.buffer is not None:
            made[node] = placeholder(tensor_type(_with_integers(node.shape, sizes), node.dtype))
            continue
        attrs = node.attrs if node.op is op.CONST else _with_integers(node.attrs, sizes)
        inputs = tuple([made[each] for each in node.inputs])
        try:
            signature: Signature = signature_of(
                node.op, attrs, tuple([each.type for each in inputs])
            )
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise NotShown(f"{node.op.name} is not possible at another size: {error}") from error
        made[node] = Node(signature, inputs, node.scalars, node.device, node.site)
    return expand(
        [made[each] for each in graph.order],
        [made[each] for each in graph.leaves],
        [made[each] for each in graph.outputs],
        frozenset(graph.donated) - grows,
    )


def _grows(leaf: Node, graph: Recorded, line: _Line) -> bool:
    """Whether a leaf's sizes change with n."""
    place = 0
    for node in graph.position:
        count = len(_parts(node)[1])
        if node is leaf:
            return any(line.factors[place : place + count])
        place += count
    raise AssertionError("a leaf is in its graph")


def _digest(graph: Graph) -> str:
    """The padded graph as text that means the same in every process, hashed."""
    nodes = walk([*graph.inputs, *graph.outputs])
    number = {node: place for place, node in enumerate(nodes)}
    lines = ["lengths"]
    for node in nodes:
        inputs = [number[each] for each in node.inputs]
        lines.append(f"{node.op.name} {node.attrs!r} {node.scalars!r} {inputs}")
    ends = [[number[each] for each in side] for side in (graph.inputs, graph.outputs)]
    lines.append(repr((ends, graph.scalars, sorted(graph.donatable))))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class _Bound(Executable):
    """A plan of some capacity, for one n."""

    def __init__(self, plan: _Plan, name: str, n: int, outputs: Sequence[TensorType]) -> None:
        self.plan = plan
        self.device = device.get(name)
        self.n = n
        self.outputs = [
            None if capacity is None else of
            for capacity, of in zip(plan.padded.outputs, outputs, strict=True)
        ]
        self.numbers = [each.at(n) for each in plan.padded.numbers]
        copied = [of for _, of in plan.padded.inputs]
        copied += [of for of in self.outputs if of is not None]
        self.each = sum(of.nbytes for of in copied) + RUN if copied else 0
        self.copied = 0

    def fits(self, scalars: Sequence[Any]) -> bool:
        """Whether it can run, and has not copied so much that an exact plan is better."""
        return self.copied + self.each <= COPIES and self._within(scalars)

    def _within(self, scalars: Sequence[Any]) -> bool:
        """Whether all slices stay within their arrays, also at the capacity."""
        every = [*scalars, *self.numbers]
        for start, size, step, extent in self.plan.padded.slices:
            first = every[start.index] if isinstance(start, ScalarRef) else start
            if not 0 <= first <= extent - (size - 1) * step - 1:
                return False
        return True

    def run(self, inputs: Sequence[Any], scalars: Sequence[Any]) -> list[Any]:
        if not self._within(scalars):
            raise RuntimeError(
                f"a plan for lengths to {self.plan.capacity} cannot run: a slice would end beyond "
                "its array"
            )
        self.copied += self.each
        given = list(inputs)
        for number, of in self.plan.padded.inputs:
            given[number] = self._laid(given[number], of)
        results = self.plan.executable.run(given, [*scalars, *self.numbers])
        return [
            buffer if of is None else self._cut(buffer, of)
            for buffer, of in zip(results, self.outputs, strict=True)
        ]

    def _laid(self, buffer: Any, of: TensorType) -> Any:
        array = self.device.to_numpy(buffer)
        whole = numpy.zeros(of.shape, array.dtype)
        whole[tuple([slice(extent) for extent in array.shape])] = array
        return self.device.from_numpy(whole, of, False)

    def _cut(self, buffer: Any, of: TensorType) -> Any:
        array = self.device.to_numpy(buffer)
        return self.device.from_numpy(array[tuple([slice(n) for n in of.shape])], of, True)

    def program(self) -> Program:
        """The program that runs, for who looks for the line of a failure."""
        return self.plan.program()

    def describe(self) -> str:
        return (
            f"a plan for lengths to {self.plan.capacity}, here {self.n}\n"
            f"{self.plan.executable.describe()}"
        )


def shared() -> dict[str, int]:
    """How many structures have plans for many lengths, how many such plans, how many have none."""
    families = _FAMILIES.values()
    return {
        "structures with plans for many lengths": sum(bool(each.plans) for each in families),
        "plans for many lengths": sum(len(each.plans) for each in families),
        "structures that need a plan for each length": sum(bool(each.refused) for each in families),
    }


def refusals() -> list[str]:
    """Why structures keep a plan for each length."""
    return [each.refused for each in _FAMILIES.values() if each.refused]
