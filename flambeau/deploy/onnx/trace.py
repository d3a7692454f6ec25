"""Running a model on example inputs and keeping what it recorded.

The model runs as ever: values that Python asks for are computed, so control flow goes the way that
these inputs take, as with PyTorch's tracer. Flushes let go of the Nodes behind what they computed;
a watcher keeps these links. What the run wrote into parameters and buffers is undone.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from flambeau.deploy.onnx.errors import OnnxExporterError
from flambeau.graph.node import Location, Node
from flambeau.jit import TracerWarning
from flambeau.nn.modules.module import Module
from flambeau.schedule import watch
from flambeau.tensor.record import caller
from flambeau.tensor.tensor import Tensor
from flambeau.utils import _pytree as pytree

_PACKAGE = f"{Path(__file__).resolve().parents[2]}{os.sep}"
_LAYERS = (f"{_PACKAGE}nn{os.sep}", f"{_PACKAGE}deploy{os.sep}")

Links = dict[Node, tuple[tuple[Node, ...], tuple[Any, ...]]]


class Trace:
    """What one run recorded: its inputs' and outputs' Nodes, in order, and what flushes let go."""

    def __init__(self) -> None:
        self.inputs: list[Node] = []
        self.outputs: list[Node] = []
        self.links: Links = {}
        self.drawn: set[Node] = set()
        self.held: list[Any] = []  # what must live as long as the trace, for its memory's sake
        self.read_at: Location | None = None  # where a value that depends on inputs was read
        self.by_values: dict[Node, Location] = {}  # what an operation made on the host of such


class _Watcher:
    """Told of everything while the model runs; see schedule/watch.py."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.depends = dict.fromkeys(trace.inputs, True)
        self.reader: FrameType | None = None

    def value(self, tensor: Any) -> None:
        if self._depends(tensor._storage.node):
            self.reader = _operation()
            if self.trace.read_at is None:
                self.trace.read_at = caller()

    def _depends(self, root: Node) -> bool:
        """Whether a Node is made of the inputs."""
        stack = [root]
        while stack:
            node = stack[-1]
            sources = self.trace.links.get(node, (node.inputs, ()))[0]
            missing = [each for each in sources if each not in self.depends]
            if missing and node not in self.depends:
                stack += missing
                continue
            stack.pop()
            self.depends.setdefault(node, any(self.depends[each] for each in sources))
        return self.depends[root]

    def ran(
        self, executable: Any, order: Any, leaves: Any, outputs: Sequence[Node], donated: Any
    ) -> None:
        for each in outputs:
            self.trace.links[each] = (each.inputs, each.scalars)

    def constant(self, storage: Any, node: Node, array: Any, copied: bool) -> None:
        self.trace.held.append(node)
        if self.reader is not None and self.reader is _operation():
            self.trace.by_values[node] = caller()

    def drawn(self, node: Node, draw: Callable[[], Any]) -> None:
        self.trace.drawn.add(node)

    def refuse(self, reason: str) -> None: ...

    def read(self, tensor: Any) -> None: ...

    def written(self, tensor: Any) -> None: ...

    def born(self, storage: Any) -> None: ...

    def scalars(self, nodes: Sequence[Node], source: Any) -> None: ...

    def gradient(self, tensor: Any, cleared: bool) -> None: ...

    def checked(self, tensor: Any, check: Callable[[Any], None]) -> None: ...

    def module(self, module: Any) -> None: ...

    def optimizer(self, optimizer: Any) -> None: ...


def _operation() -> FrameType:
    """The frame of the operation that is being called: the outermost of those that are not layers'.

    A tensor that an operation makes on the host, after it has read values, is made of these.
    """
    frame = sys._getframe(2)
    while frame.f_back is not None and _is_operation(frame.f_back.f_code.co_filename):
        frame = frame.f_back
    return frame


def _is_operation(file: str) -> bool:
    return file.startswith(_PACKAGE) and not file.startswith(_LAYERS)


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
    """Call the model with these tensors and keep what it records.

    What was pending before the first run must be computed: nothing that is written may be behind.
    """
    from flambeau.autograd.mode import no_grad

    if watch.active() is not None:
        raise OnnxExporterError("torch.onnx.export cannot run inside a call of torch.compile")
    trace = Trace()
    examples = [_own(each) for each in tensors]
    trace.inputs = [each._storage.node for each in examples]
    args, kwargs = arguments.with_tensors(examples)
    watch.activate(_Watcher(trace))
    try:
        with no_grad(), unchanged(model):
            result = model(*args, **kwargs)
            leaves = pytree.tree_leaves(result)
            trace.outputs = [each._read() for each in leaves if isinstance(each, Tensor)]
    finally:
        watch.activate(None)
    return trace


def warn_of_values(trace: Trace) -> None:
    """Say that control flow may have been fixed, as PyTorch's tracer does."""
    if trace.read_at is not None:
        file, line = trace.read_at
        warnings.warn(
            f"{file}:{line} reads values that depend on the inputs: what depends on them "
            "(branches, loops, numbers) is fixed in the ONNX file as it was for the example",
            TracerWarning,
            stacklevel=4,
        )


def _own(tensor: Tensor) -> Tensor:
    """A tensor that nothing else shares, with the same values."""
    array = tensor.detach()._to_numpy()
    return Tensor._from_numpy(array, tensor.device.type)
