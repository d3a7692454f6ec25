"""torch.inverse, torch.svd and other older names, with their own arguments and results."""

from __future__ import annotations

from typing import Any

from flambeau.ops.axes import axis_of
from flambeau.ops.linalg import decompose, products
from flambeau.ops.linalg import solve as systems
from flambeau.ops.linalg.checks import broadcast_batches
from flambeau.ops.publish import public, publish
from flambeau.ops.return_types import named
from flambeau.tensor.tensor import Tensor

svd_ = named("svd", "U S V")
qr_ = named("qr", "Q R")
geqrf_ = named("geqrf", "a tau")
slogdet_ = named("slogdet", "sign logabsdet")
triangular_solve_ = named("triangular_solve", "solution cloned_coefficient")
lu_unpack_ = named("lu_unpack", "P L U")


@public()
def inverse(input: Tensor) -> Any:
    """torch.linalg.inv."""
    return systems.inv(input)


@public()
def det(input: Tensor) -> Any:
    """torch.linalg.det."""
    return systems.det(input)


@public()
def slogdet(input: Tensor) -> Any:
    """torch.linalg.slogdet."""
    return slogdet_(*systems.slogdet(input))


@public()
def cholesky(input: Tensor, upper: bool = False) -> Any:
    """torch.linalg.cholesky."""
    return systems.cholesky(input, upper=upper)


@public()
def cholesky_solve(input: Tensor, L: Tensor, upper: bool = False) -> Any:
    """X with (L Lᴴ) X = input, or (Lᴴ L) X = input where `upper`."""
    systems.check_system(L, input, True, "cholesky_solve")
    factor, right = broadcast_batches(L, input)
    lower = factor.mH if upper else factor
    first = systems.solve_triangular(lower, right, upper=False)
    return systems.solve_triangular(lower.mH, first, upper=True)


@public()
def cholesky_inverse(input: Tensor, upper: bool = False) -> Any:
    """The inverse of L Lᴴ (of Lᴴ L where `upper`), given the factor."""
    from flambeau.ops.ranges import eye

    size = input._type.shape[-1]
    one = eye(size, dtype=input.dtype, device=input.device).expand(input._type.shape)
    return cholesky_solve(one, input, upper)


@public()
def qr(input: Tensor, some: bool = True) -> Any:
    """torch.linalg.qr, complete where `some` is False."""
    return qr_(*decompose.qr(input, "reduced" if some else "complete"))


@public()
def svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> Any:
    """torch.linalg.svd, with V in the place of Vh; zeros for U and V without compute_uv."""
    left, values, right = decompose.svd(input, not some)
    if not compute_uv:
        rows, columns = input._type.shape[-2:]
        batch = input._type.shape[:-2]
        empty = [input.new_zeros((*batch, each, each)) for each in (rows, columns)]
        return svd_(empty[0], values, empty[1])
    return svd_(left, values, right.mH)


@public()
def pinverse(input: Tensor, rcond: float = 1e-15) -> Any:
    """torch.linalg.pinv, with PyTorch's older default of rcond."""
    return decompose.pinv(input, rcond)


@public()
def triangular_solve(
    input: Tensor,
    A: Tensor,
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
) -> Any:
    """(X, A) with A X = input (Aᵀ X = input where `transpose`), for triangular A."""
    matrix = A.mT if transpose else A
    found = systems.solve_triangular(
        matrix, input, upper=upper != transpose, unitriangular=unitriangular
    )
    return triangular_solve_(found, A.clone())


@public(out=False)
def lu(input: Tensor, pivot: bool = True, get_infos: bool = False) -> Any:
    """(LU, pivots), and with get_infos what torch.linalg.lu_factor_ex says of singular matrices."""
    found = systems.lu_factor_ex(input, pivot=pivot)
    return tuple(found) if get_infos else tuple(found[:2])


@public()
def lu_solve(input: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Any:
    """X with A X = input, from torch.lu's factors of A."""
    return systems.lu_solve(LU_data, LU_pivots, input)


@public(method=False)
def lu_unpack(
    LU_data: Tensor,
    LU_pivots: Tensor,
    unpack_data: bool = True,
    unpack_pivots: bool = True,
) -> Any:
    """(P, L, U) of torch.lu's factors; what is not asked for is empty."""
    nothing = LU_data.new_empty(0)
    lower, upper = systems.unpacked(LU_data) if unpack_data else (nothing, nothing)
    order = nothing
    if unpack_pivots:
        order = systems.permutation(LU_pivots, LU_data._type.shape[-2], LU_data)
    return lu_unpack_(order, lower, upper)


@public()
def orgqr(input: Tensor, input2: Tensor) -> Any:
    """torch.linalg.householder_product."""
    return products.householder_product(input, input2)


@public()
def geqrf(input: Tensor) -> Any:
    """(a, tau): R and, below it, the vectors of the reflections whose product is Q. On the host."""
    return geqrf_(*decompose.reflections(input))


@public()
def ormqr(
    input: Tensor, tau: Tensor, other: Tensor, left: bool = True, transpose: bool = False
) -> Any:
    """Q other, other Q, Qᴴ other or other Qᴴ for the whole Q of geqrf's reflections."""
    return products.reflected(input, tau, other, bool(left), bool(transpose))


@public()
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Any:
    """The vector product along `dim`, by default the first dimension of three elements."""
    if dim is None:
        found = [axis for axis, extent in enumerate(input._type.shape) if extent == 3]
        if not found:
            raise RuntimeError("no dimension of size 3 in input")
        dim = found[0]
    axis = axis_of(dim, input.ndim)
    return products.cross(input, other, dim=axis)


@public(method=False)
def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Any:
    """The matrix of powers of a vector's elements, descending unless `increasing`."""
    if x.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    from flambeau.ops.ranges import arange

    count = x._type.shape[0] if N is None else int(N)
    powers = arange(count, device=x.device)
    return x.unsqueeze(-1) ** (powers if increasing else count - 1 - powers)


@public(method=False)
def svd_lowrank(
    A: Tensor,
    q: int | None = 6,
    niter: int | None = 2,
    M: Tensor | None = None,
) -> Any:
    """(U, S, V) of about the q greatest singular values (Halko et al., 2009, algorithm 5.1)."""
    from flambeau.ops.random import randn

    matrix = A if M is None else A - M
    rows, columns = matrix._type.shape[-2:]
    if columns > rows:
        left, values, right = svd_lowrank(matrix.mH, q, niter)
        return svd_(right, values, left)
    sketch = randn(columns, 6 if q is None else q, dtype=A.dtype, device=A.device)
    basis = decompose.qr(matrix @ sketch).Q
    for _ in range(niter or 0):
        basis = decompose.qr(matrix.mH @ basis).Q
        basis = decompose.qr(matrix @ basis).Q
    left, values, right = decompose.svd(basis.mH @ matrix, False)
    return svd_(basis @ left, values, right.mH)


@public(method=False)
def pca_lowrank(A: Tensor, q: int | None = None, center: bool = True, niter: int = 2) -> Any:
    """(U, S, V) of about the q first principal components of A's rows."""
    count = min(6, *A._type.shape[-2:]) if q is None else q
    if center:
        A = A - A.mean(-2, keepdim=True)
    return svd_lowrank(A, count, niter)


_REMOVED = {
    "eig": "torch.linalg.eig, whose results are complex",
    "lstsq": "torch.linalg.lstsq, which takes (A, B) where this took (B, A)",
    "matrix_rank": "torch.linalg.matrix_rank, where `symmetric` is `hermitian`",
    "solve": "torch.linalg.solve, which takes (A, B) where this took (B, A)",
    "symeig": "torch.linalg.eigh, or torch.linalg.eigvalsh, which read the lower triangle",
}
"""Names that PyTorch keeps to say what took their place."""


def _removed(name: str, instead: str) -> None:
    def call(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "This function was deprecated since version 1.9 and is now removed. Instead of "
            f"torch.{name} use {instead}."
        )

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"Raises RuntimeError, as in PyTorch: it was removed. Use {instead}."
    publish(call, name)
    globals()[name] = call
    if name != "matrix_rank":
        setattr(Tensor, name, call)


for _name, _instead in _REMOVED.items():
    _removed(_name, _instead)
