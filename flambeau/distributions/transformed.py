"""TransformedDistribution and the distributions that are a simple one transformed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from flambeau.autograd.mode import no_grad
from flambeau.distributions import constraints
from flambeau.distributions.distribution import Distribution
from flambeau.distributions.gamma import Exponential
from flambeau.distributions.independent import Independent
from flambeau.distributions.location_scale import Cauchy, Normal, Uniform
from flambeau.distributions.transforms import (
    AbsTransform,
    AffineTransform,
    ComposeTransform,
    ExpTransform,
    PowerTransform,
    StickBreakingTransform,
    Transform,
)
from flambeau.distributions.utils import (
    broadcast_all,
    euler_constant,
    numbers_only,
    sum_rightmost,
)
from flambeau.ops.limits import finfo
from flambeau.ops.logic import where
from flambeau.ops.special.gamma import digamma, lgamma


class TransformedDistribution(Distribution):
    """The distribution of t(x), for x of `base_distribution` and a transform or a list of them."""

    arg_constraints: ClassVar[Any] = {}

    def __init__(
        self,
        base_distribution: Any,
        transforms: Any,
        validate_args: bool | None = None,
    ) -> None:
        self.transforms = _listed(transforms)
        base, batch, event = _fitted(base_distribution, self.transforms)
        self.base_dist: Any = base
        super().__init__(batch, event, validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        made = self._get_checked_instance(TransformedDistribution, _instance)
        shape = (*batch_shape, *self._event_shape)
        for each in reversed(self.transforms):
            shape = each.inverse_shape(shape)
        event = len(self.base_dist.event_shape)
        batch = tuple(shape)[: len(shape) - event]
        for name, value in self.__dict__.items():
            made.__dict__.setdefault(name, value)
        made.base_dist = self.base_dist.expand(batch)
        made._batch_shape = type(self._batch_shape)(batch_shape)
        return made

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> Any:
        if not self.transforms:
            return self.base_dist.support
        last = self.transforms[-1].codomain
        more = len(self._event_shape) - last.event_dim
        return constraints.independent(last, more) if more > 0 else last

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]  # computed
        return bool(self.base_dist.has_rsample)

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            return self._forward(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self._forward(self.base_dist.rsample(sample_shape))

    def _forward(self, value: Any) -> Any:
        for each in self.transforms:
            value = each(value)
        return value

    def log_prob(self, value: Any) -> Any:
        y = self._checked(value)
        dimensions = len(self._event_shape)
        result: Any = 0.0
        for each in reversed(self.transforms):
            x = each.inv(y)
            dimensions += each.domain.event_dim - each.codomain.event_dim
            term = each.log_abs_det_jacobian(x, y)
            result = result - sum_rightmost(term, dimensions - each.domain.event_dim)
            y = x
        more = dimensions - len(self.base_dist.event_shape)
        return result + sum_rightmost(self.base_dist.log_prob(y), more)

    def _sign(self) -> Any:
        """1 where the transforms rise together, -1 where they fall."""
        sign: Any = 1
        for each in self.transforms:
            sign = sign * each.sign
        return sign

    def cdf(self, value: Any) -> Any:
        value = self._checked(value)
        for each in reversed(self.transforms):
            value = each.inv(value)
        probability = self.base_dist.cdf(value)
        sign = self._sign()
        if isinstance(sign, int) and sign == 1:
            return probability
        return sign * (probability - 0.5) + 0.5

    def icdf(self, value: Any) -> Any:
        sign = self._sign()
        if not (isinstance(sign, int) and sign == 1):
            value = sign * (value - 0.5) + 0.5
        return self._forward(self.base_dist.icdf(value))


def _listed(transforms: Any) -> list[Any]:
    if isinstance(transforms, Transform):
        return [transforms]
    if isinstance(transforms, (list, tuple)) and all(isinstance(t, Transform) for t in transforms):
        return list(transforms)
    raise ValueError(f"transforms must be a Transform or list of Transforms, but was {transforms}")


def _fitted(base: Any, transforms: Sequence[Any]) -> tuple[Any, Any, Any]:
    """The base expanded to what the transforms take, and the batch and event shapes."""
    shape = base.batch_shape + base.event_shape
    whole = ComposeTransform(list(transforms))
    if len(shape) < whole.domain.event_dim:
        raise ValueError(
            "base_distribution needs to have shape with size at least "
            f"{whole.domain.event_dim}, but got {shape}."
        )
    after = whole.forward_shape(shape)
    before = whole.inverse_shape(after)
    if tuple(shape) != tuple(before):
        base = base.expand(tuple(before)[: len(before) - len(base.event_shape)])
    more = whole.domain.event_dim - len(base.event_shape)
    if more > 0:
        base = Independent(base, more)
    change = whole.codomain.event_dim - whole.domain.event_dim
    event_dim = max(whole.codomain.event_dim, len(base.event_shape) + change)
    cut = len(after) - event_dim
    return base, after[:cut], after[cut:]


class LogNormal(TransformedDistribution):
    """exp of Normal(loc, scale)."""

    arg_constraints: ClassVar[Any] = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        base = Normal(loc, scale, validate_args=validate_args)
        super().__init__(base, ExpTransform(), validate_args=validate_args)

    @property
    def loc(self) -> Any:
        """The mean of the logarithm."""
        return self.base_dist.loc

    @property
    def scale(self) -> Any:
        """The standard deviation of the logarithm."""
        return self.base_dist.scale

    @property
    def mean(self) -> Any:
        return (self.loc + self.scale.square() / 2).exp()

    @property
    def mode(self) -> Any:
        return (self.loc - self.scale.square()).exp()

    @property
    def variance(self) -> Any:
        square = self.scale.square()
        return square.expm1() * (2 * self.loc + square).exp()

    def entropy(self) -> Any:
        return self.base_dist.entropy() + self.loc


class _Half(TransformedDistribution):
    """|x| for x of a symmetric distribution around 0."""

    arg_constraints: ClassVar[Any] = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _of: Any

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        base = self._of(0, scale, validate_args=False)
        super().__init__(base, AbsTransform(), validate_args=validate_args)

    @property
    def scale(self) -> Any:
        """The scale of the whole distribution."""
        return self.base_dist.scale

    @property
    def mode(self) -> Any:
        return self.scale * 0

    def log_prob(self, value: Any) -> Any:
        value = self._checked(value)
        log_prob = self.base_dist.log_prob(value) + math.log(2)
        return where(value >= 0, log_prob, -math.inf)

    def cdf(self, value: Any) -> Any:
        return 2 * self.base_dist.cdf(self._checked(value)) - 1

    def icdf(self, value: Any) -> Any:
        return self.base_dist.icdf((value + 1) / 2)

    def entropy(self) -> Any:
        return self.base_dist.entropy() - math.log(2)


class HalfNormal(_Half):
    """|x| for x of Normal(0, scale)."""

    _of = Normal

    @property
    def mean(self) -> Any:
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def variance(self) -> Any:
        return self.scale.square() * (1 - 2 / math.pi)


class HalfCauchy(_Half):
    """|x| for x of Cauchy(0, scale)."""

    _of = Cauchy

    @property
    def mean(self) -> Any:
        return self.scale * math.inf

    @property
    def variance(self) -> Any:
        return self.base_dist.variance


class Gumbel(TransformedDistribution):
    """The greatest of many numbers: loc - scale · log(-log u) for a uniform u."""

    arg_constraints: ClassVar[Any] = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        limits = finfo(self.loc.dtype)
        numbers = numbers_only(loc, scale)
        bounds: Any = (limits.tiny, 1 - limits.eps)
        if not numbers:
            bounds = [self.loc.detach() * 0 + each for each in bounds]
        base = Uniform(bounds[0], bounds[1], validate_args=validate_args)
        transforms = [
            ExpTransform().inv,
            AffineTransform(loc=0, scale=-1.0),
            ExpTransform().inv,
            AffineTransform(loc=self.loc, scale=-self.scale),
        ]
        super().__init__(base, transforms, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return type(self)(self.loc.expand(batch_shape), self.scale.expand(batch_shape))

    @property
    def mean(self) -> Any:
        return self.loc + self.scale * euler_constant

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def stddev(self) -> Any:
        return math.pi / math.sqrt(6) * self.scale

    @property
    def variance(self) -> Any:
        return self.stddev.square()

    def log_prob(self, value: Any) -> Any:
        z = (self.loc - self._checked(value)) / self.scale
        return z - z.exp() - self.scale.log()

    def entropy(self) -> Any:
        return self.scale.log() + (1 + euler_constant)


class _OfParameters(TransformedDistribution):
    """Two parameters, broadcast, from which `_parts(first, second)` makes base and transforms."""

    has_rsample = True

    def _parts(self, first: Any, second: Any) -> tuple[Any, Any]:
        raise NotImplementedError

    def _build(self, validate_args: bool | None, **parameters: Any) -> None:
        values = broadcast_all(*parameters.values())
        for name, each in zip(parameters, values, strict=True):
            setattr(self, name, each)
        base, transforms = self._parts(*values)
        TransformedDistribution.__init__(self, base, transforms, validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        values = [getattr(self, name).expand(batch_shape) for name in self._names]
        made = type(self).__new__(type(self)) if _instance is None else _instance
        made._build(False, **dict(zip(self._names, values, strict=True)))
        made._validate_args = self._validate_args
        return made

    _names: tuple[str, ...]


class Weibull(_OfParameters):
    """scale · (an exponential number) to the power 1 / concentration."""

    arg_constraints: ClassVar[Any] = {
        "scale": constraints.positive,
        "concentration": constraints.positive,
    }
    support = constraints.positive
    _names = ("scale", "concentration")
    scale: Any
    concentration: Any

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self._build(validate_args, scale=scale, concentration=concentration)

    def _parts(self, scale: Any, concentration: Any) -> Any:
        base = Exponential(scale.detach() * 0 + 1, validate_args=False)
        power = PowerTransform(exponent=concentration.reciprocal())
        return base, [power, AffineTransform(loc=0, scale=scale)]

    def _log_moment(self, order: int) -> Any:
        return lgamma(1 + order / self.concentration)

    @property
    def mean(self) -> Any:
        return self.scale * self._log_moment(1).exp()

    @property
    def mode(self) -> Any:
        k = self.concentration
        return self.scale * ((k - 1) / k).pow(k.reciprocal())

    @property
    def variance(self) -> Any:
        spread = self._log_moment(2).exp() - (2 * self._log_moment(1)).exp()
        return self.scale.square() * spread

    def entropy(self) -> Any:
        inverse = self.concentration.reciprocal()
        return euler_constant * (1 - inverse) + (self.scale * inverse).log() + 1


class Pareto(_OfParameters):
    """scale · exp(an exponential number of rate alpha)."""

    arg_constraints: ClassVar[Any] = {"alpha": constraints.positive, "scale": constraints.positive}
    _names = ("scale", "alpha")
    scale: Any
    alpha: Any

    def __init__(self, scale: Any, alpha: Any, validate_args: bool | None = None) -> None:
        self._build(validate_args, scale=scale, alpha=alpha)

    def _parts(self, scale: Any, alpha: Any) -> Any:
        base = Exponential(alpha, validate_args=False)
        return base, [ExpTransform(), AffineTransform(loc=0, scale=scale)]

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self) -> Any:
        a = self.alpha.clamp(min=1)
        return a * self.scale / (a - 1)

    @property
    def mode(self) -> Any:
        return self.scale

    @property
    def variance(self) -> Any:
        a = self.alpha.clamp(min=2)
        return self.scale.square() * a / ((a - 1).square() * (a - 2))

    def entropy(self) -> Any:
        return (self.scale / self.alpha).log() + (1 + self.alpha.reciprocal())


class Kumaraswamy(_OfParameters):
    """(1 - (1 - u) to the power 1/concentration0) to the power 1/concentration1, u uniform."""

    arg_constraints: ClassVar[Any] = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
    }
    support = constraints.unit_interval
    _names = ("concentration1", "concentration0")
    concentration1: Any
    concentration0: Any

    def __init__(
        self, concentration1: Any, concentration0: Any, validate_args: bool | None = None
    ) -> None:
        self._build(validate_args, concentration1=concentration1, concentration0=concentration0)

    def _parts(self, concentration1: Any, concentration0: Any) -> Any:
        nothing = concentration0.detach() * 0
        base = Uniform(nothing, nothing + 1, validate_args=False)
        transforms = [
            PowerTransform(exponent=concentration0.reciprocal()),
            AffineTransform(loc=1.0, scale=-1.0),
            PowerTransform(exponent=concentration1.reciprocal()),
        ]
        return base, transforms

    def _moment(self, order: int) -> Any:
        a, b = self.concentration1, self.concentration0
        value = 1 + order / a
        return (lgamma(value) + lgamma(b) - lgamma(value + b)).exp() * b

    @property
    def mean(self) -> Any:
        return self._moment(1)

    @property
    def mode(self) -> Any:
        a, b = self.concentration1, self.concentration0
        return where((a < 1) | (b < 1), math.nan, ((1 - a) / (1 - a * b)).pow(1 / a))

    @property
    def variance(self) -> Any:
        return self._moment(2) - self._moment(1).square()

    def entropy(self) -> Any:
        a, b = self.concentration1, self.concentration0
        harmonic = digamma(b + 1) + euler_constant
        return (1 - b.reciprocal()) + (1 - a.reciprocal()) * harmonic - a.log() - b.log()


class LogisticNormal(TransformedDistribution):
    """Probabilities of n + 1 outcomes: n normal numbers through StickBreakingTransform."""

    arg_constraints: ClassVar[Any] = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        base = Normal(loc, scale, validate_args=validate_args)
        if not base.batch_shape:
            base = base.expand([1])
        super().__init__(base, StickBreakingTransform(), validate_args=validate_args)

    @property
    def loc(self) -> Any:
        """The means of the normal numbers."""
        return self.base_dist.base_dist.loc

    @property
    def scale(self) -> Any:
        """Their standard deviations."""
        return self.base_dist.base_dist.scale


class GeneralizedPareto(Distribution):
    """The generalised Pareto distribution: excesses over a threshold `loc` (J. Pickands, 1975)."""

    arg_constraints: ClassVar[Any] = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "concentration": constraints.real,
    }
    has_rsample = True
    loc: Any
    scale: Any
    concentration: Any

    def __init__(
        self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None
    ) -> None:
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        numbers = numbers_only(loc, scale, concentration)
        super().__init__(() if numbers else self.loc.shape, (), validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        upper = where(self.concentration < 0, self.loc - self.scale / self.concentration, math.inf)
        return constraints.interval(self.loc, upper)

    @property
    def mean(self) -> Any:
        c = self.concentration
        return where(c < 1, self.loc + self.scale / (1 - c), math.inf)

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        c = self.concentration
        return where(c < 0.5, self.scale.square() / ((1 - c).square() * (1 - 2 * c)), math.inf)

    def _logarithm(self, z: Any) -> Any:
        """log(1 + c z) / c, z where c is 0."""
        zero = self.concentration == 0
        c = where(zero, 1.0, self.concentration)
        return where(zero, z, (c * z).log1p() / c)

    def rsample(self, sample_shape: Any = ()) -> Any:
        from flambeau.ops.random import rand

        shape = self._extended_shape(sample_shape)
        return self.icdf(rand(shape, dtype=self.loc.dtype, device=self.loc.device))

    def log_prob(self, value: Any) -> Any:
        z = (self._checked(value) - self.loc) / self.scale
        return -self.scale.log() - (1 + self.concentration) * self._logarithm(z)

    def cdf(self, value: Any) -> Any:
        z = (self._checked(value) - self.loc) / self.scale
        return -(-self._logarithm(z)).expm1()

    def icdf(self, value: Any) -> Any:
        zero = self.concentration == 0
        c = where(zero, 1.0, self.concentration)
        wait = -(-value).log1p()
        return self.loc + self.scale * where(zero, wait, (c * wait).expm1() / c)

    def entropy(self) -> Any:
        return self.scale.log() + self.concentration + 1
