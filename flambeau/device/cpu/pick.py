"""Sums of which at most one term counts are that term.

    fold add k:128  where(k == target, f(k), 0)   =>   where(0 ≤ target < 128, f(target), 0)

A loss finds the class of each row by comparing (ops/cross_entropy.py): that has a simple gradient
and stays in the row's kernel. Here the row is not read once more for it.
"""

from __future__ import annotations

from dataclasses import replace

from flambeau.device.cpu.prepare import Rewriting
from flambeau.graph import dtype as dtypes
from flambeau.kernel import ir
from flambeau.kernel.ir import Axis, Fold, Kernel, Value
from flambeau.kernel.tile import reachable


def picked(kernel: Kernel) -> Kernel:
    """The kernel without such sums; itself where there are none."""
    places = {each: _place(each) for each in kernel.body if isinstance(each, Fold)}
    written = {number for number, each in enumerate(kernel.buffers) if each.written}
    found = {
        fold: place
        for fold, place in places.items()
        if place is not None and not _reads(fold, written)
    }
    if not found:
        return kernel
    rewriting = Rewriting({}, {})
    body = []
    for each in kernel.body:
        place = found.get(each) if isinstance(each, Fold) else None
        if place is None:
            body.append(rewriting.statement(each))
        else:
            assert isinstance(each, Fold)
            rewriting.folds[each] = rewriting.value(_term(each, place))
    return replace(kernel, body=tuple(body), contraction=None)


def _place(fold: Fold) -> Value | None:
    """With what a Fold's axis is compared, where that chooses the one term that counts."""
    value, axes = fold.value, [axis for axis in fold.axes if axis.extent > 1]
    if fold.kind != "add" or fold.body or fold.product or len(axes) != 1 or value.op != "WHERE":
        return None
    condition, _, other = value.args
    if condition.op != "EQ" or other.op != "const" or other.payload != 0:
        return None
    for counter, place in (condition.args, condition.args[::-1]):
        if counter.op == "axis" and counter.payload is axes[0] and place.dtype is dtypes.int64:
            return None if axes[0] in _axes_under(place) else place
    return None


def _axes_under(value: Value) -> set[Axis]:
    return {each.payload for each in reachable([value]) if each.op == "axis"}


def _reads(fold: Fold, buffers: set[int]) -> bool:
    return any(each.op == "load" and each.payload in buffers for each in reachable([fold.value]))


def _term(fold: Fold, place: Value) -> Value:
    """The one term, or 0 where the place is none of the axis."""
    (axis,) = [axis for axis in fold.axes if axis.extent > 1]
    _, chosen, zero = fold.value.args
    inside = ir.apply(
        "AND",
        ir.apply("LT", ir.const(-1), place),
        ir.apply("LT", place, ir.const(axis.extent)),
    )
    safe = ir.apply("WHERE", inside, place, ir.const(0))
    term = Rewriting({axis: safe}, {}).value(chosen)
    return ir.apply("WHERE", inside, ir.apply("ADD", zero, term), zero)  # no -0.0, as in a sum
