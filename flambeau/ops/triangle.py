"""Triangles and diagonals of matrices."""

from __future__ import annotations

from typing import Any

from flambeau.graph import build as b
from flambeau.graph import op
from flambeau.graph.dtype import DType, int64, promote
from flambeau.graph.node import Node
from flambeau.ops import parts as parts_of
from flambeau.ops.axes import axis_of
from flambeau.ops.composite import composite
from flambeau.ops.shape import cat, promoted
from flambeau.ops.view import atleast_2d, reshape
from flambeau.tensor.attach import method
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor

__all__ = [
    "block_diag",
    "diag",
    "diag_embed",
    "tril",
    "tril_indices",
    "triu",
    "triu_indices",
]


def _triangle(x: Node, offset: int, lower: bool) -> Node:
    rows, columns = x.shape[-2:]
    row = b.add(b.reshape(b.iota(rows), (rows, 1)), b.constant(offset, int64))
    outside = b.less(row, b.iota(columns))  # column > row + offset
    zero = b.constant(0, x.dtype)
    return b.where(outside, zero, x) if lower else b.where(outside, x, zero)


@composite(saves="")
def _tril(input: Tensor, diagonal: int) -> Tensor:
    return Tensor._traced(_triangle(input._read(), diagonal, lower=True))


@composite(saves="")
def _triu(input: Tensor, diagonal: int) -> Tensor:
    return Tensor._traced(_triangle(input._read(), diagonal - 1, lower=False))


def _check_matrix(input: Tensor, name: str) -> None:
    if input.ndim < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")


@method()
def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The elements on and below a diagonal of the last two dimensions, zeros above."""
    _check_matrix(input, "tril")
    return _tril(input, diagonal)


@method()
def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The elements on and above a diagonal of the last two dimensions, zeros below."""
    _check_matrix(input, "triu")
    return _triu(input, diagonal)


@method()
def tril_(self: Tensor, diagonal: int = 0) -> Tensor:
    """tril in place."""
    return self._write(tril(self, diagonal)._read())


@method()
def triu_(self: Tensor, diagonal: int = 0) -> Tensor:
    """triu in place."""
    return self._write(triu(self, diagonal)._read())


def _triangle_indices(
    row: int, column: int, offset: int, lower: bool, dtype: DType | None, device: Any
) -> Tensor:
    import numpy

    make = numpy.tril_indices if lower else numpy.triu_indices
    found = numpy.stack(make(row, offset, column)).astype((dtype or int64).numpy)
    return Tensor._from_numpy(found, None if device is None else str(device), copy=False)


def tril_indices(
    row: int,
    col: int,
    offset: int = 0,
    *,
    dtype: DType | None = None,
    device: Any = None,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """Rows and columns (2, n) of the lower triangle of a (row, col) matrix."""
    return _triangle_indices(row, col, offset, lower=True, dtype=dtype, device=device)


def triu_indices(
    row: int,
    col: int,
    offset: int = 0,
    *,
    dtype: DType | None = None,
    device: Any = None,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """Rows and columns (2, n) of the upper triangle of a (row, col) matrix."""
    return _triangle_indices(row, col, offset, lower=False, dtype=dtype, device=device)


@composite(saves="")
def _diag_embed(input: Tensor, offset: int) -> Tensor:
    """A last dimension laid on the diagonal of two new last dimensions."""
    x = input._read()
    extent = x.shape[-1] + abs(offset)
    row = b.reshape(b.iota(extent), (extent, 1))
    on = b.equal(b.add(row, b.constant(offset, int64)), b.iota(extent))
    lead = (0,) * (len(x.shape) - 1)
    starts = (*lead, max(-offset, 0))
    rows = b.pad(x, (*x.shape[:-1], extent), starts)  # the element of each row
    return Tensor._traced(b.where(on, b.reshape(rows, (*rows.shape, 1)), b.constant(0, x.dtype)))


@method()
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Zeros with the last dimension on the diagonal of the dimensions dim1 and dim2."""
    rank = input.ndim + 1
    first, second = axis_of(dim1, rank), axis_of(dim2, rank)
    if first == second:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    made = _diag_embed(input, offset)
    return made.movedim((-2, -1), (first, second))


@method()
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """A vector as the diagonal of a matrix; of a matrix its diagonal (a copy)."""
    if input.ndim == 1:
        return _diag_embed(input, diagonal)
    if input.ndim == 2:
        return record(op.MATERIALIZE, (parts_of.diagonal(input, diagonal),))
    raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.ndim}D")


@method()
def fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """The main diagonal of a matrix set to a number, in place."""
    if self.ndim != 2:
        raise RuntimeError("dimensions must be 2-d; fill_diagonal_ of more is not available")
    from flambeau.ops.index import assign

    rows, columns = self._type.shape
    if wrap and rows > columns and self.is_contiguous():
        flat = reshape(self, (-1,))
        assign(flat[:: columns + 1], fill_value)
        return self
    if self.is_contiguous():
        assign(parts_of.diagonal(self), fill_value)
        return self
    return self._write(_with_diagonal(self, float(fill_value))._read())


@composite(saves="", scalars=("value",))
def _with_diagonal(input: Tensor, value: Any) -> Tensor:
    x = input._read()
    rows, columns = x.shape
    on = b.equal(b.reshape(b.iota(rows), (rows, 1)), b.iota(columns))
    return Tensor._traced(b.where(on, b.cast(value._read(), x.dtype), x))


def block_diag(*tensors: Tensor) -> Tensor:
    """The matrices along the diagonal of a large one, zeros elsewhere."""
    parts = [atleast_2d(each) for each in tensors]
    columns = sum(each._type.shape[1] for each in parts)
    rows, at = [], 0
    dtype = parts[0]._type.dtype
    for each in parts:
        dtype = promote(dtype, each._type.dtype)
    fill = op.encode_constant(0, dtype)
    for each, node in zip(parts, promoted(parts), strict=True):
        height, width = each._type.shape
        rows.append(record(op.PAD, (node,), ((height, columns), (1, 1), fill), (0, at)))
        at += width
    return cat(rows, 0)
