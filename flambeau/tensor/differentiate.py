"""backward, grad and hooks: autograd's engine on tensors."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from flambeau.autograd import engine, published
from flambeau.autograd.mode import STATE
from flambeau.device import base as devices
from flambeau.graph import build, op
from flambeau.graph.history import History, is_leaf
from flambeau.graph.node import Location, Node
from flambeau.schedule import flush
from flambeau.tensor.attach import method
from flambeau.tensor.record import derive
from flambeau.tensor.tensor import Tensor


def _sequence(value: Any) -> list[Any]:
    return [value] if isinstance(value, Tensor) or value is None else list(value)


def _root_gradient(root: Tensor, gradient: Tensor | None) -> Node:
    if not root.requires_grad:
        raise RuntimeError(
            "element 0 of tensors does not require grad and does not have a grad_fn: call "
            "requires_grad_() on what it is computed from, outside no_grad()"
        )
    if gradient is None:
        if root.numel() != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        if root.dtype.is_complex:
            raise RuntimeError(
                "grad can be implicitly created only for real scalar outputs but got "
                f"{root.dtype!r}"
            )
        made = build.full(root._type.shape, 1, root.dtype)
        made.device = root._storage.node.device
        return made
    if gradient._type.shape != root._type.shape:
        raise RuntimeError(
            f"Mismatch in shape: grad_output has a shape of {gradient.shape} and output has a "
            f"shape of {root.shape}."
        )
    given = gradient._read()
    if is_leaf(given):  # what comes back must not end there, should a gradient be the given one
        given = derive(op.RESHAPE, (given,), (given.shape,))
    return build.cast(given, root.dtype)


def _run(
    tensors: Any,
    gradients: Any,
    retain_graph: bool | None,
    create_graph: bool,
    targets: Sequence[Node] | None,
) -> dict[Node, Any]:
    roots = _sequence(tensors)
    given = _sequence(gradients) if gradients is not None else [None] * len(roots)
    ends = [_root_gradient(root, g) for root, g in zip(roots, given, strict=True)]
    nodes = [root._read() for root in roots]
    retain = create_graph if retain_graph is None else retain_graph
    check = _check_nan if STATE.anomaly else None
    enabled, STATE.enabled = STATE.enabled, create_graph
    try:
        return engine.backward(nodes, ends, retain, create_graph, targets, check)
    finally:
        STATE.enabled = enabled


def _check_nan(node: Node, gradients: Sequence[Node | None]) -> None:
    """Anomaly detection: what each operation gives its inputs is computed and looked at."""
    for number, each in enumerate(gradients):
        if each is None:
            continue
        if each.device is None:  # made of constants alone
            each.device = node.device
        flush.flush([each])
        values = devices.get(each.device).to_numpy(each.buffer)
        if numpy.isnan(values.astype(numpy.float64)).any():
            raise RuntimeError(_nan_message(node, number))


def _nan_message(node: Node, number: int) -> str:
    name = GradientFunction(node).name()
    message = f"Function '{name}' returned nan values in its {number}th output"
    message += f" (forward at {_line(node.location)})."
    if STATE.first_nan is not None:
        name, location = STATE.first_nan
        message += f" In the forward pass the first nan was made by {name} (at {_line(location)})."
    return message


def _line(location: Location | None) -> str:
    return f"{location[0]}:{location[1]}" if location else "unknown line"


@published
def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add the gradients of `tensors` to the .grad of the leaves (or only of `inputs`).

    `grad_tensors` are the gradients of `tensors`; None is allowed for tensors of one element.
    Raises RuntimeError where a tensor requires no gradient, where the graph was freed by an
    earlier backward, or where a value that is needed was modified in place.
    """
    if inputs is None:
        _run(tensors, grad_tensors, retain_graph, create_graph, None)
        return
    wanted = _sequence(inputs)
    found = _gradients(tensors, wanted, grad_tensors, retain_graph, create_graph)
    for tensor, gradient in zip(wanted, found, strict=True):
        if gradient is not None:
            tensor._accumulate_grad(gradient)


def _gradients(
    outputs: Any, inputs: Sequence[Tensor], given: Any, retain: bool | None, create_graph: bool
) -> list[Node | None]:
    for number, each in enumerate(inputs):
        if not each.requires_grad:
            raise RuntimeError(
                f"One of the differentiated Tensors does not require grad (input {number})"
            )
    targets = [each._read() for each in inputs]
    found = _run(outputs, given, retain, create_graph, targets)
    return [found.get(each) for each in targets]


@published
def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of the sum of `outputs` with respect to `inputs`; .grad stays as it is.

    Raises RuntimeError where an input is not used, unless allow_unused (its gradient is None then)
    or materialize_grads (zeros).
    """
    if is_grads_batched:
        raise NotImplementedError("is_grads_batched=True is not available: call grad in a loop")
    wanted = _sequence(inputs)
    found = _gradients(outputs, wanted, grad_outputs, retain_graph, create_graph)
    results: list[Tensor | None] = []
    for number, (each, gradient) in enumerate(zip(wanted, found, strict=True)):
        if gradient is not None:
            results.append(Tensor._own(gradient))
        elif materialize_grads:
            zeros = build.full(each._type.shape, 0, each.dtype)
            zeros.device = each._storage.node.device
            results.append(Tensor._own(zeros))
        elif allow_unused:
            results.append(None)
        else:
            raise RuntimeError(
                f"One of the differentiated Tensors (input {number}) appears to not have been used "
                "in the graph. Set allow_unused=True if this is the desired behavior."
            )
    return tuple(results)


@method("backward")
def tensor_backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """autograd.backward of this tensor."""
    backward(self, gradient, retain_graph, create_graph, inputs)


class RemovableHandle:
    """What register_hook returns: remove() takes the hook away. Also a context manager."""

    def __init__(self, hooks: list[Any], hook: Any) -> None:
        self._hooks = hooks
        self._hook = hook

    def remove(self) -> None:
        if self._hook in self._hooks:
            self._hooks.remove(self._hook)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


def _history_of(tensor: Tensor) -> History:
    if not tensor.requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    node = tensor._read()
    if node.history is None:
        node.history = History()
    return node.history


@method()
def register_hook(self: Tensor, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Call `hook` with this tensor's gradient; what it returns, if anything, replaces it."""

    def on_node(gradient: Node) -> Node | None:
        replaced = hook(Tensor._own(gradient))
        return None if replaced is None else replaced._read()

    on_node.hook = hook  # type: ignore[attr-defined]  # for _backward_hooks
    history = _history_of(self)
    if history.hooks is None:
        history.hooks = []
    history.hooks.append(on_node)
    return RemovableHandle(history.hooks, on_node)


def _registered(self: Tensor) -> Any:
    """The hooks of register_hook by number, in order; None where there are none."""
    if not self.requires_grad:
        return None
    found = [getattr(each, "hook", each) for each in _history_of(self).hooks or ()]
    return OrderedDict(enumerate(found)) or None


def _set_registered(self: Tensor, hooks: Any) -> None:
    """Have these hooks and no others."""
    if self.requires_grad:
        history = _history_of(self)
        del (history.hooks or [])[:]
    for each in (hooks or {}).values():
        register_hook(self, each)


_hooks = property(_registered, _set_registered)
Tensor._backward_hooks = _hooks  # type: ignore[attr-defined]  # attached from the layer above


@method()
def register_post_accumulate_grad_hook(
    self: Tensor, hook: Callable[[Tensor], None]
) -> RemovableHandle:
    """Call `hook` with this leaf after backward has added to its .grad."""
    if not self.is_leaf:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    if not self.requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if self._after_grad is None:
        self._after_grad = []
    self._after_grad.append(hook)
    return RemovableHandle(self._after_grad, hook)


@method()
def retain_grad(self: Tensor) -> None:
    """Keep this non-leaf's gradient in .grad, too."""
    if self.is_leaf:
        if not self.requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        return
    history = _history_of(self)
    if history.retain is None:
        history.retain = []
    history.retain.append(self._accumulate_grad)


class GradientFunction:
    """What grad_fn shows: the operation that made a tensor, and what it was made of."""

    def __init__(self, node: Node) -> None:
        self._node = node.inputs[0] if node.op is op.PICK and node.inputs else node

    def name(self) -> str:
        words = "".join(part.capitalize() for part in self._node.op.name.split("_"))
        return f"{words}Backward0"

    @property
    def next_functions(self) -> tuple[tuple[GradientFunction | None, int], ...]:
        return tuple(
            (GradientFunction(each) if each.requires_grad else None, 0)
            for each in self._node.inputs
        )

    def __repr__(self) -> str:
        return f"<{self.name()}>"


def _grad_fn(self: Tensor) -> GradientFunction | None:
    """The operation whose gradient comes next; None for leaves."""
    return None if self.is_leaf else GradientFunction(self._read())


Tensor.grad_fn = property(_grad_fn)  # type: ignore[attr-defined]  # a method like the others
