"""Convolutions of whole numbers, as products of integer matrices: exact, and not fast."""

from __future__ import annotations

import math

from flambeau.graph import build as b
from flambeau.graph.node import Node, Shape
from flambeau.ops.composite import composite
from flambeau.ops.conv import Pairs, with_bias
from flambeau.ops.pool import Geometry, spread_back, windows
from flambeau.tensor.tensor import Tensor


def _geometry(
    spatial: Shape, places: Shape, kernel: Shape, stride: Shape, before: Shape, dilation: Shape
) -> Geometry:
    """Windows at so many places; behind them there is as much padding as they need."""
    parts = zip(spatial, places, kernel, stride, before, dilation, strict=True)
    after = [max((m - 1) * s + d * (k - 1) + 1 - n - p, 0) for n, m, k, s, p, d in parts]
    return Geometry(kernel, stride, before, tuple(after), dilation, places)


def _product(x: Node, y: Node) -> Node:
    """(n, g, places, k) times (g, k, out)."""
    rows = x.shape[0]
    wide = b.expand(b.reshape(y, (1, *y.shape)), (rows, *y.shape))
    return b.matmul(x, wide)


@composite(saves="0?1,1?0")
def whole_convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Shape,
    paddings: Pairs,
    dilation: Shape,
    groups: int,
) -> Tensor:
    """Cross-correlation plus bias."""
    x, w = input._read(), weight._read()
    rows, channels, *spatial = x.shape
    out, _, *kernel = w.shape
    parts = zip(spatial, kernel, stride, paddings, dilation, strict=True)
    places = tuple([(n + sum(p) - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in parts])
    before = tuple([low for low, _ in paddings])
    g = _geometry(tuple(spatial), places, tuple(kernel), stride, before, dilation)
    made = windows(x, g, 0)
    rank, taps, count = len(places), math.prod(kernel), math.prod(places)
    rest = [axis for axis in range(2, 2 + 2 * rank) if axis not in made.taps]
    moved = b.permute(made.node, (0, *rest, 1, *made.taps))
    columns = b.reshape(moved, (rows, count, groups, channels // groups * taps))
    matrix = b.reshape(w, (groups, out // groups, channels // groups * taps))
    found = _product(b.permute(columns, (0, 2, 1, 3)), b.permute(matrix, (0, 2, 1)))
    result = b.reshape(b.permute(found, (0, 1, 3, 2)), (rows, out, *places))
    return with_bias(result, bias)


@composite(saves="0?1,1?0")
def whole_transposed_convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Shape,
    before: Shape,
    dilation: Shape,
    groups: int,
    spatial: Shape,
) -> Tensor:
    """Each element of the input times the weight, added up where it would have been read."""
    x, w = input._read(), weight._read()
    rows, channels, *places = x.shape
    _, out, *kernel = w.shape
    own, taps, count = channels // groups, math.prod(kernel), math.prod(places)
    columns = b.permute(b.reshape(x, (rows, groups, own, count)), (0, 1, 3, 2))
    spread = _product(columns, b.reshape(w, (groups, own, out * taps)))
    g = _geometry(spatial, tuple(places), tuple(kernel), stride, before, dilation)
    image = b.full((rows, groups * out, *spatial), 0, x.dtype)
    made = windows(image, g, 0)
    apart = b.reshape(b.permute(spread, (0, 1, 3, 2)), (*image.shape[:2], *kernel, *places))
    rank = len(places)
    read_from, walked = iter(range(2, 2 + rank)), iter(range(2 + rank, 2 + 2 * rank))
    order = [next(read_from if axis in made.taps else walked) for axis in range(2, 2 + 2 * rank)]
    return with_bias(spread_back(image, g, b.permute(apart, (0, 1, *order))), bias)
