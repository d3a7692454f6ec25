"""Gamma and its relatives: Chi2, Exponential, Beta, Dirichlet, F, inverse gamma."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from flambeau.distributions import constraints
from flambeau.distributions.distribution import (
    ExponentialFamily,
    Scalar,
    ScalarFamily,
)
from flambeau.distributions.utils import broadcast_all
from flambeau.ops.data import tensor
from flambeau.ops.limits import finfo
from flambeau.ops.logic import where
from flambeau.ops.math import log, log1p, xlogy
from flambeau.ops.shape import stack
from flambeau.ops.special.gamma import digamma, lgamma
from flambeau.ops.special.incomplete import igamma, igammac
from flambeau.ops.special.samples import _sample_dirichlet, _standard_gamma
from flambeau.tensor.tensor import Tensor


class Gamma(ScalarFamily):
    """The gamma distribution with shape `concentration` and `rate` = 1 / scale."""

    arg_constraints: ClassVar[Any] = {
        "concentration": constraints.positive,
        "rate": constraints.positive,
    }
    support = constraints.nonnegative
    has_rsample = True
    concentration: Any
    rate: Any

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, concentration=concentration, rate=rate)

    @property
    def mean(self) -> Any:
        return self.concentration / self.rate

    @property
    def mode(self) -> Any:
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Any:
        return self.concentration / self.rate.square()

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        unit = _standard_gamma(self.concentration.expand(shape)) / self.rate
        return _at_least(unit, finfo(unit.dtype).tiny)

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value)
        return (
            xlogy(self.concentration, self.rate)
            + xlogy(self.concentration - 1, value)
            - self.rate * value
            - lgamma(self.concentration)
        )

    def entropy(self) -> Any:
        a = self.concentration
        return a - log(self.rate) + lgamma(a) + (1.0 - a) * digamma(a)

    def cdf(self, value: Any) -> Any:
        return igamma(*broadcast_all(self.concentration, self.rate * self._checked(value)))

    @property
    def _natural_params(self) -> Any:
        return (self.concentration - 1, -self.rate)

    def _log_normalizer(self, *natural_params: Any) -> Any:
        x, y = natural_params
        return lgamma(x + 1) + (x + 1) * log(-1 / y)


def _at_least(value: Any, least: float) -> Any:
    """`value`, where it underflowed `least`; gradients stay."""
    return value + (value.detach().clamp(min=least) - value.detach())


class Chi2(Gamma):
    """The χ² distribution with `df` degrees of freedom."""

    arg_constraints: ClassVar[Any] = {"df": constraints.positive}

    def __init__(self, df: Any, validate_args: bool | None = None) -> None:
        (given,) = broadcast_all(df)
        super().__init__(0.5 * given, 0.5 * given.new_ones(()), validate_args=validate_args)

    def _expanded_names(self) -> Any:
        return ("concentration", "rate")

    @property
    def df(self) -> Any:
        """Degrees of freedom."""
        return self.concentration * 2


class InverseGamma(Scalar):
    """1 / x for x of Gamma(concentration, rate)."""

    arg_constraints: ClassVar[Any] = {
        "concentration": constraints.positive,
        "rate": constraints.positive,
    }
    support = constraints.positive
    has_rsample = True
    concentration: Any
    rate: Any

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, concentration=concentration, rate=rate)

    @property
    def mean(self) -> Any:
        usual = self.rate / (self.concentration - 1)
        return where(self.concentration > 1, usual, math.inf)

    @property
    def mode(self) -> Any:
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Any:
        a = self.concentration
        return where(a > 2, self.rate.square() / ((a - 1).square() * (a - 2)), math.inf)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return 1 / self._inverted().rsample(sample_shape)

    def _inverted(self) -> Gamma:
        return Gamma(self.concentration, self.rate, validate_args=False)

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value)
        return self._inverted().log_prob(1 / value) - 2 * log(value)

    def entropy(self) -> Any:
        a = self.concentration
        return a + log(self.rate) + lgamma(a) - (1 + a) * digamma(a)

    def cdf(self, value: Any) -> Any:
        return igammac(*broadcast_all(self.concentration, self.rate / self._checked(value)))


class Exponential(ScalarFamily):
    """The exponential distribution: waiting times at `rate`."""

    arg_constraints: ClassVar[Any] = {"rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    rate: Any

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, rate=rate)

    @property
    def mean(self) -> Any:
        return self.rate.reciprocal()

    @property
    def mode(self) -> Any:
        return 0 * self.rate

    @property
    def stddev(self) -> Any:
        return self.rate.reciprocal()

    @property
    def variance(self) -> Any:
        return self.rate.pow(-2)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self._noise(self.rate, sample_shape).exponential_() / self.rate

    def log_prob(self, value: Any) -> Any:
        return self.rate.log() - self.rate * self._checked(value)

    def cdf(self, value: Any) -> Any:
        return -(-self.rate * self._checked(value)).expm1()

    def icdf(self, value: Any) -> Any:
        return -log1p(-value) / self.rate

    def entropy(self) -> Any:
        return 1.0 - log(self.rate)

    @property
    def _natural_params(self) -> Any:
        return (-self.rate,)

    def _log_normalizer(self, *natural_params: Any) -> Any:
        return -log(-natural_params[0])


class Dirichlet(ExponentialFamily):
    """Probabilities of as many outcomes as the last dimension of `concentration` has."""

    arg_constraints: ClassVar[Any] = {
        "concentration": constraints.independent(constraints.positive, 1)
    }
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration: Any, validate_args: bool | None = None) -> None:
        if not isinstance(concentration, Tensor) or concentration.ndim < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration: Any = concentration
        shape = concentration.shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return _sample_dirichlet(self.concentration.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value)
        return xlogy(self.concentration - 1.0, value).sum(-1) - self._log_normalizer_of_batch()

    def _log_normalizer_of_batch(self) -> Any:
        return self._log_normalizer(self.concentration)

    @property
    def mean(self) -> Any:
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self) -> Any:
        less = (self.concentration - 1).clamp(min=0.0)
        mode = less / less.sum(-1, True)
        corner = (self.concentration < 1).all(-1, keepdim=True)
        place = self.concentration.argmax(-1)
        from flambeau.nn.functional import one_hot

        return where(corner, one_hot(place, less.shape[-1]).to(mode.dtype), mode)

    @property
    def variance(self) -> Any:
        total = self.concentration.sum(-1, True)
        rest = total - self.concentration
        return self.concentration * rest / (total.square() * (total + 1))

    def entropy(self) -> Any:
        k = self.concentration.shape[-1]
        total = self.concentration.sum(-1)
        digammas = ((self.concentration - 1.0) * digamma(self.concentration)).sum(-1)
        return self._log_normalizer_of_batch() - (k - total) * digamma(total) - digammas

    @property
    def _natural_params(self) -> Any:
        return (self.concentration,)

    def _log_normalizer(self, *natural_params: Any) -> Any:
        (x,) = natural_params
        return lgamma(x).sum(-1) - lgamma(x.sum(-1))


class Beta(ExponentialFamily):
    """The beta distribution: of a probability, after concentration1 - 1 successes and so on."""

    arg_constraints: ClassVar[Any] = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
    }
    support = constraints.unit_interval
    has_rsample = True

    def __init__(
        self, concentration1: Any, concentration0: Any, validate_args: bool | None = None
    ) -> None:
        if isinstance(concentration1, (int, float)) and isinstance(concentration0, (int, float)):
            pair = tensor([float(concentration1), float(concentration0)])
        else:
            pair = stack(broadcast_all(concentration1, concentration0), -1)
        self._dirichlet = Dirichlet(pair, validate_args=validate_args)
        super().__init__(self._dirichlet.batch_shape, (), validate_args=validate_args)

    def _expanded_names(self) -> Any:
        return ("_dirichlet",)

    @property
    def concentration1(self) -> Any:
        """The first concentration, α."""
        return self._dirichlet.concentration[..., 0]

    @property
    def concentration0(self) -> Any:
        """The second concentration, β."""
        return self._dirichlet.concentration[..., 1]

    @property
    def _total(self) -> Any:
        return self.concentration1 + self.concentration0

    @property
    def mean(self) -> Any:
        return self.concentration1 / self._total

    @property
    def mode(self) -> Any:
        return self._dirichlet.mode[..., 0]

    @property
    def variance(self) -> Any:
        product = self.concentration1 * self.concentration0
        return product / (self._total.square() * (self._total + 1))

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self._dirichlet.rsample(sample_shape).select(-1, 0)

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value)
        return self._dirichlet.log_prob(stack([value, 1.0 - value], -1))

    def entropy(self) -> Any:
        return self._dirichlet.entropy()

    @property
    def _natural_params(self) -> Any:
        return (self.concentration1, self.concentration0)

    def _log_normalizer(self, *natural_params: Any) -> Any:
        x, y = natural_params
        return lgamma(x) + lgamma(y) - lgamma(x + y)


class FisherSnedecor(Scalar):
    """The F-distribution: the quotient of two χ² numbers, each over its degrees of freedom."""

    arg_constraints: ClassVar[Any] = {"df1": constraints.positive, "df2": constraints.positive}
    support = constraints.positive
    has_rsample = True
    df1: Any
    df2: Any

    def __init__(self, df1: Any, df2: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, df1=df1, df2=df2)

    @property
    def mean(self) -> Any:
        return where(self.df2 > 2, self.df2 / (self.df2 - 2), math.nan)

    @property
    def mode(self) -> Any:
        usual = (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2)
        return where(self.df1 > 2, usual, math.nan)

    @property
    def variance(self) -> Any:
        first, second = self.df1, self.df2
        below = first * (second - 2).square() * (second - 4)
        return where(second > 4, 2 * second.square() * (first + second - 2) / below, math.nan)

    def rsample(self, sample_shape: Any = ()) -> Any:
        first = Gamma(self.df1 * 0.5, self.df1 * 0.5).rsample(sample_shape)
        second = Gamma(self.df2 * 0.5, self.df2 * 0.5).rsample(sample_shape)
        return _at_least(first / second, finfo(self.df1.dtype).tiny)

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value)
        first, second, ratio = self.df1 * 0.5, self.df2 * 0.5, self.df1 / self.df2
        gammas = lgamma(first + second) - lgamma(first) - lgamma(second)
        powers = first * ratio.log() + (first - 1) * log(value)
        return gammas + powers - (first + second) * log1p(ratio * value)
