"""Bags of rows of a table, added up: functional.embedding_bag.

Bags are the rows of a matrix of indices, or stretches of a vector of them: a bag is combined by a
reduction there, by a scatter here.
"""

from __future__ import annotations

from typing import Any

from flambeau.graph import build as b
from flambeau.graph import op
from flambeau.graph.dtype import int32, int64
from flambeau.graph.node import Node
from flambeau.ops.axes import title
from flambeau.ops.bounds import check_bounds
from flambeau.ops.composite import composite
from flambeau.ops.embedding import by_frequency, renormalize
from flambeau.ops.gather import OUT_OF_RANGE
from flambeau.ops.norm import wide
from flambeau.ops.parts import narrow
from flambeau.ops.pool import least
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor

_MODES = ("sum", "mean", "max")


class _Bags:
    """Which bag each of `count` indices is in."""

    def __init__(self, count: int, bags: int, offsets: Node | None) -> None:
        self.bags = bags
        self.each = count // max(bags, 1)  # where all are of one size
        self.number: Node | None = None
        if offsets is not None:
            ones = b.full(offsets.shape, 1, int64)
            starts = b.scatter(b.full((count + 1,), 0, int64), offsets, ones, 0, "add")
            number = b.sub(b.scan("add", starts, 0), b.constant(1, int64))
            self.number = b.slice_(number, (0,), (count,))

    def combined(self, kind: str, values: Node, start: Any) -> Node:
        """(count, k) to (bags, k): the sum ("add") or the greatest ("max"), `start` of none."""
        rest = values.shape[1:]
        if self.number is None:
            if not self.each:
                return b.full((self.bags, *rest), start, values.dtype)
            apart = b.reshape(values, (self.bags, self.each, *rest))
            return b.reshape(b.reduce(kind, apart, (1,)), (self.bags, *rest))
        # one bag more: what lies behind the last offset is in none
        empty = b.full((self.bags + 1, *rest), start, values.dtype)
        found = b.scatter(empty, self.number, values, 0, kind)
        return b.slice_(found, (0,) * len(found.shape), (self.bags, *rest))

    def own(self, values: Node) -> Node:
        """(bags, k) to (count, k): for each index what its bag has."""
        rest = values.shape[1:]
        if self.number is None:
            apart = b.expand(
                b.reshape(values, (self.bags, 1, *rest)), (self.bags, self.each, *rest)
            )
            return b.reshape(apart, (self.bags * self.each, *rest))
        last = b.slice_(values, (0,) * len(values.shape), (min(self.bags, 1), *rest))
        return b.gather(b.cat([values, last], 0), self.number, 0)


def _greatest(rows: Node, counted: Node, bags: _Bags, places: Node, table: Node) -> Node:
    """The greatest of each column, read again where it is first: there the gradient goes."""
    low, none = b.constant(least(rows.dtype), rows.dtype), b.constant(0, int64)
    values = b.detach(b.where(counted, rows, low))
    best = bags.own(bags.combined("max", values, least(rows.dtype)))
    count = rows.shape[0]
    left = b.sub(b.constant(count, int64), b.reshape(b.iota(count), (count, 1)))
    hit = b.and_(b.equal(values, best), counted)
    first = bags.combined("max", b.where(hit, left, none), 0)
    empty = b.equal(first, none)
    place = b.where(empty, none, b.sub(b.constant(count, int64), first))
    width = table.shape[1]
    flat = b.add(b.mul(b.gather(places, place, 0), b.constant(width, int64)), b.iota(width))
    taken = b.gather(b.reshape(table, (table.type.size,)), flat, 0)
    return b.where(empty, b.constant(0, rows.dtype), taken)


@composite(saves="0,1")
def _embedding_bag(
    index: Tensor,
    weight: Tensor,
    offsets: Tensor | None,
    factors: Tensor | None,
    bags: int,
    mode: str,
    padding: int | None,
    by_count: bool,
) -> Tensor:
    places, table = index._read(), wide(weight._read())
    count = places.shape[0]
    of = _Bags(count, bags, None if offsets is None else offsets._read())
    rows = b.gather(table, places, 0, OUT_OF_RANGE)
    if by_count:
        rows = by_frequency(rows, places, table.shape[0])
    counted = b.full((count, 1), True, b.equal(places, places).dtype)
    if padding is not None:
        counted = b.reshape(b.not_(b.equal(places, b.constant(padding, int64))), (count, 1))
    if mode == "max":
        found = _greatest(rows, counted, of, places, table) if count else None
        found = b.full((bags, table.shape[1]), 0, table.dtype) if found is None else found
        return Tensor._traced(b.cast(found, weight._type.dtype))
    if factors is not None:
        rows = b.mul(rows, b.reshape(b.cast(factors._read(), rows.dtype), (count, 1)))
    total = of.combined("add", b.where(counted, rows, b.constant(0, rows.dtype)), 0)
    if mode == "mean":
        sizes = of.combined("add", b.cast(counted, int64), 0)
        total = b.div(total, b.cast(b.maximum(sizes, b.constant(1, int64)), total.dtype))
    return Tensor._traced(b.cast(total, weight._type.dtype))


def _check(input: Tensor, weight: Tensor, offsets: Any, factors: Tensor | None, mode: str) -> None:
    """Raises ValueError, RuntimeError and NotImplementedError as PyTorch does."""
    if factors is not None and factors._type.shape != input._type.shape:
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({list(factors.shape)}) is not None, then it "
            f"must have the same shape as the input ({list(input.shape)})"
        )
    if weight.ndim != 2:
        raise ValueError(f"weight has to be a 2D Tensor, but got Tensor of dimension {weight.ndim}")
    if input.ndim not in (1, 2):
        raise ValueError(
            f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.ndim}"
        )
    if input.ndim == 2 and offsets is not None:
        raise ValueError(
            "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of "
            "fixed length sequences. However, found offsets of type " + str(type(offsets))
        )
    if input.ndim == 1:
        if not isinstance(offsets, Tensor):
            raise ValueError("offsets has to be a 1D Tensor but got " + str(type(offsets)))
        if offsets.ndim != 1:
            raise ValueError("offsets has to be a 1D Tensor")
    if mode not in _MODES:
        raise ValueError("mode has to be one of sum, mean or max")
    if factors is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported "
            f"for mode='sum' (got mode='{mode}')."
        )
    for each in (input, offsets):
        if each is not None and each._type.dtype not in (int32, int64):
            raise RuntimeError(
                "Expected tensor for argument #1 'indices' to have one of the following scalar "
                f"types: Long, Int; but got torch.{title(each)}Tensor instead (while checking "
                "arguments for embedding_bag)"
            )


def _check_offsets(offsets: Tensor, count: int) -> None:
    if offsets._type.shape[0] == 0:
        return
    check_bounds(
        narrow(offsets, 0, 0, 1),
        0,
        1,
        "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from "
        "position 0. However, got {detail}",
        error=RuntimeError,
    )
    check_bounds(
        offsets,
        0,
        count + 1,
        f"offsets[-1] can not be greater than input's length({count}), but got offsets[-1] of "
        "{detail}",
        error=RuntimeError,
    )


def _long(index: Tensor) -> Tensor:
    return index if index._type.dtype is int64 else record(op.CAST, (index,), (int64,))


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The sum, mean or greatest of rows of weight (n, d) for each bag of indices → (bags, d).

    input (bags, k), or (…) with the offsets (bags) at which bags begin; with include_last_offset
    there is one more, where the last ends. A bag of nothing gives zeros. padding_idx does not
    count; per_sample_weights (as input) multiply the rows of a sum. With max_norm the rows that
    are used are first scaled down in place; sparse=True gives a dense gradient of the same
    values. Raises ValueError, RuntimeError and NotImplementedError where arguments do not fit.
    """
    _check(input, weight, offsets, per_sample_weights, mode)
    rows = weight._type.shape[0]
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise RuntimeError(f"padding_idx must be within the number of embeddings, {rows}")
        padding_idx += rows if padding_idx < 0 else 0
    if include_last_offset and (offsets is None or offsets._type.shape[0] == 0):
        raise RuntimeError("include_last_offset: number of offset should be at least 1")
    count = input._type.size
    bags = input._type.shape[0]
    if offsets is not None:
        _check_offsets(offsets, count)
        bags = offsets._type.shape[0] - bool(include_last_offset)
        offsets = _long(offsets)
    check_bounds(input, 0, rows, OUT_OF_RANGE)
    places = _long(input).reshape(-1)
    if max_norm is not None:
        renormalize(weight, places, float(max_norm), float(norm_type))
    factors = None if per_sample_weights is None else per_sample_weights.reshape(-1)
    by_count = bool(scale_grad_by_freq)
    return _embedding_bag(places, weight, offsets, factors, bags, mode, padding_idx, by_count)
