"""Lengths, unit vectors, and how near vectors are to each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.graph import build as b
from flambeau.graph.node import Node
from flambeau.ops.axes import axes_of
from flambeau.ops.composite import composite
from flambeau.ops.linalg.checks import broadcast_batches
from flambeau.ops.logic import where
from flambeau.ops.promote import to_floating
from flambeau.ops.publish import public
from flambeau.ops.spread import norm
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


@public(method=False, function=False)
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


# all pairs --------------------------------------------------------------------------------------


_BY_PRODUCT = 25
"""From so many rows on, squares of distances are taken apart: |x|² + |y|² - 2 x·y."""

_MODES = (
    "use_mm_for_euclid_dist_if_necessary",
    "use_mm_for_euclid_dist",
    "donot_use_mm_for_euclid_dist",
)


@public(method=False, out=False)
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str | None = None) -> Any:
    """The p-norms of all differences of rows: (…, n, d) and (…, m, d) give (…, n, m).

    compute_mode   whether distances of p = 2 may be made by a matrix product, which loses digits
                   where rows are near each other; by default they are from 25 rows on
    """
    for which, each in (("X1", x1), ("X2", x2)):
        if not each._type.dtype.is_floating_point:
            raise RuntimeError(
                f"cdist only supports floating-point dtypes, {which} got: {each.dtype}"
            )
        if each.ndim < 2:
            raise RuntimeError(
                f"cdist only supports at least 2D tensors, {which} got: {each.ndim}D"
            )
    if x1._type.shape[-1] != x2._type.shape[-1]:
        raise RuntimeError(
            f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}"
        )
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    mode = _MODES[0] if compute_mode is None else compute_mode
    if mode not in _MODES:
        raise ValueError(f"{mode} is not a valid value for compute_mode: {', '.join(_MODES)}")
    many = max(x1._type.shape[-2], x2._type.shape[-2]) > _BY_PRODUCT
    if p == 2 and (mode == _MODES[1] or (mode == _MODES[0] and many)):
        return _by_product(*broadcast_batches(x1, x2))
    differences = x1.unsqueeze(-2) - x2.unsqueeze(-3)
    return norm(differences, float(p), -1)


def _by_product(x: Tensor, y: Tensor) -> Any:
    """Euclidean distances; their gradient is 0 where they are."""
    squares = (x * x).sum(-1).unsqueeze(-1) + (y * y).sum(-1).unsqueeze(-2) - 2 * (x @ y.mT)
    positive = squares > 0
    return where(positive, where(positive, squares, 1.0).sqrt(), 0.0)


@public(method=False, out=False)
def pdist(input: Tensor, p: float = 2.0) -> Any:
    """The p-norms of the differences of each row and each later one, in order."""
    if input.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.ndim}D")
    if not input._type.dtype.is_floating_point:
        raise RuntimeError("pdist only supports floating-point dtypes")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    from flambeau.ops.arrays.counting import pairs

    first, second = pairs(input._type.shape[0], 2, False, input).unbind(1)
    return norm(input.index_select(0, first) - input.index_select(0, second), float(p), -1)
