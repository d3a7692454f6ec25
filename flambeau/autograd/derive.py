"""Gradients of composites: again one Node, whose expansion runs the rules over the forward's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.graph import build as b
from flambeau.graph.composite import Composite, placeholder, record, substitute
from flambeau.graph.node import Node, node, walk

_BACKWARD: dict[Composite, Composite] = {}


def backward_of(composite: Composite) -> Composite:
    """The composite (attrs, types, needed, given; *inputs, *given gradients) -> needed gradients.

    In place of the inputs it takes the result where `takes_result` says so.
    """
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
        [need and each.dtype.has_gradient for need, each in zip(needed, whole.inputs, strict=True)]
    )
    if not any(wanted):
        return [None] * len(wanted)
    from_result = takes_result(composite)
    sources = (whole,) if from_result else whole.inputs
    types = tuple([each.type for each in whole.inputs])
    results = iter(
        record(
            backward_of(composite),
            (*sources, *present),
            (whole.attrs, types, wanted, given),
            whole.site,
        )
    )
    return [next(results) if want else None for want in wanted]


def takes_result(composite: Composite) -> bool:
    """Whether the gradient is made of the result (tanh, softmax) and must not use the inputs.

    Such a backward keeps the result alive instead of the inputs, as PyTorch's does.
    """
    return composite.gradient is not None and composite.saves == "result"


def _expand(composite: Composite, attrs: Any, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    forward_attrs, types, wanted, given = attrs
    from_result = takes_result(composite)
    present = iter(nodes[1 if from_result else len(wanted) :])
    items = [next(present) if has else None for has in given]
    if from_result:
        inputs = tuple([placeholder(each) for each in types])
        gradient = composite.gradient
        assert gradient is not None  # only then is the result taken
        found = gradient(forward_attrs, inputs, [nodes[0]], items)
        _check_free_of(inputs, found, composite)
    else:
        inputs = nodes[: len(wanted)]
        found = _from_inputs(composite, forward_attrs, inputs, items)
    return tuple(
        [
            b.full(each.shape, 0, each.dtype) if g is None else g
            for each, g, want in zip(types, found, wanted, strict=True)
            if want
        ]
    )


def _from_inputs(
    composite: Composite, attrs: Any, inputs: tuple[Node, ...], items: Sequence[Node | None]
) -> Sequence[Node | None]:
    """The forward again, as primitives that are shared with it, and the gradient through it."""
    from flambeau.autograd.engine import vector_jacobian

    template = composite.template(attrs, tuple([each.type for each in inputs]))
    results = substitute(
        template, inputs, lambda each, sources: node(each.op, sources, each.attrs, each.scalars)
    )
    if composite.gradient is not None:
        return composite.gradient(attrs, inputs, results, items)
    return vector_jacobian(results, items, inputs)


def _check_free_of(
    inputs: Sequence[Node], found: Sequence[Node | None], composite: Composite
) -> None:
    used = set(walk([each for each in found if each is not None]))
    if any(each in used for each in inputs):
        raise RuntimeError(
            f"the gradient of {composite.name} uses an input, but the composite saves its result "
            'alone: say saves="inputs"'
        )
