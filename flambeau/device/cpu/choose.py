"""Which axis runs in vector lanes, and how many lanes: decided by counting memory accesses.

A kernel is vectorised either over one axis of its domain (its inner loops then work on vectors),
or, statement by statement, over an axis of its Folds and Loops. All depends on the kernel alone,
never on the machine, so that sums are added up in the same order everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from flambeau.device.cpu.access import NEAR
from flambeau.device.cpu.elementwise import with_offsets
from flambeau.device.cpu.values import Values
from flambeau.kernel.ir import (
    Attend,
    Axis,
    Check,
    Fold,
    Kernel,
    Loop,
    Sort,
    Statement,
    Store,
    Value,
    linear_terms,
)
from flambeau.kernel.tile import is_product
from flambeau.kernel.tile import reachable as reachable_values

LANES = 16
"""Lanes of a vector whose elements have four bytes, for bodies with functions such as exp."""

LIGHT = 4
"""How many times as wide vectors are where a body only adds, multiplies and the like."""

SUMS = 256
"""So many elements of running sums are held in registers, at most."""

FEW_RANGES = 4
"""An axis in lanes is still cut into so many ranges, which threads share."""

_WEIGHT = {
    "EXP": 14.0,
    "LOG": 20.0,
    "SIN": 30.0,
    "COS": 30.0,
    "TAN": 40.0,
    "DIV": 4.0,
    "SQRT": 4.0,
    "IDIV": 8.0,
    "MOD": 10.0,
}
_FREE = frozenset({"const", "scalar", "axis", "result"})
_HEAVY = frozenset({"EXP", "LOG", "SIN", "COS", "TAN"})


@dataclass(frozen=True)
class Run:
    """Neighbouring axes whose points run in lanes, row by row: `count` steps of the first axis,
    all of the others. Lanes beyond those points are masked."""

    axes: tuple[Axis, ...]
    count: int
    lanes: int

    @property
    def inner(self) -> int:
        """Points of the axes behind the first."""
        return prod(axis.extent for axis in self.axes[1:])

    @property
    def extent(self) -> int:
        """Of the first axis."""
        return self.axes[0].extent

    def offsets(self) -> list[tuple[int, ...]]:
        """By how much each axis is ahead in each lane. Lanes too many count on, as if the first
        axis were longer."""
        result = []
        inner = self.inner
        for axis in self.axes:
            if axis is not self.axes[0]:
                inner //= axis.extent
            most = axis.extent if axis is not self.axes[0] else self.lanes
            result.append(tuple([lane // inner % most for lane in range(self.lanes)]))
        return result

    @property
    def vectors(self) -> float:
        """How many vectors of LANES the points take; short ones are not worth as much."""
        if len(self.axes) == 1:
            return max(1.0, -(-self.extent // LANES)) + 0.25
        return -(-self.extent // self.count) * max(1.0, self.lanes / LANES) + 0.25


def bind_run(values: Values, run: Run, start: str) -> None:
    """Bind the axes of a run to a vector from a step of its first axis on."""
    for axis, offsets in zip(run.axes, run.offsets(), strict=True):
        name = start if axis is run.axes[0] else "0"
        values.bind(axis, with_offsets(name, offsets))


@dataclass(frozen=True)
class Choice:
    """What of the domain runs in lanes (None: each statement has lanes of its own); its work."""

    run: Run | None
    cost: float
    down: Axis | None = None  # with `turned`: the other axis of squares
    turned: tuple[Value, ...] = ()  # loads that run along `down`


def reachable(statements: Iterable[Statement]) -> list[Value]:
    """Every value that statements use, inner ones included."""
    return reachable_values(_values_of_all(statements))


def weight(value: Value) -> float:
    """What computing a value from its arguments costs."""
    return _WEIGHT.get(value.op, 0.0 if value.op in _FREE else 0.7)


def values_of(statement: Statement) -> list[Value]:
    """The values that a statement names, and those of its body."""
    if isinstance(statement, Fold):
        return [statement.value, *_values_of_all(statement.body)]
    if isinstance(statement, Loop):
        return _values_of_all(statement.body)
    if isinstance(statement, Store):
        valid = [] if statement.valid is None else [statement.valid]
        return [statement.index, statement.value, *valid]
    if isinstance(statement, Check):
        return [statement.condition, statement.detail]
    if isinstance(statement, Attend):
        return _values_of_all((*statement.folds, *statement.body))
    assert isinstance(statement, Sort)
    return [statement.source, statement.base, statement.stride, statement.scratch_base]


def _values_of_all(statements: Iterable[Statement]) -> list[Value]:
    return [value for each in statements for value in values_of(each)]


def factor(index: Value, axis: Axis, values: Values) -> int | None:
    """By how much an index grows with an axis; None where it is not linear in it."""
    total = 0
    for atom, times in linear_terms(index)[1]:
        if atom.op == "axis":
            total += times if atom.payload is axis else 0
        elif axis in values.dependencies(atom):
            return None
    return total


class Chooser:
    """Estimates what a kernel costs with each choice."""

    def __init__(self, kernel: Kernel, values: Values) -> None:
        self.kernel = kernel
        self.values = values
        self._cheap: frozenset[Value] = frozenset()  # loads that are turned
        self.products: set[Fold] = set()  # folds that are summed as matrix products are
        self._lanes: dict[Fold, Run | None] = {}
        self._decide(kernel.body, kernel.domain)

    def _decide(self, body: Sequence[Statement], around: tuple[Axis, ...]) -> None:
        """Choose each Fold's order: along which of its axes lanes accumulate, if any."""
        for each in body:
            if not isinstance(each, Fold | Loop):
                continue
            if isinstance(each, Fold):
                self._lanes[each] = self._order(each, around)
            self._decide(each.body, (*around, *each.axes))

    def _order(self, fold: Fold, around: tuple[Axis, ...]) -> Run | None:
        """Lanes where that is the best for this Fold by itself, whatever the extents around it:
        a row's sum must not depend on how many rows there are."""
        if fold.body or any(axis.extent == 0 for axis in fold.axes):
            return None
        if is_product(fold):
            self.products.add(fold)
            return None
        best = self._cost(fold, None, 1.0)
        for axis in around:
            if axis.extent > 1 and self._runs_along(fold, axis):
                run = Run((axis,), LANES, LANES)
                best = min(best, self._cost(fold, run, 1.0) / min(axis.extent, LANES))
        choice = None
        values = reachable([fold])
        for run in (*_single(fold.axes, values), *_several(fold.axes, values)):
            points = run.extent * run.inner
            if points >= LANES // 2 and (cost := self._cost(fold, run, 1.0)) < best:
                best, choice = cost, run
        return choice

    def _runs_along(self, fold: Fold, axis: Axis) -> bool:
        """Whether what a Fold reads along its own axes lies along another axis, too, and the rest
        does or does not change with it. Then that axis is hardly one that counts samples."""
        loads = [each for each in reachable_values([fold.value]) if each.op == "load"]
        steps = set(fold.axes)
        along = False
        for each in loads:
            grows = factor(each.args[0], axis, self.values)
            if grows not in (0, 1):
                return False
            along = along or bool(grows and self.values.dependencies(each) & steps)
        return along

    def _fixed(self, body: Sequence[Statement]) -> bool:
        """Whether a Fold in here has lanes of its own, and the order of its sum matters."""
        for each in body:
            if isinstance(each, Fold):
                ordered = each.kind != "max" and each.dtype.is_floating_point
                if ordered and self._lanes[each] is not None:
                    return True
            if isinstance(each, Fold | Loop) and self._fixed(each.body):
                return True
        return False

    def domain(self) -> Choice:
        """The best of: one domain axis in lanes, or every statement by itself."""
        points = 1.0
        for axis in self.kernel.domain:
            points *= axis.extent
        body = self.kernel.body
        own = sum(self._alone(each, points) for each in body)
        best = Choice(None, own)
        if any(isinstance(each, Sort) for each in body) or self._fixed(body):
            return best
        values = reachable(body)
        for run in _single(self.kernel.domain[::-1], values):
            run = self._wider(run)
            down, turned = self._turned(run.axes[0])
            self._cheap = frozenset(turned)
            cost = sum(self._cost(each, run, points / run.extent * run.vectors) for each in body)
            if cost < best.cost:
                best = Choice(run, cost, down, turned)
        self._cheap = frozenset()
        for run in _several(self.kernel.domain, values):
            around = points / (run.extent * run.inner) * run.vectors
            cost = sum(self._cost(each, run, around) for each in body)
            if cost < best.cost:
                best = Choice(run, cost)
        return best

    def _wider(self, run: Run) -> Run:
        """More lanes where only sums over rows are made: with as many running sums as fit the
        registers, long stretches of each row are read at once, which memory is twice as fast at.
        """
        folds = [each for each in self.kernel.body if isinstance(each, Fold)]
        lanes, extent = run.lanes, run.axes[0].extent
        if lanes < LANES * LIGHT or not folds or self.products.intersection(folds):
            return run
        while (
            2 * lanes * len(folds) <= SUMS
            and extent % (2 * lanes) == 0
            and extent // (2 * lanes) >= FEW_RANGES
        ):
            lanes *= 2
        return Run(run.axes, lanes, lanes)

    def _turned(self, axis: Axis) -> tuple[Axis | None, tuple[Value, ...]]:
        """Loads that run along another axis of the domain, when `axis` is in lanes; that axis."""
        kernel, values = self.kernel, self.values
        if axis.extent < LANES // 2 or not all(isinstance(s, Store | Check) for s in kernel.body):
            return None, ()
        loads = [
            each
            for each in reachable(kernel.body)
            if each.op == "load"
            and len(each.args) == 1
            and each.dtype.itemsize >= 4
            and not kernel.buffers[each.payload].written
            and (factor(each.args[0], axis, values) or 0) > 1
        ]
        found: dict[tuple[Axis, int], list[Value]] = {}
        for each in loads:
            for down in kernel.domain:
                if down.extent >= LANES // 2 and factor(each.args[0], down, values) == 1:
                    found.setdefault((down, each.dtype.itemsize), []).append(each)
                    break
        if not found:
            return None, ()
        (down, _), turned = max(found.items(), key=lambda item: len(item[1]))
        return down, tuple(turned)

    def inner(self, statement: Fold | Loop) -> Run | None:
        """What of a Fold or Loop runs in lanes; None: nothing."""
        if isinstance(statement, Fold):
            return self._lanes[statement]
        best, choice = self._cost(statement, None, 1.0), None
        for run in self._candidates(statement):
            cost = self._cost(statement, run, 1.0)
            if cost < best:
                best, choice = cost, run
        return choice

    def _alone(self, statement: Statement, points: float) -> float:
        if not isinstance(statement, Fold | Loop):
            return self._cost(statement, None, points)
        return self._cost(statement, self.inner(statement), points)

    def _candidates(self, loop: Loop) -> list[Run]:
        if self._fixed(loop.body):
            return []
        values = reachable(loop.body)
        runs = [*_single(loop.axes[-1:], values), *_several(loop.axes, values)]
        return [
            run
            for run in runs
            if all(self._independent(loop.body, axis) for axis in run.axes)
            and self._apart(loop.body, run)
        ]

    def _apart(self, body: Sequence[Statement], run: Run) -> bool:
        """Whether no two points of several axes are stored at one element."""
        if len(run.axes) == 1:
            return True
        for each in body:
            if isinstance(each, Store):
                places = self._places(each.index, run)
                if places is None or len(set(places)) < len(places):
                    return False
            if isinstance(each, Fold | Loop) and not self._apart(each.body, run):
                return False
        return True

    def _independent(self, body: Sequence[Statement], axis: Axis) -> bool:
        """Whether a Loop's points may run at once: each stores an element of its own."""
        for each in body:
            if isinstance(each, Sort):
                return False
            if isinstance(each, Store) and not factor(each.index, axis, self.values):
                return False
            if isinstance(each, Fold | Loop) and not self._independent(each.body, axis):
                return False
            if isinstance(each, Fold) and each.body:
                return False
        return True

    # costs

    def _cost(self, statement: Statement, run: Run | None, points: float) -> float:
        """A statement's cost at `points` points of what is around it."""
        if isinstance(statement, Fold | Loop):
            inside = points * _steps(statement.axes, run)
            total = sum(self._cost(each, run, inside) for each in statement.body)
            if isinstance(statement, Fold):
                loops = frozenset(statement.axes)
                total += self._values([statement.value], run, points, loops, inside) + 0.5 * inside
                total += 6.0 * points if run is not None and run.axes[0] in loops else 0.0
            return total
        if isinstance(statement, Sort):
            extent = max(statement.axis.extent, 2)
            return points * extent * (extent.bit_length() * 6.0 + 4.0)
        total = self._values(values_of(statement), run, points, frozenset(), points)
        if isinstance(statement, Store):
            access = self._access(statement.index, run, True)
            total += points * (access * 1.5 if access > LANES else access)
        return total

    def _values(
        self,
        roots: Sequence[Value],
        run: Run | None,
        points: float,
        loops: frozenset[Axis],
        inside: float,
    ) -> float:
        """All values under `roots`, at `inside` points; those that do not depend on the loops
        count once for each of `points`."""
        total = 0.0
        seen: set[Value] = set()
        stack = list(roots)
        while stack:
            value = stack.pop()
            if value in seen:
                continue
            seen.add(value)
            if value.op == "load":
                stack.extend(value.args[1:])
                stack.extend(a for a, _ in linear_terms(value.args[0])[1])
            else:
                stack.extend(value.args)
            if value.op in _FREE:
                continue
            times = inside
            if loops and loops.isdisjoint(self.values.dependencies(value)):
                times = points
            if value.op == "load":
                cheap = run is not None and value in self._cheap
                masked = len(value.args) > 1
                total += times * (2.5 if cheap else self._access(value.args[0], run, masked))
            else:
                total += times * weight(value)
        return total

    def _access(self, index: Value, run: Run | None, masked: bool) -> float:
        """A load's cost; that of many where lanes are far from each other."""
        if run is None:
            return 1.0
        if len(run.axes) > 1:
            return self._access_near(index, run, masked)
        found = factor(index, run.axes[0], self.values)
        if found in (0, 1):
            return 1.0
        if found is not None and 2 <= found <= 4:
            return 2.0 + found
        return LANES * 1.8

    def _access_near(self, index: Value, run: Run, masked: bool) -> float:
        """As _access, where lanes are points of several axes; without a mask they are shuffled."""
        places = self._places(index, run)
        if places is None:
            return LANES * 1.8
        if not any(places) or all(place == lane for lane, place in enumerate(places)):
            return 1.0
        span = max(places) - min(places) + 1
        if masked or span > NEAR * run.lanes:
            return LANES * 1.8
        return 2.0 + span / run.lanes

    def _places(self, index: Value, run: Run) -> list[int] | None:
        """Where the lanes that count are, from the first one on; None where that is not known."""
        factors = [factor(index, axis, self.values) for axis in run.axes]
        offsets = run.offsets()
        places = [0] * (run.count * run.inner)
        for times, each in zip(factors, offsets, strict=True):
            if times is None:
                return None
            for lane in range(len(places)):
                places[lane] += times * each[lane]
        return places


def _steps(axes: Sequence[Axis], run: Run | None) -> float:
    """How often a body over these axes runs, where those of `run` are in lanes."""
    total = 1.0
    for axis in axes:
        if run is None or axis not in run.axes:
            total *= axis.extent
        elif axis is run.axes[0]:
            total *= run.vectors
    return total


def _single(axes: Sequence[Axis], values: Sequence[Value]) -> list[Run]:
    """Each axis by itself."""
    most = widest(values)
    wide = [(axis, narrowed(axis.extent, most)) for axis in axes if axis.extent > 1]
    return [Run((axis,), lanes, lanes) for axis, lanes in wide]


def _several(axes: Sequence[Axis], values: Sequence[Value]) -> list[Run]:
    """The last axes together, where the last one alone is short."""
    axes = [axis for axis in axes if axis.extent > 1]
    most = widest(values)
    runs: list[Run] = []
    if len(axes) < 2 or axes[-1].extent >= 2 * LANES:
        return runs
    inner = axes[-1].extent
    for start in range(len(axes) - 2, -1, -1):
        if inner > most:
            break
        extent = axes[start].extent
        count, lanes = _fitting(extent, inner, most)
        runs.append(Run(tuple(axes[start:]), count, lanes))
        inner *= extent
    return runs


@lru_cache(maxsize=4096)
def _fitting(extent: int, inner: int, most: int) -> tuple[int, int]:
    """(count, lanes): how many steps of an axis to take at once with `inner` points each."""
    best, chosen = None, (1, most)
    for count in range(1, min(extent, most // inner) + 1):
        lanes = max(2, 1 << (count * inner - 1).bit_length())
        cost = -(-extent // count) * (lanes + 8)
        if best is None or cost < best:
            best, chosen = cost, (count, lanes)
    return chosen


def widest(values: Iterable[Value]) -> int:
    """How many lanes to take at most."""
    size, heavy, count = 1, False, 0
    for each in values:
        if each.op in ("const", "scalar", "axis"):
            continue
        count += 1
        heavy = heavy or each.op in _HEAVY or count > 40
        held = (
            4 if each.dtype.is_floating_point and each.dtype.itemsize == 2 else each.dtype.itemsize
        )
        index = each.dtype.itemsize == 8 and not each.dtype.is_floating_point
        size = max(size, 4 if index and each.op != "load" else held)
    return LANES * 4 // max(size, 4) * (1 if heavy else LIGHT)


@lru_cache(maxsize=4096)
def narrowed(extent: int, most: int) -> int:
    """The power of two up to `most` that wastes little on an axis of `extent`."""
    if extent >= 4 * most:
        return most
    best, chosen = None, most
    lanes = most
    while lanes >= min(4, most):
        cost = -(-extent // lanes) * (lanes + 8)
        if best is None or cost < best:
            best, chosen = cost, lanes
        lanes //= 2
    while chosen // 2 >= extent and chosen > 2:
        chosen //= 2
    return chosen
