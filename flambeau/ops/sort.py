"""Order: sort, topk, kthvalue, median, and what is computed on the host: searchsorted."""

from __future__ import annotations

import math
from typing import Any

import numpy

from flambeau.device.host import register_host
from flambeau.graph import build as b
from flambeau.graph import op
from flambeau.graph.dtype import int32, int64
from flambeau.graph.node import tensor_type
from flambeau.ops.axes import axis_of
from flambeau.ops.comparison import isnan
from flambeau.ops.composite import composite
from flambeau.ops.extremes import first_place
from flambeau.ops.fused import fused
from flambeau.ops.gather import gather, gather_along
from flambeau.ops.logic import where
from flambeau.ops.publish import public
from flambeau.ops.return_types import kthvalue_, median_, sort_, topk_
from flambeau.ops.view import reshape
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor


def _sorted(input: Tensor, axis: int, descending: bool, *places: int) -> Any:
    """(values, indices) in order; `places` are (first, count) of those that are wanted."""
    return sort_(*record(op.SORT, (input,), (axis, descending, *places)))


@public()
def sort(
    input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool | None = None
) -> Any:
    """(values, indices) in order along dim; always stable; NaN is the greatest."""
    axis = axis_of(dim, input.ndim)
    if not input.ndim:
        one = _sorted(reshape(input, (1,)), 0, descending)
        return sort_(*[reshape(each, ()) for each in one])
    return _sorted(input, axis, descending)


@public()
def argsort(
    input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = False
) -> Tensor:
    """The indices that sort along dim."""
    found: Tensor = sort(input, dim, descending).indices
    return found


@public()
def msort(input: Tensor) -> Tensor:
    """Sorted along the first dimension."""
    found: Tensor = sort(input, 0).values
    return found


@public()
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """The k greatest (or least) along dim, in order, and their indices."""
    axis = axis_of(dim, input.ndim)
    extent = input._type.shape[axis] if input.ndim else 1
    if not 0 <= k <= extent:
        raise RuntimeError("selected index k out of range")
    if not input.ndim:
        return topk_(*sort(input))
    return topk_(*_sorted(input, axis, bool(largest), 0, int(k)))


def _kth(input: Tensor, place: int, axis: int, keepdim: bool) -> Any:
    found = _sorted(input, axis, False, place, 1)
    return found if keepdim else [_without(each, axis) for each in found]


def _without(x: Tensor, axis: int) -> Any:
    """x without a dimension of one element."""
    shape = x._type.shape
    return record(op.RESHAPE, (x,), ((*shape[:axis], *shape[axis + 1 :]),))


@public()
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The k-th least along dim (k from 1) and its index."""
    axis = axis_of(dim, input.ndim)
    extent = input._type.shape[axis] if input.ndim else 1
    if not 1 <= k <= extent:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {axis}")
    return kthvalue_(*(_kth(input, int(k) - 1, axis, keepdim) if input.ndim else sort(input)))


@fused(saves="", wide=False)
def _nan_place(x: Any, place: Any, axis: int) -> Any:
    """`place`, or where the first NaN is."""
    greatest = record(op.REDUCE, (x,), ("max", (axis,)))
    return where(isnan(greatest), first_place(x, axis, False), place)


@composite(saves="inputs")
def _shared_by_equals(value: Tensor, x: Tensor) -> Tensor:
    """`value`, whose gradient the elements of x that are equal to it share."""
    v, of = value._read(), x._read()
    equal = b.or_(b.equal(of, v), b.and_(b.not_(b.equal(of, of)), b.not_(b.equal(v, v))))
    zero, one = b.constant(0, of.dtype), b.constant(1, of.dtype)
    count = b.reduce("add", b.where(equal, one, zero), (0,))
    history = b.div(b.reduce("add", b.where(equal, of, zero), (0,)), count)
    return Tensor._traced(b.graft(v, b.reshape(history, ())))


@public()
def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle of the sorted elements (the lower of two), NaN where one is NaN.

    With dim (values, indices) along it, else of all elements.
    """
    if dim is None:
        if not input._type.size:
            nan = b.constant(float("nan"), input._type.dtype)
            return record(op.MATERIALIZE, (nan,), device=input._storage.node.device)
        flat = reshape(input, (-1,))
        middle = median(flat.detach(), 0).values
        return _shared_by_equals(middle, flat) if input.requires_grad else middle
    axis = axis_of(dim, input.ndim)
    if not input.ndim:
        return median_(*sort(input))
    extent = input._type.shape[axis]
    if not extent:
        raise IndexError(f"median(): Expected reduction dim {axis} to have non-zero size.")
    if not input._type.dtype.is_floating_point:
        return median_(*_kth(input, (extent - 1) // 2, axis, keepdim))
    place = record(_nan_place, (input, _kth(input, (extent - 1) // 2, axis, True)[1]), (axis,))
    found = (gather_along(input, place, axis), place)
    return median_(*(found if keepdim else [_without(each, axis) for each in found]))


# on the host ------------------------------------------------------------------------------------


@register_host("searchsorted")
def _search(attrs: Any, boundaries: Any, values: Any) -> tuple[Any, ...]:
    side, narrow, *shapes = attrs
    kind = numpy.int32 if narrow else numpy.int64
    boundaries, values = (x.reshape(y) for x, y in zip((boundaries, values), shapes, strict=True))
    if boundaries.ndim == 1:
        found = numpy.searchsorted(boundaries, values, side)
        return (numpy.asarray(found).astype(kind),)
    rows = boundaries.reshape(math.prod(boundaries.shape[:-1]), boundaries.shape[-1])
    wanted = values.reshape(rows.shape[0], values.shape[-1])
    made = [numpy.searchsorted(*each, side) for each in zip(rows, wanted, strict=True)]
    return (numpy.array(made).reshape(values.shape).astype(kind),)


def _on_device(value: Any, like: Tensor) -> Tensor:
    if isinstance(value, Tensor):
        return value
    array = numpy.asarray(value, like._type.dtype.numpy)
    return Tensor._from_numpy(array, like.device.type)


@public(method=False)
def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where each value would have to be put into the sorted rows to keep them sorted.

    right (or side="right") is behind elements that are equal. Runs on the host.
    """
    if side not in (None, "left", "right"):
        raise RuntimeError(
            "torch.searchsorted(): side can only be 'left' or 'right' but got " + str(side)
        )
    if side == "left" and right:
        raise RuntimeError(
            "torch.searchsorted(): side and right can't be set to opposites, got side of left "
            "while right was True"
        )
    rows = sorted_sequence if sorter is None else gather(sorted_sequence, -1, sorter)
    values = _on_device(input, sorted_sequence)
    if rows.ndim != 1 and rows._type.shape[:-1] != values._type.shape[:-1]:
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 "
            "dimensions of boundaries tensor and input value tensor must match, but we got "
            f"boundaries tensor {list(rows._type.shape)} and input value tensor "
            f"{list(values._type.shape)}"
        )
    of = tensor_type(values._type.shape, int32 if out_int32 else int64)
    shapes = (rows._type.shape, values._type.shape)
    where = "right" if right or side == "right" else "left"
    attrs = ("searchsorted", where, out_int32, *shapes, (of,))
    (found,) = record(op.CALL, (rows.detach(), values.detach()), attrs)
    return found


@public(method=False)
def bucketize(
    input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """The number of the bucket between boundaries (1-d, sorted) in which each value lies."""
    if boundaries.ndim != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({boundaries.ndim})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)
