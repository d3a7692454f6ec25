"""Rows of a table by number."""

from __future__ import annotations

from typing import Any

from flambeau.graph import build as b
from flambeau.graph import op
from flambeau.graph.dtype import int32, int64
from flambeau.graph.node import Node
from flambeau.ops.bounds import check_bounds
from flambeau.ops.composite import composite
from flambeau.ops.gather import OUT_OF_RANGE
from flambeau.ops.norm import wide
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor


@composite(saves="0")
def _embedding(index: Tensor, weight: Tensor, padding: int | None, by_count: bool) -> Tensor:
    """Rows of weight; those of the padding index pass no gradient on."""
    places = index._read()
    rows = b.gather(weight._read(), places, 0, OUT_OF_RANGE)
    if by_count:
        rows = by_frequency(rows, places, weight._type.shape[0])
    if padding is not None:
        padded = b.reshape(b.equal(places, b.constant(padding, int64)), (*places.shape, 1))
        rows = b.where(padded, b.detach(rows), rows)
    return Tensor._traced(rows)


def by_frequency(rows: Node, places: Node, extent: int) -> Node:
    """The rows, with gradients divided by how often their place is among `places`."""
    flat = b.reshape(places, (places.type.size,))
    ones = b.full(flat.shape, 1, rows.dtype)
    counts = b.scatter(b.full((extent,), 0, rows.dtype), flat, ones, 0, "add")
    share = b.reshape(b.gather(counts, places, 0), (*places.shape, 1))
    return b.graft(rows, b.div(rows, share))


@composite(saves="")
def _renormalized(weight: Tensor, index: Tensor, most: float, p: float) -> Tensor:
    """weight with the rows at index scaled down to a p-norm of at most `most`."""
    table, places = weight._read(), index._read()
    places = b.reshape(places, (places.type.size,))
    rows = wide(b.gather(table, places, 0, OUT_OF_RANGE))
    size = b.maximum(rows, b.neg(rows))
    if p == 2.0:
        length = b.sqrt(b.reduce("add", b.mul(rows, rows), (1,)))
    elif p == 1.0:
        length = b.reduce("add", size, (1,))
    else:
        power = b.exp(b.mul(b.log(size), b.constant(p, rows.dtype)))
        total = b.log(b.reduce("add", power, (1,)))
        length = b.exp(b.div(total, b.constant(p, rows.dtype)))
    bound = b.constant(most, rows.dtype)
    scale = b.div(bound, b.add(length, b.constant(1e-7, rows.dtype)))
    scaled = b.where(b.less(bound, length), b.mul(rows, scale), rows)
    return Tensor._traced(b.scatter(table, places, b.cast(scaled, table.dtype), 0, "set"))


def renormalize(weight: Tensor, places: Tensor, most: float, p: float) -> None:
    """Scale the rows of weight at `places` down in place, to a p-norm of at most `most`."""
    table = weight.detach()
    table._write(_renormalized(table, places, most, p)._read())


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of weight (n, d) at input (…) → (…, d).

    The row padding_idx gets no gradient. With max_norm the rows that are used are first scaled
    down in place. scale_grad_by_freq divides the gradient of each row by how often it is used.
    sparse=True gives a dense gradient of the same values. A number out of range raises
    IndexError, at the call where the input is known, else when the rows are computed.
    """
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    if input._type.dtype not in (int32, int64):
        from flambeau.ops.axes import title

        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: "
            f"Long, Int; but got torch.{title(input)}Tensor instead (while checking arguments for "
            "embedding)"
        )
    count = weight._type.shape[0]
    if padding_idx is not None:
        if not -count <= padding_idx < count:
            raise AssertionError("Padding_idx must be within num_embeddings")
        padding_idx += count if padding_idx < 0 else 0
    check_bounds(input, 0, count, OUT_OF_RANGE)
    places: Any = input
    if input._type.dtype is not int64:
        places = record(op.CAST, (input,), (int64,))
    if max_norm is not None:
        renormalize(weight, places, float(max_norm), float(norm_type))
    if padding_idx is None and not scale_grad_by_freq:
        return record(op.GATHER, (weight, places), (0, OUT_OF_RANGE))
    return _embedding(places, weight, padding_idx, bool(scale_grad_by_freq))
