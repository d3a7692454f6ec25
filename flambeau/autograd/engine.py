"""Walking the graph back: the same code differentiates recorded Nodes and composites' templates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from flambeau.autograd import derive
from flambeau.autograd.rules import RULES
from flambeau.graph import build as b
from flambeau.graph import op
from flambeau.graph.composite import Composite
from flambeau.graph.history import History, is_leaf, release
from flambeau.graph.node import Node, walk


def input_gradients(node: Node, gradient: Any, needed: Sequence[bool]) -> Sequence[Node | None]:
    """One gradient for each input of `node` that needs one, of that input's shape."""
    history: History | None = node.history
    if history is not None and history.custom is not None:
        return history.custom(gradient)
    operation = node.op
    if isinstance(operation, Composite):
        return derive.gradients(node, gradient, needed)
    gradients = RULES[operation].run(node, gradient)  # type: ignore[index]  # not a Composite
    if operation in op.ELEMENTWISE:
        return [
            None if g is None or not need else b.sum_to(g, each.shape)
            for g, each, need in zip(gradients, node.inputs, needed, strict=True)
        ]
    return gradients


class Accumulator:
    """The gradients that have reached each Node so far; lists for Nodes with several results."""

    def __init__(self) -> None:
        self.of: dict[Node, Any] = {}

    def add(self, node: Node, gradient: Node) -> None:
        before = self.of.get(node)
        self.of[node] = gradient if before is None else b.add(before, gradient)

    def add_picked(self, whole: Node, number: int, gradient: Node) -> None:
        items = self.of.get(whole)
        if items is None:
            items = self.of[whole] = [None] * len(whole.type.items)
        items[number] = gradient if items[number] is None else b.add(items[number], gradient)


def propagate(
    order: Iterable[Node],
    accumulator: Accumulator,
    needs: Callable[[Node], bool],
    arrive: Callable[[Node, Any], Any],
    check: Callable[[Node, Sequence[Node | None]], None] | None = None,
) -> None:
    """Carry gradients from the ends of `order` (inputs first) to everything that `needs` one.

    `arrive(node, gradient)` sees each Node's whole gradient and returns what goes on (hooks), or
    None to stop there. `check(node, gradients)` sees what each Node gives its inputs.
    """
    for node in reversed(list(order)):
        gradient = accumulator.of.get(node)
        if gradient is None or not needs(node):
            continue
        gradient = arrive(node, gradient)
        if gradient is None:
            continue
        if node.op is op.PICK:
            accumulator.add_picked(node.inputs[0], node.attrs[0], gradient)
            continue
        needed = [needs(each) for each in node.inputs]
        gradients = input_gradients(node, gradient, needed)
        if check is not None:
            check(node, gradients)
        for each, need, g in zip(node.inputs, needed, gradients, strict=True):
            if need and g is not None:
                accumulator.add(each, g)


def vector_jacobian(
    results: Sequence[Node], gradients: Sequence[Node | None], targets: Sequence[Node]
) -> list[Node | None]:
    """Gradients with respect to `targets` within a template, where nothing is marked yet."""
    order = walk(results)
    reached = set(targets)
    for node in order:
        if node.op is op.DETACH or not _carries(node):
            continue
        if any(each in reached for each in node.inputs):
            reached.add(node)
    accumulator = Accumulator()
    for result, gradient in zip(results, gradients, strict=True):
        if gradient is not None:
            accumulator.add(result, gradient)
    propagate(order, accumulator, reached.__contains__, lambda node, gradient: gradient)
    return [accumulator.of.get(target) for target in targets]


def _carries(node: Node) -> bool:
    """Whether a gradient can pass: the result, or one of the results, is a float."""
    items = getattr(node.type, "items", (node.type,))
    return any(each.dtype.has_gradient for each in items)


def backward(
    roots: Sequence[Node],
    gradients: Sequence[Node],
    retain_graph: bool,
    create_graph: bool,
    targets: Sequence[Node] | None = None,
    check: Callable[[Node, Sequence[Node | None]], None] | None = None,
) -> dict[Node, Any]:
    """Gradients of recorded Nodes. Leaves and hooks are served; the history is freed.

    With `targets`, only the way to them is walked, leaves are left alone, and the result holds
    the targets' gradients. `check(node, gradients)` sees what each Node gives its inputs
    (anomaly detection).
    Raises RuntimeError where the history was freed or a needed value was modified in place.
    """
    order = walk(roots, lambda node: node.requires_grad and not is_leaf(node))
    order = [node for node in order if node.requires_grad]
    wanted = _towards(order, targets) if targets is not None else None
    accumulator = Accumulator()
    for root, gradient in zip(roots, gradients, strict=True):
        accumulator.add(root, gradient)

    def arrive(node: Node, gradient: Any) -> Any:
        history: History | None = node.history
        if history is None:
            return gradient
        gradient = _serve_hooks(history, gradient)
        accumulator.of[node] = gradient
        if history.leaf is not None:
            if targets is None:
                _deliver(history, gradient)
            return None
        _check_history(node, history)
        return gradient

    def needs(node: Node) -> bool:
        return node.requires_grad and (wanted is None or node in wanted)

    propagate(order, accumulator, needs, arrive, check)
    if create_graph:
        _mark(accumulator, order, gradients)
    if not retain_graph:
        _release_all([node for node in order if needs(node) and not is_leaf(node)])
    return accumulator.of


def _mark(accumulator: Accumulator, order: Sequence[Node], given: Sequence[Node]) -> None:
    """Make the gradients differentiable: mark what backward recorded, down to what was there."""
    there = {*order, *given}
    for node in order:
        there.update(node.inputs)
    found = [each for each in accumulator.of.values() if isinstance(each, Node)]
    for node in walk(found, lambda each: each not in there):
        if node in there or node.requires_grad or node.op is op.DETACH or not _carries(node):
            continue
        if any(each.requires_grad for each in node.inputs):
            node.requires_grad = True
            node.history = History()


def _release_all(nodes: Sequence[Node]) -> None:
    """Free the history, unless nothing was saved anywhere: then a second backward is allowed."""
    if any(node.history is not None and node.history.saved for node in nodes):
        for node in nodes:
            if node.history is None:
                node.history = History()
            release(node)


def _towards(order: Sequence[Node], targets: Sequence[Node]) -> set[Node]:
    """The Nodes of `order` on a way from a root to a target."""
    reached = set(targets)
    for node in order:
        if not is_leaf(node) and any(each in reached for each in node.inputs):
            reached.add(node)
    return reached


def _serve_hooks(history: History, gradient: Any) -> Any:
    for hook in history.hooks or ():
        replaced = hook(gradient)
        if replaced is not None:
            gradient = replaced
    for sink in history.retain or ():
        sink(gradient)
    return gradient


def _deliver(history: History, gradient: Node) -> None:
    assert history.leaf is not None
    leaf = history.leaf()
    if leaf is not None:
        leaf._accumulate_grad(gradient)


def _check_history(node: Node, history: History) -> None:
    if history.freed:
        raise RuntimeError(
            "Trying to backward through the graph a second time (or directly access saved tensors "
            "after they have already been freed). Saved intermediate values of the graph are freed "
            "when you call .backward() or autograd.grad(). Specify retain_graph=True if you need "
            f"to backward through the graph a second time (at {_where(node)})"
        )
    for storage, version, position in history.saved:
        if storage is not None and storage.version != version:
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an "
                f"inplace operation: {_position(position)} of {node.op.name} (at {_where(node)}) "
                f"is at version {storage.version}; expected version {version} instead. Hint: "
                "change it after backward(), or operate on a clone()"
            )


def _position(position: int) -> str:
    return "the result" if position < 0 else f"input {position}"


def _where(node: Node) -> str:
    return f"{node.location[0]}:{node.location[1]}" if node.location else "unknown line"
