"""Distributions that are a fixed one moved and stretched: Normal, Laplace, Cauchy, Student."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from flambeau.distributions import constraints
from flambeau.distributions.distribution import Scalar
from flambeau.distributions.utils import standard_normal
from flambeau.ops.limits import finfo
from flambeau.ops.logic import where
from flambeau.ops.math import erfinv, log1p, rsqrt
from flambeau.ops.random import rand
from flambeau.ops.special.gamma import digamma, lgamma
from flambeau.ops.special.normal import ndtr

_LOG_ROOT_TWO_PI = 0.5 * math.log(2 * math.pi)


class LocationScale(Scalar):
    """loc + scale · z, where z has the standard distribution that the subclass describes.

    Formulas of the standard one: `_draw(shape)`, `_log_density(z)`, `_probability(z)` and
    `_quantile(p)`; its mean, variance and entropy are numbers.
    """

    arg_constraints: ClassVar[Any] = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True
    loc: Any
    scale: Any
    _mean = 0.0
    _mode = 0.0
    _variance = 1.0
    _entropy = 0.0

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, loc=loc, scale=scale)

    def _draw(self, sample_shape: Any) -> Any:
        raise NotImplementedError

    def _log_density(self, z: Any) -> Any:
        raise NotImplementedError

    def _probability(self, z: Any) -> Any:
        raise NotImplementedError

    def _quantile(self, p: Any) -> Any:
        raise NotImplementedError

    @property
    def mean(self) -> Any:
        return self.loc + self.scale * self._mean if self._mean else self.loc

    @property
    def mode(self) -> Any:
        return self.loc + self.scale * self._mode if self._mode else self.loc

    @property
    def variance(self) -> Any:
        return self.scale.square() * self._variance

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.loc + self._draw(sample_shape) * self.scale

    def log_prob(self, value: Any) -> Any:
        z = (self._checked(value) - self.loc) / self.scale
        return self._log_density(z) - self.scale.log()

    def cdf(self, value: Any) -> Any:
        return self._probability((self._checked(value) - self.loc) / self.scale)

    def icdf(self, value: Any) -> Any:
        return self.loc + self.scale * self._quantile(value)

    def entropy(self) -> Any:
        return self._entropy + self.scale.log()


class Normal(LocationScale):
    """The normal distribution of mean `loc` and standard deviation `scale`."""

    _entropy = 0.5 + _LOG_ROOT_TWO_PI

    @property
    def stddev(self) -> Any:
        return self.scale

    def _draw(self, sample_shape: Any) -> Any:
        return standard_normal(self._extended_shape(sample_shape), self.loc.dtype, self.loc.device)

    def _log_density(self, z: Any) -> Any:
        return z * z * -0.5 - _LOG_ROOT_TWO_PI

    def _probability(self, z: Any) -> Any:
        return ndtr(z)

    def _quantile(self, p: Any) -> Any:
        return erfinv(2 * p - 1) * math.sqrt(2)


class Laplace(LocationScale):
    """The two-sided exponential distribution: density exp(-|x - loc| / scale) / (2 scale)."""

    _variance = 2.0
    _entropy = 1 + math.log(2)

    @property
    def stddev(self) -> Any:
        return math.sqrt(2) * self.scale

    def _draw(self, sample_shape: Any) -> Any:
        u = self._noise(self.loc, sample_shape).uniform_(finfo(self.loc.dtype).eps - 1, 1)
        return -u.sign() * log1p(-u.abs())

    def _log_density(self, z: Any) -> Any:
        return -z.abs() - math.log(2)

    def _probability(self, z: Any) -> Any:
        return 0.5 - 0.5 * z.sign() * (-z.abs()).expm1()

    def _quantile(self, p: Any) -> Any:
        term = p - 0.5
        return -term.sign() * log1p(-2 * term.abs())


class Cauchy(LocationScale):
    """The Cauchy (Lorentz) distribution; its mean and variance do not exist."""

    _entropy = math.log(4 * math.pi)

    @property
    def mean(self) -> Any:
        return self.loc.new_full(self._extended_shape(), math.nan)

    @property
    def variance(self) -> Any:
        return self.loc.new_full(self._extended_shape(), math.inf)

    def _draw(self, sample_shape: Any) -> Any:
        return self._noise(self.loc, sample_shape).cauchy_()

    def _log_density(self, z: Any) -> Any:
        return -math.log(math.pi) - log1p(z * z)

    def _probability(self, z: Any) -> Any:
        return z.atan() / math.pi + 0.5

    def _quantile(self, p: Any) -> Any:
        return ((p - 0.5) * math.pi).tan()


class StudentT(Scalar):
    """Student's t-distribution with `df` degrees of freedom."""

    arg_constraints: ClassVar[Any] = {
        "df": constraints.positive,
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    support = constraints.real
    has_rsample = True
    df: Any
    loc: Any
    scale: Any

    def __init__(
        self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None
    ) -> None:
        super().__init__(validate_args, df=df, loc=loc, scale=scale)
        if isinstance(df, (int, float)):
            self._batch_shape = type(self._batch_shape)(())

    @property
    def mean(self) -> Any:
        return where(self.df <= 1, math.nan, self.loc)

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        usual = self.scale.square() * self.df / (self.df - 2)
        return where(self.df > 2, usual, where(self.df > 1, math.inf, math.nan))

    def rsample(self, sample_shape: Any = ()) -> Any:
        from flambeau.distributions.gamma import Chi2

        shape = self._extended_shape(sample_shape)
        x = standard_normal(shape, self.df.dtype, self.df.device)
        z = Chi2(self.df).rsample(sample_shape)
        return self.loc + self.scale * (x * rsqrt(z / self.df))

    def log_prob(self, value: Any) -> Any:
        y = (self._checked(value) - self.loc) / self.scale
        return -0.5 * (self.df + 1.0) * log1p(y * y / self.df) - self._normalizer()

    def _normalizer(self) -> Any:
        gammas = lgamma(0.5 * self.df) - lgamma(0.5 * (self.df + 1.0))
        return self.scale.log() + 0.5 * self.df.log() + 0.5 * math.log(math.pi) + gammas

    def entropy(self) -> Any:
        half = 0.5 * (self.df + 1)
        return self._normalizer() + half * (digamma(half) - digamma(0.5 * self.df))


class Uniform(Scalar):
    """Uniform in [low, high)."""

    has_rsample = True
    low: Any
    high: Any

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, low=low, high=high)
        if self._validate_args and not bool((self.low < self.high).all()):
            raise ValueError("Uniform is not defined when low>= high")

    arg_constraints: ClassVar[Any] = {
        "low": constraints.dependent(is_discrete=False, event_dim=0),
        "high": constraints.dependent(is_discrete=False, event_dim=0),
    }

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.interval(self.low, self.high)

    @property
    def mean(self) -> Any:
        return (self.high + self.low) / 2

    @property
    def mode(self) -> Any:
        return math.nan * self.high

    @property
    def stddev(self) -> Any:
        return (self.high - self.low) / math.sqrt(12)

    @property
    def variance(self) -> Any:
        return (self.high - self.low).square() / 12

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        unit = rand(shape, dtype=self.low.dtype, device=self.low.device)
        return self.low + unit * (self.high - self.low)

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value)
        inside = (self.low <= value) & (self.high > value)
        return inside.to(self.low.dtype).log() - (self.high - self.low).log()

    def cdf(self, value: Any) -> Any:
        return ((self._checked(value) - self.low) / (self.high - self.low)).clamp(0, 1)

    def icdf(self, value: Any) -> Any:
        return value * (self.high - self.low) + self.low

    def entropy(self) -> Any:
        return (self.high - self.low).log()
