"""Reading and writing by index tensors: gather, scatter, index_select, index_add, take, masks, …"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy

from flambeau.graph import build as b
from flambeau.graph import op
from flambeau.graph.dtype import bool_, int32, int64, uint8
from flambeau.graph.node import Node, Shape
from flambeau.ops.axes import axis_of, title
from flambeau.ops.bounds import check_bounds
from flambeau.ops.fused import fused
from flambeau.ops.places import put_places, wrapped
from flambeau.ops.promote import number_node
from flambeau.ops.publish import public
from flambeau.ops.view import expand, reshape
from flambeau.tensor.record import derive, record
from flambeau.tensor.tensor import Tensor

OUT_OF_RANGE = "index out of range in self"
"""What PyTorch's IndexError says in index_select and embedding."""


def _index64(index: Tensor, function: str) -> Tensor:
    """An index as int64. Raises RuntimeError for other than int32 and int64."""
    _check_tensor(index, function)
    if index._type.dtype is int64:
        return index
    if not index._type.size:
        return record(op.CAST, (index,), (int64,))
    if index._type.dtype is not int32:
        raise RuntimeError(f"{function}(): Expected dtype int32/int64 for index")
    return record(op.CAST, (index,), (int64,))


def _check_tensor(index: Any, function: str) -> None:
    if not isinstance(index, Tensor):
        kind = type(index).__name__
        raise TypeError(f"{function}(): argument 'index' must be Tensor, not {kind}")


# along one dimension, element by element ----------------------------------------------------------


def gather_along(input: Tensor, index: Tensor, axis: int) -> Tensor:
    """input at index (int64) along axis, the other coordinates being the index's own."""
    return record(op.GATHER, (input, index), (axis, None, True))


def _check_shapes(shape: Shape, axis: int, places: Shape, name: str) -> None:
    """Raises RuntimeError where an index of shape `places` does not go with a tensor of `shape`."""
    if max(len(shape), 1) != max(len(places), 1):
        raise RuntimeError(f"Index tensor must have the same number of dimensions as {name} tensor")
    for place, (extent, wanted) in enumerate(zip(shape, places, strict=False)):
        if place != axis and wanted > extent:
            raise RuntimeError(
                f"Size does not match at dimension {place} expected index {list(places)} to be no "
                f"larger than self {list(shape)} apart from dimension {axis}"
            )


@public()
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """result[i][j] = input[i][index[i][j]] for dim 1, and so for every dim.

    An index out of range raises RuntimeError, or IndexError where the index itself is computed
    later.
    """
    places = _index64(index, "gather")
    shape, of = input._type.shape, places._type
    axis = axis_of(dim, len(shape))
    if not of.size:
        some = reshape(input, (-1,))[:1] if input._type.size else input.sum(dtype=input.dtype)
        return record(op.MATERIALIZE, (expand(some, of.shape),))
    _check_shapes(shape, axis, of.shape, "input")
    if not shape:
        return reshape(gather(reshape(input, (1,)), 0, reshape(places, (-1,))), of.shape)
    if not of.shape:
        return reshape(gather(input, 0, reshape(places, (1,))), ())
    check_bounds(index, axis, shape[axis], error=RuntimeError)
    return record(op.GATHER, (input, places), (axis, None, True))


@public()
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """gather with the other dimensions broadcast; without `dim` both are flattened."""
    if dim is None:
        return gather(reshape(input, (-1,)), 0, reshape(indices, (-1,)))
    axis = axis_of(dim, input.ndim)
    if input.ndim != indices.ndim:
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, "
            f"but got {input.ndim} dimensions for input, and {indices.ndim} dimensions for indices"
        )
    extent = input._type.shape[axis]
    indices = record(op.WHERE, (indices < 0, indices + extent, indices))
    both = [
        max(one, other) if 0 not in (one, other) else 0
        for one, other in zip(input._type.shape, indices._type.shape, strict=True)
    ]
    wide = [input._type.shape[axis] if place == axis else n for place, n in enumerate(both)]
    deep = [indices._type.shape[axis] if place == axis else n for place, n in enumerate(both)]
    return gather(expand(input, tuple(wide)), axis, expand(indices, tuple(deep)))


@fused(saves="1", wide=False)
def scattered(input: Tensor, index: Tensor, source: Tensor, axis: int, mode: str) -> Tensor:
    """input with source written at index along axis: set, add, mul or max."""
    x, places, value = input._read(), index._read(), source._read()
    _check_shapes(x.shape, axis, places.shape, "self")
    if len(value.shape) != len(places.shape) or any(
        wanted > extent for wanted, extent in zip(places.shape, value.shape, strict=True)
    ):
        raise RuntimeError(
            f"Expected index {list(places.shape)} to be no larger than self {list(x.shape)} "
            f"apart from dimension {axis} and to be no larger size than src {list(value.shape)}"
        )
    value = b.slice_(value, (0,) * len(places.shape), places.shape)
    return Tensor._traced(b.scatter(x, places, value, axis, mode, along=True))


def _scatter(
    input: Tensor, dim: int, index: Tensor, source: Any, mode: str, function: str = "scatter"
) -> Tensor:
    places = _index64(index, function)
    axis = axis_of(dim, len(input._type.shape))
    if not isinstance(source, Tensor):
        number = Tensor._own(derive(op.RESHAPE, (_number(source, input),), ((1,) * places.ndim,)))
        source = expand(number, places._type.shape)
    if source._type.dtype is not input._type.dtype:
        raise RuntimeError(f"{function}(): Expected self.dtype to be equal to src.dtype")
    if not places._type.size:
        return record(op.MATERIALIZE, (input,))
    shape = input._type.shape
    if not shape or not places._type.shape or not source._type.shape:
        flat = [reshape(each, (-1,)) for each in (input, places, source)]
        return reshape(record(scattered, flat, (0, mode)), shape)
    check_bounds(index, axis, shape[axis], error=RuntimeError)
    return record(scattered, (input, places, source), (axis, mode))


def _number(value: Any, like: Tensor) -> Node:
    node = number_node(value, like._type.dtype)
    node.device = like._storage.node.device
    return node


@public(inplace=True)
def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    *,
    value: Any = None,
    reduce: str | None = None,
) -> Tensor:
    """input with src (a tensor or a number) written at index along dim: gather's counterpart.

    Where an index repeats, the last one wins. `reduce` "add" or "multiply" combines instead.
    """
    modes = {None: "set", "add": "add", "multiply": "mul"}
    if reduce not in modes:
        raise RuntimeError("reduce argument must be either add or multiply.")
    return _scatter(input, dim, index, value if src is None else src, modes[reduce])


@public(inplace=True)
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """input with src added at index along dim, in the order of index."""
    return _scatter(input, dim, index, src, "add", "scatter_add")


@public(inplace=True)
def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """input combined with src at index along dim: sum, prod, mean, amax or amin.

    Without include_self the old values at the index do not take part.
    """
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise RuntimeError(
            "reduce argument must be either sum, prod, mean, amax or amin, got " + str(reduce)
        )
    if input._type.dtype is bool_ and reduce in ("amin", "amax"):
        small = [record(op.CAST, (each,), (uint8,)) for each in (input, src)]
        made = scatter_reduce(small[0], dim, index, small[1], reduce, include_self=include_self)
        return record(op.CAST, (made,), (bool_,))
    start = input
    if not include_self:
        start = _scatter(input, dim, index, _identity(reduce, input), "set", "scatter_reduce")
    if reduce == "amin":
        low = _scatter(_reversed(start), dim, index, _reversed(src), "max", "scatter_reduce")
        return _reversed(low)
    mode = {"sum": "add", "mean": "add", "prod": "mul", "amax": "max"}[reduce]
    total = _scatter(start, dim, index, src, mode, "scatter_reduce")
    return _mean_of(total, input, dim, index, include_self) if reduce == "mean" else total


def _mean_of(total: Tensor, input: Tensor, dim: int, index: Tensor, include_self: bool) -> Any:
    dtype, device = input._type.dtype, input._storage.node.device
    zeros = b.full(input._type.shape, 1 if include_self else 0, dtype)
    count = record(op.MATERIALIZE, (zeros,), device=device)
    count = _scatter(count, dim, index, 1, "add", "scatter_reduce")
    one = number_node(1, dtype)
    count = record(op.MAX, (count, one))
    return record(op.DIV if dtype.is_floating_point else op.IDIV, (total, count))


def _reversed(x: Tensor) -> Any:
    """The same numbers in the other order: -x, of integers ~x, which every one of them has."""
    if x._type.dtype.is_floating_point:
        return record(op.NEG, (x,))
    return record(op.XOR, (x, number_node(-1, x._type.dtype)))


def _identity(reduce: str, like: Tensor) -> Any:
    dtype = like._type.dtype
    if reduce in ("sum", "mean"):
        return 0
    if reduce == "prod":
        return 1
    sign = 1 if reduce == "amin" else -1
    if dtype.is_floating_point:
        return sign * math.inf
    limits = numpy.iinfo(dtype.numpy)
    return int(limits.max) if sign > 0 else int(limits.min)


# along one dimension, whole slices --------------------------------------------------------------


def _vector(index: Tensor, function: str) -> Tensor:
    _check_tensor(index, function)
    if len(index._type.shape) > 1:
        raise IndexError(f"{function}(): Index is supposed to be a vector")
    if index._type.dtype not in (int32, int64):
        raise RuntimeError(f"{function}(): Expected dtype int32 or int64 for index")
    places = _index64(index, function)
    return places if places._type.shape else reshape(places, (1,))


@public()
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices along dim that the vector `index` names, which must not be negative."""
    places = _vector(index, "index_select")
    shape = input._type.shape
    if not shape:
        return reshape(index_select(reshape(input, (1,)), 0, places), ())
    axis = axis_of(dim, len(shape))
    check_bounds(index, axis, shape[axis], OUT_OF_RANGE)
    return record(op.GATHER, (input, places), (axis, OUT_OF_RANGE))


def _put(
    input: Tensor, dim: int, index: Tensor, source: Tensor, mode: str, function: str
) -> Tensor:
    places = _vector(index, function)
    shape, given = input._type.shape, source._type.shape
    axis = axis_of(dim, len(shape))
    if source._type.dtype is not input._type.dtype:
        raise RuntimeError(
            f"{function}(): self ({title(input)}) and source ({title(source)}) must have the "
            "same scalar type"
        )
    if not shape:
        one = _put(reshape(input, (1,)), 0, places, reshape(source, (-1,)), mode, function)
        return reshape(one, ())
    if len(given) != len(shape) or given[axis] != places._type.size:
        raise RuntimeError(
            f"{function}(): Number of indices ({places._type.size}) should be equal to "
            f"source.size(dim): ({given[axis] if len(given) > axis else 1}), for dim: {axis}"
        )
    check_bounds(index, axis, shape[axis])
    return record(op.SCATTER, (input, places, source), (axis, mode))


@public(inplace=True)
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    """input with alpha times the slices of source added at index along dim."""
    if alpha != 1:
        source = record(op.MUL, (source, number_node(alpha, source._type.dtype)))
    return _put(input, dim, index, source, "add", "index_add_")


@public(inplace=True)
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """input with the slices of source written at index along dim."""
    return _put(input, dim, index, source, "set", "index_copy_")


@public(inplace=True)
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """input with a number (or 0-d tensor) written into the slices at index along dim."""
    places = _vector(index, "index_fill_")
    axis = axis_of(dim, input.ndim)
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(
                "index_fill_ only supports a 0-dimensional value tensor, but got tensor with "
                f"{value.ndim} dimension(s)."
            )
        node = derive(op.CAST, (value._read(),), (input._type.dtype,))
    else:
        node = _number(value, input)
    shape = list(input._type.shape)
    if shape:
        shape[axis] = places._type.size
    source = record(op.EXPAND, (node,), (tuple(shape),), device=input._storage.node.device)
    return _put(input, dim, places, source, "set", "index_fill_")


@public(inplace=True)
def index_put(
    input: Tensor, indices: Sequence[Tensor], values: Tensor, accumulate: bool = False
) -> Tensor:
    """input[indices] = values as a new tensor; accumulate adds, also where an index repeats."""
    if input._type.dtype is not values._type.dtype:
        raise RuntimeError(
            "Index put requires the source and destination dtypes match, got "
            f"{title(input)} for the destination and {title(values)} for the source."
        )
    advanced = []
    axis = 0
    for each in indices:
        if each is None:
            axis += 1
            continue
        advanced.append((axis, each))
        axis += each.ndim if each._type.dtype is bool_ else 1
    if axis > input.ndim:
        raise IndexError(f"too many indices for tensor of dimension {input.ndim}")
    return put_places(input, advanced, values, "add" if accumulate else "set")


@fused(saves="1", wide=False)
def _taken(input: Tensor, index: Tensor) -> Tensor:
    """Elements of the flattened input; negative places count from the end."""
    x = input._read()
    flat = b.reshape(x, (x.type.size,))
    message = "out of range: tried to access index {detail} on a tensor of {size} elements."
    return Tensor._traced(b.gather(flat, wrapped(index._read(), x.type.size), 0, message))


@public()
def take(input: Tensor, index: Tensor) -> Tensor:
    """input, flattened, at index."""
    return record(_taken, (input, _index64(index, "take")))
