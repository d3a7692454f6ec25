"""Norms of vectors and matrices."""

from __future__ import annotations

import math
from typing import Any

from flambeau.graph.dtype import DType
from flambeau.ops.axes import axes_of
from flambeau.ops.linalg.checks import check_matrix
from flambeau.ops.publish import public
from flambeau.ops.reduce import count_over, reduced_axes
from flambeau.ops.spread import norm as vector_norm_of
from flambeau.tensor.tensor import Tensor


@public(method=False)
def vector_norm(
    x: Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Any:
    """(Σ |x|ᵒʳᵈ)^(1/ord) over `dim`, or over all; inf and -inf: greatest and least, 0: how many."""
    axes = reduced_axes(dim, x.ndim)
    if (ord < 0 or ord == math.inf) and not count_over(x._type.shape, axes):
        raise RuntimeError(
            f"linalg.vector_norm cannot compute the {float(ord)} norm on an empty tensor because "
            "the operation does not have an identity"
        )
    return vector_norm_of(x, float(ord), axes, keepdim, dtype=dtype)


@public(method=False)
def matrix_norm(
    A: Tensor,
    ord: Any = "fro",
    dim: Any = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Any:
    """The norm of matrices in two dimensions.

    "fro": of all elements; "nuc": the sum of singular values; 2, -2: their greatest and least;
    1, -1, inf, -inf: the greatest and least sum of absolute values of columns and of rows.
    """
    A = A if dtype is None else A.to(dtype)
    check_matrix(A, "linalg.matrix_norm")
    if not isinstance(dim, (tuple, list)) or len(dim) != 2:
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {dim}")
    axes = axes_of(dim, A.ndim)
    if ord == "fro":
        return vector_norm(A, 2, axes, keepdim)
    if ord == "nuc" or ord in (2, -2):
        return _of_singular_values(A, ord, axes, keepdim)
    if ord not in (1, -1, math.inf, -math.inf):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    summed, chosen = axes if abs(ord) == 1 else axes[::-1]
    sums = A.abs().sum(summed, True)
    found = sums.amax(chosen, True) if ord > 0 else sums.amin(chosen, True)
    return found if keepdim else found.squeeze(axes)


def _of_singular_values(A: Tensor, ord: Any, axes: Any, keepdim: bool) -> Any:
    from flambeau.ops.linalg.decompose import svdvals

    values = svdvals(A.movedim(axes, (-2, -1)))
    if ord == "nuc":
        found = values.sum(-1)
    else:
        found = values.amax(-1) if ord > 0 else values.amin(-1)
    if keepdim:
        for axis in sorted(axes):
            found = found.unsqueeze(axis)
    return found


@public(method=False)
def norm(
    A: Tensor,
    ord: Any = None,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Any:
    """A vector's norm or a matrix's, by how many dimensions there are, or are named.

    Without `ord` the 2-norm of all elements.
    """
    count = A.ndim if dim is None else len(dim) if isinstance(dim, (tuple, list)) else 1
    if ord is None or (dim is None and count == 1) or (dim is not None and count != 2):
        if isinstance(ord, str):
            raise RuntimeError(f"linalg.norm: Order {ord} not supported for vectors.")
        return vector_norm(A, 2 if ord is None else ord, dim, keepdim, dtype=dtype)
    if count != 2:
        raise RuntimeError(
            "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got "
            f"{A.ndim}D."
        )
    return matrix_norm(A, ord, (0, 1) if dim is None else dim, keepdim, dtype=dtype)
