"""Row kernels keep what is dear: a value that several loops over a row need is computed in the
first of them and lies in the thread's scratch memory for the others.

    fold add k  exp(x[k] - most)              the exponential is computed once a row
    loop k      y[k] = exp(x[k] - most) / sum

prepare.py gives such loops the same axis, so that equal values are one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from flambeau.device.cpu.choose import Chooser, reachable, values_of, weight
from flambeau.device.cpu.emit import REGISTER_TYPES, Emitter, Operand, vector_type
from flambeau.device.cpu.values import Values
from flambeau.kernel.ir import Axis, Fold, Loop, Statement, Value
from flambeau.kernel.tile import reachable as reachable_values

DEAR = 6.0
"""What costs less is computed again: storing and loading it is not free."""

MOST = 256 << 10
"""Bytes that a row's kept values may take: they are to stay in the second cache."""

SPARE = 64
"""Elements behind a row that whole vectors may touch."""


@dataclass
class Kept:
    """What one statement's loop leaves in memory, and finds there: values and where they lie."""

    axis: Axis
    left: dict[Value, int] = field(default_factory=dict)
    found: dict[Value, int] = field(default_factory=dict)


class Keeper:
    """Decides what a kernel keeps, and writes the stores and loads."""

    def __init__(self, emitter: Emitter, values: Values, chooser: Chooser) -> None:
        self.emitter = emitter
        self.values = values
        self.chooser = chooser
        self.bytes = 0
        self.row: str | None = None  # of the rows that are run together: see rows.py
        self._rows = 1
        self._plans: dict[Statement, Kept] = {}

    def plan(self, body: Sequence[Statement], domain: Sequence[Axis], rows: int = 1) -> None:
        """Choose what statements keep for those behind them, of so many rows at once."""
        self._rows = rows
        around = frozenset(domain)
        before: list[tuple[Kept, frozenset[Value]]] = []
        for each in body:
            axis = self._axis(each)
            if axis is None:
                continue
            own = Kept(axis)
            mine = frozenset(reachable([each]))
            self._plans[each] = own
            earlier = [(kept, theirs) for kept, theirs in before if kept.axis is axis]
            if earlier:
                self._take(each, own, earlier, around | {axis})
            before.append((own, mine))

    def _axis(self, each: Statement) -> Axis | None:
        """The one axis that a statement runs over in lanes; None where it is not so simple."""
        if not isinstance(each, Fold | Loop) or (isinstance(each, Fold) and each.body):
            return None
        wide = [axis for axis in each.axes if axis.extent > 1]
        run = self.chooser.inner(each)
        return wide[0] if run is not None and run.axes == tuple(wide) else None

    def _take(
        self,
        statement: Statement,
        own: Kept,
        earlier: Sequence[tuple[Kept, frozenset[Value]]],
        axes: frozenset[Axis],
    ) -> None:
        """Find the greatest dear values that were computed before."""
        known = frozenset().union(*(theirs for _, theirs in earlier))
        stack = values_of(statement)
        seen: set[Value] = set()
        while stack:
            value = stack.pop()
            if value in seen:
                continue
            seen.add(value)
            if value in known and self._dear(value, own.axis, axes):
                kept = next(kept for kept, theirs in earlier if value in theirs)
                place = kept.left.get(value, self._room(value, own.axis))
                if place is not None:
                    kept.left[value] = own.found[value] = place
                    continue
            stack.extend(value.args)

    def _dear(self, value: Value, axis: Axis, axes: frozenset[Axis]) -> bool:
        needed = self.values.dependencies(value)
        inner = any(isinstance(each, Axis) and each not in axes for each in needed)
        if inner or axis not in needed or not value.dtype.is_floating_point:
            return False
        below = reachable_values([value])
        return sum(weight(each) for each in below if axis in self.values.dependencies(each)) >= DEAR

    def _room(self, value: Value, axis: Axis) -> int | None:
        size = self._rows * _row_bytes(value, axis)
        if self.bytes + size > MOST:
            return None
        self.bytes += size
        return self.bytes - size

    # writing

    @contextmanager
    def body(self, statements: Sequence[Statement]) -> Iterator[None]:
        """Around what is written into a loop in lanes, whose axis is bound.

        Of statements that share the loop, one may leave what another would find: that is computed.
        """
        plans = [self._plans[each] for each in statements if each in self._plans]
        emitter = self.emitter
        here = {value for plan in plans for value in plan.left}
        for plan in plans:
            for value, place in plan.found.items():
                if value in here:
                    continue
                kind = vector_type(REGISTER_TYPES[value.dtype.name], emitter.lanes)
                address = self._address(plan.axis, value, place)
                name = emitter.let(f"load {kind}, ptr {address}, align 4")
                emitter.scopes[-1].memo[value] = Operand(name, value.dtype, emitter.lanes)
        yield
        for plan in plans:
            for value, place in plan.left.items():
                kind = vector_type(REGISTER_TYPES[value.dtype.name], emitter.lanes)
                name = emitter.spread(self.values.value(value), emitter.lanes)
                address = self._address(plan.axis, value, place)
                emitter.line(f"store {kind} {name}, ptr {address}, align 4")

    def _address(self, axis: Axis, value: Value, place: int) -> str:
        start = self.values.start(axis)
        base = self.emitter.element("i8", "%scratch", place)
        if self.row is not None:
            ahead = self.emitter.times(self.row, _row_bytes(value, axis))
            base = self.emitter.element("i8", base, ahead)
        return self.emitter.element(REGISTER_TYPES[value.dtype.name], base, start)


def _row_bytes(value: Value, axis: Axis) -> int:
    """What a row of a value takes: whole lines of the cache."""
    size = (axis.extent + SPARE) * (8 if value.dtype.itemsize == 8 else 4)
    return -(-size // 64) * 64
