"""Losses that compare numbers with numbers: squared, absolute, cross entropy of probabilities, …"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from flambeau.graph import build as b
from flambeau.graph import op
from flambeau.graph.node import Node
from flambeau.ops.composite import composite
from flambeau.ops.distance import cosine_similarity, pairwise_distance
from flambeau.ops.promote import as_node, result_dtype
from flambeau.ops.publish import public
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor


def reduction_of(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction's name, also from PyTorch's old arguments. Raises ValueError for others."""
    if size_average is not None or reduce is not None:
        warnings.warn(
            "size_average and reduce args will be deprecated, please use reduction instead.",
            UserWarning,
            stacklevel=3,
        )
        if reduce is False:
            return "none"
        return "sum" if size_average is False else "mean"
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return reduction


def reduced(losses: Node, reduction: str) -> Tensor:
    """The losses as they are, their sum or their mean (NaN where there are none)."""
    if reduction == "none":
        return Tensor._traced(losses)
    total = b.reshape(b.reduce("add", losses, tuple(range(len(losses.shape)))), ())
    if reduction == "mean":
        total = b.div(total, b.constant(losses.type.size, losses.dtype))
    return Tensor._traced(total)


def _absolute(x: Node) -> Node:
    return b.maximum(x, b.neg(x))


def _number(value: float, like: Node) -> Node:
    return b.constant(value, like.dtype)


def log1p(x: Node) -> Node:
    """log(1 + x), exact also where x is small: Kahan's correction of the rounding of 1 + x."""
    one = _number(1.0, x)
    whole = b.add(x, one)
    rounded = b.equal(whole, one)
    rest = b.where(rounded, one, b.sub(whole, one))
    return b.where(rounded, x, b.mul(b.log(whole), b.div(x, rest)))


def _same(input: Tensor, target: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Both with their common dtype; a warning where they are broadcast."""
    if input._type.shape != target._type.shape:
        warnings.warn(
            f"Using a target size ({target.shape!r}) that is different to the input size "
            f"({input.shape!r}). This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.",
            UserWarning,
            stacklevel=4,
        )
    if input._type.dtype is target._type.dtype:
        return input, target
    dtype = result_dtype((input, target))
    both = (as_node(each, dtype) for each in (input, target))
    first, second = (each if isinstance(each, Tensor) else Tensor._own(each) for each in both)
    return first, second


# differences ------------------------------------------------------------------------------------


@composite(saves="inputs")
def _mse(input: Tensor, target: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    difference = b.sub(input._read(), target._read())
    return _weighted(b.mul(difference, difference), weight, reduction)


def _weighted(losses: Node, weight: Tensor | None, reduction: str) -> Tensor:
    if weight is None:
        return reduced(losses, reduction)
    factors = b.expand(weight._read(), losses.shape)
    total = b.mul(losses, factors)
    if reduction != "mean":
        return reduced(total, reduction)
    axes = tuple(range(len(losses.shape)))
    return Tensor._traced(
        b.reshape(b.div(b.reduce("add", total, axes), b.reduce("add", factors, axes)), ())
    )


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(input - target)²"""
    reduction = reduction_of(size_average, reduce, reduction)
    return _mse(*_same(input, target, "mse_loss"), weight, reduction)


@composite(saves="inputs")
def _l1(input: Tensor, target: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    return _weighted(_absolute(b.sub(input._read(), target._read())), weight, reduction)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|input - target|"""
    reduction = reduction_of(size_average, reduce, reduction)
    return _l1(*_same(input, target, "l1_loss"), weight, reduction)


@composite(saves="inputs")
def _huber(input: Tensor, target: Tensor, reduction: str, delta: float, factor: float) -> Tensor:
    distance = _absolute(b.sub(input._read(), target._read()))
    half = _number(0.5 * factor, distance)
    near = b.mul(b.mul(distance, distance), half)
    far = b.mul(b.sub(distance, _number(0.5 * delta, distance)), _number(delta * factor, distance))
    return reduced(b.where(b.less(distance, _number(delta, distance)), near, far), reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """0.5 d² / beta where d = |input - target| < beta, else d - 0.5 beta. Girshick, 2015."""
    reduction = reduction_of(size_average, reduce, reduction)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    both = _same(input, target, "smooth_l1_loss")
    if beta == 0:
        return _l1(*both, None, reduction)
    return _huber(*both, reduction, float(beta), 1.0 / beta)


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """0.5 d² where d = |input - target| < delta, else delta (d - 0.5 delta). Huber, 1964."""
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    if weight is not None:
        losses = huber_loss(input, target, "none", delta)
        return weighted(losses, weight, reduction_of(None, None, reduction))
    both = _same(input, target, "huber_loss")
    return _huber(*both, reduction_of(None, None, reduction), float(delta), 1.0)


@composite(saves="inputs")
def weighted(losses: Tensor, weight: Tensor, reduction: str) -> Tensor:
    """Losses times weights; their mean is divided by the sum of the weights."""
    return _weighted(losses._read(), weight, reduction)


# probabilities ----------------------------------------------------------------------------------


def _bce_gradient(
    attrs: Any, inputs: Sequence[Node], results: Any, gradients: Sequence[Node | None]
) -> list[Node | None]:
    """g (x - t) / max(x (1 - x), 1e-12), as PyTorch; to the target g (log(1 - x) - log x)."""
    x, t = inputs[:2]
    g = gradients[0]
    if g is None:
        return [None] * len(inputs)
    one = _number(1.0, x)
    if len(inputs) > 2:
        g = b.mul(g, inputs[2])
    least = b.maximum(b.mul(b.sub(one, x), x), _number(1e-12, x))
    to_x = b.div(b.mul(g, b.sub(x, t)), least)
    to_t = b.mul(g, b.sub(_clamped_log(b.sub(one, x)), _clamped_log(x)))
    found = [b.sum_to(to_x, x.shape), b.sum_to(to_t, t.shape)]
    return [*found, *([None] * (len(inputs) - 2))]


def _clamped_log(x: Node) -> Node:
    return b.maximum(b.log(x), _number(-100.0, x))


@composite(saves="inputs", gradient=_bce_gradient)
def _bce(input: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    x, t = input._read(), target._read()
    one = _number(1.0, x)
    gain = b.add(b.mul(t, _clamped_log(x)), b.mul(b.sub(one, t), _clamped_log(b.sub(one, x))))
    losses = b.neg(gain)
    return Tensor._traced(losses if weight is None else b.mul(losses, weight._read()))


@composite(saves="")
def _reduce(losses: Tensor, reduction: str) -> Tensor:
    return reduced(losses._read(), reduction)


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-weight · (t log x + (1 - t) log(1 - x)) of probabilities x; logarithms end at -100."""
    reduction = reduction_of(size_average, reduce, reduction)
    if input._type.shape != target._type.shape:
        raise ValueError(
            f"Using a target size ({target.shape!r}) that is different to the input size "
            f"({input.shape!r}) is deprecated. Please ensure they have the same size."
        )
    if input._type.dtype is not target._type.dtype:
        raise RuntimeError(
            f"Found dtype {target.dtype!r} but expected {input.dtype!r} in binary_cross_entropy"
        )
    losses = _bce(input, target, weight)
    return losses if reduction == "none" else _reduce(losses, reduction)


@composite(saves="inputs")
def _bce_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    pos_weight: Tensor | None,
    reduction: str,
) -> Tensor:
    x, t = input._read(), target._read()
    one, zero = _number(1.0, x), _number(0.0, x)
    # log(1 + exp(-x)), with the greater of 0 and -x taken out of the exponential
    soft = b.add(log1p(b.exp(b.neg(_absolute(x)))), b.maximum(b.neg(x), zero))
    if pos_weight is not None:
        factor = b.add(one, b.mul(b.sub(pos_weight._read(), one), t))
        soft = b.mul(factor, soft)
    losses = b.add(b.mul(b.sub(one, t), x), soft)
    return reduced(losses if weight is None else b.mul(losses, weight._read()), reduction)


@public(method=False, out=False)
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """binary_cross_entropy of sigmoid(input), exact for large inputs, too.

    pos_weight multiplies the loss of targets of 1.
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if input._type.shape != target._type.shape:
        raise ValueError(
            f"Target size ({target.shape!r}) must be the same as input size ({input.shape!r})"
        )
    if input._type.dtype is not target._type.dtype:
        target = record(op.CAST, (target,), (input._type.dtype,))
    return _bce_logits(input, target, weight, pos_weight, reduction)


@composite(saves="inputs")
def _kl_div(input: Tensor, target: Tensor, log_target: bool) -> Tensor:
    x, t = input._read(), target._read()
    if log_target:
        return Tensor._traced(b.mul(b.exp(t), b.sub(t, x)))
    positive = b.less(_number(0.0, t), t)
    safe = b.where(positive, t, _number(1.0, t))
    entropy = b.where(positive, b.mul(safe, b.log(safe)), _number(0.0, t))
    return Tensor._traced(b.sub(entropy, b.mul(t, x)))


@public(method=False, out=False)
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """target · (log target - input), where input is log-probabilities.

    reduction "batchmean" is the sum divided by the first extent, which is the divergence's
    definition; "mean" divides by the number of elements.
    """
    losses = _kl_div(*_same_quiet(input, target), log_target)
    if reduction == "batchmean":
        total = _reduce(losses, "sum")
        count = b.constant(input._type.shape[0] if input.ndim else 1, losses._type.dtype)
        return record(op.DIV, (total, count))
    reduction = reduction_of(size_average, reduce, reduction)
    return losses if reduction == "none" else _reduce(losses, reduction)


def _same_quiet(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    if input._type.dtype is target._type.dtype:
        return input, target
    dtype = result_dtype((input, target))
    first, second = (
        each if each._type.dtype is dtype else record(op.CAST, (each,), (dtype,))
        for each in (input, target)
    )
    return first, second


@composite(saves="inputs")
def _poisson(
    input: Tensor, target: Tensor, log_input: bool, full: bool, eps: float, reduction: str
) -> Tensor:
    x, t = input._read(), target._read()
    if log_input:
        losses = b.sub(b.exp(x), b.mul(t, x))
    else:
        losses = b.sub(x, b.mul(t, b.log(b.add(x, _number(eps, x)))))
    if full:
        one = _number(1.0, t)
        above = b.less(one, t)
        safe = b.where(above, t, one)
        stirling = b.add(
            b.sub(b.mul(safe, b.log(safe)), safe),
            b.mul(_number(0.5, t), b.log(b.mul(_number(2 * math.pi, t), safe))),
        )
        losses = b.add(losses, b.where(above, stirling, _number(0.0, t)))
    return reduced(losses, reduction)


@public(method=False, out=False)
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """exp(x) - t x of log-rates x (or x - t log(x + eps)); full adds Stirling's term."""
    reduction = reduction_of(size_average, reduce, reduction)
    return _poisson(*_same_quiet(input, target), log_input, full, float(eps), reduction)


@composite(saves="inputs")
def _gaussian(
    input: Tensor, target: Tensor, var: Tensor, full: bool, eps: float, reduction: str
) -> Tensor:
    x, t, v = input._read(), target._read(), var._read()
    # the clamp has no gradient, as in PyTorch: what is below eps still learns
    clamped = b.add(v, b.detach(b.sub(b.maximum(v, _number(eps, v)), v)))
    difference = b.sub(x, t)
    losses = b.add(b.log(clamped), b.div(b.mul(difference, difference), clamped))
    losses = b.mul(_number(0.5, x), losses)
    if full:
        losses = b.add(losses, _number(0.5 * math.log(2 * math.pi), x))
    return reduced(losses, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """0.5 (log var + (input - target)² / var), var at least eps; full adds the constant."""
    if not isinstance(var, Tensor):
        var = record(op.EXPAND, (b.constant(float(var), input._type.dtype),), (input._type.shape,))
    elif var._type.shape != input._type.shape and var.ndim == input.ndim - 1:
        var = var.unsqueeze(-1)  # type: ignore[attr-defined, unused-ignore]
    return _gaussian(input, target, var, full, float(eps), reduction_of(None, None, reduction))


# margins ----------------------------------------------------------------------------------------


@composite(saves="inputs")
def _margin_ranking(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float, reduction: str
) -> Tensor:
    difference = b.sub(input1._read(), input2._read())
    losses = b.add(b.neg(b.mul(target._read(), difference)), _number(margin, difference))
    return reduced(_positive(losses), reduction)


def _positive(x: Node) -> Node:
    """max(x, 0) with gradient 0 at 0, as PyTorch's clamp_min of a loss."""
    zero = _number(0.0, x)
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
    first, sign = _same_quiet(input1, target)
    return _margin_ranking(first, input2, sign, float(margin), reduction)


@composite(saves="inputs")
def _hinge_embedding(input: Tensor, target: Tensor, margin: float, reduction: str) -> Tensor:
    x, t = input._read(), target._read()
    one = _number(1.0, t)
    hinge = _positive(b.sub(_number(margin, x), x))
    zero = _number(0.0, x)
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
    return _hinge_embedding(*_same_quiet(input, target), float(margin), reduction)


@composite(saves="inputs")
def _cosine_margin(cosine: Tensor, target: Tensor, margin: float, reduction: str) -> Tensor:
    c, t = cosine._read(), target._read()
    one, zero = b.constant(1, t.dtype), _number(0.0, c)
    near = b.where(b.equal(t, one), b.sub(_number(1.0, c), c), zero)
    apart = b.where(b.equal(t, b.neg(one)), _positive(b.sub(c, _number(margin, c))), zero)
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
    return _cosine_margin(cosine, target, float(margin), reduction)


@composite(saves="inputs")
def _triplet(near: Tensor, far: Tensor, margin: float, reduction: str) -> Tensor:
    difference = b.sub(near._read(), far._read())
    return reduced(_positive(b.add(difference, _number(margin, difference))), reduction)


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
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        other = pairwise_distance(positive, negative, p, eps)
        far = record(op.WHERE, (record(op.LT, (other, far)), other, far))
    return _triplet(near, far, float(margin), reduction)


@composite(saves="inputs")
def _soft_margin(input: Tensor, target: Tensor, reduction: str) -> Tensor:
    z = b.neg(b.mul(target._read(), input._read()))
    soft = b.add(log1p(b.exp(b.neg(_absolute(z)))), b.maximum(z, _number(0.0, z)))
    return reduced(soft, reduction)


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """log(1 + exp(-target · input))"""
    reduction = reduction_of(size_average, reduce, reduction)
    return _soft_margin(*_same_quiet(input, target), reduction)
