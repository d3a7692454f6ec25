"""Recording: from tensors to a Node and back to a tensor. Every operation goes through here."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flambeau.autograd.mode import STATE
from flambeau.autograd.rules import RULES
from flambeau.device import base as devices
from flambeau.graph import node as graph
from flambeau.graph import op
from flambeau.graph.compiled import COMPILED
from flambeau.graph.composite import Composite, placeholder
from flambeau.graph.history import History
from flambeau.graph.node import Location, Node, Operation, Site, TupleType, located
from flambeau.schedule import flush
from flambeau.tensor import fields

if TYPE_CHECKING:
    from flambeau.tensor.tensor import Tensor

_PACKAGE = f"{Path(__file__).resolve().parent.parent}{os.sep}"
_EAGER = frozenset({"reference"})
_tensor: type[Tensor]
_PLAIN: set[type] = set()  # classes whose values are read as Tensor's are


def serve(tensor: type[Tensor]) -> None:
    """The class of what is recorded; tensor/tensor.py, which imports this module, tells it."""
    global _tensor
    _tensor = tensor
    _PLAIN.add(tensor)


def serve_as_plain(kind: type[Tensor]) -> type[Tensor]:
    """A subclass whose values are read as Tensor's are: it defines no `_read`."""
    _PLAIN.add(kind)
    return kind


class Tracing:
    """While a composite's expansion runs: nothing is pending, nothing is marked, no device."""

    def __enter__(self) -> None:
        STATE.tracing += 1

    def __exit__(self, *error: object) -> None:
        STATE.tracing -= 1


def is_tracing() -> int:
    return STATE.tracing


def caller() -> Location:
    """File and line of the nearest frame outside this package."""
    found = located(site())
    assert found is not None
    return found


def site() -> Site:
    """The place of the nearest frame outside this package."""
    frame = _frame(_INNER_FRAMES)
    code = frame.f_code
    while _OURS[code.co_filename] and frame.f_back is not None:
        frame = frame.f_back
        code = frame.f_code
    return code, frame.f_lasti


_frame = sys._getframe
_INNER_FRAMES = 0 if COMPILED else 2
"""Frames of this module, which `site` need not look at."""


class _Files(dict[str, bool]):
    """Whether a file belongs to this package, found out once for each file."""

    def __missing__(self, name: str) -> bool:
        found = self[name] = name.startswith(_PACKAGE)
        return found


_OURS = _Files()


def derive(
    operation: Operation,
    inputs: tuple[Node, ...],
    attrs: tuple[Any, ...] = (),
    scalars: tuple[Any, ...] = (),
    site: Site | None = None,
) -> Node:
    """A Node that requires a gradient where one of its inputs does and recording is on."""
    made = graph.node(operation, inputs, attrs, scalars, site)
    if STATE.enabled:
        for each in inputs:
            if each.requires_grad:
                if _differentiable(made):
                    made.requires_grad = True
                    made.history = History()
                break
    return made


def _differentiable(made: Node) -> bool:
    of = made.type
    if isinstance(of, TupleType):
        return any(each.dtype.has_gradient for each in of.items)
    return of.dtype.has_gradient


def saves(operation: Operation) -> str:
    """What the operation's gradient needs unmodified: see Rule.saves and Composite.saves."""
    if isinstance(operation, Composite):
        return operation.saves
    rule = RULES.get(operation)  # type: ignore[call-overload]  # a Primitive
    return rule.saves if rule is not None else ""


@functools.cache
def _positions(which: str) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Input positions, each with the inputs for whose gradients alone it is needed (none: all)."""
    parts = [each.partition("?") for each in which.split(",")]
    return tuple(
        [
            (int(number), tuple(map(int, users.split("+"))) if users else ())
            for number, _, users in parts
        ]
    )


def _any_required(made: Node, numbers: Sequence[int]) -> bool:
    return any(
        number < len(made.inputs) and made.inputs[number].requires_grad for number in numbers
    )


def remember(made: Node, inputs: Sequence[Any], storage: Any) -> None:
    """Note the versions of what the gradient will need."""
    which = saves(made.signature.op)
    if not which:
        return
    if which == "result":
        made.history.saved = ((storage, 0, -1),)
        return
    numbers: Any = range(len(inputs))
    if which != "inputs":  # an optional input that is not there has no number
        numbers = [
            number
            for number, users in _positions(which)
            if number < len(inputs) and (not users or _any_required(made, users))
        ]
    made.history.saved = tuple(
        [
            (held, held.version, number)
            if (held := getattr(inputs[number], "_storage", None)) is not None
            else (None, 0, number)
            for number in numbers
        ]
    )


def record(
    operation: Operation,
    inputs: Sequence[Tensor | Node],
    attrs: tuple[Any, ...] = (),
    scalars: tuple[Any, ...] = (),
    device: str | None = None,
) -> Any:
    """One operation on tensors (or Nodes): a tensor, or a tuple where there are several results.

    `device` is for sources, which have no input to take it from.
    """
    nodes = _nodes(inputs)
    if STATE.tracing:
        return _wrap(graph.node(operation, nodes, attrs, scalars), None)
    place = site()
    try:
        made = derive(operation, nodes, attrs, scalars, place)
    except RuntimeError:
        aligned = _aligned(nodes)
        if aligned is nodes:
            raise
        made = derive(operation, aligned, attrs, scalars, place)
    if device is not None:
        made.device = device
    if isinstance(made.type, TupleType):
        if made.requires_grad:
            remember(made, inputs, None)
        results: Any = tuple(
            [
                fields.own(_tensor, derive(op.PICK, (made,), (number,), (), place))
                for number in range(len(made.type.items))
            ]
        )
    else:
        results = fields.own(_tensor, made)
        if made.requires_grad:
            remember(made, inputs, results._storage)
    if made.device in _EAGER:
        flush.flush()
    if STATE.anomaly:
        _watch(made, results)
    return results


def _nodes(inputs: Sequence[Any]) -> tuple[Node, ...]:
    """Inputs as Nodes: what tensors are now."""
    nodes = []
    for each in inputs:
        if type(each) is Node:
            nodes.append(each)
        else:
            held = fields.whole(each) if type(each) in _PLAIN else None
            nodes.append(each._read() if held is None else held)
    return tuple(nodes)


def _wrap(made: Node, device: str | None) -> Any:
    """A tensor of a template's Node."""
    if isinstance(made.type, TupleType):
        return tuple(
            [
                _tensor._traced(graph.node(op.PICK, (made,), (number,)))
                for number in range(len(made.type.items))
            ]
        )
    return _tensor._traced(made)


def _aligned(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """0-d cpu tensors go to the device of the others, as in PyTorch."""
    targets = {each.device for each in nodes if each.device is not None and each.shape != ()}
    if len(targets) != 1:
        return nodes
    (target,) = targets
    if all(each.device in (None, target) or each.shape != () for each in nodes):
        return nodes
    return tuple(
        [each if each.device in (None, target) else copied(each, target) for each in nodes]
    )


def copied(source: Node, target: str) -> Node:
    """The same array on another device. Raises TypeError where it cannot hold the dtype.

    Raises NotImplementedError where it has no values (meta).
    """
    if source.device is not None and not devices.get(source.device).computes:
        devices.get(source.device).to_numpy(source.buffer)  # which says so
    check_dtype(target, source.dtype)
    if not devices.get(target).computes and not source.requires_grad:
        made = placeholder(source.type)  # the values need not be there, nor stay
        made.device, made.buffer = target, devices.Buffer(source.type)
        return made
    flush.expect_copies()
    made = derive(op.COPY, (source,), (target,))
    made.device = target
    return made


def check_dtype(target: str, dtype: Any) -> None:
    reason = devices.get(target).supports(dtype)
    if reason is not None:
        raise TypeError(f"{dtype!r} is not available on device {target}: {reason}")


def _watch(made: Node, results: Any) -> None:
    """Compute at once and note the first operation that makes a NaN out of numbers."""
    import numpy

    with_nan = False
    for each in results if isinstance(results, tuple) else (results,):
        if each.dtype.is_floating_point:
            with_nan |= bool(numpy.isnan(each.detach()._to_numpy().astype("float32")).any())
    if with_nan and STATE.first_nan is None:
        STATE.first_nan = (made.signature.op.name, made.location)
