"""Running a model on example inputs and keeping what it recorded.

The model runs as ever: values that Python asks for are computed, so control flow goes the way that
these inputs take, as with PyTorch's tracer. Flushes let go of the Nodes behind what they computed;
a watcher keeps these links. What the run wrote into parameters and buffers is undone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from flambeau.deploy.onnx.errors import OnnxExporterError
from flambeau.graph.node import Node
from flambeau.jit import TracerWarning
from flambeau.nn.modules.module import Module
from flambeau.schedule import flush, watch
from flambeau.tensor.tensor import Tensor
from flambeau.utils import _pytree as pytree

Links = dict[Node, tuple[tuple[Node, ...], tuple[Any, ...]]]


class Trace:
    """What one run recorded: its inputs' and outputs' Nodes, in order, and what flushes let go."""

    def __init__(self) -> None:
        self.inputs: list[Node] = []
        self.outputs: list[Node] = []
        self.links: Links = {}
        self.drawn: set[Node] = set()
        self.held: list[Any] = []  # what must live as long as the trace, for its memory's sake
        self.reads_values = False


class _Watcher:
    """Told of everything while the model runs; see schedule/watch.py."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    def ran(
        self, executable: Any, order: Any, leaves: Any, outputs: Sequence[Node], donated: Any
    ) -> None:
        for each in outputs:
            self.trace.links[each] = (each.inputs, each.scalars)

    def constant(self, storage: Any, node: Node, array: Any, copied: bool) -> None:
        self.trace.held.append(node)

    def drawn(self, node: Node, draw: Callable[[], Any]) -> None:
        self.trace.drawn.add(node)

    def refuse(self, reason: str) -> None:
        self.trace.reads_values |= reason == "a value is read"

    def read(self, tensor: Any) -> None: ...

    def written(self, tensor: Any) -> None: ...

    def born(self, storage: Any) -> None: ...

    def scalars(self, nodes: Sequence[Node], source: Any) -> None: ...

    def gradient(self, tensor: Any, cleared: bool) -> None: ...

    def checked(self, tensor: Any, check: Callable[[Any], None]) -> None: ...

    def module(self, module: Any) -> None: ...

    def optimizer(self, optimizer: Any) -> None: ...


class Arguments:
    """A call's arguments: which of them are tensors, and how to make the call with others."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        leaves, self.tree = pytree.tree_flatten((args, kwargs))
        self.leaves: list[Any] = leaves
        self.places = [place for place, each in enumerate(leaves) if isinstance(each, Tensor)]

    @property
    def tensors(self) -> list[Tensor]:
        return [self.leaves[place] for place in self.places]

    def with_tensors(self, tensors: Sequence[Tensor]) -> Any:
        leaves = list(self.leaves)
        for place, each in zip(self.places, tensors, strict=True):
            leaves[place] = each
        return pytree.tree_unflatten(leaves, self.tree)


def states(model: Any) -> dict[str, Tensor]:
    """Parameters and buffers by name, those that are not saved included."""
    if not isinstance(model, Module):
        return {}
    found: dict[str, Tensor] = dict(model.named_parameters())
    found.update(model.named_buffers())
    return found


@contextmanager
def unchanged(model: Any) -> Iterator[None]:
    """What is written into parameters and buffers within is undone."""
    before = [
        (each._storage, each._storage.node, each._storage.version)
        for each in states(model).values()
    ]
    try:
        yield
    finally:
        for storage, node, version in before:
            storage.node, storage.version = node, version


def run(model: Any, arguments: Arguments, tensors: Sequence[Tensor]) -> Trace:
    """Call the model with these tensors and keep what it records."""
    from flambeau.autograd.mode import no_grad

    if watch.ACTIVE is not None:
        raise OnnxExporterError("torch.onnx.export cannot run inside a call of torch.compile")
    flush.flush()
    trace = Trace()
    examples = [_own(each) for each in tensors]
    trace.inputs = [each._storage.node for each in examples]
    args, kwargs = arguments.with_tensors(examples)
    watch.ACTIVE = _Watcher(trace)
    try:
        with no_grad(), unchanged(model):
            result = model(*args, **kwargs)
            leaves = pytree.tree_leaves(result)
            trace.outputs = [each._read() for each in leaves if isinstance(each, Tensor)]
    finally:
        watch.ACTIVE = None
    return trace


def warn_of_values(trace: Trace) -> None:
    """Say that control flow may have been fixed, as PyTorch's tracer does."""
    if trace.reads_values:
        warnings.warn(
            "values of tensors were read while the model ran for torch.onnx.export: what depended "
            "on them (branches, loops, numbers) is fixed in the file as it was for the example",
            TracerWarning,
            stacklevel=4,
        )


def _own(tensor: Tensor) -> Tensor:
    """A tensor that nothing else shares, with the same values."""
    array = tensor.detach()._to_numpy()
    return Tensor._from_numpy(array, tensor.device.type)
