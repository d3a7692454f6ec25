"""Linear algebra's calls: what both the gradient checks and the comparison with PyTorch walk over.

Each takes a library (Flambeau or PyTorch) and tensors made of the named arrays, and gives tensors
that do not depend on the signs and phases that factorisations leave open.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

GENERATOR = np.random.default_rng(5)
ARRAYS = {
    "A": GENERATOR.standard_normal((2, 3, 3)) + 2 * np.eye(3),
    "B": GENERATOR.standard_normal((2, 3, 2)),
    "b": GENERATOR.standard_normal((2, 3)),
    "tall": GENERATOR.standard_normal((2, 5, 3)),
    "wide": GENERATOR.standard_normal((2, 3, 5)),
    "right": GENERATOR.standard_normal((2, 5, 2)),
    "one": GENERATOR.standard_normal((4, 4)) + 2 * np.eye(4),
    "tau": GENERATOR.standard_normal((2, 3)),
    "v": GENERATOR.standard_normal(5),
}
_half = GENERATOR.standard_normal((2, 3, 3))
ARRAYS["positive"] = _half @ _half.swapaxes(1, 2) + np.eye(3)
ARRAYS["singular"] = np.ones((2, 3, 3)) * np.arange(1.0, 4.0)

Call = Callable[..., Any]


def _signs(pair: Any) -> Any:
    return tuple(each.abs() for each in pair)


def _symmetric(x: Any) -> Any:
    return x + x.mT


SMOOTH: dict[str, tuple[Call, str]] = {
    "inv": (lambda t, a: t.linalg.inv(a), "A"),
    "inverse": (lambda t, a: a.inverse(), "A"),
    "solve": (lambda t, a, b: t.linalg.solve(a, b), "A B"),
    "solve a vector": (lambda t, a, b: t.linalg.solve(a, b), "A b"),
    "solve from the right": (lambda t, a, b: t.linalg.solve(a, b.mT, left=False), "A B"),
    "solve broadcast": (lambda t, a, b: t.linalg.solve(a[:1], b), "A B"),
    "det": (lambda t, a: t.det(a), "A"),
    "slogdet": (lambda t, a: a.slogdet()[1], "A"),
    "logdet": (lambda t, a: t.logdet(a), "positive"),
    "cholesky": (lambda t, a: t.linalg.cholesky(_symmetric(a)), "positive"),
    "cholesky upper": (lambda t, a: t.cholesky(_symmetric(a), upper=True), "positive"),
    "cholesky_solve": (lambda t, a, b: t.cholesky_solve(b, a.tril()), "A B"),
    "cholesky_inverse": (lambda t, a: t.cholesky_inverse(a.triu(), upper=True), "A"),
    "solve_triangular": (lambda t, a, b: t.linalg.solve_triangular(a, b, upper=True), "A B"),
    "solve_triangular of ones": (
        lambda t, a, b: t.linalg.solve_triangular(
            a, b.mT, upper=False, left=False, unitriangular=True
        ),
        "A B",
    ),
    "triangular_solve": (lambda t, a, b: t.triangular_solve(b, a, transpose=True)[0], "A B"),
    "qr": (lambda t, a: _signs(t.linalg.qr(a)), "tall"),
    "qr of wide": (lambda t, a: _signs(t.qr(a)), "wide"),
    "svdvals": (lambda t, a: t.linalg.svdvals(a), "tall"),
    "svd": (lambda t, a: _signs(t.linalg.svd(a, full_matrices=False)), "wide"),
    "torch.svd": (lambda t, a: _signs(t.svd(a)), "tall"),
    "eigh": (lambda t, a: (lambda w, v: (w, v.abs()))(*t.linalg.eigh(_symmetric(a))), "A"),
    "eigvalsh": (lambda t, a: t.linalg.eigvalsh(_symmetric(a), UPLO="U"), "A"),
    "eigvals": (lambda t, a: t.linalg.eigvals(a).abs().sort(-1)[0], "A"),
    "eig": (lambda t, a: (lambda w, v: v.abs().amax(-1))(*t.linalg.eig(_symmetric(a))), "A"),
    "eig rebuilt": (
        lambda t, a: (lambda w, v: ((v * w.exp().unsqueeze(-2)) @ t.linalg.inv(v)).real)(
            *t.linalg.eig(a)
        ),
        "A",
    ),
    "pinv": (lambda t, a: t.linalg.pinv(a), "tall"),
    "pinverse of wide": (lambda t, a: a.pinverse(), "wide"),
    "lstsq": (lambda t, a, b: t.linalg.lstsq(a, b).solution, "tall right"),
    "matrix_exp": (lambda t, a: t.matrix_exp(a), "A"),
    "matrix_power": (lambda t, a: a.matrix_power(5), "A"),
    "matrix_power, negative": (lambda t, a: t.linalg.matrix_power(a, -2), "A"),
    "lu": (lambda t, a: t.linalg.lu(a)[1:], "A"),
    "lu_solve": (lambda t, a, b: t.linalg.lu_solve(*t.linalg.lu_factor(a), b), "A B"),
    "lu_solve adjoint": (
        lambda t, a, b: t.linalg.lu_solve(*t.linalg.lu_factor(a), b.mT, left=False, adjoint=True),
        "A B",
    ),
    "householder_product": (lambda t, a, b: t.linalg.householder_product(a, b), "tall tau"),
    "cond": (lambda t, a: t.linalg.cond(a), "A"),
    "cond fro": (lambda t, a: t.linalg.cond(a, "fro"), "A"),
    "norm": (lambda t, a: t.linalg.norm(a), "tall"),
    "norm of columns": (lambda t, a: t.linalg.norm(a, 1, (1, 2)), "tall"),
    "norm of rows": (lambda t, a: t.linalg.norm(a, float("-inf"), dim=(0, 2)), "tall"),
    "vector_norm": (lambda t, a: t.linalg.vector_norm(a, 3, dim=(0, 1), keepdim=True), "tall"),
    "vector_norm below 0": (lambda t, a: t.linalg.vector_norm(a, -2.5, dim=1), "tall"),
    "vector_norm inf": (lambda t, a: t.linalg.vector_norm(a, float("inf")), "tall"),
    "matrix_norm": (lambda t, a: t.linalg.matrix_norm(a), "tall"),
    "matrix_norm nuc": (
        lambda t, a: t.linalg.matrix_norm(a, "nuc", dim=(1, 0), keepdim=True),
        "tall",
    ),
    "matrix_norm 2": (lambda t, a: t.linalg.matrix_norm(a, -2), "wide"),
    "torch.norm nuc": (lambda t, a: t.norm(a, p="nuc", dim=(1, 2)), "wide"),
    "multi_dot": (lambda t, a, b, c: t.linalg.multi_dot([a[0], b[0], c[0].mT]), "tall B right"),
    "multi_dot of vectors": (lambda t, a, b, c: t.linalg.multi_dot([a, b[0], c[0]]), "v tall b"),
    "tensorinv": (lambda t, a: t.linalg.tensorinv(a.reshape(2, 2, 4)), "one"),
    "tensorsolve": (
        lambda t, a, b: t.linalg.tensorsolve(a.reshape(2, 2, 4), b[:, :2]),
        "one b",
    ),
    "cross": (lambda t, a: a.cross(a * 2 + 1), "A"),
    "linalg.cross": (lambda t, a, b: t.linalg.cross(a, b[:, None]), "A b"),
    "vecdot": (lambda t, a, b: t.linalg.vecdot(a, b[:, None]), "A b"),
    "vander": (lambda t, a: t.linalg.vander(a, N=4), "b"),
    "torch.vander": (lambda t, a: t.vander(a), "v"),
}
"""Calls with a gradient: what they do, and the names of their arrays."""

OTHERS: dict[str, tuple[Call, str]] = {
    "inv_ex": (lambda t, a: tuple(t.linalg.inv_ex(a)), "A"),
    "cholesky_ex": (lambda t, a: tuple(t.linalg.cholesky_ex(a)), "positive"),
    "cholesky_ex of none": (lambda t, a: t.linalg.cholesky_ex(-a).info, "positive"),
    "lu_factor_ex": (lambda t, a: tuple(t.linalg.lu_factor_ex(a)), "A"),
    "lu of wide": (lambda t, a: tuple(t.linalg.lu(a)), "wide"),
    "lu of tall": (lambda t, a: tuple(t.lu_unpack(*t.lu(a)[:2])), "tall"),
    "matrix_rank": (lambda t, a: t.linalg.matrix_rank(a), "singular"),
    "matrix_rank atol": (lambda t, a: t.linalg.matrix_rank(a, atol=1.5, rtol=0.0), "tall"),
    "matrix_rank hermitian": (lambda t, a: t.linalg.matrix_rank(a, hermitian=True), "positive"),
    "pinv of singular": (lambda t, a: t.linalg.pinv(a), "singular"),
    "det of singular": (lambda t, a: t.det(a), "singular"),
    "slogdet of singular": (lambda t, a: tuple(t.slogdet(a - a)), "singular"),
    "qr r": (lambda t, a: t.linalg.qr(a, mode="r").R.abs(), "tall"),
    "qr complete": (lambda t, a: _signs([t.linalg.qr(a, mode="complete").R]), "tall"),
    "svd full": (lambda t, a: [each.shape for each in t.linalg.svd(a)], "tall"),
    "lstsq residuals": (
        lambda t, a, b: t.linalg.lstsq(a, b, driver="gels").residuals,
        "tall right",
    ),
    "lstsq rank": (lambda t, a, b: t.linalg.lstsq(a, b).rank, "tall right"),
    "lstsq values": (
        lambda t, a, b: t.linalg.lstsq(a, b, driver="gelsd").singular_values,
        "tall right",
    ),
    "matrix_power 0": (lambda t, a: a.matrix_power(0), "A"),
    "matrix_exp of large": (lambda t, a: t.matrix_exp(a * 8), "A"),
    "norm 0": (lambda t, a: t.linalg.norm(a, 0, dim=1), "A"),
    "empty": (lambda t, a: t.linalg.inv(a[:0]), "A"),
    "empty matrices": (lambda t, a: t.det(a[:, :0, :0]), "A"),
}
"""Calls without a gradient to compare."""

ERRORS: dict[str, tuple[Call, str]] = {
    "inv of singular": (lambda t, a: t.linalg.inv(a), "singular"),
    "solve of singular": (lambda t, a, b: t.linalg.solve(a, b), "singular b"),
    "cholesky of negative": (lambda t, a: t.linalg.cholesky(-a), "positive"),
    "inv of wide": (lambda t, a: t.linalg.inv(a), "wide"),
    "inv of a vector": (lambda t, a: t.linalg.inv(a), "v"),
    "inv of integers": (lambda t, a: t.linalg.inv(a.long()), "A"),
    "inv of half": (lambda t, a: t.linalg.inv(a.half()), "A"),
    "solve of mixed": (lambda t, a, b: t.linalg.solve(a, b.float()), "A B"),
    "solve of other rows": (lambda t, a, b: t.linalg.solve(a, b), "A right"),
    "qr mode": (lambda t, a: t.linalg.qr(a, "full"), "A"),
    "qr r backward": (lambda t, a: t.linalg.qr(a, "r").R.sum().backward(), "A"),
    "matrix_norm order": (lambda t, a: t.linalg.matrix_norm(a, 3), "A"),
    "norm of an empty": (lambda t, a: t.linalg.vector_norm(a[:0], float("inf")), "A"),
    "cross of 5": (lambda t, a: t.linalg.cross(a, a), "v"),
    "multi_dot of one": (lambda t, a: t.linalg.multi_dot([a]), "one"),
}
"""Calls that raise RuntimeError."""
