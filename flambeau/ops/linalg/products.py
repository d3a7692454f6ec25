"""Products: powers, exponentials, chains, reflections, cross, vecdot, vander, tensor systems."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from flambeau.ops.axes import axis_of, integers
from flambeau.ops.convert import instead_of
from flambeau.ops.host import differentiable, host_function
from flambeau.ops.linalg.checks import check_matrix, check_square
from flambeau.ops.linalg.lapack import exponential
from flambeau.ops.linalg.solve import inv, solve, solve_triangular
from flambeau.ops.matmul import matmul as matrix_product
from flambeau.ops.parts import diagonal as diagonal_of
from flambeau.ops.publish import public
from flambeau.ops.ranges import arange, eye
from flambeau.ops.shape import cat, stack
from flambeau.ops.view import broadcast_tensors
from flambeau.tensor.tensor import Tensor


@public(method=False)
def matmul(input: Tensor, other: Tensor) -> Any:
    """As torch.matmul."""
    return matrix_product(input, other)


@public(method=False)
def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """As torch.diagonal, of the last two dimensions."""
    return diagonal_of(A, offset, dim1, dim2)


@public()
def matrix_power(input: Tensor, n: int) -> Any:
    """The n-th power of square matrices, by repeated squaring; n < 0: of the inverse."""
    check_square(input, "linalg.matrix_power")
    if n < 0:
        return matrix_power(inv(input), -n)
    if n == 0:
        one = eye(input._type.shape[-1], dtype=input.dtype, device=input.device)
        return instead_of(input, one.expand(input._type.shape).clone())
    result, square = None, input
    while n:
        if n & 1:
            result = square if result is None else result @ square
        n >>= 1
        if n:
            square = square @ square
    return result


@host_function("matrix_exp")
def _host_exp(a: Any) -> Any:
    """exp of matrices."""
    return exponential(a)


def _exp_gradient(arguments: Any, results: Any, gradients: Any) -> Any:
    """The upper right block of exp of (Aᴴ g; 0 Aᴴ) (N. Higham, Functions of Matrices, 3.2)."""
    if gradients[0] is None:
        return None
    transposed = arguments[0].mH
    upper = cat([transposed, gradients[0]], -1)
    lower = cat([transposed.new_zeros(transposed.shape), transposed], -1)
    whole = matrix_exp(cat([upper, lower], -2))
    size = transposed.shape[-1]
    return whole[..., :size, size:]


@differentiable(_exp_gradient)
def _exp(A: Tensor) -> Any:
    return _host_exp([A], (), [(A._type.shape, A._type.dtype)])[0]


@public()
def matrix_exp(input: Tensor) -> Any:
    """The exponential Σ Aᵏ/k! of square matrices. Runs on the host."""
    check_square(input, "linalg.matrix_exp")
    return _exp(input)


@public(method=False)
def multi_dot(tensors: Sequence[Tensor]) -> Any:
    """The product of matrices (the first and last may be vectors), in the cheapest order."""
    chain = list(tensors)
    if len(chain) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(chain)}")
    for place, each in enumerate(chain):
        end = place in (0, len(chain) - 1)
        if each.ndim != 2 and not (end and each.ndim == 1):
            expected = "1D or 2D" if end else "2D"
            raise RuntimeError(
                f"multi_dot(): tensor {place} must be {expected} but got {each.ndim}D"
            )
    first, last = chain[0].ndim == 1, chain[-1].ndim == 1
    if first:
        chain[0] = chain[0].unsqueeze(0)
    if last:
        chain[-1] = chain[-1].unsqueeze(1)
    result = _in_order(chain, _splits([each._type.shape for each in chain]), 0, len(chain) - 1)
    if first:
        result = result.squeeze(0)
    return result.squeeze(-1) if last else result


def _splits(shapes: Sequence[Any]) -> dict[tuple[int, int], int]:
    """Where to split each part of the chain (Cormen et al., Introduction to Algorithms, 14.2)."""
    sizes = [shapes[0][0], *[each[1] for each in shapes]]
    count = len(shapes)
    cost = {(place, place): 0 for place in range(count)}
    split: dict[tuple[int, int], int] = {}
    for length in range(1, count):
        for low in range(count - length):
            high = low + length
            options = [
                (
                    cost[low, middle]
                    + cost[middle + 1, high]
                    + sizes[low] * sizes[middle + 1] * sizes[high + 1],
                    middle,
                )
                for middle in range(low, high)
            ]
            cost[low, high], split[low, high] = min(options)
    return split


def _in_order(
    chain: Sequence[Tensor], split: dict[tuple[int, int], int], low: int, high: int
) -> Any:
    if low == high:
        return chain[low]
    middle = split[low, high]
    return _in_order(chain, split, low, middle) @ _in_order(chain, split, middle + 1, high)


@public(method=False)
def householder_product(A: Tensor, tau: Tensor) -> Any:
    """The first columns of the product of reflections I - τᵢ vᵢ vᵢᴴ, vᵢ below A's diagonal.

    The product is I - V (I + diag(τ) triu(VᴴV, 1))⁻¹ diag(τ) Vᴴ (Puglisi, 1992).
    """
    check_matrix(A, "torch.linalg.householder_product")
    rows, columns = A._type.shape[-2:]
    count = tau._type.shape[-1]
    if rows < columns or columns < count:
        raise RuntimeError(
            "torch.linalg.householder_product: input.shape[-2] must be greater than or equal to "
            "input.shape[-1], and input.shape[-1] to tau.shape[-1]"
        )
    start = eye(rows, columns, dtype=A.dtype, device=A.device).expand(A._type.shape)
    return _all_reflected(A, tau, start, False)


def _all_reflected(A: Tensor, tau: Tensor, other: Any, adjoint: bool) -> Any:
    """Q other or Qᴴ other, all reflections at once."""
    rows, columns = A._type.shape[-2:]
    count = tau._type.shape[-1]
    if not count:
        return other + tau.sum()  # 0, so that it has a history
    below = A.tril(-1) + eye(rows, columns, dtype=A.dtype, device=A.device)
    vectors = below[..., :count]
    factors = tau.unsqueeze(-1)
    inner = factors * (vectors.mH @ vectors).triu(1)
    seen = vectors.mH @ other
    if adjoint:
        parts = solve_triangular(inner.mH, seen, upper=False, unitriangular=True)
        parts = parts * (factors.conj() if factors.is_complex() else factors)
    else:
        parts = solve_triangular(inner, factors * seen, upper=True, unitriangular=True)
    return other - vectors @ parts


def reflected(A: Tensor, tau: Tensor, other: Tensor, left: bool, adjoint: bool) -> Any:
    """Q other (with adjoint Qᴴ other, without left other Q), Q the product of all reflections."""
    check_matrix(A, "torch.ormqr")
    check_matrix(other, "torch.ormqr", "other")
    if not left:
        return reflected(A, tau, other.mH, True, not adjoint).mH
    rows, columns = A._type.shape[-2:]
    count = tau._type.shape[-1]
    if other._type.shape[-2] != rows or count > min(rows, columns):
        raise RuntimeError(
            f"torch.ormqr: other.shape[-2] must be {rows}, input's, and tau.shape[-1] at most "
            f"{min(rows, columns)}, got {other.shape[-2]} and {count}"
        )
    return _all_reflected(A, tau, other, adjoint)


@public(method=False)
def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Any:
    """The vector product along a dimension of three elements; the others are broadcast."""
    if input.ndim != other.ndim:
        raise RuntimeError(
            "linalg.cross: inputs must have the same number of dimensions, got "
            f"{input.ndim} and {other.ndim}"
        )
    axis = axis_of(dim, input.ndim)
    for each in (input, other):
        if each._type.shape[axis] != 3:
            raise RuntimeError(
                f"linalg.cross: inputs dimension {dim} must have length 3. Got "
                f"{input._type.shape[axis]} and {other._type.shape[axis]}"
            )
    x, y = (each.unbind(axis) for each in broadcast_tensors(input, other))
    return stack(
        [
            x[1] * y[2] - x[2] * y[1],
            x[2] * y[0] - x[0] * y[2],
            x[0] * y[1] - x[1] * y[0],
        ],
        axis,
    )


@public(method=False)
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Any:
    """Σ x̄ y along a dimension, broadcast."""
    return (x.conj() * y).sum(dim)


@public(method=False)
def vander(x: Tensor, N: int | None = None) -> Any:
    """The matrices of powers x⁰ … xᴺ⁻¹ of each vector's elements."""
    count = x._type.shape[-1] if N is None else int(N)
    if N is not None and count <= 1:
        raise RuntimeError(f"N must be greater than 1, but got {N}.")
    vectors = x if x.ndim else x.reshape(1)
    return vectors.unsqueeze(-1) ** arange(count, device=x.device)


@public(method=False)
def tensorinv(A: Tensor, ind: int = 2) -> Any:
    """The inverse of A as a linear map from its last dimensions to its first `ind`."""
    if ind <= 0:
        raise RuntimeError("Expected a strictly positive integer for 'ind'")
    shape = A._type.shape
    rows, columns = math.prod(shape[:ind]), math.prod(shape[ind:])
    if rows != columns:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == "
            f"prod(self.shape[:ind]), but got {columns} != {rows}"
        )
    return inv(A.reshape(rows, columns)).reshape((*shape[ind:], *shape[:ind]))


@public(method=False)
def tensorsolve(A: Tensor, B: Tensor, dims: Any = None) -> Any:
    """X with tensordot(A, X, X.ndim) = B; `dims` of A are moved to its end before."""
    if dims is not None:
        given = integers(dims)
        A = A.movedim(given, tuple(range(-len(given), 0)))
    shape = A._type.shape[B.ndim :]
    if math.prod(shape) != B._type.size:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
            f"prod(self.shape[:other.ndim]), but got {math.prod(shape)} != {B._type.size}"
        )
    return solve(A.reshape(-1, B._type.size), B.flatten()).reshape(shape)
