"""Full backward hooks: two identity Functions, around a module's inputs and around its outputs.

Backward passes the outputs' Function first (the gradients of the outputs are known there) and the
inputs' Function last (those of the inputs are).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.tensor.function import Function
from flambeau.tensor.tensor import Tensor


class _Watch(Function):
    """The identity; `notice(gradients)` is called in backward and may return other gradients."""

    @staticmethod
    def forward(ctx: Any, notice: Callable[..., Any], *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.notice = notice
        ctx.set_materialize_grads(False)
        return tensors

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        return (None, *ctx.notice(gradients))


class BackwardHook:
    """One call of a module that has backward hooks."""

    def __init__(self, module: Any, hooks: dict[int, Any], pre_hooks: dict[int, Any]) -> None:
        self.module = module
        self.hooks = list(hooks.values())
        self.pre_hooks = list(pre_hooks.values())
        self.inputs = 0
        self.input_places: list[int] = []
        self.outputs = 0
        self.output_places: list[int] = []
        self.grad_output: tuple[Any, ...] = ()

    def watch_inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, with those tensors that need gradients passed through the watch."""
        self.inputs = len(args)
        tensors = [place for place, each in enumerate(args) if isinstance(each, Tensor)]
        if not any(args[place].requires_grad for place in tensors):
            return args
        self.input_places = tensors
        return _through(args, tensors, self._on_grad_input)

    def watch_outputs(self, result: Any) -> Any:
        """The result, passed through the watch."""
        several = isinstance(result, (tuple, list))
        items = tuple(result) if several else (result,)
        self.outputs = len(items)
        self.output_places = [place for place, each in enumerate(items) if isinstance(each, Tensor)]
        if not any(items[place].requires_grad for place in self.output_places):
            return result
        items = _through(items, self.output_places, self._on_grad_output)
        if not several:
            return items[0]
        return type(result)(items) if type(result) in (tuple, list) else items

    def _on_grad_output(self, gradients: tuple[Any, ...]) -> tuple[Any, ...]:
        given = _spread(gradients, self.output_places, self.outputs)
        for hook in self.pre_hooks:
            given = _replaced(hook(self.module, given), given, "grad_output")
        self.grad_output = given
        if not self.input_places:  # no input needs a gradient: nothing comes after this
            nothing = (None,) * self.inputs
            for hook in self.hooks:
                answer = hook(self.module, nothing, given)
                if answer is not None and not (
                    isinstance(answer, tuple) and all(each is None for each in answer)
                ):
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should always "
                        "return None or None for all gradients."
                    )
        return tuple([given[place] for place in self.output_places])

    def _on_grad_input(self, gradients: tuple[Any, ...]) -> tuple[Any, ...]:
        found = _spread(gradients, self.input_places, self.inputs)
        for hook in self.hooks:
            found = _replaced(hook(self.module, found, self.grad_output), found, "grad_input")
        return tuple([found[place] for place in self.input_places])


def _through(
    values: tuple[Any, ...], places: list[int], notice: Callable[..., Any]
) -> tuple[Any, ...]:
    watched = _Watch.apply(notice, *[values[place] for place in places])
    items = list(values)
    for place, each in zip(places, watched, strict=True):
        items[place] = each
    return tuple(items)


def _spread(gradients: tuple[Any, ...], places: list[int], count: int) -> tuple[Any, ...]:
    """One gradient for each value; None for those that are not tensors."""
    full: list[Any] = [None] * count
    for place, each in zip(places, gradients, strict=True):
        full[place] = each
    return tuple(full)


def _replaced(answer: Any, before: tuple[Any, ...], what: str) -> tuple[Any, ...]:
    if answer is None:
        return before
    items = answer if isinstance(answer, tuple) else (answer,)
    if len(items) != len(before):
        raise RuntimeError(
            f"Backward hook returned an invalid number of {what}, got {len(items)}, but expected "
            f"{len(before)}"
        )
    return items
