"""Lengths, unit vectors, and how near vectors are to each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.graph import build as b
from flambeau.graph.node import Node
from flambeau.ops.axes import axes_of
from flambeau.ops.composite import composite
from flambeau.ops.promote import to_floating
from flambeau.ops.publish import public
from flambeau.ops.view import broadcast_tensors
from flambeau.tensor.tensor import Tensor

Axes = tuple[int, ...]


def _length_gradient(
    attrs: Any, inputs: Sequence[Node], results: Sequence[Node], gradients: Sequence[Node | None]
) -> tuple[Node | None]:
    """g · x / |x|, and 0 where the length is 0."""
    (x,), (length,), (g,) = inputs, results, gradients
    if g is None:
        return (None,)
    zero = b.equal(length, b.constant(0.0, length.dtype))
    safe = b.where(zero, b.constant(1.0, length.dtype), length)
    return (b.mul(x, b.div(g, safe)),)


@composite(saves="inputs", gradient=_length_gradient)
def euclidean(input: Tensor, axes: Axes) -> Tensor:
    """The root of the sum of squares over axes, which stay as 1; its gradient at 0 is 0."""
    x = input._read()
    return Tensor._traced(b.sqrt(b.reduce("add", b.mul(x, x), axes)))


def _length(input: Any, p: float, axes: Axes) -> Any:
    """The p-norm over axes, which stay as 1."""
    if p == 2:
        return euclidean(input, axes)
    return input.norm(p, list(axes), True)


@composite(saves="inputs")
def _normalize(input: Tensor, p: float, axes: Axes, eps: float) -> Tensor:
    length = _length(input, p, axes)._read()
    least = b.maximum(length, b.constant(eps, length.dtype))
    return Tensor._traced(b.div(input._read(), least))


def normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Tensor:
    """input / max(its p-norm over dim, eps)"""
    return _normalize(input, float(p), axes_of(dim, input.ndim), float(eps))


@composite(saves="inputs")
def _cosine_similarity(x1: Tensor, x2: Tensor, axis: int, eps: float) -> Tensor:
    x, y = x1._read(), x2._read()
    product = b.reduce("add", b.mul(x, y), (axis,))
    least = b.constant(eps, x.dtype)
    lengths = []
    for each in (x1, x2):
        made: Node = euclidean(each, (axis,))._read()
        lengths.append(b.maximum(made, least))
    result = b.div(product, b.mul(*lengths))
    return Tensor._traced(b.reshape(result, (*result.shape[:axis], *result.shape[axis + 1 :])))


@public(method=False, out=False)
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between the vectors along dim; inputs are broadcast."""
    first, second = broadcast_tensors(to_floating(x1), to_floating(x2))
    (axis,) = axes_of(dim, first.ndim)
    return _cosine_similarity(first, second, axis, float(eps))


@composite(saves="inputs")
def _pairwise_distance(x1: Tensor, x2: Tensor, p: float, eps: float, keepdim: bool) -> Tensor:
    difference = b.sub(x1._read(), x2._read())
    moved = b.add(difference, b.constant(eps, difference.dtype))
    result = _length(Tensor._traced(moved), p, (len(moved.shape) - 1,))._read()
    return Tensor._traced(result if keepdim else b.reshape(result, result.shape[:-1]))


@public(method=False, out=False)
def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The p-norm of x1 - x2 + eps over the last dimension."""
    return _pairwise_distance(to_floating(x1), to_floating(x2), float(p), float(eps), keepdim)
