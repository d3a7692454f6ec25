"""Cross entropy and negative log likelihood of classes.

The target's class is picked by comparing it with 0, 1, 2, …, so that the softmax, the choice and
the mean are one pass over rows, forward and backward: nothing is gathered or scattered. A target
out of range raises IndexError: at the call where the target is known, else when the loss is
computed.
"""

from __future__ import annotations

from flambeau.graph import build as b
from flambeau.graph.dtype import int64, uint8
from flambeau.graph.node import Node
from flambeau.ops.autocast import autocasting
from flambeau.ops.axes import title
from flambeau.ops.bounds import check_bounds
from flambeau.ops.composite import composite
from flambeau.ops.loss import reduced, reduction_of
from flambeau.ops.norm import wide
from flambeau.ops.places import checked
from flambeau.tensor.tensor import Tensor

OUT_OF_BOUNDS = "Target {detail} is out of bounds."


def _axis(rank: int) -> int:
    """Where the classes are."""
    return 0 if rank == 1 else 1


def _log_softmax(x: Node, axis: int) -> Node:
    """x - log Σ exp x; the greatest is taken out first and needs no gradient."""
    shifted = b.sub(x, b.detach(b.reduce("max", x, (axis,))))
    return b.sub(shifted, b.log(b.reduce("add", b.exp(shifted), (axis,))))


def _sum(x: Node) -> Node:
    return b.reshape(b.reduce("add", x, tuple(range(len(x.shape)))), ())


class _Chosen:
    """The target classes of a batch: which elements they are, and which count."""

    def __init__(self, x: Node, target: Node, ignore_index: int) -> None:
        self.axis = _axis(len(x.shape))
        self.classes = x.shape[self.axis]
        shape = (*x.shape[: self.axis], 1, *x.shape[self.axis + 1 :])
        target = b.reshape(b.cast(target, int64), shape)
        self.ignored = b.equal(target, b.constant(ignore_index, int64))
        safe = b.where(self.ignored, b.constant(0, int64), target)
        self.target = checked(safe, 0, self.classes, OUT_OF_BOUNDS)
        line = tuple([self.classes if at == self.axis else 1 for at in range(len(shape))])
        self.hit = b.equal(b.reshape(b.iota(self.classes), line), self.target)
        self.line = line

    def pick(self, values: Node) -> Node:
        """The target's value of each row."""
        zero = b.constant(0.0, values.dtype)
        chosen = b.where(self.hit, values, zero)
        return b.reduce("add", chosen, (self.axis,))

    def counted(self, values: Node) -> Node:
        """0 for the rows that are ignored."""
        return b.where(self.ignored, b.constant(0.0, values.dtype), values)


def _losses(
    scores: Node, chosen: _Chosen, weight: Node | None, smoothing: float, reduction: str
) -> Tensor:
    """From log-probabilities to the loss."""
    dtype, axis = scores.dtype, chosen.axis
    factors = None if weight is None else b.reshape(b.cast(weight, dtype), chosen.line)
    share = b.constant(1.0, dtype) if factors is None else chosen.pick(factors)
    counted = b.expand(chosen.counted(share), chosen.target.shape)
    losses = b.neg(b.mul(chosen.pick(scores), share))
    losses = chosen.counted(losses)
    if smoothing:
        every = scores if factors is None else b.mul(scores, factors)
        smooth = chosen.counted(b.neg(b.reduce("add", every, (axis,))))
        losses = b.add(
            b.mul(losses, b.constant(1.0 - smoothing, dtype)),
            b.mul(smooth, b.constant(smoothing / chosen.classes, dtype)),
        )
    shape = (*losses.shape[:axis], *losses.shape[axis + 1 :])
    if reduction == "none":
        return Tensor._traced(b.reshape(losses, shape))
    total = _sum(losses)
    return Tensor._traced(total if reduction == "sum" else b.div(total, _sum(counted)))


@composite(saves="0")
def _cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    smoothing: float,
) -> Tensor:
    x = wide(input._read())
    chosen = _Chosen(x, target._read(), ignore_index)
    scores = _log_softmax(x, chosen.axis)
    factors = None if weight is None else weight._read()
    result = _losses(scores, chosen, factors, smoothing, reduction)._read()
    return Tensor._traced(b.cast(result, input._type.dtype))


@composite(saves="0,1")
def _cross_entropy_probabilities(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, smoothing: float
) -> Tensor:
    x, t = wide(input._read()), wide(target._read())
    axis = _axis(len(x.shape))
    classes = x.shape[axis]
    if smoothing:
        kept = b.constant(1.0 - smoothing, t.dtype)
        t = b.add(b.mul(t, kept), b.constant(smoothing / classes, t.dtype))
    terms = b.mul(_log_softmax(x, axis), b.cast(t, x.dtype))
    if weight is not None:
        line = tuple([classes if at == axis else 1 for at in range(len(x.shape))])
        terms = b.mul(terms, b.reshape(b.cast(weight._read(), x.dtype), line))
    losses = b.neg(b.reduce("add", terms, (axis,)))
    shape = (*losses.shape[:axis], *losses.shape[axis + 1 :])
    result = reduced(b.reshape(losses, shape), reduction)._read()
    return Tensor._traced(b.cast(result, input._type.dtype))


@composite(saves="1")
def _nll(
    input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: str
) -> Tensor:
    x = input._read()
    chosen = _Chosen(x, target._read(), ignore_index)
    factors = None if weight is None else weight._read()
    return _losses(x, chosen, factors, 0.0, reduction)


def _check_classes(input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int) -> None:
    """Raises ValueError, RuntimeError and IndexError as PyTorch does."""
    shape, wanted = input._type.shape, target._type.shape
    if len(wanted) > 1 and len(shape) == 2:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if target._type.dtype not in (int64, uint8):
        raise RuntimeError(f"expected target dtype to be Long or Byte, but got {title(target)}")
    if not shape:
        raise RuntimeError("0-d input: expected (C), (N, C) or (N, C, d1, …)")
    axis = _axis(len(shape))
    classes = shape[axis]
    if wanted == (*shape[:axis], *shape[axis + 1 :]):  # else the sizes are the error
        check_bounds(target, 0, classes, OUT_OF_BOUNDS, ignored=ignore_index)
    if weight is not None and weight._type.shape != (classes,):
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no classes but "
            f"got weight tensor of shape: {list(weight._type.shape)}"
        )
    if len(shape) == 1:
        if target._type.size != 1 or len(wanted) > 1:
            raise ValueError(
                "For 1D input, 1D target must have size 1, but got target size: "
                f"{target._type.size}"
            )
        return
    expected = (shape[0], *shape[2:])
    if wanted == expected:
        return
    if not wanted or wanted[0] != shape[0]:
        raise ValueError(
            f"Expected input batch_size ({shape[0]}) to match target batch_size "
            f"({wanted[0] if wanted else 1})."
        )
    raise RuntimeError(f"Expected target size {list(expected)}, got {list(wanted)}")


@autocasting
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-log softmax(input) at the target's class.

    input (c), (n, c) or (n, c, d1, …) logits; target the same without c as int64 classes, or of
    the same shape as probabilities. weight (c) rescales classes. Rows whose target is ignore_index
    do not count; the mean over no rows is NaN. A class out of range raises IndexError, at the
    call where the target is known, else when the loss is computed.
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing:g}")
    smoothing = float(label_smoothing)
    if target._type.dtype.is_floating_point and target._type.shape == input._type.shape:
        return _cross_entropy_probabilities(input, target, weight, reduction, smoothing)
    _check_classes(input, target, weight, ignore_index)
    return _cross_entropy(input, target, weight, int(ignore_index), reduction, smoothing)


@autocasting
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-input at the target's class, where input holds log-probabilities: see cross_entropy."""
    reduction = reduction_of(size_average, reduce, reduction)
    _check_classes(input, target, weight, ignore_index)
    return _nll(input, target, weight, int(ignore_index), reduction)
