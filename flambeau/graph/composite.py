"""Composites: one Node for one public operation, expanded into primitives when a plan is built.

A composite's function is written with Nodes (ops/ wraps it so that it reads as tensors). It runs
once per signature, on placeholders; what it built is the template that every use shares.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.graph import op
from flambeau.graph.node import (
    Node,
    Signature,
    Site,
    Template,
    TensorType,
    TupleType,
    node,
    signature_of,
    tuple_type,
    walk,
)

Expansion = Callable[..., Node | tuple[Node, ...]]


class Composite:
    """An operation defined by its expansion into other operations.

    `expand(attrs, *nodes)` returns one Node, or a tuple where the operation has several results.
    `gradient(attrs, inputs, results, gradients)`, where given, replaces the derived gradient: all
    arguments but attrs are Nodes, a missing gradient is None; it returns one Node or None for each
    input. `saves` names what PyTorch's gradient of the same operation keeps, for the version
    check: "inputs", "result", "" (nothing) or input positions such as "0" or "1,2". "0?1+2"
    is input 0, where input 1 or 2 requires a gradient, for which alone it is needed. A given
    gradient of a composite that saves "result" gets placeholders for inputs: it must use the
    result alone.
    """

    __slots__ = ("doc", "expand", "gradient", "name", "saves", "templates")

    def __init__(
        self,
        name: str,
        expand: Expansion,
        gradient: Callable[..., Any] | None = None,
        saves: str = "inputs",
        doc: str = "",
    ) -> None:
        self.name = name
        self.expand = expand
        self.gradient = gradient
        self.saves = saves
        self.doc = doc
        self.templates: dict[tuple[Any, ...], Template] = {}

    def infer(self, attrs: tuple[Any, ...], types: tuple[Any, ...]) -> TensorType | TupleType:
        results = self.template(attrs, types).results
        if len(results) == 1:
            return results[0].type
        return tuple_type([each.type for each in results])

    def template(self, attrs: tuple[Any, ...], types: tuple[Any, ...]) -> Template:
        """The expansion for inputs of these types; a single result's composite has one result."""
        key = (attrs, types)
        found = self.templates.get(key)
        if found is None:
            placeholders = tuple([placeholder(each) for each in types])
            results = self.expand(attrs, *placeholders)
            if not isinstance(results, tuple):
                results = (results,)
            found = self.templates[key] = Template(placeholders, results)
        return found

    def __repr__(self) -> str:
        return self.name


def placeholder(of: TensorType | TupleType) -> Node:
    """A Node of this type whose content is supplied later: a template's or a plan's input."""
    if isinstance(of, TupleType):
        raise TypeError(f"an operation's input must be one array, got {of!r}; PICK one")
    return Node(signature_of(op.BUFFER, (of.shape, of.dtype), ()), ())


def template_of(signature: Signature) -> Template:
    """The template of a composite's signature."""
    composite = signature.op
    assert isinstance(composite, Composite)
    if signature.template is None:
        signature.template = composite.template(signature.attrs, signature.inputs)
    return signature.template


def record(
    composite: Composite,
    inputs: tuple[Node, ...],
    attrs: tuple[Any, ...] = (),
    site: Site | None = None,
) -> tuple[Node, ...]:
    """One Node for `composite` on `inputs`; returns one Node per result."""
    whole = node(composite, inputs, attrs, (), site)
    if not isinstance(whole.type, TupleType):
        return (whole,)
    of: TupleType = whole.type
    return tuple([node(op.PICK, (whole,), (number,)) for number in range(len(of.items))])


def substitute(
    template: Template, inputs: tuple[Node, ...], make: Callable[..., Node]
) -> list[Any]:
    """The template's results on `inputs`; `make(node, inputs)` builds each of its Nodes."""
    made: dict[Node, Any] = dict(zip(template.placeholders, inputs, strict=True))
    for each in walk(template.results):
        if each not in made:
            made[each] = make(each, tuple([made[source] for source in each.inputs]))
    return [made[result] for result in template.results]
