"""Counts and events: Bernoulli, Geometric, Binomial, NegativeBinomial, Poisson."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from flambeau.autograd.mode import no_grad
from flambeau.distributions import constraints
from flambeau.distributions.distribution import Odds, ScalarFamily
from flambeau.distributions.gamma import Gamma
from flambeau.distributions.utils import clamp_probs, cross_entropy_of_bits
from flambeau.ops.activation import softplus
from flambeau.ops.limits import finfo
from flambeau.ops.logic import where
from flambeau.ops.math import log1p, xlogy
from flambeau.ops.random import bernoulli, poisson, rand
from flambeau.ops.ranges import arange
from flambeau.ops.special.gamma import lgamma
from flambeau.ops.special.samples import binomial

ODDS = {"probs": constraints.unit_interval, "logits": constraints.real}


class ScalarOdds(Odds):
    """One number per event, with `probs` or `logits` and other parameters of the same shape."""

    arg_constraints: ClassVar[Any] = ODDS

    def __init__(
        self,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
        **others: Any,
    ) -> None:
        rest, numbers = self._set_odds(probs, logits, *others.values())
        for name, each in zip(others, rest, strict=True):
            setattr(self, name, each)
        super().__init__(() if numbers else self._param.shape, (), validate_args)


class Bernoulli(ScalarOdds):
    """1 with probability `probs` (log odds `logits`), else 0."""

    support = constraints.boolean
    has_enumerate_support = True

    @property
    def mean(self) -> Any:
        return self.probs

    @property
    def mode(self) -> Any:
        mode = (self.probs >= 0.5).to(self.probs.dtype)
        return where(self.probs == 0.5, math.nan, mode)

    @property
    def variance(self) -> Any:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            return bernoulli(self.probs.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        from flambeau.distributions.utils import broadcast_all

        logits, value = broadcast_all(self.logits, self._checked(value))
        return -cross_entropy_of_bits(logits, value.to(logits.dtype))

    def entropy(self) -> Any:
        return cross_entropy_of_bits(self.logits, self.probs)

    def enumerate_support(self, expand: bool = True) -> Any:
        values = arange(2, dtype=self._param.dtype, device=self._param.device)
        return enumerated(values, self._batch_shape, expand)

    @property
    def _natural_params(self) -> Any:
        return (self.probs.logit(),)

    def _log_normalizer(self, *natural_params: Any) -> Any:
        return log1p(natural_params[0].exp())


def enumerated(values: Any, batch_shape: Any, expand: bool) -> Any:
    """Values along the first dimension, expanded over the batch if asked for."""
    values = values.reshape((-1, *[1] * len(batch_shape)))
    return values.expand((-1, *batch_shape)) if expand else values


class Geometric(ScalarOdds):
    """How many trials fail before the first success of probability `probs`."""

    support = constraints.nonnegative_integer

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        super().__init__(probs, logits, validate_args)
        if self._validate_args and probs is not None and not bool((self.probs > 0).all()):
            raise ValueError(
                f"Expected parameter probs of distribution {self!r} to be positive but found "
                f"invalid values:\n{self.probs}"
            )

    @property
    def mean(self) -> Any:
        return 1.0 / self.probs - 1.0

    @property
    def mode(self) -> Any:
        return self.probs * 0

    @property
    def variance(self) -> Any:
        return (1.0 / self.probs - 1.0) / self.probs

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            drawn = self.probs.new_empty(self._extended_shape(sample_shape))
            drawn.uniform_(finfo(self.probs.dtype).tiny, 1)
            return (drawn.log() / log1p(-self.probs)).floor()

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value)
        usual = (-self.probs).log1p() * where(self.probs == 1, 0.0, 1.0)
        certain = (self.probs == 1) & (value == 0)
        return value * where(certain, 0.0, usual) + self.probs.log()

    def entropy(self) -> Any:
        return cross_entropy_of_bits(self.logits, self.probs) / self.probs


class Binomial(ScalarOdds):
    """How many of `total_count` trials succeed, each with probability `probs`."""

    arg_constraints: ClassVar[Any] = {"total_count": constraints.nonnegative_integer, **ODDS}
    has_enumerate_support = True
    total_count: Any

    def __init__(
        self,
        total_count: Any = 1,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(probs, logits, validate_args, total_count=total_count)
        self.total_count = self.total_count.to(self._param.dtype)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Any:
        return self.total_count * self.probs

    @property
    def mode(self) -> Any:
        return ((self.total_count + 1) * self.probs).floor().clamp(max=self.total_count)

    @property
    def variance(self) -> Any:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        with no_grad():
            return binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value)
        failed = self.total_count - value
        choices = lgamma(self.total_count + 1) - lgamma(value + 1) - lgamma(failed + 1)
        return choices + value * self.logits - self.total_count * softplus(self.logits)

    def entropy(self) -> Any:
        total = int(self.total_count.max())
        if not bool((self.total_count.min() == total).all()):
            raise NotImplementedError(
                "Inhomogeneous total count not supported by `entropy`: all elements of total_count "
                "must be equal"
            )
        log_prob = self.log_prob(self.enumerate_support(False))
        return -(log_prob.exp() * log_prob).sum(0)

    def enumerate_support(self, expand: bool = True) -> Any:
        total = int(self.total_count.max())
        if not bool(self.total_count.min() == total):
            raise NotImplementedError(
                "Inhomogeneous total count not supported by `enumerate_support`: all elements of "
                "total_count must be equal"
            )
        values = arange(1 + total, dtype=self._param.dtype, device=self._param.device)
        return enumerated(values, self._batch_shape, expand)


class NegativeBinomial(ScalarOdds):
    """How many trials of success probability `probs` succeed before `total_count` fail."""

    arg_constraints: ClassVar[Any] = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer
    total_count: Any

    def __init__(
        self,
        total_count: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(probs, logits, validate_args, total_count=total_count)
        self.total_count = self.total_count.to(self._param.dtype)

    @property
    def mean(self) -> Any:
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Any:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self) -> Any:
        return self.mean / (-self.logits).sigmoid()

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            rates = Gamma(self.total_count, (-self.logits).exp(), validate_args=False)
            return poisson(rates.sample(sample_shape))

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value)
        unnormalized = -self.total_count * softplus(self.logits)
        unnormalized = unnormalized - value * softplus(-self.logits)
        gammas = -lgamma(self.total_count + value) + lgamma(1.0 + value) + lgamma(self.total_count)
        nothing = (self.total_count + value) == 0
        return unnormalized - where(nothing, 0.0, gammas)


class Poisson(ScalarFamily):
    """How many events happen at `rate` in one unit of time."""

    arg_constraints: ClassVar[Any] = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer
    rate: Any

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        super().__init__(validate_args, rate=rate)

    @property
    def mean(self) -> Any:
        return self.rate

    @property
    def mode(self) -> Any:
        return self.rate.floor()

    @property
    def variance(self) -> Any:
        return self.rate

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            return poisson(self.rate.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value)
        return xlogy(value, self.rate) - self.rate - lgamma(value + 1)

    @property
    def _natural_params(self) -> Any:
        return (self.rate.log(),)

    def _log_normalizer(self, *natural_params: Any) -> Any:
        return natural_params[0].exp()


class ContinuousBernoulli(ScalarOdds):
    """Density ∝ probsˣ (1 - probs)¹⁻ˣ on [0, 1] (G. Loaiza-Ganem and J. Cunningham, 2019)."""

    support = constraints.unit_interval
    has_rsample = True

    def __init__(
        self,
        probs: Any = None,
        logits: Any = None,
        lims: tuple[float, float] = (0.499, 0.501),
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(probs, logits, validate_args)
        if probs is not None:
            self.probs = clamp_probs(self.probs)
        self._lims = lims

    def _outside(self) -> Any:
        return (self.probs <= self._lims[0]) | (self.probs > self._lims[1])

    def _cut(self) -> Any:
        """`probs`, away from ½, where the formulas divide zero by zero."""
        return where(self._outside(), self.probs, self._lims[0])

    def _log_norm(self) -> Any:
        cut = self._cut()
        logarithm = (log1p(-cut) - cut.log()).abs().log()
        below = where(cut <= 0.5, cut, 0.0)
        above = where(cut >= 0.5, cut, 1.0)
        usual = logarithm - where(cut <= 0.5, log1p(-2.0 * below), (2.0 * above - 1.0).log())
        x = (self.probs - 0.5).square()
        return where(self._outside(), usual, math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * x) * x)

    @property
    def mean(self) -> Any:
        cut = self._cut()
        usual = cut / (2.0 * cut - 1.0) + 1.0 / (log1p(-cut) - cut.log())
        x = self.probs - 0.5
        return where(self._outside(), usual, 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * x * x) * x)

    @property
    def variance(self) -> Any:
        cut = self._cut()
        usual = cut * (cut - 1.0) / (1.0 - 2.0 * cut).square()
        usual = usual + 1.0 / (log1p(-cut) - cut.log()).square()
        x = (self.probs - 0.5).square()
        return where(self._outside(), usual, 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * x) * x)

    @property
    def stddev(self) -> Any:
        return self.variance.sqrt()

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        return self.icdf(rand(shape, dtype=self.probs.dtype, device=self.probs.device))

    def log_prob(self, value: Any) -> Any:
        from flambeau.distributions.utils import broadcast_all

        logits, value = broadcast_all(self.logits, self._checked(value))
        return -cross_entropy_of_bits(logits, value) + self._log_norm()

    def cdf(self, value: Any) -> Any:
        value = self._checked(value)
        cut = self._cut()
        power = cut.pow(value) * (1.0 - cut).pow(1.0 - value)
        usual = (power + cut - 1.0) / (2.0 * cut - 1.0)
        inside = where(self._outside(), usual, value)
        return where(value <= 0.0, 0.0, where(value >= 1.0, 1.0, inside))

    def icdf(self, value: Any) -> Any:
        cut = self._cut()
        usual = log1p(-cut + value * (2.0 * cut - 1.0)) - log1p(-cut)
        return where(self._outside(), usual / (cut.log() - log1p(-cut)), value)

    def entropy(self) -> Any:
        odds = log1p(-self.probs)
        return self.mean * (odds - self.probs.log()) - self._log_norm() - odds
