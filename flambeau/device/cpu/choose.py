"""Which axis runs in vector lanes, and how many lanes: decided by counting memory accesses.

A kernel is vectorised either over one axis of its domain (its inner loops then work on vectors),
or, statement by statement, over an axis of its Folds and Loops. All depends on the kernel alone,
never on the machine, so that sums are added up in the same order everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from flambeau.device.cpu.access import linear_terms
from flambeau.device.cpu.values import Values
from flambeau.kernel.ir import Axis, Check, Fold, Kernel, Loop, Sort, Statement, Store, Value
from flambeau.kernel.tile import is_product
from flambeau.kernel.tile import reachable as reachable_values

LANES = 16
"""Lanes of a vector whose elements have four bytes, for bodies with functions such as exp."""

LIGHT = 4
"""How many times as wide vectors are where a body only adds, multiplies and the like."""

_WEIGHT = {"EXP": 14.0, "LOG": 20.0, "SIN": 30.0, "DIV": 4.0, "SQRT": 4.0, "IDIV": 8.0, "MOD": 10.0}
_HEAVY = frozenset({"EXP", "LOG", "SIN"})


@dataclass(frozen=True)
class Choice:
    """The domain's vector axis (or None: each statement has its own), and estimated work."""

    axis: Axis | None
    cost: float
    down: Axis | None = None  # with `turned`: the other axis of squares
    turned: tuple[Value, ...] = ()  # loads that run along `down`


def reachable(statements: Iterable[Statement]) -> list[Value]:
    """Every value that statements use, inner ones included."""
    return reachable_values(_values_of_all(statements))


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
        self._lanes: dict[Fold, Axis | None] = {}
        self._decide(kernel.body, kernel.domain)

    def _decide(self, body: Sequence[Statement], around: tuple[Axis, ...]) -> None:
        """Choose each Fold's order: along which of its axes lanes accumulate, if any."""
        for each in body:
            if not isinstance(each, Fold | Loop):
                continue
            if isinstance(each, Fold):
                self._lanes[each] = self._order(each, around)
            self._decide(each.body, (*around, *each.axes))

    def _order(self, fold: Fold, around: tuple[Axis, ...]) -> Axis | None:
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
                best = min(best, self._cost(fold, axis, 1.0) / min(axis.extent, LANES))
        choice = None
        for axis in fold.axes:
            if axis.extent >= LANES // 2 and (cost := self._cost(fold, axis, 1.0)) < best:
                best, choice = cost, axis
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
        for axis in reversed(self.kernel.domain):
            down, turned = self._turned(axis)
            self._cheap = frozenset(turned)
            cost = sum(
                self._cost(each, axis, points / axis.extent * _vectors(axis)) for each in body
            )
            if cost < best.cost:
                best = Choice(axis, cost, down, turned)
        return best

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

    def inner(self, statement: Fold | Loop) -> Axis | None:
        """The axis of a Fold or Loop to run in lanes; None: no one."""
        if isinstance(statement, Fold):
            return self._lanes[statement]
        best, choice = self._cost(statement, None, 1.0), None
        for axis in self._candidates(statement):
            cost = self._cost(statement, axis, 1.0)
            if cost < best:
                best, choice = cost, axis
        return choice

    def _alone(self, statement: Statement, points: float) -> float:
        if not isinstance(statement, Fold | Loop):
            return self._cost(statement, None, points)
        return self._cost(statement, self.inner(statement), points)

    def _candidates(self, loop: Loop) -> Sequence[Axis]:
        if not loop.axes:  # all were of extent 1
            return []
        axis = loop.axes[-1]
        alone = self._independent(loop.body, axis) and not self._fixed(loop.body)
        return [axis] if axis.extent > 1 and alone else []

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

    def _cost(self, statement: Statement, axis: Axis | None, points: float) -> float:
        """A statement's cost at `points` points of what is around it."""
        if isinstance(statement, Fold | Loop):
            inside = points
            for each in statement.axes:
                inside *= _vectors(each) if each is axis else each.extent
            total = sum(self._cost(each, axis, inside) for each in statement.body)
            if isinstance(statement, Fold):
                loops = frozenset(statement.axes)
                total += self._values([statement.value], axis, points, loops) + 0.5 * inside
                total += 6.0 * points if axis in loops else 0.0  # lanes are joined at the end
            return total
        if isinstance(statement, Sort):
            extent = max(statement.axis.extent, 2)
            return points * extent * (extent.bit_length() * 6.0 + 4.0)
        total = self._values(values_of(statement), axis, points, None)
        if isinstance(statement, Store):
            access = self._access(statement.index, axis)
            total += points * (access * 1.5 if access > LANES else access)
        return total

    def _values(
        self,
        roots: Sequence[Value],
        axis: Axis | None,
        points: float,
        loops: frozenset[Axis] | None,
    ) -> float:
        """All values under `roots`; those that do not depend on the loops count once a point."""
        inside = points
        for each in loops or ():
            inside *= _vectors(each) if each is axis else each.extent
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
            if value.op in ("const", "scalar", "axis", "result"):
                continue
            times = inside
            if loops and loops.isdisjoint(self.values.dependencies(value)):
                times = points
            if value.op == "load":
                cheap = axis is not None and value in self._cheap
                total += times * (2.5 if cheap else self._access(value.args[0], axis))
            else:
                total += times * _WEIGHT.get(value.op, 0.7)
        return total

    def _access(self, index: Value, axis: Axis | None) -> float:
        """A load's cost; that of many where lanes are far from each other."""
        if axis is None:
            return 1.0
        found = factor(index, axis, self.values)
        if found in (0, 1):
            return 1.0
        if found is not None and 2 <= found <= 4:
            return 2.0 + found
        return LANES * 1.8


def _vectors(axis: Axis) -> float:
    """How many vectors an axis takes; short ones are not worth as much."""
    return max(1.0, -(-axis.extent // LANES)) + 0.25


def width(extent: int, values: Iterable[Value]) -> int:
    """How many lanes to take for an axis of `extent`."""
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
    most = LANES * 4 // max(size, 4) * (1 if heavy else LIGHT)
    return narrowed(extent, most)


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
