"""Short rows are run some at a time, step by step; what is one number a row is computed in lanes.

    for 16 rows:  r0 = fold max k  x[i, k]
    for 16 rows:  r1 = fold add k  exp(x[i, k] - r0)
    in 16 lanes:  log(r1)
    for 16 rows:  loop j  y[i, j] = …

Each step of one row waits for the step before: a sum for the greatest element, which comes out of a
tree of operations that need each other, and a logarithm for the sum. In a long row that hardly
counts; in one of 128 elements it is half of the time. The same step of another row does not wait,
and a logarithm of sixteen numbers takes no longer than one of a single number. What is added up in
which order does not change. Between the steps a row's numbers lie in the thread's scratch memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flambeau.device.cpu import domain
from flambeau.device.cpu.choose import Choice, Chooser, values_of
from flambeau.device.cpu.emit import INDEX, REGISTER_TYPES, Operand, counting, vector_type
from flambeau.graph.dtype import DType
from flambeau.kernel.ir import Axis, Check, Fold, Kernel, Loop, Statement, Store, Value

if TYPE_CHECKING:
    from flambeau.device.cpu.render import Renderer

AT_ONCE = 16
"""Rows that are run together, at most: a vector of float32."""

NEAR = 4096
"""Elements of the rows that are run together: they, what is kept of them and what is made of them
stay in the nearest cache."""

BLOCKS = 8
"""So many times as many rows there are at least, which threads share."""


def rows_at_once(kernel: Kernel, chooser: Chooser) -> int:
    """How many rows of a kernel are run together; 1 where that does not pay."""
    points = 1
    for axis in kernel.domain:
        points *= axis.extent
    length = _length(kernel.body, chooser)
    last = next((axis.extent for axis in reversed(kernel.domain) if axis.extent > 1), 1)
    count = AT_ONCE
    while count > 1 and (count * length > NEAR or count > last or count * BLOCKS > points):
        count //= 2
    return count if length and count >= 4 else 1


def _length(body: Sequence[Statement], chooser: Chooser) -> int:
    """How many elements the rows have that a body runs over in lanes; 0 where it does something
    else, or has no sum or maximum to wait for."""
    length = 0
    for each in body:
        if isinstance(each, Fold | Loop):
            run = None if isinstance(each, Fold) and each.body else chooser.inner(each)
            if run is None or any(axis.extent > 1 and axis not in run.axes for axis in each.axes):
                return 0
            length = max(length, run.extent * run.inner)
        if isinstance(each, Loop) and not all(isinstance(inner, Store) for inner in each.body):
            return 0
        if not isinstance(each, Fold | Loop | Store | Check):
            return 0
    return length if any(isinstance(each, Fold) for each in body) else 0


class Rows:
    """Writes a kernel whose rows are run `count` at a time."""

    def __init__(self, renderer: Renderer, choice: Choice, count: int) -> None:
        self.renderer = renderer
        self.emitter = renderer.emitter
        self.values = renderer.values
        self.cost = choice.cost
        self.count = count
        wide = [axis for axis in renderer.kernel.domain if axis.extent > 1]
        self.axis = wide[-1]
        self.outer = [axis for axis in renderer.kernel.domain if axis is not self.axis]
        self.done: dict[Fold, int] = {}  # where results lie in scratch memory, one for each row

    def write(self) -> int:
        """Write the loops over the domain; returns the number of work items."""
        blocks = Axis(-(-self.axis.extent // self.count))
        points = blocks.extent
        for each in self.outer:
            points *= each.extent
        ranges = domain.Ranges(self.renderer, [*self.outer, blocks], 1, self.cost / points)
        items = ranges.open()
        self.first = self.emitter.times(self.values.start(blocks), self.count)
        body = list(self.renderer.kernel.body)
        while body:
            stretch = self._stretch(body)
            if isinstance(stretch[0], Fold | Loop):
                self._row_by_row(stretch)
            else:
                with self._lanes():
                    self.renderer.statements(stretch)
            del body[: len(stretch)]
        ranges.close()
        return items

    def _stretch(self, body: list[Statement]) -> list[Statement]:
        """The statements to write next: those that share a loop, or those without one."""
        if isinstance(body[0], Fold | Loop):
            return [*self.renderer.side_by_side(body)] or body[:1]
        end = next((n for n, each in enumerate(body) if isinstance(each, Fold | Loop)), len(body))
        return body[:end]

    @contextmanager
    def _lanes(self) -> Iterator[None]:
        """A scope in whose lanes the rows are, with what their sums have come to."""
        emitter, values = self.emitter, self.values
        emitter.push(self.count, domain.edge_mask(self.renderer, self.axis, self.first, self.count))
        values.bind(self.axis, counting(self.first, self.count))
        for fold, place in self.done.items():
            kind = vector_type(REGISTER_TYPES[fold.dtype.name], self.count)
            name = emitter.let(f"load {kind}, ptr {self._place('i8', place, '0')}, align 64")
            values.bind(fold, Operand(name, fold.dtype, self.count))
        yield
        emitter.pop()

    def _row_by_row(self, stretch: list[Statement]) -> None:
        """Statements that run over a row, for one row after the other."""
        emitter, values = self.emitter, self.values
        ready = self._ready(stretch)
        high: str | int = self.count
        if self.axis.extent % self.count:
            high = emitter.least(self.count, emitter.minus(self.axis.extent, self.first))
        loop = emitter.open_loop(0, high)
        row = self.renderer.keeper.row = loop.index
        values.bind(self.axis, Operand(emitter.plus(self.first, row), INDEX))
        for fold, place in self.done.items():
            values.bind(fold, self._read(fold.dtype, place, row))
        for value, place in ready.items():
            emitter.scopes[-1].memo[value] = self._read(value.dtype, place, row)
        self.renderer.statements(stretch)
        for each in stretch:
            if isinstance(each, Fold):
                place = self.done[each] = self._room()
                self._write(values.value(Value("result", (), each.dtype, each)), place, row)
        emitter.close_loop(loop)
        self.renderer.keeper.row = None

    def _ready(self, stretch: list[Statement]) -> dict[Value, int]:
        """What statements need that is one number a row and made of sums, computed in lanes and
        written to memory: the greatest such values, and where they lie."""
        inner = {axis for each in stretch if isinstance(each, Fold | Loop) for axis in each.axes}
        stack = [value for each in stretch for value in values_of(each)]
        seen: set[Value] = set()
        ready: dict[Value, int] = {}
        while stack:
            value = stack.pop()
            if value in seen or value.op == "result":
                continue
            seen.add(value)
            needed = self.values.dependencies(value)
            simple = inner.isdisjoint(needed) and needed <= {self.axis, *self.outer, *self.done}
            if simple and not needed.isdisjoint(self.done) and value.dtype.is_floating_point:
                ready[value] = self._room()
            else:
                stack.extend(value.args)
        if ready:
            with self._lanes():
                for value, place in ready.items():
                    whole = self.emitter.spread(self.values.value(value), self.count)
                    kind = vector_type(REGISTER_TYPES[value.dtype.name], self.count)
                    to = self._place("i8", place, "0")
                    self.emitter.line(f"store {kind} {whole}, ptr {to}, align 64")
        return ready

    # one number for each row, in scratch memory

    def _room(self) -> int:
        """Where there is room for a number of each row."""
        start = -(-self.renderer.scratch // 64) * 64
        self.renderer.scratch = start + max(64, 8 * self.count)
        return start

    def _place(self, kind: str, place: int, row: str) -> str:
        return self.emitter.element(kind, self.emitter.element("i8", "%scratch", place), row)

    def _read(self, dtype: DType, place: int, row: str) -> Operand:
        kind = REGISTER_TYPES[dtype.name]
        name = self.emitter.let(f"load {kind}, ptr {self._place(kind, place, row)}")
        return Operand(name, dtype)

    def _write(self, operand: Operand, place: int, row: str) -> None:
        kind = REGISTER_TYPES[operand.dtype.name]
        self.emitter.line(f"store {kind} {operand.name}, ptr {self._place(kind, place, row)}")
