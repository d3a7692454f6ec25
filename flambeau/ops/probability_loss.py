"""Losses of probabilities: binary cross entropy, Kullback-Leibler divergence, Poisson, Gaussian."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from flambeau.graph import build as b
from flambeau.graph import op
from flambeau.graph.node import Node
from flambeau.ops.autocast import autocasting
from flambeau.ops.composite import composite
from flambeau.ops.loss import (
    absolute,
    log1p,
    number,
    reduce_losses,
    reduced,
    reduction_of,
    same_dtype,
)
from flambeau.ops.promote import to_floating
from flambeau.ops.publish import public
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor


def _bce_gradient(
    attrs: Any, inputs: Sequence[Node], results: Any, gradients: Sequence[Node | None]
) -> list[Node | None]:
    """g (x - t) / max(x (1 - x), 1e-12), as PyTorch; to the target g (log(1 - x) - log x)."""
    x, t = inputs[:2]
    g = gradients[0]
    if g is None:
        return [None] * len(inputs)
    one = number(1.0, x)
    if len(inputs) > 2:
        g = b.mul(g, inputs[2])
    least = b.maximum(b.mul(b.sub(one, x), x), number(1e-12, x))
    to_x = b.div(b.mul(g, b.sub(x, t)), least)
    to_t = b.mul(g, b.sub(_clamped_log(b.sub(one, x)), _clamped_log(x)))
    found = [b.sum_to(to_x, x.shape), b.sum_to(to_t, t.shape)]
    return [*found, *([None] * (len(inputs) - 2))]


def _clamped_log(x: Node) -> Node:
    return b.maximum(b.log(x), number(-100.0, x))


@composite(saves="inputs", gradient=_bce_gradient)
def _bce(input: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    x, t = input._read(), target._read()
    one = number(1.0, x)
    gain = b.add(b.mul(t, _clamped_log(x)), b.mul(b.sub(one, t), _clamped_log(b.sub(one, x))))
    losses = b.neg(gain)
    return Tensor._traced(losses if weight is None else b.mul(losses, weight._read()))


@autocasting
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
    return losses if reduction == "none" else reduce_losses(losses, reduction)


@composite(saves="inputs")
def _bce_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    pos_weight: Tensor | None,
    reduction: str,
) -> Tensor:
    x, t = input._read(), target._read()
    one, zero = number(1.0, x), number(0.0, x)
    # log(1 + exp(-x)), with the greater of 0 and -x taken out of the exponential
    soft = b.add(log1p(b.exp(b.neg(absolute(x)))), b.maximum(b.neg(x), zero))
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
    none = b.equal(t, number(0.0, t))
    safe = b.where(none, number(1.0, t), t)
    entropy = b.where(none, number(0.0, t), b.mul(safe, b.log(safe)))
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
    losses = _kl_div(*same_dtype(input, target), log_target)
    if reduction == "batchmean":
        total = reduce_losses(losses, "sum")
        count = b.constant(input._type.shape[0] if input.ndim else 1, losses._type.dtype)
        return record(op.DIV, (total, count))
    reduction = reduction_of(size_average, reduce, reduction)
    return losses if reduction == "none" else reduce_losses(losses, reduction)


@composite(saves="inputs")
def _poisson(
    input: Tensor, target: Tensor, log_input: bool, full: bool, eps: float, reduction: str
) -> Tensor:
    x, t = input._read(), target._read()
    if log_input:
        losses = b.sub(b.exp(x), b.mul(t, x))
    else:
        losses = b.sub(x, b.mul(t, b.log(b.add(x, number(eps, x)))))
    if full:
        one = number(1.0, t)
        above = b.less(one, t)
        safe = b.where(above, t, one)
        stirling = b.add(
            b.sub(b.mul(safe, b.log(safe)), safe),
            b.mul(number(0.5, t), b.log(b.mul(number(2 * math.pi, t), safe))),
        )
        losses = b.add(losses, b.where(above, stirling, number(0.0, t)))
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
    return _poisson(*same_dtype(to_floating(input), target), log_input, full, float(eps), reduction)


@composite(saves="inputs")
def _gaussian(
    input: Tensor, target: Tensor, var: Tensor, full: bool, eps: float, reduction: str
) -> Tensor:
    x, t, v = input._read(), target._read(), var._read()
    # the clamp has no gradient, as in PyTorch: what is below eps still learns
    clamped = b.add(v, b.detach(b.sub(b.maximum(v, number(eps, v)), v)))
    difference = b.sub(x, t)
    losses = b.add(b.log(clamped), b.div(b.mul(difference, difference), clamped))
    losses = b.mul(number(0.5, x), losses)
    if full:
        losses = b.add(losses, number(0.5 * math.log(2 * math.pi), x))
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
        var = var.unsqueeze(-1)  # type: ignore[attr-defined, unused-ignore]  # attached by ops/
    return _gaussian(input, target, var, full, float(eps), reduction_of(None, None, reduction))
