"""What is computed with sparse tensors: products, sums, softmax."""

from __future__ import annotations

from typing import Any

import numpy

from flambeau.graph.dtype import DType
from flambeau.ops.axes import axes_of, axis_of
from flambeau.ops.creation import zeros
from flambeau.ops.matmul import matmul as dense_product
from flambeau.ops.places import take_places
from flambeau.ops.sparse.tensor import SparseTensor, sparse_coo_tensor
from flambeau.tensor.tensor import Tensor


def matrix_product(left: Tensor, right: Tensor) -> Any:
    """left @ right, where one, or both, are sparse matrices; dense where one of them is."""
    if not isinstance(left, SparseTensor):
        if not isinstance(right, SparseTensor):
            return dense_product(left, right)
        if left.ndim == 1:
            return matrix_product(right.t(), left)
        return matrix_product(right.t(), left.t()).t()
    if isinstance(right, SparseTensor):
        return _both(left, right)
    vector = right.ndim == 1
    matrix = right.unsqueeze(1) if vector else right
    if left.ndim != 2 or left.sparse_dim() != 2 or matrix.ndim != 2:
        raise RuntimeError(
            f"a sparse product takes a sparse matrix and a matrix or vector, got {left.ndim}-D and "
            f"{right.ndim}-D"
        )
    if left._type.shape[1] != matrix._type.shape[0]:
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({left.shape[0]}x{left.shape[1]} and "
            f"{matrix.shape[0]}x{matrix.shape[1]})"
        )
    rows, columns = left._indices().unbind(0)
    terms = left._values().unsqueeze(1) * matrix.index_select(0, columns)
    target = zeros((left._type.shape[0], matrix.shape[1]), dtype=terms.dtype, device=terms.device)
    found = target.index_add(0, rows, terms)
    return found.squeeze(1) if vector else found


def _both(left: SparseTensor, right: SparseTensor) -> SparseTensor:
    """The product of two sparse matrices: every pair of values that meet."""
    first, second = left.coalesce(), right.coalesce()
    ours, theirs = first._indices()._to_numpy(), second._indices()._to_numpy()
    starts = numpy.searchsorted(theirs[0], numpy.arange(right._type.shape[0] + 1))
    counts = numpy.diff(starts)[ours[1]]
    one = numpy.repeat(numpy.arange(len(counts)), counts)
    within = numpy.arange(len(one)) - numpy.repeat(numpy.cumsum(counts) - counts, counts)
    other = starts[ours[1][one]] + within
    where = left.device.type
    pick = [Tensor._from_numpy(each.astype(numpy.int64), where) for each in (one, other)]
    values = first._values().index_select(0, pick[0]) * second._values().index_select(0, pick[1])
    places = numpy.stack([ours[0][one], theirs[1][other]])
    shape = (left._type.shape[0], right._type.shape[1])
    return sparse_coo_tensor(places, values, shape).coalesce()


def mm(input: Tensor, mat2: Tensor, reduce: str = "sum") -> Any:
    """The product of a sparse and a dense (or sparse) matrix, with gradients for both.

    reduce   what becomes of the products that meet: "sum", "mean", "amax" or "amin"
    """
    if reduce == "sum":
        return matrix_product(input, mat2)
    if reduce not in ("mean", "amax", "amin"):
        raise RuntimeError(f"sparse.mm: reduce must be sum, mean, amax or amin, but got {reduce!r}")
    rows, columns = input._indices().unbind(0)
    terms = input._values().unsqueeze(1) * mat2.index_select(0, columns)
    shape = (input._type.shape[0], mat2._type.shape[1])
    target = zeros(shape, dtype=terms.dtype, device=terms.device)
    places = rows.unsqueeze(1).expand(terms._type.shape)
    return target.scatter_reduce(0, places, terms, reduce, include_self=False)


def spmm(input: Tensor, mat2: Tensor) -> Any:
    """torch.sparse.mm."""
    return matrix_product(input, mat2)


def addmm(mat: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta · mat + alpha · mat1 @ mat2, with a sparse mat1."""
    return mat * beta + matrix_product(mat1, mat2) * alpha


def sampled_addmm(
    input: SparseTensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1.0, alpha: Any = 1.0
) -> SparseTensor:
    """beta · input + alpha · (mat1 @ mat2) where input has values."""
    whole = input.coalesce()
    rows, columns = whole._indices().unbind(0)
    products = (mat1.index_select(0, rows) * mat2.t().index_select(0, columns)).sum(1)
    return whole.like(whole._values() * beta + products * alpha)


def add(left: SparseTensor, right: Any) -> Any:
    """The sum: sparse of two sparse tensors, else dense."""
    if not isinstance(right, Tensor):
        raise TypeError("a number cannot be added to a sparse tensor: use to_dense()")
    if not isinstance(right, SparseTensor):
        return left.to_dense() + right
    if left._type.shape != right._type.shape:
        raise RuntimeError(
            "add: expected 'self' and 'other' to have same size, but got "
            f"{list(left.shape)} and {list(right.shape)}"
        )
    from flambeau.ops.shape import cat

    places = cat([left._indices(), right._indices()], 1)
    values = cat([left._values(), right._values()], 0)
    return SparseTensor.make(places, values, left._type.shape).coalesce()


def multiply(left: SparseTensor, right: Any) -> SparseTensor:
    """Element by element, with a number or a tensor; what is not stored stays 0."""
    if not isinstance(right, Tensor) or not right.ndim:
        return left.like(left._values() * right)
    whole = left.coalesce()
    other = right.to_dense() if isinstance(right, SparseTensor) else right
    wide = other.expand(left._type.shape)
    at = list(enumerate(whole._indices().unbind(0)))
    return whole.like(whole._values() * take_places(wide, at))


def sum(input: SparseTensor, dim: Any = None, dtype: DType | None = None) -> Any:
    """Over all elements (dense), or over dimensions (sparse while coordinates are left)."""
    values = input._values() if dtype is None else input._values().to(dtype)
    if dim is None:
        return values.sum()
    axes = axes_of(dim, input.ndim)
    count = input.sparse_dim()
    inner = [axis - count + 1 for axis in axes if axis >= count]
    if inner:
        values = values.sum(inner)
    kept = [axis for axis in range(count) if axis not in axes]
    shape = [extent for axis, extent in enumerate(input._type.shape) if axis not in axes]
    if not kept:
        return values.sum(0)
    return SparseTensor.make(input._indices()[kept], values, shape).coalesce()


def _row_softmax(input: SparseTensor, dim: int, logarithm: bool) -> SparseTensor:
    """Over what is stored: what is not counts as -inf."""
    whole = input.coalesce()
    axis = axis_of(dim, input.ndim)
    if whole.dense_dim():
        raise NotImplementedError("softmax of a sparse tensor with dense dimensions")
    places = whole._indices()._to_numpy()
    others = [row for place, row in enumerate(places) if place != axis]
    _, group = numpy.unique(
        numpy.stack(others) if others else places * 0, axis=1, return_inverse=True
    )
    group = group.reshape(-1).astype(numpy.int64)
    index = Tensor._from_numpy(group, input.device.type)
    count = int(group.max(initial=-1)) + 1
    values = whole._values()
    blank = values.new_full((count,), float("-inf"))
    greatest = blank.scatter_reduce(0, index, values.detach(), "amax")
    moved = values - greatest.index_select(0, index)
    total = values.new_zeros(count).index_add(0, index, moved.exp())
    scale = total.index_select(0, index)
    return whole.like(moved - scale.log() if logarithm else moved.exp() / scale)


def softmax(input: SparseTensor, dim: int, *, dtype: DType | None = None) -> SparseTensor:
    """softmax along dim over what is stored; what is not counts as -inf."""
    return _row_softmax(input if dtype is None else input.to(dtype), dim, False)


def log_softmax(input: SparseTensor, dim: int, *, dtype: DType | None = None) -> SparseTensor:
    """The logarithm of softmax."""
    return _row_softmax(input if dtype is None else input.to(dtype), dim, True)


def spdiags(diagonals: Tensor, offsets: Tensor, shape: Any, layout: Any = None) -> SparseTensor:
    """A sparse matrix of these diagonals, each aligned with its columns."""
    rows, columns = shape
    lines = diagonals.unsqueeze(0) if diagonals.ndim == 1 else diagonals
    at = offsets.reshape(-1)._to_numpy()
    line, column = numpy.meshgrid(
        numpy.arange(len(at)), numpy.arange(min(lines._type.shape[1], columns)), indexing="ij"
    )
    row = column - at[:, None]
    kept = (row >= 0) & (row < rows)
    where = diagonals.device.type
    picks = [Tensor._from_numpy(each[kept].astype(numpy.int64), where) for each in (line, column)]
    made = sparse_coo_tensor(numpy.stack([row[kept], column[kept]]), lines[tuple(picks)], shape)
    return made if layout is None else made.to_sparse(layout=layout)


def sparse_mask(self: Tensor, mask: SparseTensor) -> SparseTensor:
    """The elements of a dense tensor where `mask` has values."""
    whole = mask.coalesce()
    return whole.like(take_places(self, list(enumerate(whole._indices().unbind(0)))))
