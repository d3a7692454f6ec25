"""Transposed convolutions (input gradients with a stride) of few channels: all phases at once.

The results at each remainder by the stride, a phase, are a convolution of stride 1 with taps of
their own. Launched one by one, each phase packs the same image anew, which takes longer than
multiplying it by a few rows of weights. Here the phases are channels of one convolution, whose
window holds the taps of all, and whose result is written where it belongs:

    x[n, c, i · stride + r] = z[n, (c, r), i] = Σ o, u   v[(c, r), o, u] · y[n, o, i + low + u]

Where a phase has no tap in the window its weight is 0.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from flambeau.graph import op
from flambeau.graph.node import Node
from flambeau.graph.rewrite import Rewriter
from flambeau.kernel.conv import Geometry

ROWS = 16
"""So many channels of all phases together cost no more than those of one: a tile of registers."""


class _Window(NamedTuple):
    """The places around i that the phases read along one axis: i + low … i + low + size - 1.

    A phase r has tap r + stride · (size - 1 - u) - before at place u, if there is such a tap.
    """

    low: int
    size: int
    before: int


def _window(taps: int, stride: int, low: int) -> _Window:
    """`low` is the padding."""
    last = (stride - 1 + low) // stride  # the last place: of tap 0 or the next
    first = -((taps - 1 - low) // stride)
    return _Window(first, last - first + 1, stride * last - low)


def together(rewriter: Rewriter, node: Node) -> Node | None:
    """The rewrite rule, for CONV."""
    geometry = Geometry(*node.attrs)
    if geometry.mode != "input" or geometry.groups != 1 or max(geometry.stride) == 1:
        return None
    if node.type.size == 0 or any(each != 1 for each in geometry.dilation):
        return None
    gradient, weight = node.inputs
    outputs, channels, *taps = weight.shape
    stride, spatial = geometry.stride, node.shape[2:]
    windows = [
        _window(count, step, low)
        for count, step, (low, _) in zip(taps, stride, geometry.padding, strict=True)
    ]
    if any(count < step for count, step in zip(taps, stride, strict=True)):
        return None  # phases without a tap are 0 in any case
    if channels * prod(stride) > ROWS and any(each.size > 1 for each in windows):
        return None
    if any(extent % step for extent, step in zip(spatial, stride, strict=True)):
        return None
    places = [extent // step for extent, step in zip(spatial, stride, strict=True)]
    padding = tuple(
        [
            (-each.low, count - 1 + each.size + each.low - extent)
            for each, count, extent in zip(windows, places, gradient.shape[2:], strict=True)
        ]
    )
    if any(side < 0 for each in padding for side in each):
        return None
    ones = (1,) * len(taps)
    arranged = _weights(rewriter, weight, windows, stride)
    changed = ("forward", ones, padding, ones, 1, ())
    result = rewriter.make(op.CONV, (gradient, arranged), changed)
    rank = len(taps)
    split = (node.shape[0], channels, *stride, *places)
    result = rewriter.make(op.RESHAPE, (result,), (split,))
    order = [axis for n in range(rank) for axis in (2 + rank + n, 2 + n)]
    result = rewriter.make(op.PERMUTE, (result,), ((0, 1, *order),))
    return rewriter.make(op.RESHAPE, (result,), (node.shape,))


def _weights(
    rewriter: Rewriter, weight: Node, windows: list[_Window], stride: tuple[int, ...]
) -> Node:
    """[channels · phases, outputs, window]: see _Window."""
    outputs, channels, *taps = weight.shape
    rank, sizes = len(taps), [each.size for each in windows]
    long = (outputs, channels, *[n * step for n, step in zip(sizes, stride, strict=True)])
    moved = weight
    padded = long != weight.shape
    if padded:
        before = (0, 0, *[each.before for each in windows])
        zero = op.encode_constant(0.0, weight.dtype)
        moved = rewriter.make(op.PAD, (weight,), (long, (1,) * len(long), zero), before)
    pairs = [extent for each in zip(sizes, stride, strict=True) for extent in each]
    moved = rewriter.make(op.RESHAPE, (moved,), ((outputs, channels, *pairs),))
    back = [step for _ in windows for step in (-1, 1)]
    starts = [start for each in windows for start in (each.size - 1, 0)]
    reversed_ = ((outputs, channels, *pairs), (1, 1, *back))
    moved = rewriter.make(op.SLICE, (moved,), reversed_, (0, 0, *starts))
    first = [3 + 2 * n for n in range(rank)]
    order = (1, *first, 0, *[each - 1 for each in first])
    moved = rewriter.make(op.PERMUTE, (moved,), (order,))
    shape = (channels * prod(stride), outputs, *sizes)
    moved = rewriter.make(op.RESHAPE, (moved,), (shape,))
    if padded or prod(sizes) == 1:  # stored in any case; or it lies so
        return moved
    return rewriter.make(op.MATERIALIZE, (moved,))
