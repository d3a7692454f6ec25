"""Connectionist temporal classification: functional.ctc_loss.

How many steps there are depends on the lengths, so numpy runs the recursion on the host, in
float64, for the whole batch at once. Graves et al., Connectionist Temporal Classification, 2006.
"""

from __future__ import annotations

from typing import Any

import numpy

from flambeau.graph import build as b
from flambeau.graph import op
from flambeau.graph.dtype import float32, float64, int32, int64
from flambeau.ops.autocast import autocasting
from flambeau.ops.axes import title
from flambeau.ops.bounds import check_bounds
from flambeau.ops.composite import composite
from flambeau.ops.host import host_function
from flambeau.ops.loss import reduced, reduction_of
from flambeau.tensor.function import Function, once_differentiable
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor

Array = numpy.ndarray[Any, Any]
_NEVER = -numpy.inf


class _Labels:
    """The classes of each sample with blanks around: (n, 2 s + 1), and which may be skipped to."""

    def __init__(self, targets: Array, lengths: Array, blank: int) -> None:
        samples, most = len(lengths), int(lengths.max(initial=0))
        if targets.ndim == 1:  # all samples, one after another
            if lengths.sum() > len(targets):
                raise RuntimeError(
                    f"ctc_loss: target_lengths sum up to {lengths.sum()}, but there are "
                    f"{len(targets)} targets"
                )
            starts = numpy.concatenate([[0], numpy.cumsum(lengths)[:-1]])
        else:
            starts = numpy.arange(samples) * targets.shape[1]
        at = numpy.arange(most)
        inside = at < lengths[:, None]
        flat = numpy.append(targets.reshape(-1), blank)
        places = numpy.where(inside, starts[:, None] + at, len(flat) - 1)
        self.classes = numpy.full((samples, 2 * most + 1), blank)
        self.classes[:, 1::2] = flat[places]
        self.last = 2 * lengths  # the blank behind the last class
        self.skips = numpy.zeros(self.classes.shape, bool)
        different = self.classes[:, 2:] != self.classes[:, :-2]
        self.skips[:, 2:] = different & (self.classes[:, 2:] != blank)

    def shifted(self, scores: Array, places: int) -> Array:
        """What lies so many places before each (behind, where negative)."""
        result = numpy.full_like(scores, _NEVER)
        if places > 0:
            result[:, places:] = scores[:, :-places]
        else:
            result[:, :places] = scores[:, -places:]
        return result

    def ends(self) -> Array:
        """0 where a path may end, else -inf."""
        at = numpy.arange(self.classes.shape[1])
        last = self.last[:, None]
        return numpy.where((at == last) | (at == last - 1), 0.0, _NEVER)


def _forward(emitted: Array, labels: _Labels, lengths: Array) -> Array:
    """log of the sum over all ways to be at each label at each time: (t, n, labels)."""
    found = numpy.full_like(emitted, _NEVER)
    if not len(emitted):
        return found
    found[0, :, :2] = emitted[0, :, :2]
    for time in range(1, len(emitted)):
        before = found[time - 1]
        reached = numpy.logaddexp(before, labels.shifted(before, 1))
        skipped = numpy.where(labels.skips, labels.shifted(before, 2), _NEVER)
        now = numpy.logaddexp(reached, skipped) + emitted[time]
        found[time] = numpy.where((time < lengths)[:, None], now, before)
    return found


def _backward(emitted: Array, labels: _Labels, lengths: Array) -> Array:
    """log of the sum over all ways to go on from each label at each time to the end."""
    found = numpy.full_like(emitted, _NEVER)
    ends, after = labels.ends(), numpy.full(labels.classes.shape, _NEVER)
    for time in range(len(emitted) - 1, -1, -1):
        reached = numpy.logaddexp(after, labels.shifted(after, -1))
        skipped = labels.shifted(numpy.where(labels.skips, after, _NEVER), -2)
        now = numpy.logaddexp(reached, skipped)
        last = lengths == time + 1
        now = numpy.where(last[:, None], ends, now) + emitted[time]
        after = found[time] = numpy.where((time < lengths)[:, None], now, _NEVER)
    return found


def _likelihoods(alpha: Array, labels: _Labels, lengths: Array) -> Array:
    """log p of each sample: the paths that end at the last class or the blank behind it."""
    empty = numpy.where(labels.last == 0, 0.0, _NEVER)
    if not len(alpha):
        return empty
    end = numpy.logaddexp.reduce(alpha[-1] + labels.ends(), 1)
    return numpy.where(lengths == 0, empty, end)


@host_function("ctc")
def _host_ctc(
    scores: Array,
    targets: Array,
    lengths: Array,
    target_lengths: Array,
    blank: int,
    zero_infinity: bool,
) -> tuple[Array, Array]:
    """The losses (n) and, for each, its slope (t, n, c).

    As PyTorch's, slopes are those of the numbers that log_softmax made the scores of: log_softmax
    passes them on unchanged.
    """
    dtype, scores = scores.dtype, scores.astype(numpy.float64)
    labels = _Labels(targets, target_lengths, blank)
    emitted = numpy.take_along_axis(scores, labels.classes[None], 2)
    alpha = _forward(emitted, labels, lengths)
    beta = _backward(emitted, labels, lengths)
    likelihood = _likelihoods(alpha, labels, lengths)
    both = alpha + beta
    share = numpy.where(both == _NEVER, 0.0, numpy.exp(both - emitted - likelihood[:, None]))
    slopes = numpy.exp(scores)
    times, samples = numpy.indices(scores.shape[:2])
    places = (times[..., None], samples[..., None], labels.classes[None])
    numpy.subtract.at(slopes, numpy.broadcast_arrays(*places), share)
    impossible = likelihood == _NEVER
    slopes[:, impossible] = 0.0 if zero_infinity else numpy.nan
    slopes[times >= lengths] = 0.0
    losses = numpy.where(impossible & zero_infinity, 0.0, -likelihood)
    return losses.astype(dtype), slopes.astype(dtype)


class _Ctc(Function):
    """(t, n, c) to the losses (n). Can be differentiated once, as PyTorch's."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, *rest: Any) -> Tensor:
        *tensors, blank, zero_infinity = rest
        shape, dtype = scores._type.shape, scores._type.dtype
        results = ((shape[1:2], dtype), (shape, dtype))
        losses, ctx.slopes = _host_ctc([scores, *tensors], (blank, zero_infinity), results)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        return ctx.slopes * gradients[0].reshape(1, -1, 1), *[None] * 5


def _lengths(given: Any, samples: int, name: str, like: Tensor) -> Tensor:
    """Lengths as an int64 tensor (n)."""
    if not isinstance(given, Tensor):
        array = numpy.asarray(given, numpy.int64).reshape(-1)
        given = Tensor._from_numpy(array, like.device.type)
    if given._type.dtype.is_floating_point:
        raise RuntimeError(f"{name} must be integral")
    if given.ndim == 0:
        given = given.reshape(1)
    if given._type.shape != (samples,):
        raise RuntimeError(
            f"Expected {name} to have value for each of {samples} batches, got "
            f"{list(given._type.shape)}"
        )
    return given if given._type.dtype is int64 else record(op.CAST, (given,), (int64,))


def _check(log_probs: Tensor, targets: Tensor, blank: int) -> None:
    shape, dtype = log_probs._type.shape, log_probs._type.dtype
    if len(shape) not in (2, 3):
        raise RuntimeError(
            f"ctc_loss: log_probs must be (T, N, C) or (T, C), but got {list(shape)}"
        )
    if dtype not in (float32, float64):
        raise NotImplementedError(f"\"ctc_loss\" not implemented for '{title(log_probs)}'")
    if targets._type.dtype not in (int32, int64):
        raise RuntimeError(
            f"ctc_loss: expected targets of dtype torch.int32 or int64, got {targets.dtype}"
        )
    if not 0 <= blank < shape[-1]:
        raise RuntimeError(f"blank must be in label range: 0 … {shape[-1] - 1}, got {blank}")
    samples = shape[1] if len(shape) == 3 else 1
    if targets.ndim > 2 or (targets.ndim == 2 and targets._type.shape[0] != samples):
        raise RuntimeError(
            f"ctc_loss: expected targets of shape ({samples}, S) or (all targets,), got "
            f"{list(targets._type.shape)}"
        )


def _check_lengths(scores: Tensor, targets: Tensor, lengths: Tensor, counts: Tensor) -> None:
    """Raises RuntimeError where lengths that are known do not fit."""
    steps = scores._type.shape[0]
    most = targets._type.shape[-1]
    check_bounds(
        lengths,
        0,
        steps + 1,
        f"Expected input_lengths to have value at most {steps}, but got value {{detail}}",
        error=RuntimeError,
    )
    check_bounds(
        counts,
        0,
        most + 1,
        f"Expected target_lengths to have value at most {most}, but got value {{detail}}",
        error=RuntimeError,
    )
    check_bounds(targets, 0, scores._type.shape[-1], "ctc_loss: target {detail} is no class")


@composite(saves="1")
def _ctc_reduced(losses: Tensor, counts: Tensor, reduction: str) -> Tensor:
    found = losses._read()
    if reduction == "mean":
        least = b.maximum(counts._read(), b.constant(1, int64))
        found = b.div(found, b.cast(least, found.dtype))
    return reduced(found, reduction)


@autocasting
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """-log of the probability of all ways to emit the targets, with blanks and repetitions.

    log_probs (t, n, c), or (t, c) for one sample, from log_softmax; targets (n, s) with padding,
    or all one after another; lengths (n), as tensors or lists. reduction "mean" divides each loss
    by its number of targets first. zero_infinity: 0, with no gradient, where a sequence is too
    short for its targets. Raises RuntimeError where shapes, lengths or classes do not fit.
    """
    reduction = reduction_of(None, None, reduction)
    _check(log_probs, targets, blank)
    single = log_probs.ndim == 2
    scores = log_probs.unsqueeze(1) if single else log_probs
    samples = scores._type.shape[1]
    lengths = _lengths(input_lengths, samples, "input_lengths", scores)
    counts = _lengths(target_lengths, samples, "target_lengths", scores)
    _check_lengths(scores, targets, lengths, counts)
    wide = targets if targets._type.dtype is int64 else record(op.CAST, (targets,), (int64,))
    losses = _Ctc.apply(scores, wide, lengths, counts, int(blank), bool(zero_infinity))
    result = _ctc_reduced(losses, counts, reduction)
    return result.squeeze(0) if single and reduction == "none" else result
