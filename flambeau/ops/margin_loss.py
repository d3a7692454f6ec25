"""Losses that are zero beyond a margin."""

from __future__ import annotations

import functools
from collections.abc import Callable

from flambeau.graph import build as b
from flambeau.graph import op
from flambeau.graph.dtype import bool_
from flambeau.graph.node import Node
from flambeau.ops.autocast import autocasting
from flambeau.ops.composite import composite
from flambeau.ops.distance import cosine_similarity, pairwise_distance
from flambeau.ops.loss import absolute, log1p, number, reduced, reduction_of, same_dtype
from flambeau.ops.promote import to_floating
from flambeau.ops.publish import public
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor


@composite(saves="inputs")
def _margin_ranking(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float, reduction: str
) -> Tensor:
    difference = b.sub(input1._read(), input2._read())
    losses = b.add(b.neg(b.mul(target._read(), difference)), number(margin, difference))
    return reduced(positive(losses), reduction)


def positive(x: Node) -> Node:
    """max(x, 0) with gradient 0 at 0, as PyTorch's clamp_min of a loss."""
    zero = number(0.0, x)
    return b.where(b.less(zero, x), x, zero)


@public(method=False, out=False)
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, -target · (input1 - input2) + margin)"""
    reduction = reduction_of(size_average, reduce, reduction)
    first, sign = same_dtype(input1, target)
    first, input2, sign = (to_floating(each) for each in (first, input2, sign))
    return _margin_ranking(first, input2, sign, float(margin), reduction)


@composite(saves="inputs")
def _hinge_embedding(input: Tensor, target: Tensor, margin: float, reduction: str) -> Tensor:
    x, t = input._read(), target._read()
    one = number(1.0, t)
    hinge = positive(b.sub(number(margin, x), x))
    zero = number(0.0, x)
    losses = b.add(b.where(b.equal(t, one), zero, hinge), b.where(b.equal(t, b.neg(one)), zero, x))
    return reduced(losses, reduction)


@public(method=False, out=False)
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """input where target is 1, max(0, margin - input) where it is -1."""
    reduction = reduction_of(size_average, reduce, reduction)
    return _hinge_embedding(*same_dtype(input, target.detach()), float(margin), reduction)


@composite(saves="inputs")
def _cosine_margin(cosine: Tensor, target: Tensor, margin: float, reduction: str) -> Tensor:
    c, t = cosine._read(), target._read()
    one, zero = b.constant(1, t.dtype), number(0.0, c)
    near = b.where(b.equal(t, one), b.sub(number(1.0, c), c), zero)
    if t.dtype is bool_:  # never -1
        return reduced(near, reduction)
    apart = b.where(b.equal(t, b.neg(one)), positive(b.sub(c, number(margin, c))), zero)
    return reduced(b.add(near, apart), reduction)


@public(method=False, out=False)
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos where target is 1, max(0, cos - margin) where it is -1."""
    reduction = reduction_of(size_average, reduce, reduction)
    cosine = cosine_similarity(input1, input2, -1)
    return _cosine_margin(cosine, target.detach(), float(margin), reduction)


@composite(saves="inputs")
def _triplet(near: Tensor, far: Tensor, margin: float, reduction: str) -> Tensor:
    difference = b.sub(near._read(), far._read())
    return reduced(positive(b.add(difference, number(margin, difference))), reduction)


@public(method=False, out=False)
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, |anchor - positive| - |anchor - negative| + margin). Balntas et al., 2016."""
    reduction = reduction_of(size_average, reduce, reduction)
    distance = functools.partial(pairwise_distance, p=p, eps=eps)
    return triplet(anchor, positive, negative, distance, margin, swap, reduction)


def triplet(
    anchor: Tensor,
    near: Tensor,
    far: Tensor,
    distance: Callable[[Tensor, Tensor], Tensor] | None,
    margin: float,
    swap: bool,
    reduction: str,
) -> Tensor:
    """max(0, d(anchor, near) - d(anchor, far) + margin); `swap`: or d(near, far), if smaller."""
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if len({anchor.ndim, near.ndim, far.ndim}) > 1:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of "
            f"dimensions, but got: anchor {anchor.ndim}D, positive {near.ndim}D, and negative "
            f"{far.ndim}D inputs"
        )
    distance = pairwise_distance if distance is None else distance
    short, long = distance(anchor, near), distance(anchor, far)
    if swap:
        other = distance(near, far)
        long = record(op.WHERE, (record(op.LT, (other, long)), other, long))
    return _triplet(short, long, float(margin), reduction)


@composite(saves="inputs")
def _soft_margin(input: Tensor, target: Tensor, reduction: str) -> Tensor:
    z = b.neg(b.mul(target._read(), input._read()))
    soft = b.add(log1p(b.exp(b.neg(absolute(z)))), b.maximum(z, number(0.0, z)))
    return reduced(soft, reduction)


@autocasting
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """log(1 + exp(-target · input))"""
    reduction = reduction_of(size_average, reduce, reduction)
    return _soft_margin(*same_dtype(input, target), reduction)
