"""Ready parametrizations: weight_norm, spectral_norm, orthogonal."""

from __future__ import annotations

import enum
from typing import Any

from flambeau.autograd.mode import no_grad
from flambeau.nn import functional as F  # noqa: N812  # as everyone calls it
from flambeau.nn.modules.module import Module
from flambeau.nn.utils import parametrize
from flambeau.nn.utils.spectral_norm import (
    as_matrix,
    check_iterations,
    default_dim,
    over_greatest,
    power_method,
    unit_normal,
)
from flambeau.nn.utils.weight_norm import _weight_norm, norm_except_dim
from flambeau.ops.limits import finfo
from flambeau.ops.linalg.aliases import geqrf
from flambeau.ops.linalg.decompose import qr
from flambeau.ops.linalg.products import householder_product, matrix_exp
from flambeau.ops.linalg.solve import solve
from flambeau.ops.random import randn
from flambeau.ops.ranges import eye
from flambeau.ops.shape import cat
from flambeau.tensor.tensor import Tensor

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


def _tensor(module: Module, name: str, what: str) -> Any:
    """The tensor to parametrize. ValueError where there is none."""
    found = getattr(module, name, None)
    if not isinstance(found, Tensor):
        raise ValueError(
            f"{what}: Module '{module._get_name()}' has no parameter or buffer with name '{name}'"
        )
    return found


# weight norm ------------------------------------------------------------------------------------


class _WeightNorm(Module):
    """Lengths along `dim` and directions."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Any:
        return _weight_norm(weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Any, Any]:
        return norm_except_dim(weight, dim=self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Make a tensor the product of its lengths along `dim` and its directions; see there.

    original0 are the lengths, original1 has the directions. dim None: one length for the whole. A
    state_dict of the older torch.nn.utils.weight_norm loads, too.
    """
    _tensor(module, name, "weight_norm")
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def rename(state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        old = [f"{prefix}{name}_g", f"{prefix}{name}_v"]
        if all(each in state_dict for each in old):
            for number, each in enumerate(old):
                new = f"{prefix}parametrizations.{name}.original{number}"
                state_dict[new] = state_dict.pop(each)

    module._register_load_state_dict_pre_hook(rename)
    return module


# spectral norm ----------------------------------------------------------------------------------


class _SpectralNorm(Module):
    """The tensor over its greatest singular value; a vector over its length."""

    _u: Any
    _v: Any

    def __init__(
        self, weight: Any, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [-{weight.ndim}, "
                f"{weight.ndim - 1}] but got {dim})"
            )
        check_iterations(n_power_iterations)
        self.dim = dim if dim >= 0 else dim + weight.ndim
        self.eps = eps
        if weight.ndim > 1:
            self.n_power_iterations = n_power_iterations
            with no_grad():
                matrix = as_matrix(weight.detach(), self.dim)
                u = unit_normal(matrix, matrix.shape[0], eps)
                v = unit_normal(matrix, matrix.shape[1], eps)
                u, v = power_method(matrix, u, v, 15, True, eps)
            self.register_buffer("_u", u)
            self.register_buffer("_v", v)

    def forward(self, weight: Tensor) -> Any:
        if weight.ndim == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        if self.training:
            with no_grad():
                matrix = as_matrix(weight.detach(), self.dim)
                steps = self.n_power_iterations
                u, v = power_method(matrix, self._u, self._v, steps, True, self.eps)
                self._u.copy_(u)
                self._v.copy_(v)
        return over_greatest(weight, self._u.clone(), self._v.clone(), self.dim)

    def right_inverse(self, value: Tensor) -> Tensor:
        return value  # there is no inverse; a value of norm 1 stays what it is


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a tensor by its greatest singular value, as the power method finds it.

    Fifteen steps at first, `n_power_iterations` at each reading in training mode. A weight of more
    than two dimensions is a matrix with `dim` as its rows (by default 1 for transposed
    convolutions, else 0).
    """
    weight = _tensor(module, name, "spectral_norm")
    axis = default_dim(module) if dim is None else dim
    made = _SpectralNorm(weight, n_power_iterations, axis, eps)
    parametrize.register_parametrization(module, name, made)
    return module


# orthogonal -------------------------------------------------------------------------------------


class _OrthMaps(enum.Enum):
    matrix_exp = enum.auto()
    cayley = enum.auto()
    householder = enum.auto()


def _orthogonal_basis(a: Any) -> Any:
    """Q of a = QR with a positive diagonal in R."""
    left, right = qr(a)
    return left * right.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)


def _is_orthogonal(q: Any) -> bool:
    identity = eye(q.shape[-1], dtype=q.dtype, device=q.device)
    return bool((q.mH @ q).allclose(identity, atol=10.0 * q.shape[-2] * finfo(q.dtype).eps))


class _Orthogonal(Module):
    """Orthogonal columns (or rows, of a wide matrix) from a matrix without constraints.

    The square maps take a skew-symmetric matrix from the lower triangle (Lezcano-Casado and
    Martínez-Rubio, 2019, arXiv:1901.08428); householder takes a product of reflections. With a
    `base` (a trivialization: Lezcano-Casado, 2019, arXiv:1909.09501) they move it.
    """

    base: Any

    def __init__(self, weight: Any, orthogonal_map: _OrthMaps, *, use_trivialization: bool) -> None:
        super().__init__()
        if weight.dtype.is_complex and orthogonal_map is _OrthMaps.householder:
            raise ValueError("The householder parametrization does not support complex tensors.")
        self.shape = tuple(weight.shape)
        self.orthogonal_map = orthogonal_map
        self.moves_base = use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, x: Any) -> Any:
        wide = x.shape[-2] < x.shape[-1]
        q = self._columns(x.mT if wide else x)
        if self.moves_base:
            q = self.base @ q
        return q.mT if wide else q

    def _columns(self, x: Any) -> Any:
        """Orthogonal columns from a matrix that is not wide."""
        rows, columns = x.shape[-2:]
        if self.orthogonal_map is _OrthMaps.householder:
            vectors = x.tril(-1)
            factors = 2.0 / (1.0 + (vectors * vectors).sum(-2))
            q = householder_product(vectors, factors)
            return q * x.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
        lower = x.tril()
        if rows != columns:
            lower = cat([lower, lower.new_zeros((*x.shape[:-1], rows - columns))], -1)
        skew = lower - lower.mH
        if self.orthogonal_map is _OrthMaps.matrix_exp:
            q = matrix_exp(skew)
        else:
            identity = eye(rows, dtype=skew.dtype, device=skew.device)
            q = solve(identity - 0.5 * skew, identity + 0.5 * skew)
        return q if rows == columns else q[..., :columns]

    def right_inverse(self, value: Any) -> Any:
        """Originals for this matrix: with a base, it becomes the base."""
        if tuple(value.shape) != self.shape:
            raise ValueError(
                f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of "
                f"shape {tuple(value.shape)}."
            )
        wide = value.shape[-2] < value.shape[-1]
        q = value.mT if wide else value
        if self.moves_base:
            self.base = self._completed(q)
            start = -eye(value.shape[-2], value.shape[-1], dtype=value.dtype, device=value.device)
            return start.expand(value.shape).clone()
        if self.orthogonal_map is not _OrthMaps.householder:
            raise NotImplementedError(
                "It is not possible to assign to the matrix exponential or the Cayley "
                "parametrizations when use_trivialization=False."
            )
        reflections, factors = geqrf(q)
        signs = reflections.diagonal(dim1=-2, dim2=-1).sign()
        signs = signs.where(factors != 0, -signs)
        below = reflections.tril(-1) + reflections.triu(1)
        made = below + _diagonal(signs, q.shape[-2])
        return made.mT if wide else made

    def _completed(self, q: Any) -> Any:
        """A square orthogonal matrix that begins with q, made orthogonal where it is not."""
        rows, columns = q.shape[-2:]
        if rows == columns:
            return q.clone() if _is_orthogonal(q) else _orthogonal_basis(q)
        rest = randn((*q.shape[:-2], rows, rows - columns), dtype=q.dtype, device=q.device)
        return _orthogonal_basis(cat([q, rest], -1))


def _diagonal(values: Any, rows: int) -> Any:
    """A tall matrix with these values on its diagonal."""
    square = values.diag_embed()
    return cat(
        [square, square.new_zeros((*square.shape[:-2], rows - square.shape[-1], square.shape[-1]))],
        -2,
    )


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """Keep a matrix (or batch of matrices) orthogonal: QᵀQ = I, or QQᵀ = I where it is wide.

    `orthogonal_map`: "matrix_exp" (the default for square and complex matrices), "cayley" or
    "householder" (the default for others). `use_trivialization` keeps a base that the map moves, so
    that matrices can be assigned. Factorisations run on the host. ValueError where the tensor has
    less than two dimensions or the map is unknown.
    """
    weight = _tensor(module, name, "orthogonal")
    if weight.ndim < 2:
        raise ValueError(
            f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions."
        )
    if orthogonal_map is None:
        square = weight.shape[-2] == weight.shape[-1] or weight.dtype.is_complex
        orthogonal_map = "matrix_exp" if square else "householder"
    if orthogonal_map not in _OrthMaps.__members__:
        raise ValueError(
            'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". '
            f"Got: {orthogonal_map}"
        )
    made = _Orthogonal(weight, _OrthMaps[orthogonal_map], use_trivialization=use_trivialization)
    parametrize.register_parametrization(module, name, made, unsafe=True)
    return module
