"""Merging axes: neighbouring loops that all of a kernel's indices see as one become one loop."""

from __future__ import annotations

from dataclasses import replace

from flambeau.kernel.index import Atom, Indices, Linear, mergeable
from flambeau.kernel.ir import Axis, Fold, Loop, Statement


class Merging:
    """Merges neighbouring axes that all of a kernel's indices see as one."""

    def __init__(self, indices: Indices, linears: list[Linear]) -> None:
        self.indices = indices
        self.linears = linears
        self.current = {each: each for each in linears}

    def merge(self, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        merged = list(axes)
        at = len(merged) - 2
        while at >= 0:
            outer, inner = merged[at], merged[at + 1]
            if all(mergeable(each, outer, inner) for each in self.current.values()):
                both = Axis(outer.extent * inner.extent)
                self._substitute(outer, inner, both)
                merged[at : at + 2] = [both]
            at -= 1
        return tuple(merged)

    def _substitute(self, outer: Axis, inner: Axis, both: Axis) -> None:
        targets = {outer: self.indices.zero, inner: self.indices.axis(both)}

        def leaf(atom: Atom) -> Linear | None:
            return targets.get(atom.payload) if atom.kind == "axis" else None

        for key, index in self.current.items():
            self.current[key] = self.indices.substitute(index, leaf)

    def replaced(self, index: Linear) -> Linear:
        return self.current[index]


def merge_statement(statement: Statement, merging: Merging) -> Statement:
    if isinstance(statement, Fold) and not statement.body:
        axes = tuple([each for each in statement.axes if each.extent != 1])
        statement.axes = merging.merge(axes) or statement.axes[:1]
    elif isinstance(statement, Loop):
        body = tuple([merge_statement(each, merging) for each in statement.body])
        axes = merging.merge(tuple([each for each in statement.axes if each.extent != 1]))
        return replace(statement, axes=axes, body=body)
    return statement
