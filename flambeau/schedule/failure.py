"""What becomes of tensors when a run fails: those that failed stay failed, the others are kept.

An index that is out of range is found on the device, in the middle of a plan that computes other
tensors as well. The error is raised once, by the flush that met it; after that it is raised again
only by who asks for a tensor that depends on the failed operation.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from flambeau.device.base import Failure
from flambeau.graph import op
from flambeau.graph.composite import Composite, template_of
from flambeau.graph.node import Location, Node, Signature, walk
from flambeau.kernel.program import HostCall, Program

_CHECKED = frozenset({op.GATHER, op.SCATTER, op.IDIV, op.MOD, op.CALL})
"""Primitives that can fail on values."""

_FAILED: WeakKeyDictionary[Node, tuple[type[Exception], str]] = WeakKeyDictionary()
_marked = False  # whether there ever was one
_can_fail: dict[Signature, bool] = {}


def any_failed() -> bool:
    """Whether there is a tensor alive that could not be computed."""
    return _marked and len(_FAILED) > 0


def mark(nodes: Iterable[Node], error: Exception) -> None:
    """These could not be computed. The error itself is not kept: it holds the user's frames."""
    global _marked
    _marked = True
    for each in nodes:
        _FAILED[each] = (type(error), str(error))


def error_of(root: Node) -> Exception | None:
    """The error that `root` must raise: its own, or that of something that it depends on."""
    for node in walk([root], lambda each: each.buffer is None and each not in _FAILED):
        if node in _FAILED:
            kind, message = _FAILED[node]
            try:
                return kind(message)
            except TypeError:  # an exception whose constructor wants more than a message
                return RuntimeError(f"{kind.__name__}: {message}")
    return None


def locate(failure: Failure, program: Program) -> Location | None:
    """The line of this run's user: the plan may have been compiled for another one's."""
    launches = [
        each
        for each in program.launches
        if isinstance(each, HostCall) or all(axis.extent for axis in each.kernel.domain)
    ]
    met = launches[failure.step]
    if isinstance(met, HostCall):
        return None
    for kind, message, location in met.errors.values():
        if (kind, message) == (failure.kind, failure.message):
            return location
    return met.locations[-1] if met.locations else None


def affected(order: Sequence[Node], location: Location | None) -> Collection[Node]:
    """The Nodes of a run that a bad value at this line has spoilt; `order`: inputs first."""
    suspects = [each for each in order if _may_fail(each.signature)]
    named = [each for each in suspects if each.location is None or each.location == location]
    if any(each.location is not None for each in named):
        suspects = named
    spoilt = set(suspects)
    for node in order:
        if any(each in spoilt for each in node.inputs):
            spoilt.add(node)
    return spoilt


def _may_fail(signature: Signature) -> bool:
    found = _can_fail.get(signature)
    if found is None:
        operation: Any = signature.op
        if isinstance(operation, Composite):
            inside = walk(template_of(signature).results)
            found = any(_may_fail(each.signature) for each in inside)
        else:
            found = operation in _CHECKED
        _can_fail[signature] = found
    return found
