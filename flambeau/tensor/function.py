"""autograd.Function: a forward and a backward written by the user."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from flambeau.autograd import published
from flambeau.autograd.mode import STATE, no_grad
from flambeau.graph import build, op
from flambeau.graph.history import History
from flambeau.graph.node import Node, node
from flambeau.tensor.record import derive, site
from flambeau.tensor.tensor import Tensor


class FunctionCtx:
    """`ctx`: what forward leaves for backward."""

    def __init__(self) -> None:
        self._saved: tuple[Any, ...] = ()
        self._versions: tuple[int, ...] = ()
        self.needs_input_grad: tuple[bool, ...] = ()
        self._non_differentiable: tuple[Any, ...] = ()
        self._dirty: tuple[Any, ...] = ()
        self._materialize = True
        self._unpack: Callable[[Any], Any] | None = None

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for backward, which reads them as `saved_tensors`."""
        self._versions = tuple(0 if each is None else each._version for each in tensors)
        self._saved = tensors
        if STATE.saving:
            pack, self._unpack = STATE.saving[-1]
            self._saved = tuple([None if each is None else pack(each) for each in tensors])

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What save_for_backward kept. RuntimeError where one was modified in place since."""
        if self._unpack is not None:
            return tuple([None if each is None else self._unpack(each) for each in self._saved])
        for each, version in zip(self._saved, self._versions, strict=True):
            if each is not None and each._version != version:
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an "
                    f"inplace operation: a saved tensor of shape {list(each.shape)} is at version "
                    f"{each._version}; expected version {version} instead"
                )
        return self._saved

    saved_variables = saved_tensors
    """The old name."""

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """These results get no gradient."""
        self._non_differentiable = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """These inputs were modified in place by forward."""
        self._dirty = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether a missing gradient reaches backward as zeros (the default) or as None."""
        self._materialize = value


@published
class Function:
    """Base of operations with a hand-written gradient.

    Subclasses have static methods forward(ctx, *args) — or forward(*args) and
    setup_context(ctx, inputs, output) — and backward(ctx, *gradients), which returns one gradient,
    or None, for each argument of forward. Use: `MyFunction.apply(*args)`.
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("a Function must define the static method forward")

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        raise NotImplementedError("a Function must define the static method backward")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run forward; where an argument requires a gradient the results carry this Function."""
        ctx = FunctionCtx()
        tensors = [each for each in args if isinstance(each, Tensor)]
        ctx.needs_input_grad = tuple(
            [isinstance(each, Tensor) and each.requires_grad for each in args]
        )
        inputs = tuple([each._read() for each in tensors])
        place = site()
        with no_grad():
            outputs = cls._forward(ctx, args)
        if not (STATE.enabled and any(ctx.needs_input_grad)):
            return outputs
        several = isinstance(outputs, (tuple, list))
        results = _connect(cls, ctx, args, inputs, list(outputs) if several else [outputs], place)
        return tuple(results) if several else results[0]

    @classmethod
    def _forward(cls, ctx: FunctionCtx, args: Sequence[Any]) -> Any:
        setup = getattr(cls, "setup_context", None)
        if setup is None:
            return cls.forward(ctx, *args)
        outputs = cls.forward(*args)
        setup(ctx, args, outputs)
        return outputs


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """A backward whose results have no gradient of their own: it may leave tensors for numpy."""

    @functools.wraps(backward)
    def without_gradient(ctx: Any, *gradients: Any) -> Any:
        with no_grad():
            found = backward(ctx, *gradients)
        if isinstance(found, Tensor):
            return found.detach()
        return tuple([each.detach() if isinstance(each, Tensor) else each for each in found])

    return without_gradient


class _VariableType(type):
    """isinstance(tensor, Variable) is true of every tensor."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor)


@published
class Variable(metaclass=_VariableType):
    """The tensor itself: before PyTorch 0.4 gradients needed this wrapper."""

    def __new__(cls, data: Tensor, requires_grad: bool = False, volatile: bool = False) -> Any:
        return data.detach().requires_grad_() if requires_grad else data.detach()


def _connect(
    cls: type[Function],
    ctx: FunctionCtx,
    args: Sequence[Any],
    inputs: tuple[Node, ...],
    outputs: list[Any],
    location: Any,
) -> list[Any]:
    """Results whose history is the FUNCTION Node."""
    places = [place for place, each in enumerate(outputs) if isinstance(each, Tensor)]
    values = tuple([outputs[place].detach()._read() for place in places])
    whole = node(op.FUNCTION, (*values, *inputs), (len(values),), (), location)
    whole.requires_grad = True
    whole.history = History()
    whole.history.custom = _Backward(cls, ctx, args, values)
    whole.history.saved = ((None, 0, 0),) if ctx._saved else ()
    for number, place in enumerate(places):
        made = derive(op.PICK, (whole,), (number,), (), location)
        before = outputs[place]
        if any(before is each for each in ctx._non_differentiable):
            continue
        if any(before is each for each in ctx._dirty):
            before._storage.node = made
            before._leaf = False
            continue
        outputs[place] = Tensor._own(made)
    return outputs


class _Backward:
    """Calls the user's backward with tensors and returns Nodes, one for each input of FUNCTION."""

    def __init__(
        self, cls: type[Function], ctx: FunctionCtx, args: Sequence[Any], values: Sequence[Node]
    ) -> None:
        self.cls = cls
        self.ctx = ctx
        self.places = [place for place, each in enumerate(args) if isinstance(each, Tensor)]
        self.shapes = {place: args[place]._type for place in self.places}
        self.count = len(args)
        self.types = [(each.type, each.device) for each in values]

    def __call__(self, gradients: list[Node | None]) -> list[Node | None]:
        given = [
            self._given(gradient, *of) for gradient, of in zip(gradients, self.types, strict=True)
        ]
        found = self.cls.backward(self.ctx, *given)
        found = list(found) if isinstance(found, (tuple, list)) else [found]
        if len(found) < self.count or any(each is not None for each in found[self.count :]):
            raise RuntimeError(
                f"function {self.cls.__name__}Backward returned an incorrect number of gradients "
                f"(expected {self.count}, got {len(found)})"
            )
        results: list[Node | None] = [None] * len(self.types)
        for place in self.places:
            gradient = found[place]
            results.append(None if gradient is None else self._checked(gradient, place))
        return results

    def _given(self, gradient: Node | None, of: Any, device: Any) -> Tensor | None:
        if gradient is None:
            if not self.ctx._materialize:
                return None
            gradient = build.full(of.shape, 0, of.dtype)
            gradient.device = device
        return Tensor._own(gradient)

    def _checked(self, gradient: Tensor, place: int) -> Node:
        wanted = self.shapes[place]
        if gradient._type.shape != wanted.shape:
            raise RuntimeError(
                f"Function {self.cls.__name__}Backward returned an invalid gradient at index "
                f"{place} - got {list(gradient.shape)} but expected shape compatible with "
                f"{list(wanted.shape)}"
            )
        return build.cast(gradient._read(), wanted.dtype)
