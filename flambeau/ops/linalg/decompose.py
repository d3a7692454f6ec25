"""QR, singular values, eigenvalues, and what is made of them: pinv, rank, least squares, cond."""

from __future__ import annotations

import math
from typing import Any

import numpy

from flambeau.graph.dtype import int64
from flambeau.ops.host import differentiable, host_function
from flambeau.ops.limits import finfo
from flambeau.ops.linalg.checks import (
    broadcast_batches,
    check_floating,
    check_matrix,
    check_same_dtype,
    check_square,
    is_vector,
)
from flambeau.ops.linalg.norms import matrix_norm
from flambeau.ops.linalg.solve import inv_ex, solve_triangular
from flambeau.ops.logic import where
from flambeau.ops.publish import public
from flambeau.ops.return_types import named
from flambeau.ops.shape import cat
from flambeau.tensor.tensor import Tensor

qr_ = named("linalg_qr", "Q R")
svd_ = named("linalg_svd", "U S Vh")
eig_ = named("linalg_eig", "eigenvalues eigenvectors")
eigh_ = named("linalg_eigh", "eigenvalues eigenvectors")
lstsq_ = named("linalg_lstsq", "solution residuals rank singular_values")


def _rows(x: Any, vector: Any) -> Any:
    """x · diag(vector)"""
    return x * vector.unsqueeze(-2)


# QR ---------------------------------------------------------------------------------------------


@host_function("qr")
def _host_qr(a: Any, mode: Any) -> tuple[Any, Any]:
    """Q and R by Householder reflections."""
    if mode == "r":
        found = numpy.linalg.qr(a, "r")
        return numpy.empty((*a.shape[:-2], 0, 0), a.dtype), found
    left, right = numpy.linalg.qr(a, mode)
    return left, right


@host_function("geqrf")
def _host_reflections(a: Any) -> tuple[Any, Any]:
    """LAPACK's packed form of Q and R."""
    packed, tau = numpy.linalg.qr(a, "raw")
    return numpy.swapaxes(packed, -1, -2), tau


def reflections(A: Tensor) -> Any:
    """(R with the reflections' vectors below it, their factors)."""
    check_matrix(A, "geqrf")
    *batch, rows, columns = A._type.shape
    dtype = A._type.dtype
    types = [(A._type.shape, dtype), ((*batch, min(rows, columns)), dtype)]
    return tuple(_host_reflections([A], (), types))


def _qr_gradient(arguments: Any, results: Any, gradients: Any) -> Any:
    """(gQ + Q sym(M)) R⁻ᴴ with M = R gRᴴ - gQᴴ Q (Walter and Lehmann, 2012, arXiv:1009.6112).

    A wide A = (X, Y) has A = Q (U, V): its right part is Y = Q V, a product.
    """
    A, mode = arguments
    rows, columns = A._type.shape[-2:]
    if mode == "r":
        raise RuntimeError(
            "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please "
            "use linalg.qr(A, mode='reduced') if you are going to require gradients through it."
        )
    if mode == "complete" and rows > columns:
        raise RuntimeError(
            "The QR decomposition is not differentiable when mode='complete' and nrows > ncols"
        )
    Q, R = results
    gQ, gR = gradients
    if rows >= columns:
        return _square_qr_gradient(Q, R, gQ, gR)
    right = gR[..., rows:]
    gQ = gQ + A[..., rows:] @ right.mH
    left = _square_qr_gradient(Q, R[..., :rows], gQ, gR[..., :rows])
    return cat([left, Q @ right], -1)


def _square_qr_gradient(Q: Any, R: Any, gQ: Any, gR: Any) -> Any:
    M = R @ gR.mH - gQ.mH @ Q
    whole = gQ + Q @ (M.tril() + M.tril(-1).mH)
    return solve_triangular(R.mH, whole, upper=False, left=False)


@differentiable(_qr_gradient)
def _qr(A: Tensor, mode: str) -> Any:
    *batch, rows, columns = A._type.shape
    inner = rows if mode == "complete" else min(rows, columns)
    left = (*batch, 0, 0) if mode == "r" else (*batch, rows, inner)
    dtype = A._type.dtype
    return tuple(_host_qr([A], (mode,), [(left, dtype), ((*batch, inner, columns), dtype)]))


@public(method=False)
def qr(A: Tensor, mode: str = "reduced") -> Any:
    """(Q, R) with A = Q R; mode "reduced", "complete", or "r" for R alone. Runs on the host."""
    check_matrix(A, "linalg.qr")
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', "
            "or 'complete'"
        )
    left, right = _qr(A, mode)
    return qr_(left[..., 0, 0].new_empty(0) if mode == "r" and left.numel() else left, right)


# singular values --------------------------------------------------------------------------------


@host_function("svd")
def _host_svd(a: Any, full: bool) -> tuple[Any, Any, Any]:
    """U, S, Vᴴ."""
    left, values, right = numpy.linalg.svd(a, full)
    return left, values, right


def _svd_gradient(arguments: Any, results: Any, gradients: Any) -> Any:
    """J. Townsend, Differentiating the singular value decomposition, 2016."""
    values = results[1]
    count = values.shape[-1]
    left, right = results[0][..., :count], results[2][..., :count, :].mH
    g_left = None if gradients[0] is None else gradients[0][..., :count]
    g_right = None if gradients[2] is None else gradients[2][..., :count, :].mH
    inner: Any = 0.0
    if gradients[1] is not None:
        inner = gradients[1].diag_embed()
    squares = values * values
    gaps = squares.unsqueeze(-2) - squares.unsqueeze(-1)
    factors = where(gaps == 0, 0.0, 1 / where(gaps == 0, 1.0, gaps))
    if g_left is not None:
        inner = inner + _rows(_skew(left.mH @ g_left) * factors, values)
    if g_right is not None:
        inner = inner + values.unsqueeze(-1) * (_skew(right.mH @ g_right) * factors)
    whole = left @ inner @ right.mH
    if g_left is not None and left.shape[-2] > count:
        rest = g_left - left @ (left.mH @ g_left)
        whole = whole + _rows(rest, 1 / values) @ right.mH
    if g_right is not None and right.shape[-2] > count:
        rest = g_right - right @ (right.mH @ g_right)
        whole = whole + _rows(left, 1 / values) @ rest.mH
    return whole


def _skew(x: Any) -> Any:
    return x - x.mH


@differentiable(_svd_gradient)
def _svd(A: Tensor, full: bool) -> Any:
    *batch, rows, columns = A._type.shape
    count = min(rows, columns)
    dtype = A._type.dtype
    shapes = [(rows, rows if full else count), (count,), (columns if full else count, columns)]
    kinds = (dtype, dtype.real, dtype)
    types = [((*batch, *shape), kind) for shape, kind in zip(shapes, kinds, strict=True)]
    return tuple(_host_svd([A], (full,), types))


@public(method=False)
def svd(A: Tensor, full_matrices: bool = True, *, driver: Any = None) -> Any:
    """(U, S, Vh) with A = U diag(S) Vh, singular values in descending order. Runs on the host.

    The gradients of U and Vh are finite only where all singular values differ. `driver` chooses
    among CUDA's libraries and has no effect.
    """
    check_matrix(A, "linalg.svd")
    return svd_(*_svd(A, bool(full_matrices)))


@public(method=False)
def svdvals(A: Tensor, *, driver: Any = None) -> Any:
    """The singular values of each matrix, in descending order."""
    check_matrix(A, "linalg.svdvals")
    return _svd(A, False)[1]


# eigenvalues of symmetric matrices --------------------------------------------------------------


@host_function("eigh")
def _host_eigh(a: Any, triangle: Any) -> tuple[Any, Any]:
    """Eigenvalues, ascending, and eigenvectors."""
    values, vectors = numpy.linalg.eigh(a, triangle)
    return values, vectors


def _eigh_gradient(arguments: Any, results: Any, gradients: Any) -> Any:
    """V (diag(gL) + (Vᴴ gV) / (Lⱼ - Lᵢ)) Vᴴ (M. Giles, 2008)."""
    values, vectors = results
    inner: Any = 0.0
    if gradients[0] is not None:
        inner = gradients[0].diag_embed()
    if gradients[1] is not None:
        gaps = values.unsqueeze(-2) - values.unsqueeze(-1)
        factors = where(gaps == 0, 0.0, 1 / where(gaps == 0, 1.0, gaps))
        inner = inner + (vectors.mH @ gradients[1]) * factors
    return vectors @ inner @ vectors.mH


@differentiable(_eigh_gradient)
def _eigh(A: Tensor, triangle: str) -> Any:
    dtype = A._type.dtype
    types = [(A._type.shape[:-1], dtype.real), (A._type.shape, dtype)]
    return tuple(_host_eigh([A], (triangle,), types))


def _triangle(name: str) -> str:
    if name not in ("L", "U", "l", "u"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {name}")
    return name.upper()


@public(method=False)
def eigh(A: Tensor, UPLO: str = "L") -> Any:
    """(eigenvalues, eigenvectors) of symmetric matrices, ascending. Only one triangle is read.

    The gradient of the eigenvectors is finite only where all eigenvalues differ. Runs on the host.
    """
    check_square(A, "linalg.eigh")
    return eigh_(*_eigh(A, _triangle(UPLO)))


@public(method=False)
def eigvalsh(A: Tensor, UPLO: str = "L") -> Any:
    """The eigenvalues of symmetric matrices, ascending."""
    check_square(A, "linalg.eigvalsh")
    return _eigh(A, _triangle(UPLO))[0]


# eigenvalues of any matrices --------------------------------------------------------------------


@host_function("eig")
def _host_eig(a: Any) -> tuple[Any, Any]:
    """Eigenvalues and eigenvectors, complex."""
    kind = numpy.result_type(a.dtype, numpy.complex64)
    values, vectors = numpy.linalg.eig(a)
    return values.astype(kind), vectors.astype(kind)


def _eig_gradient(arguments: Any, results: Any, gradients: Any) -> Any:
    """V⁻ᴴ (diag(gL) + (Vᴴ gV - Vᴴ V diag(Re Vᴴ gV)) / conj(Lⱼ - Lᵢ)) Vᴴ, for unit vectors.

    C. Boeddeker et al., On the computation of complex-valued gradients, 2017 (arXiv:1701.00392).
    """
    values, vectors = results
    inner: Any = 0.0
    if gradients[0] is not None:
        inner = gradients[0].diag_embed()
    if gradients[1] is not None:
        product = vectors.mH @ gradients[1]
        along = product.diagonal(dim1=-2, dim2=-1).real.to(values.dtype)
        product = product - _rows(vectors.mH @ vectors, along)
        gaps = (values.unsqueeze(-2) - values.unsqueeze(-1)).conj()
        same = gaps == 0
        inner = inner + where(same, 0.0, product / where(same, 1.0, gaps).to(gaps.dtype))
    whole = inv_ex(vectors.mH).inverse @ inner @ vectors.mH
    return whole if arguments[0].is_complex() else whole.real


@differentiable(_eig_gradient)
def _eig(A: Tensor) -> Any:
    dtype = A._type.dtype.to_complex()
    return tuple(_host_eig([A], (), [(A._type.shape[:-1], dtype), (A._type.shape, dtype)]))


@public(method=False)
def eig(A: Tensor) -> Any:
    """(eigenvalues, eigenvectors) of square matrices, complex, in no order. Runs on the host."""
    check_square(A, "linalg.eig")
    return eig_(*_eig(A))


@public(method=False)
def eigvals(A: Tensor) -> Any:
    """The eigenvalues of square matrices, complex, in no order."""
    check_square(A, "linalg.eigvals")
    return _eig(A)[0]


# what is made of singular values ----------------------------------------------------------------


def _threshold(A: Tensor, values: Any, atol: Any, rtol: Any) -> Any:
    """max(atol, rtol · the greatest singular value); rtol: by default the dtype's own."""
    if rtol is None:
        small = atol is None or (not isinstance(atol, Tensor) and atol == 0)
        own = finfo(values.dtype).eps * max(A._type.shape[-2:])
        rtol = own if small else 0.0
        if isinstance(atol, Tensor):
            rtol = where(atol > 0, 0.0, own)
    greatest = values.amax(-1) if values.shape[-1] else values.sum(-1)
    limit = rtol * greatest
    if isinstance(atol, Tensor):
        return limit.maximum(atol.to(limit.dtype))
    return limit.clamp(min=float(atol or 0.0))


@public(method=False)
def matrix_rank(
    A: Tensor,
    tol: Any = None,
    *,
    atol: Any = None,
    rtol: Any = None,
    hermitian: bool = False,
) -> Any:
    """How many singular values are greater than max(atol, rtol · the greatest); tol is an atol."""
    check_matrix(A, "linalg.matrix_rank")
    if tol is not None:
        atol, rtol = tol, 0.0
    values = eigvalsh(A).abs() if hermitian else svdvals(A)
    values = values.detach()
    return (values > _threshold(A, values, atol, rtol).unsqueeze(-1)).sum(-1)


def _pinv_gradient(arguments: Any, results: Any, gradients: Any) -> Any:
    """Golub and Pereyra, 1973, for matrices of constant rank."""
    A, P, g = arguments[0], results, gradients[0]
    if g is None:
        return None
    gH, PH = g.mH, P.mH
    first = gH @ P
    second = P @ gH
    return -(PH @ g @ PH) + (first - A @ (P @ first)) @ PH + PH @ (second - (second @ P) @ A)


@differentiable(_pinv_gradient)
def _pinv(A: Tensor, atol: Any, rtol: Any, hermitian: bool) -> Any:
    if hermitian:
        values, left = _eigh(A, "L")
        right = left.mH
    else:
        left, values, right = _svd(A, False)
    sizes = values.abs()
    kept = sizes > _threshold(A, sizes, atol, rtol).unsqueeze(-1)
    inverse = where(kept, 1 / where(kept, values, 1.0), 0.0)
    return _rows(right.mH, inverse) @ left.mH


@public(method=False)
def pinv(
    A: Tensor,
    rcond: Any = None,
    hermitian: bool = False,
    *,
    atol: Any = None,
    rtol: Any = None,
) -> Any:
    """The pseudoinverse; singular values up to max(atol, rtol · the greatest) count as 0.

    hermitian   A is symmetric: its lower triangle alone is read
    """
    check_matrix(A, "linalg.pinv")
    if hermitian:
        check_square(A, "linalg.pinv")
    return _pinv(A, atol, rcond if rtol is None else rtol, bool(hermitian))


@public(method=False)
def lstsq(
    A: Tensor,
    B: Tensor,
    rcond: float | None = None,
    *,
    driver: str | None = None,
) -> Any:
    """(solution, residuals, rank, singular_values): the X of least ‖A X - B‖, and then least ‖X‖.

    The drivers are LAPACK's names; all take the same way here, by singular values, and differ in
    what they return: rank ("gels" does not), singular_values ("gelsd", "gelss") and, where A has
    more rows than columns and full rank, residuals (all but "gelsy", the default).
    """
    name = "torch.linalg.lstsq"
    check_matrix(A, name)
    check_same_dtype(A, B, name)
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError(
            f"{name}: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)"
        )
    vector = is_vector(A, B)
    first, second = broadcast_batches(A, B.unsqueeze(-1) if vector else B)
    rows, columns = A._type.shape[-2:]
    if second._type.shape[-2] != rows:
        raise RuntimeError(f"{name}: input.size(-2) should match other.size(-2)")
    solution = pinv(first, rcond) @ second
    rank = matrix_rank(first, rtol=rcond)
    residuals = A.new_empty(0)
    if driver not in (None, "gelsy") and rows > columns and bool((rank == columns).all()):
        residuals = ((first @ solution - second).abs() ** 2).sum(-2)
    values = svdvals(first).detach() if driver in ("gelsd", "gelss") else A.new_empty(0)
    if driver == "gels":
        rank = rank.new_empty(0, dtype=int64)
    return lstsq_(solution.squeeze(-1) if vector else solution, residuals, rank, values)


@public(method=False)
def cond(A: Tensor, p: Any = None) -> Any:
    """The condition number ‖A‖ ‖A⁻¹‖ in a matrix norm; by default in that of order 2."""
    check_floating(A, "linalg.cond")
    if p is None or p in (2, -2):
        values = svdvals(A)
        first, last = values[..., 0], values[..., -1]
        return last / first if p == -2 else first / last
    check_square(A, "linalg.cond")
    inverse, info = inv_ex(A)
    return where(info == 0, matrix_norm(A, p) * matrix_norm(inverse, p), math.inf)
