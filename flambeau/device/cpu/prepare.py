"""What is done to a kernel before it is written: loops over a row get the same axes, so that equal
values are one and sums can share a loop, and axes are split so that indices need no division.

    fold add k0:8  b0[k0] where k0 // 2 …        fold add k0:4 k1:2  b0[k0*2 + k1] where k0 …
    fold add k1:8  b0[k1]*b0[k1] where k1 // 2 …  =>  fold add k0:4 k1:2  b0[k0*2 + k1]*…
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from flambeau.graph import dtype as dtypes
from flambeau.graph.op import encode_constant
from flambeau.kernel import ir
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
)
from flambeau.kernel.tile import reachable


def prepared(kernel: Kernel) -> Kernel:
    """The kernel with shared and split axes; itself where there is nothing to do."""
    same = _siblings(kernel.body, {})
    if same:
        kernel = Rewriting({each: ir.axis(of) for each, of in same.items()}, same).kernel(kernel)
        kernel = replace(kernel, body=_together(kernel.body))
    while True:
        parts = _divided(kernel)
        if not parts:
            return kernel
        axes = {axis: (Axis(axis.extent // by), Axis(by)) for axis, by in parts.items()}
        places = {
            axis: ir.index_add(ir.index_multiply(ir.axis(outer), inner.extent), ir.axis(inner))
            for axis, (outer, inner) in axes.items()
        }
        kernel = Rewriting(places, {}, axes).kernel(kernel)


# sums side by side -------------------------------------------------------------------------------


def levels(folds: Sequence[Fold]) -> list[int]:
    """For each of some Folds that follow each other: how many before it must be done first."""
    found: dict[Fold, int] = {}
    for fold in folds:
        needed = [each.payload for each in reachable([fold.value]) if each.op == "result"]
        found[fold] = 1 + max([found[each] for each in needed if each in found], default=-1)
    return list(found.values())


def _siblings(body: Sequence[Statement], found: dict[Axis, Axis]) -> dict[Axis, Axis]:
    """Axes of Folds and Loops that may be those of an earlier one -> that one's axes."""
    first: dict[Any, Fold | Loop] = {}
    for each in body:
        if isinstance(each, Fold | Loop) and not (isinstance(each, Fold) and each.body):
            # a sum's order must not depend on what else divides its axes
            divisors = _divisors(_roots([each], set()))
            key = tuple([(axis.extent, divisors.get(axis)) for axis in each.axes])
            leader = first.setdefault(key, each)
            if leader.axes != each.axes:
                found.update(zip(each.axes, leader.axes, strict=True))
        if isinstance(each, Loop):
            _siblings(each.body, found)
    return found


def _together(body: Sequence[Statement]) -> tuple[Statement, ...]:
    """The statements with Folds over the same axes behind each other."""
    result: list[Statement] = []
    stretch: list[Fold] = []

    def close() -> None:
        numbers = levels(stretch)
        first = {fold.axes: number for number, fold in reversed(list(enumerate(stretch)))}
        order = sorted(
            range(len(stretch)), key=lambda each: (numbers[each], first[stretch[each].axes], each)
        )
        result.extend(stretch[each] for each in order)
        stretch.clear()

    for each in body:
        if isinstance(each, Fold) and not each.body:
            stretch.append(each)
            continue
        close()
        if isinstance(each, Loop):
            each = replace(each, body=_together(each.body))
        result.append(each)
    close()
    return tuple(result)


# divisions ---------------------------------------------------------------------------------------


def _divided(kernel: Kernel) -> dict[Axis, int]:
    """Axes to split -> the extent of the inner part."""
    fixed: set[Axis] = set()
    found = _divisors(_roots(kernel.body, fixed))
    return {axis: by for axis, by in found.items() if axis not in fixed}


def _divisors(roots: Iterable[Value]) -> dict[Axis, int]:
    """Axes that are divided by a number, or whose remainder is taken -> the largest such number
    that divides their extent."""
    found: dict[Axis, int] = {}
    for value in reachable(roots):
        if value.op not in ("IDIV", "MOD") or value.dtype is not dtypes.int64:
            continue
        of, by = value.args
        if of.op != "axis" or by.op != "const" or by.payload < 2:
            continue
        if of.payload.extent % by.payload == 0 and of.payload.extent > by.payload:
            found[of.payload] = max(by.payload, found.get(of.payload, 0))
    return found


def _roots(body: Iterable[Statement], fixed: set[Axis]) -> list[Value]:
    """The values of statements; `fixed` takes the axes that must stay as they are."""
    result: list[Value] = []
    for each in body:
        match each:
            case Fold():
                result.append(each.value)
                result += _roots(each.body, fixed)
            case Loop():
                result += _roots(each.body, fixed)
            case Store():
                result += [each.index, each.value]
                result += [] if each.valid is None else [each.valid]
            case Check():
                result += [each.condition, each.detail]
            case Attend():
                inner = [each.lanes, each.steps]
                inner += [axis for fold in each.folds for axis in fold.axes]
                inner += [
                    axis for loop in each.body if isinstance(loop, Loop) for axis in loop.axes
                ]
                fixed.update(inner)
                result += _roots((*each.folds, *each.body), fixed)
            case Sort():
                fixed.add(each.axis)
                result += [each.source, each.base, each.stride, each.scratch_base]
    return result


# rewriting ---------------------------------------------------------------------------------------


class Rewriting:
    """Puts values into the place of axes. Equal values become one."""

    def __init__(
        self,
        places: Mapping[Axis, Value],
        same: Mapping[Axis, Axis],
        split: Mapping[Axis, tuple[Axis, Axis]] | None = None,
    ) -> None:
        self.places = places
        self.same = same
        self.split = split or {}
        self.folds: dict[Fold, Fold | Value] = {}  # what became of each; a Value needs none
        self.made: dict[Value, Value] = {}
        self.known: dict[Any, Value] = {}
        self.settled: set[Value] = set()
        self.written: set[int] = set()

    def kernel(self, kernel: Kernel) -> Kernel:
        self.written = {n for n, each in enumerate(kernel.buffers) if each.written}
        return replace(
            kernel,
            domain=self.axes(kernel.domain),
            body=tuple([self.statement(each) for each in kernel.body]),
            contraction=None,
        )

    def axes(self, axes: Sequence[Axis]) -> tuple[Axis, ...]:
        result: list[Axis] = []
        for axis in axes:
            result += self.split.get(axis, (self.same.get(axis, axis),))
        return tuple(result)

    def statement(self, each: Statement) -> Statement:
        match each:
            case Fold():
                return self.fold(each)
            case Loop():
                body = tuple([self.statement(inner) for inner in each.body])
                return replace(each, axes=self.axes(each.axes), body=body)
            case Store():
                valid = None if each.valid is None else self.value(each.valid)
                index, value = self.value(each.index), self.value(each.value)
                return replace(each, index=index, value=value, valid=valid)
            case Check():
                condition, detail = self.value(each.condition), self.value(each.detail)
                return replace(each, condition=condition, detail=detail)
            case Attend():
                return self.attend(each)
            case Sort():
                return replace(
                    each,
                    source=self.value(each.source),
                    base=self.value(each.base),
                    stride=self.value(each.stride),
                    scratch_base=self.value(each.scratch_base),
                )
        raise TypeError(f"unknown statement {each!r}")

    def fold(self, each: Fold) -> Fold:
        made = replace(each, axes=self.axes(each.axes), value=self.value(each.value))
        self.folds[each] = made
        made.body = tuple([self.statement(inner) for inner in each.body])
        return made

    def attend(self, each: Attend) -> Attend:
        made = {fold: self.fold(fold) for fold in each.folds}
        return replace(
            each,
            products=tuple([made[fold] for fold in each.products]),
            greatest=None if each.greatest is None else made[each.greatest],
            total=None if each.total is None else made[each.total],
            sums=tuple([made[fold] for fold in each.sums]),
            body=tuple([self.statement(inner) for inner in each.body]),
        )

    def value(self, value: Value) -> Value:
        stack = [value]
        while stack:
            current = stack[-1]
            missing = [each for each in current.args if each not in self.made]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            if current not in self.made:
                args = tuple([self.made[each] for each in current.args])
                self.made[current] = self._known(self._changed(current, args))
        return self.made[value]

    def _changed(self, value: Value, args: tuple[Value, ...]) -> Value:
        if value.op == "axis":
            return self.places.get(value.payload, value)
        if value.op == "result":
            fold = self.folds.get(value.payload, value.payload)
            return fold if isinstance(fold, Value) else Value("result", (), value.dtype, fold)
        rule = _INDEX.get(value.op)
        if rule is not None and value.dtype is dtypes.int64:
            return rule(*args)
        return Value(value.op, args, value.dtype, value.payload)

    def _known(self, value: Value) -> Value:
        """The one value that is equal to this one; loads of what is written are told apart."""
        if value in self.settled:
            return value
        payload = value.payload
        if value.op == "const":
            payload = encode_constant(payload, value.dtype)
        args = tuple([self._known(each) for each in value.args])
        place = value if value.op == "load" and payload in self.written else None
        key = (value.op, args, value.dtype, payload, place)
        found = self.known.get(key)
        if found is None:
            same = all(x is y for x, y in zip(args, value.args, strict=True))
            found = value if same else Value(value.op, args, value.dtype, value.payload)
            self.known[key] = found
            self.settled.add(found)
        return found


def _add(x: Value, y: Value) -> Value:
    return ir.index_add(x, y)


def _multiply(x: Value, y: Value) -> Value:
    if y.op == "const":
        return ir.index_multiply(x, y.payload)
    return Value("MUL", (x, y), dtypes.int64)


def _division(name: str, divide: Callable[[Value, int], Value]) -> Callable[..., Value]:
    def rule(x: Value, y: Value) -> Value:
        if y.op == "const" and y.payload > 0 and ir.upper(x) is not None:
            return divide(x, y.payload)
        return Value(name, (x, y), dtypes.int64)

    return rule


_INDEX: dict[str, Callable[..., Value]] = {
    "ADD": _add,
    "MUL": _multiply,
    "IDIV": _division("IDIV", ir.index_divide),
    "MOD": _division("MOD", ir.index_modulo),
}
