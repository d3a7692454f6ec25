"""Large reductions are computed in two stages, so that threads can share them.

    reduce("add", x, (0, 1)) of x [1000, 1000]
      => reduce over the second stage of reduce("add", reshape(x, (50, 20, 1000)), (1, 2))

Whether, and into how many parts, depends on the extents of the reduced axes alone: neither on the
number of threads nor on how many reductions there are. So a row's sum is the same number, to the
last bit, alone and among others.
"""

from __future__ import annotations

import math

from flambeau.graph import dtype as dtypes
from flambeau.graph import op
from flambeau.graph.dtype import DType
from flambeau.graph.node import Node
from flambeau.graph.rewrite import Rewriter, Rule
from flambeau.kernel.limits import Limits
from flambeau.kernel.lower import accumulator


def splitting(limits: Limits) -> Rule:
    """The rewrite rule that splits reductions for these limits."""

    def split_large_reduction(rewriter: Rewriter, node: Node) -> Node | None:
        (source,) = node.inputs
        kind, axes = node.attrs
        extent = math.prod([source.shape[axis] for axis in axes])
        if extent <= limits.long:
            return None
        return _split(rewriter, node, source, kind, axes, -(-extent // limits.part))

    return split_large_reduction


def _split(
    rewriter: Rewriter, node: Node, source: Node, kind: str, axes: tuple[int, ...], parts: int
) -> Node:
    """Two stages, the first with about `parts` results for each of the node's."""
    wide = accumulator(node.dtype)
    whole: list[int] = []
    for axis in axes:
        extent = source.shape[axis]
        if extent > parts:
            break
        whole.append(axis)
        parts //= extent
    rest = axes[len(whole) :]
    if source.dtype is not wide:
        source = rewriter.make(op.CAST, (source,), (wide,))
    inner = rest
    if parts >= 2:
        axis = rest[0]
        source = _in_parts(rewriter, source, kind, axis, parts)
        whole.append(axis)
        inner = tuple([each + 1 for each in rest])
    partial = rewriter.make(op.REDUCE, (source,), (kind, inner))
    outer = tuple(whole)
    total = rewriter.make(op.REDUCE, (partial,), (kind, outer))
    if total.shape != node.shape:
        total = rewriter.make(op.RESHAPE, (total,), (node.shape,))
    if total.dtype is not node.dtype:
        total = rewriter.make(op.CAST, (total,), (node.dtype,))
    return total


def _in_parts(rewriter: Rewriter, source: Node, kind: str, axis: int, parts: int) -> Node:
    """`source` with an axis as two: parts, and places within a part; padded where need be."""
    extent = source.shape[axis]
    divisor = max(each for each in range(1, parts + 1) if extent % each == 0)
    if divisor == 1 or divisor * 4 < parts:
        divisor = parts
        length = -(-extent // parts)
        shape = tuple([parts * length if n == axis else m for n, m in enumerate(source.shape)])
        fill = op.encode_constant(identity(kind, source.dtype), source.dtype)
        ones, zeros = (1,) * len(shape), (0,) * len(shape)
        source = rewriter.make(op.PAD, (source,), (shape, ones, fill), zeros)
        extent = parts * length
    shape = (*source.shape[:axis], divisor, extent // divisor, *source.shape[axis + 1 :])
    return rewriter.make(op.RESHAPE, (source,), (shape,))


def identity(kind: str, dtype: DType) -> float | int | bool:
    """What a reduction of this kind may take in without changing."""
    if kind != "max":
        return 1 if kind == "mul" else 0
    if dtype.is_floating_point:
        return -math.inf
    if dtype is dtypes.bool_ or not dtype.is_signed:
        return 0
    return -(1 << (8 * dtype.itemsize - 1))
