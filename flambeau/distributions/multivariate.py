"""Distributions of vectors and matrices: normal, normal of low rank, Wishart, LKJ."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from flambeau.distributions import constraints
from flambeau.distributions.distribution import Distribution, ExponentialFamily
from flambeau.distributions.gamma import Beta, Chi2
from flambeau.distributions.utils import broadcast_all, lazy_property, standard_normal
from flambeau.distributions.vector_transforms import _lower_matrix
from flambeau.graph.shapes import broadcast
from flambeau.ops.limits import finfo
from flambeau.ops.linalg.solve import cholesky, solve_triangular
from flambeau.ops.ranges import arange, eye
from flambeau.ops.shape import cat
from flambeau.ops.special.gamma import digamma, mvlgamma

_LOG_TWO_PI = math.log(2 * math.pi)


def matrix_vector(matrix: Any, vector: Any) -> Any:
    """matrix · vector, for batches of both."""
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def lower_solve(factor: Any, right: Any) -> Any:
    """X with factor · X = right, for a lower triangular factor."""
    return solve_triangular(factor, right, upper=False)


def squared_distance(factor: Any, difference: Any) -> Any:
    """|L⁻¹ d|², P. Mahalanobis' distance."""
    return lower_solve(factor, difference.unsqueeze(-1)).squeeze(-1).square().sum(-1)


def log_diagonal(factor: Any) -> Any:
    """The sum of the logarithms on the diagonal: half the log determinant of L Lᵀ."""
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def identity(like: Any, extent: int) -> Any:
    """The identity matrix in dtype and device of a tensor."""
    return eye(extent, dtype=like.dtype, device=like.device)


def factor_of_precision(precision: Any) -> Any:
    """The Cholesky factor of the inverse of `precision`."""
    reversed_factor = cholesky(precision.flip(-2, -1))
    inverse = reversed_factor.flip(-2, -1).mT
    return lower_solve(inverse, identity(precision, precision.shape[-1]))


_MATRICES = {
    "covariance_matrix": constraints.positive_definite,
    "precision_matrix": constraints.positive_definite,
    "scale_tril": constraints.lower_cholesky,
}


class _Scaled(Distribution):
    """Has one of covariance_matrix, precision_matrix and scale_tril; the others follow."""

    _unbroadcasted_scale_tril: Any

    def _set_matrix(self, batch: Any, matrices: dict[str, Any]) -> Any:
        """Keeps the matrix that was given, expanded; the batch shape."""
        given = {name: each for name, each in matrices.items() if each is not None}
        if len(given) != 1:
            raise ValueError(
                "Exactly one of covariance_matrix or precision_matrix or scale_tril may be "
                "specified."
            )
        ((name, matrix),) = given.items()
        if matrix.ndim < 2:
            raise ValueError(
                f"{name} must be at least two-dimensional, with optional leading batch dimensions"
            )
        shape = broadcast(tuple(matrix.shape[:-2]), tuple(batch))
        self.__dict__[name] = matrix.expand(shape + tuple(matrix.shape[-2:]))
        self._given = name
        return shape

    def _expanded_names(self) -> Any:
        return (*self.arg_constraints, "_unbroadcasted_scale_tril")

    def _factor(self) -> None:
        matrix = self.__dict__[self._given]
        make = {"scale_tril": lambda given: given, "covariance_matrix": cholesky}
        self._unbroadcasted_scale_tril = make.get(self._given, factor_of_precision)(matrix)

    @lazy_property
    def scale_tril(self) -> Any:
        """The lower Cholesky factor L of the covariance."""
        return self._unbroadcasted_scale_tril

    @lazy_property
    def covariance_matrix(self) -> Any:
        """L Lᵀ"""
        return self._unbroadcasted_scale_tril @ self._unbroadcasted_scale_tril.mT

    @lazy_property
    def precision_matrix(self) -> Any:
        """The inverse of the covariance."""
        factor = self._unbroadcasted_scale_tril
        inverse = lower_solve(factor, identity(factor, factor.shape[-1]))
        return inverse.mT @ inverse


class MultivariateNormal(_Scaled):
    """The normal distribution of vectors with mean `loc` and a covariance."""

    arg_constraints: ClassVar[Any] = {"loc": constraints.real_vector, **_MATRICES}
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        if loc.ndim < 1:
            raise ValueError("loc must be at least one-dimensional.")
        matrices = {
            "covariance_matrix": covariance_matrix,
            "scale_tril": scale_tril,
            "precision_matrix": precision_matrix,
        }
        batch = self._set_matrix(loc.shape[:-1], matrices)
        self.loc: Any = loc.expand((*batch, loc.shape[-1]))
        super().__init__(batch, loc.shape[-1:], validate_args)
        self._factor()

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        return self._unbroadcasted_scale_tril.square().sum(-1)

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        noise = standard_normal(shape, self.loc.dtype, self.loc.device)
        return self.loc + matrix_vector(self._unbroadcasted_scale_tril, noise)

    def log_prob(self, value: Any) -> Any:
        factor = self._unbroadcasted_scale_tril
        distance = squared_distance(factor, self._checked(value) - self.loc)
        constant = self._event_shape[0] * _LOG_TWO_PI
        return -0.5 * (constant + distance) - log_diagonal(factor)

    def entropy(self) -> Any:
        half = log_diagonal(self._unbroadcasted_scale_tril)
        return 0.5 * self._event_shape[0] * (1.0 + _LOG_TWO_PI) + half


class LowRankMultivariateNormal(Distribution):
    """Normal with covariance cov_factor · cov_factorᵀ + diag(cov_diag).

    Solved in the small space of the factor's columns (M. Woodbury's identity).
    """

    arg_constraints: ClassVar[Any] = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self, loc: Any, cov_factor: Any, cov_diag: Any, validate_args: bool | None = None
    ) -> None:
        if loc.ndim < 1:
            raise ValueError("loc must be at least one-dimensional.")
        event = tuple(loc.shape[-1:])
        if cov_factor.ndim < 2 or tuple(cov_factor.shape[-2:-1]) != event:
            raise ValueError(f"cov_factor must be a batch of matrices with shape {event[0]} x m")
        if tuple(cov_diag.shape[-1:]) != event:
            raise ValueError(f"cov_diag must be a batch of vectors with shape {event}")
        batch = broadcast(
            tuple(loc.shape[:-1]), tuple(cov_factor.shape[:-2]), tuple(cov_diag.shape[:-1])
        )
        self.loc: Any = loc.expand(batch + event)
        self.cov_factor: Any = cov_factor.expand(batch + tuple(cov_factor.shape[-2:]))
        self.cov_diag: Any = cov_diag.expand(batch + event)
        super().__init__(batch, event, validate_args)
        self._capacitance_tril: Any = cholesky(self._capacitance())

    def _expanded_names(self) -> Any:
        return (*self.arg_constraints, "_capacitance_tril", "scale_tril",
                "covariance_matrix", "precision_matrix")  # fmt: skip

    def _weighted(self) -> Any:
        """Wᵀ D⁻¹"""
        return self.cov_factor.mT / self.cov_diag.unsqueeze(-2)

    def _capacitance(self) -> Any:
        """I + Wᵀ D⁻¹ W"""
        product = self._weighted() @ self.cov_factor
        return product + identity(product, product.shape[-1])

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def mode(self) -> Any:
        return self.loc

    @lazy_property
    def variance(self) -> Any:
        """The diagonal of the covariance."""
        return self.cov_factor.square().sum(-1) + self.cov_diag

    @lazy_property
    def scale_tril(self) -> Any:
        """The lower Cholesky factor of the covariance."""
        return cholesky(self.covariance_matrix)

    @lazy_property
    def covariance_matrix(self) -> Any:
        """W Wᵀ + D"""
        return self.cov_factor @ self.cov_factor.mT + self.cov_diag.diag_embed()

    @lazy_property
    def precision_matrix(self) -> Any:
        """The inverse of the covariance."""
        small = lower_solve(self._capacitance_tril, self._weighted())
        return self.cov_diag.reciprocal().diag_embed() - small.mT @ small

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        rank = self.cov_factor.shape[-1]
        of = (self.loc.dtype, self.loc.device)
        low = standard_normal((*shape[:-1], rank), *of)
        own = standard_normal(shape, *of)
        return self.loc + matrix_vector(self.cov_factor, low) + self.cov_diag.sqrt() * own

    def log_prob(self, value: Any) -> Any:
        difference = self._checked(value) - self.loc
        whole = (difference.square() / self.cov_diag).sum(-1)
        projected = matrix_vector(self._weighted(), difference)
        distance = whole - squared_distance(self._capacitance_tril, projected)
        constant = self._event_shape[0] * _LOG_TWO_PI
        return -0.5 * (constant + self._log_determinant() + distance)

    def _log_determinant(self) -> Any:
        return 2 * log_diagonal(self._capacitance_tril) + self.cov_diag.log().sum(-1)

    def entropy(self) -> Any:
        return 0.5 * (self._event_shape[0] * (1.0 + _LOG_TWO_PI) + self._log_determinant())


class Wishart(_Scaled, ExponentialFamily):
    """Of positive definite matrices: Σ x xᵀ over `df` normal vectors of the given covariance."""

    arg_constraints: ClassVar[Any] = {**_MATRICES, "df": constraints.greater_than(0)}
    support = constraints.positive_definite
    has_rsample = True

    def __init__(
        self,
        df: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        matrices = {
            "covariance_matrix": covariance_matrix,
            "scale_tril": scale_tril,
            "precision_matrix": precision_matrix,
        }
        batch = self._set_matrix(getattr(df, "shape", ()), matrices)
        matrix = self.__dict__[self._given]
        self.df: Any = broadcast_all(df, matrix[..., 0, 0])[0].expand(batch)
        event = tuple(matrix.shape[-2:])
        if bool((self.df <= event[-1] - 1).any()):
            raise ValueError(
                f"Value of df={df} expected to be greater than ndim - 1 = {event[-1] - 1}."
            )
        super().__init__(batch, event, validate_args)
        self._factor()

    @property
    def mean(self) -> Any:
        return self.df.reshape((*self._batch_shape, 1, 1)) * self.covariance_matrix

    @property
    def mode(self) -> Any:
        factor = self.df - self._event_shape[-1] - 1
        factor = factor.masked_fill(factor <= 0, math.nan)
        return factor.reshape((*self._batch_shape, 1, 1)) * self.covariance_matrix

    @property
    def variance(self) -> Any:
        diagonal = self.covariance_matrix.diagonal(dim1=-2, dim2=-1)
        outer = diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2)
        df = self.df.reshape((*self._batch_shape, 1, 1))
        return df * (self.covariance_matrix.square() + outer)

    def rsample(self, sample_shape: Any = ()) -> Any:
        """By M. Bartlett's decomposition (1933)."""
        n = self._event_shape[-1]
        offsets = arange(n, dtype=self.df.dtype, device=self.df.device)
        chi = Chi2(self.df.unsqueeze(-1) - offsets, validate_args=False)
        diagonal = chi.rsample(tuple(sample_shape)).clamp(min=finfo(self.df.dtype).tiny).sqrt()
        below = (*sample_shape, *self._batch_shape, n * (n - 1) // 2)
        noise = _lower_matrix(standard_normal(below, diagonal.dtype, diagonal.device))
        factor = self._unbroadcasted_scale_tril @ (noise + diagonal.diag_embed())
        return factor @ factor.mT

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value)
        n, df, factor = self._event_shape[-1], self.df, self._unbroadcasted_scale_tril
        inner = lower_solve(factor, lower_solve(factor, value).mT)
        trace = inner.diagonal(dim1=-2, dim2=-1).sum(-1)
        return (
            -mvlgamma(df / 2, n)
            - 0.5 * df * n * math.log(2)
            - df * log_diagonal(factor)
            + (df - n - 1) * log_diagonal(cholesky(value))
            - 0.5 * trace
        )

    def entropy(self) -> Any:
        n, df = self._event_shape[-1], self.df
        half = 0.5 * df
        places = arange(n, dtype=df.dtype, device=df.device)
        digammas = digamma(half.unsqueeze(-1) - 0.5 * places).sum(-1)
        return (
            (n + 1) * log_diagonal(self._unbroadcasted_scale_tril)
            + 0.5 * n * (n + 1) * math.log(2)
            + mvlgamma(half, n)
            - 0.5 * (df - n - 1) * digammas
            + half * n
        )


class LKJCholesky(Distribution):
    """Cholesky factors of correlation matrices, density ∝ det to the power concentration - 1.

    Sampled as D. Lewandowski, D. Kurowicka and H. Joe (2009) do, by the onion method.
    """

    arg_constraints: ClassVar[Any] = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(
        self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None
    ) -> None:
        if dim < 2:
            raise ValueError(
                f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}."
            )
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        batch = self.concentration.shape
        marginal = self.concentration + 0.5 * (dim - 2)
        offset = arange(dim - 1, dtype=marginal.dtype, device=marginal.device)
        offset = cat([offset.new_zeros((1,)), offset])
        self._beta = Beta(offset + 0.5, marginal.unsqueeze(-1) - 0.5 * offset)
        super().__init__(batch, (dim, dim), validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return LKJCholesky(self.dim, self.concentration.expand(batch_shape), self._validate_args)

    def sample(self, sample_shape: Any = ()) -> Any:
        y = self._beta.sample(sample_shape).unsqueeze(-1)
        shape = self._extended_shape(sample_shape)
        directions = standard_normal(shape, y.dtype, y.device).tril(-1)
        directions = directions / directions.norm(dim=-1, keepdim=True)
        first = arange(self.dim, device=y.device).unsqueeze(-1) == 0
        w = y.sqrt() * directions.masked_fill(first, 0.0)
        eps = finfo(w.dtype).tiny
        return w + (1 - w.square().sum(-1)).clamp(min=eps).sqrt().diag_embed()

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value)
        diagonal = value.diagonal(dim1=-1, dim2=-2)[..., 1:]
        order = arange(2, self.dim + 1, dtype=value.dtype, device=value.device)
        order = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim - order
        unnormalized = (order * diagonal.log()).sum(-1)
        less = self.dim - 1
        alpha = self.concentration + 0.5 * less
        denominator = alpha.lgamma() * less
        numerator = mvlgamma(alpha - 0.5, less)
        return unnormalized - (0.5 * less * math.log(math.pi) + numerator - denominator)
