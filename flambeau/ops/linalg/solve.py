"""inv, solve, triangular systems, Cholesky and LU factors, determinants."""

from __future__ import annotations

import math
from typing import Any

import numpy

from flambeau.autograd.mode import STATE
from flambeau.graph.dtype import int64
from flambeau.ops.comparison import isinf
from flambeau.ops.host import differentiable, host_function
from flambeau.ops.linalg.checks import (
    INFO,
    batch_of,
    broadcast_batches,
    check_matrix,
    check_same_dtype,
    check_square,
    is_vector,
    raise_where_failed,
)
from flambeau.ops.linalg.lapack import (
    cholesky_factor,
    first_zero,
    lu_factors,
    substituted,
    without_failure,
)
from flambeau.ops.logic import where
from flambeau.ops.publish import public
from flambeau.ops.return_types import named
from flambeau.ops.shape import cat
from flambeau.tensor.tensor import Tensor

inv_ex_ = named("linalg_inv_ex", "inverse info")
solve_ex_ = named("linalg_solve_ex", "result info")
cholesky_ex_ = named("linalg_cholesky_ex", "L info")
lu_ = named("linalg_lu", "P L U")
lu_factor_ = named("linalg_lu_factor", "LU pivots")
lu_factor_ex_ = named("linalg_lu_factor_ex", "LU pivots info")
slogdet_ = named("linalg_slogdet", "sign logabsdet")

SINGULAR = "The solver failed because the input matrix is singular."


def _like(x: Tensor) -> tuple[Any, Any]:
    return x._type.shape, x._type.dtype


# inverses and solutions -------------------------------------------------------------------------


@host_function("inv")
def _inv(a: Any) -> tuple[Any, Any]:
    """The inverses; info is the number of the zero pivot where there is none."""
    return without_failure(numpy.linalg.inv, a, a.shape, math.inf)


def _inverse_gradient(arguments: Any, results: Any, gradients: Any) -> Any:
    inverse = results[0].mH
    return None if gradients[0] is None else -(inverse @ gradients[0] @ inverse)


@differentiable(_inverse_gradient)
def _inverse(A: Tensor) -> Any:
    return tuple(_inv([A], (), [_like(A), (batch_of(A), INFO)]))


@public(method=False)
def inv_ex(A: Tensor, *, check_errors: bool = False) -> Any:
    """(inverse, info): info is 0 where the matrix has an inverse. Runs on the host."""
    check_square(A, "linalg.inv")
    inverse, info = _inverse(A)
    if check_errors:
        raise_where_failed(info, "linalg.inv", _no_inverse)
    return inv_ex_(inverse, info)


def _no_inverse(entry: int) -> str:
    return (
        f"The diagonal element {entry} is zero, the inversion could not be completed because the "
        "input matrix is singular."
    )


@public(method=False)
def inv(A: Tensor) -> Any:
    """The inverse of each (…, n, n) matrix. Raises LinAlgError where one is singular."""
    return inv_ex(A, check_errors=True).inverse


@host_function("solve")
def _solve(a: Any, b: Any) -> tuple[Any, Any]:
    """X with a X = b, and the number of the zero pivot where there is none."""
    return without_failure(numpy.linalg.solve, a, b.shape, math.inf, b)


def _solution_gradient(arguments: Any, results: Any, gradients: Any) -> Any:
    """gB = A⁻ᴴ g, gA = -gB Xᴴ"""
    if gradients[0] is None:
        return None, None
    right, _ = _solution(arguments[0].mH, gradients[0])
    return -(right @ results[0].mH), right


@differentiable(_solution_gradient)
def _solution(A: Tensor, B: Tensor) -> Any:
    return tuple(_solve([A, B], (), [_like(B), (batch_of(A), INFO)]))


def check_system(A: Tensor, B: Tensor, left: bool, name: str) -> None:
    """Raises RuntimeError where the matrices of A X = B (or X A = B) do not fit."""
    check_square(A, name)
    check_same_dtype(A, B, name)
    if B.ndim < 2:
        raise RuntimeError(
            f"{name}: The input tensor B must have at least 2 dimensions, got {list(B.shape)}."
        )
    rows = B._type.shape[-2 if left else -1]
    if rows != A._type.shape[-1]:
        of = "AX = B" if left else "XA = B"
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation {of} "
            f"({A.shape[-2]}x{A.shape[-1]} and {B.shape[-2]}x{B.shape[-1]})"
        )


@public(method=False)
def solve_ex(
    A: Tensor,
    B: Tensor,
    *,
    left: bool = True,
    check_errors: bool = False,
) -> Any:
    """(result, info): info is 0 where the system has one solution. Runs on the host."""
    check_square(A, "linalg.solve")
    vector = is_vector(A, B)
    right = B.unsqueeze(-1) if vector else B
    if vector and not left:
        raise RuntimeError(
            "linalg.solve: Vector broadcasting of the left hand side is not supported for "
            "left=False. In this case linalg.solve is equivalent to B / A.squeeze(-1)"
        )
    check_system(A, right, left, "linalg.solve")
    first, second = broadcast_batches(A, right)
    result, info = _solution(*((first, second) if left else (first.mT, second.mT)))
    if check_errors:
        raise_where_failed(info, "torch.linalg.solve", SINGULAR)
    result = result if left else result.mT
    return solve_ex_(result.squeeze(-1) if vector else result, info)


@public(method=False)
def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Any:
    """X with A X = B (X A = B where left is False), for (…, n, n) and (…, n, k) or (…, n).

    Batch dimensions are broadcast. Raises LinAlgError where a matrix is singular.
    """
    return solve_ex(A, B, left=left, check_errors=True).result


# triangular systems -----------------------------------------------------------------------------


@host_function("solve_triangular")
def _solve_triangular(a: Any, b: Any, upper: bool, unit: bool) -> Any:
    """Substitution, row by row; only one triangle of a is read."""
    return substituted(a, b, upper, unit)


def _triangular_gradient(arguments: Any, results: Any, gradients: Any) -> Any:
    A, _, upper, unit = arguments
    if gradients[0] is None:
        return None, None
    right = _triangular(A.mH, gradients[0], not upper, unit)
    whole = -(right @ results.mH)
    return (whole.triu(int(unit)) if upper else whole.tril(-int(unit))), right


@differentiable(_triangular_gradient)
def _triangular(A: Tensor, B: Tensor, upper: bool, unit: bool) -> Any:
    return _solve_triangular([A, B], (upper, unit), [_like(B)])[0]


@public(method=False)
def solve_triangular(
    A: Tensor,
    B: Tensor,
    *,
    upper: bool,
    left: bool = True,
    unitriangular: bool = False,
) -> Any:
    """X with A X = B, where A is triangular: the other triangle is not read.

    unitriangular   the diagonal is not read and taken to be 1
    A zero on the diagonal gives infinities and NaN, no error.
    """
    check_system(A, B, left, "linalg.solve_triangular")
    first, second = broadcast_batches(A, B)
    if left:
        return _triangular(first, second, bool(upper), bool(unitriangular))
    return _triangular(first.mT, second.mT, not upper, bool(unitriangular)).mT


# Cholesky ---------------------------------------------------------------------------------------


@host_function("cholesky")
def _cholesky(a: Any) -> tuple[Any, Any]:
    """Lower factors, and the order of the first leading minor that is not positive."""
    return cholesky_factor(a)


def half_of_lower(x: Tensor) -> Any:
    """The lower triangle with half of the diagonal."""
    return x.tril() - (x.diagonal(dim1=-2, dim2=-1) * 0.5).diag_embed()


def _cholesky_gradient(arguments: Any, results: Any, gradients: Any) -> Any:
    """L⁻ᴴ Φ(Lᴴ g) L⁻¹, made symmetric (I. Murray, 2016, arXiv:1602.07527)."""
    if gradients[0] is None:
        return None
    L = results[0]
    inner = half_of_lower(L.mH @ gradients[0])
    left = solve_triangular(L.mH, inner, upper=True)
    whole = solve_triangular(L, left, upper=False, left=False)
    return (whole + whole.mH) * 0.5


@differentiable(_cholesky_gradient)
def _factor(A: Tensor) -> Any:
    return tuple(_cholesky([A], (), [_like(A), (batch_of(A), INFO)]))


def _not_positive(entry: int) -> str:
    return (
        "The factorization could not be completed because the input is not positive-definite "
        f"(the leading minor of order {entry} is not positive-definite)."
    )


@public(method=False)
def cholesky_ex(
    A: Tensor,
    *,
    upper: bool = False,
    check_errors: bool = False,
) -> Any:
    """(L, info): info is the order of the first leading minor that is not positive, else 0."""
    check_square(A, "linalg.cholesky")
    factor, info = _factor(A.mH if upper else A)
    if check_errors:
        raise_where_failed(info, "linalg.cholesky", _not_positive)
    return cholesky_ex_(factor.mH if upper else factor, info)


@public(method=False)
def cholesky(A: Tensor, *, upper: bool = False) -> Any:
    """L, lower triangular with L Lᴴ = A (or its Lᴴ). Only that triangle of A is read.

    Raises LinAlgError where a matrix is not positive definite.
    """
    return cholesky_ex(A, upper=upper, check_errors=True).L


# LU ---------------------------------------------------------------------------------------------


@host_function("lu_factor")
def _lu_factor(a: Any) -> tuple[Any, Any, Any]:
    """L and U in one matrix, the rows exchanged (from 1), the number of the first zero pivot."""
    factors, pivots = lu_factors(a)
    return factors, pivots, first_zero(factors)


def _lu_gradient(arguments: Any, results: Any, gradients: Any) -> Any:
    """P L⁻ᴴ [tril(Lᴴ gL, -1) + triu(gU Uᴴ)] U⁻ᴴ of the leading square part of A.

    What is right of it has U₂ = L⁻¹ A₂, what is below it L₂ = A₂ U⁻¹: each gives its own gradient
    and adds to what reaches L (U).
    """
    A, g = arguments[0], gradients[0]
    if g is None:
        return None
    factors, pivots = results[:2]
    rows, columns = A._type.shape[-2:]
    count = min(rows, columns)
    lower, upper = unpacked(factors)
    square, left = upper[..., :count], lower[..., :count, :]
    to_lower = left.mH @ g[..., :count, :count].tril(-1)
    to_upper = g[..., :count, :count].triu() @ square.mH
    right, below = g[..., :count, count:], g[..., count:, :count]
    if columns > count:
        to_lower = to_lower - right @ upper[..., count:].mH
    if rows > count:
        to_upper = to_upper - lower[..., count:, :].mH @ below
    inner = _behind(square, to_lower.tril(-1) + to_upper.triu())
    parts = [solve_triangular(left.mH, inner, upper=True, unitriangular=True)]
    if columns > count:
        parts.append(solve_triangular(left.mH, right, upper=True, unitriangular=True))
    if rows > count:
        whole = cat([parts[0], _behind(square, below)], -2)
    else:
        whole = cat(parts, -1)
    return permutation(pivots, rows, A) @ whole


def _behind(upper: Any, x: Any) -> Any:
    """x U⁻ᴴ"""
    return solve_triangular(upper.mH, x, upper=False, left=False)


@differentiable(_lu_gradient)
def _lu(A: Tensor) -> Any:
    batch, count = batch_of(A), min(A._type.shape[-2:])
    types = [_like(A), ((*batch, count), INFO), (batch, INFO)]
    return tuple(_lu_factor([A], (), types))


@public(method=False)
def lu_factor_ex(
    A: Tensor,
    *,
    pivot: bool = True,
    check_errors: bool = False,
) -> Any:
    """(LU, pivots, info): info is the number of the first pivot that is zero, else 0."""
    check_matrix(A, "linalg.lu_factor")
    if not pivot:
        raise RuntimeError("linalg.lu_factor: LU without pivoting is not implemented on the CPU")
    factors, pivots, info = _lu(A)
    if check_errors:
        raise_where_failed(
            info,
            "torch.linalg.lu_factor",
            lambda entry: (
                f"U[{entry},{entry}] is zero and using it on lu_solve would result in a "
                "division by zero."
            ),
        )
    return lu_factor_ex_(factors, pivots, info)


@public(method=False)
def lu_factor(A: Tensor, *, pivot: bool = True) -> Any:
    """(LU, pivots): L (without its ones) and U in one matrix, the rows exchanged (from 1)."""
    found = lu_factor_ex(A, pivot=pivot)
    return lu_factor_(found.LU, found.pivots)


@host_function("permutation")
def _permutation(pivots: Any, rows: int) -> Any:
    """Which row of A comes to each place."""
    order = numpy.broadcast_to(numpy.arange(rows), (*pivots.shape[:-1], rows)).copy()
    for place in range(pivots.shape[-1]):
        other = pivots[..., place, None].astype(numpy.int64) - 1
        here = order[..., place, None].copy()
        order[..., place, None] = numpy.take_along_axis(order, other, -1)
        numpy.put_along_axis(order, other, here, -1)
    return order


def permutation(pivots: Tensor, rows: int, like: Tensor) -> Any:
    """The matrix P of a factorisation A = P L U, in the dtype of `like`."""
    (order,) = _permutation([pivots], (rows,), [((*pivots._type.shape[:-1], rows), int64)])
    from flambeau.ops.ranges import arange

    columns = arange(rows, device=like.device)
    return (columns.unsqueeze(-1) == order.unsqueeze(-2)).to(like.dtype)


def unpacked(factors: Tensor) -> tuple[Any, Any]:
    """L, with ones on its diagonal, and U of an LU factorisation in one matrix."""
    from flambeau.ops.ranges import eye

    rows, columns = factors._type.shape[-2:]
    count = min(rows, columns)
    ones = eye(rows, count, dtype=factors.dtype, device=factors.device)
    return factors[..., :count].tril(-1) + ones, factors[..., :count, :].triu()


@public(method=False)
def lu(A: Tensor, *, pivot: bool = True) -> Any:
    """(P, L, U) with A = P L U."""
    found = lu_factor_ex(A, pivot=pivot)
    lower, upper = unpacked(found.LU)
    return lu_(permutation(found.pivots, A._type.shape[-2], A), lower, upper)


@public(method=False)
def lu_solve(
    LU: Tensor,
    pivots: Tensor,
    B: Tensor,
    *,
    left: bool = True,
    adjoint: bool = False,
) -> Any:
    """X with A X = B (Aᴴ X = B with adjoint), from the factors of A."""
    check_system(LU, B, left, "linalg.lu_solve")
    if not left:
        return lu_solve(LU, pivots, B.mH, adjoint=not adjoint).mH
    order = permutation(pivots, LU._type.shape[-2], LU)
    factors, right = broadcast_batches(LU, B)
    if adjoint:
        first = solve_triangular(factors.mH, right, upper=False)
        second = solve_triangular(factors.mH, first, upper=True, unitriangular=True)
        return order @ second
    first = solve_triangular(factors, order.mT @ right, upper=False, unitriangular=True)
    return solve_triangular(factors, first, upper=True)


# determinants -----------------------------------------------------------------------------------


@host_function("det")
def _host_det(a: Any) -> Any:
    """Determinants."""
    return numpy.linalg.det(a)


@host_function("cofactors")
def _cofactors(a: Any) -> Any:
    """The derivative of det: det(U) det(Vᴴ) U diag(∏ of the other singular values) Vᴴ."""
    left, values, right = numpy.linalg.svd(a)
    count = values.shape[-1]
    others = [numpy.delete(values, place, -1).prod(-1) for place in range(count)]
    scale = numpy.stack(others, -1) if count else values
    sign = numpy.linalg.det(left) * numpy.linalg.det(right)
    return sign.conj()[..., None, None] * ((left * scale[..., None, :]) @ right)


def _det_gradient(arguments: Any, results: Any, gradients: Any) -> Any:
    A, g = arguments[0], gradients[0]
    if g is None:
        return None
    if STATE.enabled:  # of a higher order: for matrices that have an inverse
        return (g * results.conj())[..., None, None] * inv_ex(A).inverse.mH
    return g[..., None, None] * _cofactors([A], (), [_like(A)])[0]


@differentiable(_det_gradient)
def _det(A: Tensor) -> Any:
    return _host_det([A], (), [(batch_of(A), A._type.dtype)])[0]


@public(method=False)
def det(A: Tensor) -> Any:
    """The determinant of each matrix; its first gradient is right for singular ones, too."""
    check_square(A, "linalg.det")
    return _det(A)


@host_function("slogdet")
def _host_slogdet(a: Any) -> tuple[Any, Any]:
    """Sign and logarithm of the size of determinants."""
    sign, logarithm = numpy.linalg.slogdet(a)
    return sign, logarithm


def _slogdet_gradient(arguments: Any, results: Any, gradients: Any) -> Any:
    g = gradients[1]
    if g is None:
        return None
    return g[..., None, None] * inv_ex(arguments[0]).inverse.mH


@differentiable(_slogdet_gradient)
def _slogdet(A: Tensor) -> Any:
    of = (batch_of(A), A._type.dtype)
    return tuple(_host_slogdet([A], (), [of, of]))


@public(method=False)
def slogdet(A: Tensor) -> Any:
    """(sign, logabsdet): det = sign · exp(logabsdet); 0 and -inf where it is singular."""
    check_square(A, "linalg.slogdet")
    sign, logarithm = _slogdet(A)
    return slogdet_(sign.detach(), logarithm)


@public()
def logdet(input: Tensor) -> Any:
    """log(det), NaN where the determinant is negative, -inf where it is 0."""
    check_square(input, "logdet")
    sign, logarithm = slogdet(input)
    return where((sign < 0) & ~isinf(logarithm), float("nan"), logarithm)
