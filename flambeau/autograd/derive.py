"""Gradients of composites: again one Node, whose expansion runs the rules over the forward's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.graph import build as b
from flambeau.graph.composite import Composite, record, substitute
from flambeau.graph.node import Node, node

_BACKWARD: dict[Composite, Composite] = {}


def backward_of(composite: Composite) -> Composite:
    """The composite (attrs, needed, given; *inputs, *given gradients) -> needed gradients."""
    found = _BACKWARD.get(composite)
    if found is None:
        found = _BACKWARD[composite] = Composite(
            f"{composite.name}_backward",
            lambda attrs, *nodes: _expand(composite, attrs, nodes),
            doc=f"the gradient of {composite.name}",
        )
    return found


def gradients(whole: Node, gradient: Any, needed: Sequence[bool]) -> list[Node | None]:
    """The gradients of a recorded composite's inputs; `gradient` is a list for several results."""
    composite = whole.op
    assert isinstance(composite, Composite)
    items = gradient if isinstance(gradient, list) else [gradient]
    given = tuple([each is not None for each in items])
    present = [each for each in items if each is not None]
    wanted = tuple(
        [
            need and each.dtype.is_floating_point
            for need, each in zip(needed, whole.inputs, strict=True)
        ]
    )
    if not any(wanted):
        return [None] * len(wanted)
    results = iter(
        record(
            backward_of(composite),
            (*whole.inputs, *present),
            (whole.attrs, wanted, given),
            whole.location,
        )
    )
    return [next(results) if want else None for want in wanted]


def _expand(composite: Composite, attrs: Any, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    from flambeau.autograd.engine import vector_jacobian

    forward_attrs, wanted, given = attrs
    inputs = nodes[: len(wanted)]
    present = iter(nodes[len(wanted) :])
    items = [next(present) if has else None for has in given]
    template = composite.template(forward_attrs, tuple([each.type for each in inputs]))
    results = substitute(
        template, inputs, lambda each, sources: node(each.op, sources, each.attrs, each.scalars)
    )
    if composite.gradient is not None:
        found = composite.gradient(forward_attrs, inputs, results, items)
    else:
        found = vector_jacobian(results, items, inputs)
    return tuple(
        [
            b.full_like(each, 0) if g is None else g
            for each, g, want in zip(inputs, found, wanted, strict=True)
            if want
        ]
    )
