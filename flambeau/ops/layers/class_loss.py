"""Losses with margins between classes, and others of many classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.graph import build as b
from flambeau.graph.dtype import int64
from flambeau.graph.node import Node
from flambeau.ops.autocast import autocasting
from flambeau.ops.axes import title
from flambeau.ops.bounds import check_bounds
from flambeau.ops.composite import composite
from flambeau.ops.cross_entropy import OUT_OF_BOUNDS, cross_entropy
from flambeau.ops.loss import absolute, log1p, number, reduce_losses, reduced, reduction_of
from flambeau.ops.margin_loss import positive, triplet
from flambeau.ops.matmul import linear
from flambeau.ops.norm import mean
from flambeau.ops.places import checked
from flambeau.ops.view import broadcast_tensors
from flambeau.tensor.tensor import Tensor


def _rows(x: Node) -> Node:
    """(n, c) of (n, c), (c) or a number."""
    return x if len(x.shape) == 2 else b.reshape(x, (1, x.type.size))


def _of_rows(losses: Node, single: bool, reduction: str) -> Tensor:
    """(n) losses reduced; of a single row the loss is a number."""
    return reduced(b.reshape(losses, () if single else losses.shape[:1]), reduction)


# one class ---------------------------------------------------------------------------------------


@composite(saves="inputs")
def _multi_margin(
    input: Tensor, target: Tensor, weight: Tensor | None, p: int, margin: float, reduction: str
) -> Tensor:
    x = _rows(input._read())
    rows, classes = x.shape
    wanted = checked(b.reshape(target._read(), (rows, 1)), 0, classes, OUT_OF_BOUNDS)
    hit = b.equal(b.iota(classes), wanted)
    zero = number(0.0, x)
    own = b.reduce("add", b.where(hit, x, zero), (1,))
    terms = positive(b.add(b.sub(number(margin, x), own), x))
    terms = terms if p == 1 else b.mul(terms, terms)
    if weight is not None:
        factors = b.reshape(b.cast(weight._read(), x.dtype), (1, classes))
        terms = b.mul(terms, b.reduce("add", b.where(hit, factors, zero), (1,)))
    losses = mean(b.where(hit, zero, terms), (1,))
    return _of_rows(losses, input.ndim < 2, reduction)


@autocasting
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean over classes i other than the target y of max(0, margin - x[y] + x[i])ᵖ.

    input (n, c) or (c), target (n) or () int64 classes, p 1 or 2; weight (c) multiplies the loss of
    targets of a class. Raises ValueError or RuntimeError where arguments do not fit, IndexError for
    a class out of range.
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    shape = input._type.shape
    if len(shape) > 2 or input._type.size == 0:
        raise RuntimeError(
            "Expected non-empty vector or matrix with optional 0-dim batch size, but got: "
            f"{list(shape)}"
        )
    rows, classes = shape if len(shape) == 2 else (1, input._type.size)
    if target.ndim > 1 or target._type.size != rows:
        raise RuntimeError(
            f"inconsistent target size, expected {rows} but got {list(target._type.shape)}"
        )
    if target._type.dtype is not int64:
        raise RuntimeError(f"expected scalar type Long but found {title(target)}")
    if weight is not None:
        if weight.dim() != 1:  # type: ignore[attr-defined, unused-ignore]  # attached by ops/
            raise ValueError("weight must be one-dimensional")
        if weight._type.size != classes:
            raise RuntimeError(f"inconsistent weight size, expected {classes}")
    check_bounds(target, 0, classes, OUT_OF_BOUNDS)
    return _multi_margin(input, target, weight, int(p), float(margin), reduction)


# several classes ---------------------------------------------------------------------------------


@composite(saves="inputs")
def _multilabel_margin(input: Tensor, target: Tensor, reduction: str) -> Tensor:
    x, given = _rows(input._read()), _rows(target._read())
    rows, classes = x.shape
    over = b.scan("max", b.cast(b.less(given, b.constant(0, int64)), int64), 1)
    used = b.equal(over, b.constant(0, int64))  # up to the first negative one
    safe = b.where(used, given, b.constant(0, int64))
    wanted = b.reshape(checked(safe, 0, classes, OUT_OF_BOUNDS), (rows, classes, 1))
    used = b.reshape(used, (rows, classes, 1))
    hit = b.and_(b.equal(b.iota(classes), wanted), used)  # (n, target, class)
    zero = number(0.0, x)
    every = b.reshape(x, (rows, 1, classes))
    own = b.reduce("add", b.where(hit, every, zero), (2,))
    among = b.less(b.constant(0, int64), b.reduce("add", b.cast(hit, int64), (1,)))
    terms = positive(b.add(b.sub(number(1.0, x), own), every))
    counted = b.where(b.and_(used, b.not_(among)), terms, zero)
    losses = b.div(b.reduce("add", counted, (1, 2)), number(float(classes), x))
    return _of_rows(losses, input.ndim < 2, reduction)


@autocasting
def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Σ max(0, 1 - x[y] + x[i]) / c over the targets y and the classes i that are none.

    input (n, c) or (c); target of the same shape: int64 classes up to the first negative number.
    Raises RuntimeError where these do not fit, IndexError for a class out of range.
    """
    reduction = reduction_of(size_average, reduce, reduction)
    shape = input._type.shape
    if len(shape) > 2 or (input._type.size == 0 and shape[:1] != (0,)):
        raise RuntimeError(
            "Expected non-empty vector or matrix with optional 0-dim batch size, but got: "
            f"{list(shape)}"
        )
    if target._type.shape != shape and (len(shape) == 2 or target._type.size != input._type.size):
        raise RuntimeError(
            f"inconsistent target size: {list(target._type.shape)} for input of size: {list(shape)}"
        )
    if target._type.dtype is not int64:
        raise RuntimeError(f"expected scalar type Long but found {title(target)}")
    check_bounds(target, 0, shape[-1] if shape else 1, OUT_OF_BOUNDS, least=-(1 << 62))
    return _multilabel_margin(input, target, reduction)


@composite(saves="inputs")
def _multilabel_soft(input: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    """-w (t log σ(x) + (1 - t) log σ(-x)), its mean over the last dimension."""
    x, t = input._read(), target._read()
    soft = log1p(b.exp(b.neg(absolute(x))))
    zero, one = number(0.0, x), number(1.0, x)
    for_one = b.add(soft, b.maximum(b.neg(x), zero))
    for_none = b.add(soft, b.maximum(x, zero))
    losses = b.add(b.mul(t, for_one), b.mul(b.sub(one, t), for_none))
    if weight is not None:
        losses = b.mul(losses, b.cast(weight._read(), losses.dtype))
    axis = len(losses.shape) - 1
    return Tensor._traced(b.reshape(mean(losses, (axis,)), losses.shape[:axis]))


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean over classes of binary cross entropies of sigmoid(input) and targets 0 or 1.

    input and target (…, c), weight (c).
    """
    reduction = reduction_of(size_average, reduce, reduction)
    both = broadcast_tensors(input, target.to(input.dtype))
    losses = _multilabel_soft(both[0], both[1], weight)
    return losses if reduction == "none" else reduce_losses(losses, reduction)


# distances ---------------------------------------------------------------------------------------


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """triplet_margin_loss with a distance of one's own (by default pairwise_distance)."""
    reduction = reduction_of(None, None, reduction)
    return triplet(anchor, positive, negative, distance_function, margin, swap, reduction)


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Any,
    target: Tensor,
    *,
    linear_bias: Any = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: Any = None,
) -> Tensor:
    """cross_entropy of linear(input, linear_weight, linear_bias).

    input (k) or (n, k), linear_weight (c, k) or (c, d1, …, k), linear_bias (c) or (c, d1, …).
    `options` choose how PyTorch goes through a batch in chunks: the results are the same.
    """
    *extents, width = linear_weight._type.shape
    flat = linear_weight.reshape(-1, width)
    bias = linear_bias
    if bias is not None:
        if bias._type.shape not in (tuple(extents), tuple(extents[:1])):
            raise RuntimeError(
                f"linear_cross_entropy: expected linear_bias of shape {extents[:1]} or {extents}, "
                f"got {list(bias._type.shape)}"
            )
        line = (*bias._type.shape, *(1,) * (len(extents) - bias.ndim))
        bias = bias.reshape(line).expand(*extents).reshape(-1)
    scores: Any = linear(input, flat, bias)
    if len(extents) > 1:
        scores = scores.reshape(*scores._type.shape[:-1], *extents)
    ignored = -100 if ignore_index is None else ignore_index
    return cross_entropy(
        scores,
        target,
        weight=weight,
        ignore_index=ignored,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )
