"""Axes that a value knows only together: what makes a sum of products a correlation.

A convolution's image is read at p · stride + t · dilation for a position p and a tap t. Whoever
knows that need not treat its values at every (position, tap) as different ones: they are one line,
read shifted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from flambeau.kernel import ir
from flambeau.kernel.ir import Axis, Value, linear_terms
from flambeau.kernel.tile import Contraction, reachable


class Pair(NamedTuple):
    """A value depends on `along` and `tap` through along · stride + tap · dilation alone."""

    along: Axis
    tap: Axis
    stride: int
    dilation: int

    @property
    def extent(self) -> int:
        """How many places along · stride + tap · dilation reaches, from 0 on."""
        return (self.along.extent - 1) * self.stride + (self.tap.extent - 1) * self.dilation + 1

    @property
    def overlaps(self) -> bool:
        """Whether there is a place that two taps reach."""
        return self.stride < self.tap.extent and self.dilation < self.along.extent


def pairs(value: Value, along: Iterable[Axis], taps: Iterable[Axis]) -> tuple[Pair, ...]:
    """Which of `along` a value knows only together with one of `taps`, in the order of `taps`.

    Where the value reads one array without an edge, any two axes have some ratio: what counts is
    that some place is reached in two ways.
    """
    forms = _forms(value)
    taps = tuple(taps)
    known = [
        Pair(axis, tap, *steps)
        for axis in along
        for tap in taps
        if (steps := _ratio(forms, axis, tap)) is not None
    ]
    found: dict[Axis, Pair] = {}
    for pair in sorted(known, key=lambda each: each.stride + each.dilation):
        used = [each.along for each in found.values()]
        if pair.tap not in found and pair.along not in used and pair.overlaps:
            found[pair.tap] = pair
    return tuple([found[tap] for tap in taps if tap in found])


def _forms(value: Value) -> list[dict[Axis, int]]:
    """Every linear form of axes that a value is made of."""
    found = []
    for each in reachable([value]):
        if each.op == "axis" or (each.op in ("ADD", "MUL") and _is_index(each)):
            continue  # seen by what uses it
        for part in each.args:
            if _is_index(part):
                terms = linear_terms(part)[1]
                found.append({a.payload: f for a, f in terms if a.op == "axis"})
    return found


def _is_index(value: Value) -> bool:
    return value.dtype.name == "int64"


def _ratio(forms: list[dict[Axis, int]], along: Axis, tap: Axis) -> tuple[int, int] | None:
    """(stride, dilation) where the two axes come in this ratio everywhere, and do come."""
    ratio = None
    for form in forms:
        if along not in form and tap not in form:
            continue
        stride, dilation = form.get(along, 0), form.get(tap, 0)
        if stride * dilation <= 0:
            return None
        common = math.gcd(stride, dilation)
        steps = abs(stride) // common, abs(dilation) // common
        if ratio not in (None, steps):
            return None
        ratio = steps
    return ratio


class Taps(NamedTuple):
    """A contraction whose second factor slides along the first: w[…, t] = Σ a[…, p] · b[…, p, t].

    `pairs` are its positions (axes of k) with its taps (axes of n).
    """

    pairs: tuple[Pair, ...]

    @property
    def positions(self) -> int:
        return math.prod(pair.along.extent for pair in self.pairs)

    @property
    def taps(self) -> int:
        return math.prod(pair.tap.extent for pair in self.pairs)


def taps_of(contraction: Contraction) -> Taps | None:
    """The taps of a correlation; None where the contraction is none.

    There are no more taps than positions: a convolution's own sum, over its taps, is the other
    way round. That does not depend on other axes, such as one that counts samples.
    """
    found = Taps(pairs(contraction.b, contraction.k, contraction.n))
    return found if found.pairs and found.taps <= found.positions else None


def on_lines(value: Value, found: Iterable[Pair]) -> tuple[Value, dict[Axis, Axis]]:
    """The value with one axis in the place of each pair: along · stride + tap · dilation.

    The second result tells the new axis of each pair's `along`.
    """
    lines = {pair.along: Axis(pair.extent) for pair in found}
    strides = {pair.along: pair.stride for pair in found}
    taps = {pair.tap for pair in found}
    made: dict[Value, Value] = {}

    def index(old: Value) -> Value:
        constant, terms = linear_terms(old)
        total = ir.const(constant)
        for atom, factor in terms:
            axis = atom.payload if atom.op == "axis" else None
            if axis in lines:
                part = ir.index_multiply(ir.axis(lines[axis]), factor // strides[axis])
            elif axis in taps:
                continue  # counted with its partner
            else:
                part = ir.index_multiply(change(atom), factor)
            total = ir.index_add(total, part)
        return total

    def change(old: Value) -> Value:
        if old not in made:
            if _is_index(old) and old.op in ("ADD", "MUL", "axis"):
                made[old] = index(old) if old.op != "axis" or old.payload in lines else old
            else:
                made[old] = Value(old.op, tuple(map(change, old.args)), old.dtype, old.payload)
        return made[old]

    return change(value), lines
