"""Where arrays lie: slots, in-place writes into donated inputs, and the arena of temporaries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flambeau.graph import op
from flambeau.graph.graph import Graph
from flambeau.graph.node import Node, TensorType, tensor_type
from flambeau.kernel.ir import Kernel, Parameter, Statement, Store, Value
from flambeau.kernel.lower import Lowered, canonical
from flambeau.kernel.printer import statement_values, walk_statements, walk_values
from flambeau.kernel.program import Slot

_ALIGNMENT = 64


@dataclass(slots=True)
class Call:
    """A host function between launches, on Nodes' buffers."""

    node: Node
    inputs: list[Node]
    outputs: list[Node | None]


Step = Lowered | Call


class Memory:
    """Gives every stored Node a slot.

    `outputs` maps the Node that is computed straight into an output's buffer to that output's
    position.
    """

    def __init__(self, graph: Graph) -> None:
        self.slots: list[Slot] = [Slot(each.type, "input") for each in graph.inputs]
        self.place: dict[Node, int] = {node: n for n, node in enumerate(graph.inputs)}
        self.donated: set[int] = set(graph.donatable)
        self.direct: dict[Node, int] = {}
        self.heirs: dict[Node, Node] = {}
        self.outputs: list[int] = []
        self.copies: list[tuple[Node, Node]] = []
        for output in graph.outputs:
            self.outputs.append(len(self.slots))
            base = canonical(output)
            if base in self.place or base in self.direct:
                self.copies.append((_Copy(output), output))
                self.place[self.copies[-1][0]] = len(self.slots)
                self.donated.discard(self.place.get(base, -1))
            else:
                self.direct[base] = len(self.slots)
            self.slots.append(Slot(output.type, "output"))
        self.place.update(self.direct)

    def slot(self, node: Node) -> int:
        """The slot of a stored Node; a temporary gets one when it is first asked for."""
        while node in self.heirs:
            node = self.heirs[node]
        found = self.place.get(node)
        if found is None:
            found = self.place[node] = self.temporary(node.type)
        return found

    def temporary(self, of: TensorType) -> int:
        self.slots.append(Slot(of, "temporary"))
        return len(self.slots) - 1

    def scratch(self, of: Parameter) -> int:
        return self.temporary(tensor_type((of.size,), of.dtype))

    def may_overwrite(self, base: Node, node: Node) -> bool:
        """Whether `base`'s buffer may hold `node` once nobody reads `base`."""
        before, after = self.place.get(base), self.place.get(node)
        if before is None:
            return True
        if base.op is op.BUFFER and before not in self.donated:
            return False
        return base not in self.direct and self._same_type(before, after)

    def _same_type(self, before: int, after: int | None) -> bool:
        """Whether a slot may be an alias of another: both are one buffer object, of one type."""
        return after is None or self.slots[before].type is self.slots[after].type

    def overwrite(self, base: Node, node: Node) -> None:
        """`node` is computed in `base`'s buffer."""
        before, after = self.place.get(base), self.place.get(node)
        if before is None:  # a temporary: it lies where its heir lies
            self.heirs[base] = node
            return
        self.donated.discard(before)
        if after is None:
            self.place[node] = before
        else:
            self.slots[after].alias = before

    # donation -------------------------------------------------------------------------------

    def donate(self, step: Lowered, last_reads: set[Node]) -> None:
        """Let outputs overwrite donated inputs that their kernel reads for the last time.

        A store may overwrite what is read at its own element only: by stores of the domain, and
        not by a Fold or a Loop. Stores are put in an order so that none reads what was overwritten.
        """
        body = step.kernel.body
        stores = _plain_stores(body)
        if not stores or not self.donated:
            return
        others = [each for each in body if each not in stores]
        loads, elsewhere = _loads(stores), _loads(others)
        choices: list[tuple[int, list[int]]] = []
        for store in stores:
            if not self._is_new_output(step.buffers[store.buffer]):
                continue
            fits = [
                number
                for number, base in enumerate(step.buffers)
                if base in last_reads
                and self._may_become(base, step.buffers[store.buffer])
                and number not in elsewhere
                and _same_memory(step.kernel, number, store.buffer)
                and all(index is store.index for index in loads.get(number, ()))
            ]
            if fits:
                choices.append((store.buffer, fits))
        self._overwrite(step, stores, others, choices)

    def _may_become(self, base: Node | None, node: Node | None) -> bool:
        if base is None or node is None:
            return False
        before = self.place.get(base)
        return before in self.donated and self._same_type(before, self.place[node])

    def _is_new_output(self, node: Node | None) -> bool:
        """Whether a Node is computed into an output that does not overwrite anything yet."""
        if node is None or node not in self.place:
            return False
        slot = self.slots[self.place[node]]
        return slot.role == "output" and slot.alias is None

    def _overwrite(
        self,
        step: Lowered,
        stores: list[Store],
        others: list[Statement],
        choices: list[tuple[int, list[int]]],
    ) -> None:
        """Take the choices as far as they agree.

        A value that is made of the old one takes its place (a parameter its predecessor's, before
        the gradient could); then those with the fewest alternatives.
        """
        merged: dict[int, int] = {}
        reads = [_loads([store]) for store in stores]
        own = {store.buffer: read for store, read in zip(stores, reads, strict=True)}

        def rank(choice: tuple[int, list[int]]) -> tuple[bool, int]:
            written, fits = choice
            return own[written].keys().isdisjoint(fits), len(fits)

        for written, fits in sorted(choices, key=rank):
            for number in sorted(fits, key=lambda each: each not in own[written]):
                if number in merged:
                    continue
                order = _store_order(stores, reads, {**merged, number: written})
                if order is not None:
                    merged[number] = written
                    step.kernel.body = (*others, *order)
                    base, node = step.buffers[number], step.buffers[written]
                    assert base is not None
                    assert node is not None
                    self.overwrite(base, node)
                    break
        if merged:
            _merge_buffers(step, merged)

    # arena ----------------------------------------------------------------------------------

    def lay_out(self, uses: Sequence[Iterable[int]]) -> int:
        """Offsets of the temporaries, given the slots that each launch uses; the arena's size."""
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        for number, slots in enumerate(uses):
            for slot in slots:
                if self.slots[slot].role == "temporary":
                    first.setdefault(slot, number)
                    last[slot] = number
        starts: dict[int, list[int]] = {}
        ends: dict[int, list[int]] = {}
        for slot in first:
            starts.setdefault(first[slot], []).append(slot)
            ends.setdefault(last[slot], []).append(slot)
        arena = _Arena()
        for number in range(len(uses)):
            for slot in starts.get(number, ()):
                self.slots[slot].offset = arena.take(self.slots[slot].type.nbytes)
            for slot in ends.get(number, ()):
                arena.give(self.slots[slot].offset, self.slots[slot].type.nbytes)
        return arena.size


class _Copy(Node):
    """Stands for the buffer of an output that is a copy of something stored."""

    __slots__ = ()

    def __init__(self, of: Node) -> None:
        super().__init__(of.signature, of.inputs, of.scalars, of.device, of.site)


class _Arena:
    """Best-fit allocation of ranges of bytes."""

    def __init__(self) -> None:
        self.size = 0
        self.free: list[tuple[int, int]] = []  # (offset, length), ascending

    def take(self, nbytes: int) -> int:
        length = _aligned(nbytes)
        if not length:
            return 0
        fits = [each for each in self.free if each[1] >= length]
        if fits:
            offset, have = best = min(fits, key=lambda each: each[1])
            at = self.free.index(best)
            self.free[at : at + 1] = [(offset + length, have - length)] if have > length else []
            return offset
        offset = self.size
        if self.free and sum(self.free[-1]) == self.size:
            offset = self.free.pop()[0]
        self.size = offset + length
        return offset

    def give(self, offset: int, nbytes: int) -> None:
        length = _aligned(nbytes)
        if not length:
            return
        self.free.append((offset, length))
        self.free.sort()
        merged: list[tuple[int, int]] = []
        for start, size in self.free:
            if merged and sum(merged[-1]) == start:
                merged[-1] = (merged[-1][0], merged[-1][1] + size)
            else:
                merged.append((start, size))
        self.free = merged


def _aligned(nbytes: int) -> int:
    return -(-nbytes // _ALIGNMENT) * _ALIGNMENT


def _plain_stores(body: Sequence[Statement]) -> list[Store]:
    """The stores at the domain's points, unconditional, each the only one to its buffer."""
    written = [each.buffer for each in walk_statements(body) if isinstance(each, Store)]
    return [
        each
        for each in body
        if isinstance(each, Store)
        and each.valid is None
        and each.combine is None
        and written.count(each.buffer) == 1
    ]


def _store_order(
    stores: list[Store], reads: list[dict[int, list[Value]]], merged: dict[int, int]
) -> list[Store] | None:
    """The stores so that none overwrites what a later one loads; None where that cannot be.

    `merged` says which loaded buffer each written one overwrites.
    """
    overwritten = {written: number for number, written in merged.items()}
    waiting = list(range(len(stores)))
    order: list[Store] = []
    while waiting:
        for at in waiting:
            gone = overwritten.get(stores[at].buffer)
            if gone is None or not any(gone in reads[each] for each in waiting if each != at):
                break
        else:
            return None
        waiting.remove(at)
        order.append(stores[at])
    return order


def _loads(body: Iterable[Statement]) -> dict[int, list[Value]]:
    """The indices at which each buffer is loaded."""
    found: dict[int, list[Value]] = {}
    roots = [v for each in walk_statements(body) for v in statement_values(each)]
    for value in walk_values(roots):
        if value.op == "load":
            found.setdefault(value.payload, []).append(value.args[0])
    return found


def _same_memory(kernel: Kernel, one: int, other: int) -> bool:
    first, second = kernel.buffers[one], kernel.buffers[other]
    return first.dtype is second.dtype and first.size == second.size and not first.written


def _merge_buffers(step: Lowered, merged: dict[int, int]) -> None:
    """Make each buffer in `merged` one with the buffer that it maps to."""
    kernel = step.kernel
    kept = [number for number in range(len(kernel.buffers)) if number not in merged]
    renumbered = {number: at for at, number in enumerate(kept)}
    for gone, target in merged.items():
        renumbered[gone] = renumbered[target]
    roots = [v for each in walk_statements(kernel.body) for v in statement_values(each)]
    for value in walk_values(roots):
        if value.op == "load":
            value.payload = renumbered[value.payload]
    for statement in walk_statements(kernel.body):
        if isinstance(statement, Store):
            statement.buffer = renumbered[statement.buffer]
    kernel.buffers = tuple([kernel.buffers[number] for number in kept])
    step.buffers = [step.buffers[number] for number in kept]
