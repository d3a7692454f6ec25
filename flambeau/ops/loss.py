"""Losses of differences: squared, absolute, and between; what all losses share."""

from __future__ import annotations

import warnings

from flambeau.graph import build as b
from flambeau.graph import op
from flambeau.graph.node import Node
from flambeau.ops.autocast import autocasting
from flambeau.ops.composite import composite
from flambeau.ops.promote import as_node, result_dtype
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


def absolute(x: Node) -> Node:
    return b.maximum(x, b.neg(x))


def number(value: float, like: Node) -> Node:
    return b.constant(value, like.dtype)


def log1p(x: Node) -> Node:
    """log(1 + x), exact also where x is small: Kahan's correction of the rounding of 1 + x."""
    one = number(1.0, x)
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


@composite(saves="")
def reduce_losses(losses: Tensor, reduction: str) -> Tensor:
    """reduced, as an operation."""
    return reduced(losses._read(), reduction)


def same_dtype(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both with their common dtype."""
    if input._type.dtype is target._type.dtype:
        return input, target
    dtype = result_dtype((input, target))
    first, second = (
        each if each._type.dtype is dtype else record(op.CAST, (each,), (dtype,))
        for each in (input, target)
    )
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


@autocasting
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
    return _weighted(absolute(b.sub(input._read(), target._read())), weight, reduction)


@autocasting
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
    distance = absolute(b.sub(input._read(), target._read()))
    half = number(0.5 * factor, distance)
    near = b.mul(b.mul(distance, distance), half)
    far = b.mul(b.sub(distance, number(0.5 * delta, distance)), number(delta * factor, distance))
    return reduced(b.where(b.less(distance, number(delta, distance)), near, far), reduction)


@autocasting
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


@autocasting
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
