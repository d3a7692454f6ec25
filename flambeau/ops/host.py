"""Operations that numpy computes on the host, and their gradients, made of operations.

A call is recorded like any other (graph.op.CALL) and runs in the middle of a plan: `explain` shows
it as a line "host …". Its gradient is written with tensors, so that it can be differentiated again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy

from flambeau.autograd.mode import STATE
from flambeau.device.host import register_host
from flambeau.graph import op
from flambeau.graph.dtype import DType
from flambeau.graph.node import Shape, tensor_type
from flambeau.tensor.function import Function
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor

Result = tuple[Shape, DType]
"""Shape and dtype of one result of a host function."""


def host_function(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make function(*arrays, *attrs) -> arrays an operation.

    The decorated function is called as operation(tensors, attrs, results) and gives a list of
    tensors, of the shapes and dtypes in `results`. `attrs` are hashable and part of the plan.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @register_host(name)
        def run(attrs: Any, *arrays: Any) -> tuple[Any, ...]:
            kinds, *given = attrs
            shaped = [_given(each, *kind) for each, kind in zip(arrays, kinds, strict=True)]
            with numpy.errstate(all="ignore"):
                found = function(*shaped, *given)
            several = found if isinstance(found, tuple) else (found,)
            return tuple([_stored(numpy.asarray(each)) for each in several])

        def call(
            tensors: Sequence[Tensor], attrs: tuple[Any, ...], results: Sequence[Result]
        ) -> list[Tensor]:
            shapes = tuple([(each._type.shape, each._type.dtype.is_complex) for each in tensors])
            types = tuple([tensor_type(*each) for each in results])
            inputs = [each.detach() for each in tensors]
            return list(record(op.CALL, inputs, (name, shapes, *attrs, types)))

        call.__doc__ = function.__doc__
        return call

    return decorate


def _given(array: Any, shape: Shape, is_complex: bool) -> Any:
    """An array as it was passed: plans reshape arrays, and keep complex ones as pairs of reals."""
    if is_complex and array.dtype.kind != "c":
        array = numpy.ascontiguousarray(array).reshape(-1).view(f"c{2 * array.itemsize}")
    return array.reshape(shape)


def _stored(array: Any) -> Any:
    """Complex numbers as pairs of real ones."""
    if array.dtype.kind != "c":
        return array
    return numpy.stack([array.real, array.imag], -1)


def differentiable(
    gradient: Callable[..., Any],
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give compute(*tensors, *attrs) a gradient.

    `gradient(arguments, results, gradients)` is written with operations and returns one tensor (or
    None) for each tensor among the arguments, which come first. Where the gradient itself is to be
    differentiated, `results` are computed again from the arguments, with their history.
    """

    def decorate(compute: Callable[..., Any]) -> Callable[..., Any]:
        class Host(Function):
            @staticmethod
            def forward(ctx: Any, *args: Any) -> Any:
                results = compute(*args)
                ctx.save_for_backward(*[each for each in args if isinstance(each, Tensor)])
                ctx.arguments = args
                ctx.results = results
                return results

            @staticmethod
            def backward(ctx: Any, *gradients: Any) -> Any:
                _ = ctx.saved_tensors  # raises where one was modified
                results = Host.apply(*ctx.arguments) if STATE.enabled else ctx.results
                found = gradient(ctx.arguments, results, gradients)
                found = found if isinstance(found, tuple) else (found,)
                return (*found, *[None] * (len(ctx.arguments) - len(found)))

        Host.__name__ = Host.__qualname__ = compute.__name__.strip("_")
        return Host.apply

    return decorate
