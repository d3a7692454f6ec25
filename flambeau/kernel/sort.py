"""SORT: one row for each point of the domain."""

from __future__ import annotations

import math
from typing import Any

from flambeau.graph.node import Node
from flambeau.kernel.index import Linear
from flambeau.kernel.ir import Axis, Loop, Sort
from flambeau.kernel.lower import Lowered, Lowering


def lower_sort(node: Node, picks: dict[int, Node], name: str, stored: Any, scalars: Any) -> Lowered:
    """The kernel of a SORT; `picks` are its results that are wanted: 0 values, 1 indices."""
    lowering = Lowering(stored, frozenset(picks.values()), scalars)
    indices = lowering.indices
    along, descending, *places_wanted = node.attrs
    (source,) = node.inputs
    first, count = places_wanted or (0, source.shape[along])
    shape = (*source.shape[:along], count, *source.shape[along + 1 :])
    axes = [Axis(extent) for extent in source.shape]
    places: list[Linear] = [indices.axis(each) for each in axes]
    lowering.scopes.append([])
    value = lowering.value(source, tuple(places))
    if lowering.leave_checks((axes[along],)):
        again = Axis(source.shape[along])
        moved = [indices.axis(again) if n == along else p for n, p in enumerate(places)]
        lowering.scopes.append([])
        lowering.value(source, tuple(moved))
        lowering.body.append(Loop((again,), tuple(lowering.scopes.pop())))
    outputs = {number: lowering.output(each) for number, each in picks.items()}
    row = [indices.zero if n == along else place for n, place in enumerate(places)]
    rows = [extent for n, extent in enumerate(source.shape) if n != along]
    length = source.shape[along]
    point = indices.flatten([p for n, p in enumerate(places) if n != along], rows)
    scratch = lowering.scratch(2 * length * math.prod(rows))
    lowering.body.append(
        Sort(
            axes[along],
            value,
            descending,
            first,
            count,
            outputs.get(0),
            outputs.get(1),
            lowering.indexed(indices.flatten(row, shape)),
            lowering.constant(math.prod(source.shape[along + 1 :])),
            scratch,
            lowering.indexed(indices.multiply(point, 2 * length)),
        )
    )
    return lowering.finish(name, [each for n, each in enumerate(axes) if n != along])
