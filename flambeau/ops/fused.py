"""@fused: a formula over tensors that is recorded as one Node and fuses into one kernel.

The leaner sibling of @composite for this directory: tensors first, then fixed attributes, no
keyword binding. `elementwise(formula, …)` promotes and broadcasts its arguments; numbers among
them are runtime scalars, so that a new number never makes a new plan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flambeau.graph import build
from flambeau.graph import dtype as dtypes
from flambeau.graph.composite import Composite
from flambeau.graph.dtype import DType
from flambeau.graph.node import Node
from flambeau.ops.promote import elementwise, floating, result_dtype
from flambeau.tensor.record import Tracing, record
from flambeau.tensor.tensor import Tensor


def fused(
    saves: str = "inputs", gradient: Callable[..., Any] | None = None, wide: bool = True
) -> Callable[[Callable[..., Any]], Composite]:
    """Make `function(*tensors, *attrs)` an operation that records one Node.

    wide       16-bit floats are computed in float32 and rounded once, at the end
    saves      what the gradient needs, as for Composite
    gradient   replaces the derived one: function(*tensors, *gradients, *attrs), where the tensors
               are the inputs, or the results where saves is "result"; it returns a tensor (or
               None) for each input and need not undo broadcasting
    """

    def decorate(function: Callable[..., Any]) -> Composite:
        def expand(attrs: tuple[Any, ...], *nodes: Node) -> Any:
            with Tracing():
                inputs, narrow = _widened(nodes) if wide else (nodes, None)
                result = function(*map(Tensor._traced, inputs), *attrs)
            if isinstance(result, Tensor):
                return _narrowed(result._read(), narrow)
            return tuple([_narrowed(each._read(), narrow) for each in result])

        name = function.__name__.strip("_")
        backward = None if gradient is None else _backward(gradient, saves, wide)
        return Composite(name, expand, backward, saves, function.__doc__ or "")

    return decorate


def _widened(nodes: Sequence[Node]) -> tuple[Sequence[Node], DType | None]:
    """16-bit floats as float32, and the 16-bit dtype that the result has (None: none)."""
    narrow: DType | None = None
    result: list[Node] = []
    for each in nodes:
        dtype = each.dtype
        if dtype.is_floating_point and dtype.itemsize == 2:
            narrow = dtype if narrow is None else dtypes.promote(narrow, dtype)
            each = build.cast(each, dtypes.float32)
        result.append(each)
    return result, narrow


def _narrowed(node: Node, narrow: DType | None) -> Node:
    if narrow is None or not node.dtype.is_floating_point:
        return node
    return build.cast(node, narrow)


def _backward(gradient: Callable[..., Any], saves: str, wide: bool) -> Callable[..., Any]:
    """The gradient of Composite's form, on Nodes, from one written with tensors."""

    def run(
        attrs: tuple[Any, ...],
        inputs: Sequence[Node],
        results: Sequence[Node],
        gradients: Sequence[Node | None],
    ) -> list[Node | None]:
        known = results if saves == "result" else inputs
        with Tracing():
            if wide:
                known, _ = _widened(known)
                gradients = [None if g is None else _widened([g])[0][0] for g in gradients]
            tensors = [Tensor._traced(each) for each in known]
            given = [None if g is None else Tensor._traced(g) for g in gradients]
            found = gradient(*tensors, *given, *attrs)
        found = found if isinstance(found, tuple) else (found,)
        return [
            None if each is None else _fitted(each._read(), source)
            for each, source in zip(found, inputs, strict=True)
        ]

    return run


def _fitted(gradient: Node, source: Node) -> Node:
    """A gradient in the shape and dtype of its input: broadcasting is undone."""
    shape = source.type.shape
    if gradient.shape != shape:
        small = len(gradient.shape) < len(shape)
        if small or any(
            extent == 1 and wanted != 1
            for extent, wanted in zip(gradient.shape[::-1], shape[::-1], strict=False)
        ):
            from flambeau.graph.shapes import broadcast

            gradient = build.expand(gradient, broadcast(gradient.shape, shape))
        gradient = build.sum_to(gradient, shape)
    return build.cast(gradient, source.type.dtype)


def real(formula: Any, *values: Any) -> Any:
    """`elementwise` for real-valued functions: integers become the default floating dtype."""
    first = values[0]
    if len(values) == 1 and isinstance(first, Tensor) and first._type.dtype.is_floating_point:
        return record(formula, values)
    dtype = floating(result_dtype(values))
    if dtype.is_complex:
        from flambeau.ops.complex_numbers.functions import apply

        return apply(formula.name, *values)
    return elementwise(formula, *values, dtype=dtype)
