"""kl_divergence: a table of formulas by the pair of classes; register_kl adds to it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from flambeau.distributions import (
    categorical,
    discrete,
    gamma,
    independent,
    location_scale,
    multivariate,
    transformed,
)
from flambeau.distributions.distribution import Distribution, ExponentialFamily
from flambeau.distributions.utils import euler_constant, sum_rightmost
from flambeau.ops.activation import softplus
from flambeau.ops.logic import where
from flambeau.ops.math import erf, log1p, xlogy
from flambeau.ops.special.gamma import digamma, lgamma, mvlgamma
from flambeau.tensor.differentiate import grad

_TABLE: dict[tuple[type, type], Callable[[Any, Any], Any]] = {}
_FOUND: dict[tuple[type, type], Any] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Any], Any]:
    """Decorates the formula for kl_divergence(p, q) of these classes and what derives from them."""
    for each in (type_p, type_q):
        if not (isinstance(each, type) and issubclass(each, Distribution)):
            raise TypeError(f"Expected type to be a Distribution subclass but got {each}")

    def decorate(formula: Any) -> Any:
        _TABLE[type_p, type_q] = formula
        _FOUND.clear()
        return formula

    return decorate


def _find(type_p: type, type_q: type) -> Any:
    """The formula of the nearest pair of base classes, p's before q's."""
    pair = (type_p, type_q)
    if pair not in _FOUND:
        near = [(p, q) for p in type_p.__mro__ for q in type_q.__mro__ if (p, q) in _TABLE]
        _FOUND[pair] = _TABLE[near[0]] if near else None
    return _FOUND[pair]


def kl_divergence(p: Distribution, q: Distribution) -> Any:
    """KL(p ‖ q) = ∫ p(x) log(p(x) / q(x)) dx, of shape batch_shape.

    Raises NotImplementedError where no formula is registered for the classes.
    """
    formula = _find(type(p), type(q))
    if formula is None:
        raise NotImplementedError(
            f"No KL(p || q) is implemented for p type {type(p).__name__} and q type "
            f"{type(q).__name__}. Register one with register_kl, or estimate it by samples: "
            "(p.log_prob(x) - q.log_prob(x)).mean(0)"
        )
    return formula(p, q)


def _infinite(p: Any, q: Any) -> Any:
    """q is 0 where p is not."""
    return p.mean.new_full(tuple(p.batch_shape), math.inf)


# the same family --------------------------------------------------------------------------------


@register_kl(discrete.Bernoulli, discrete.Bernoulli)
def _bernoulli(p: Any, q: Any) -> Any:
    first = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    second = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    first = where((q.probs == 0) & (p.probs > 0), math.inf, where(p.probs == 0, 0.0, first))
    second = where((q.probs == 1) & (p.probs < 1), math.inf, where(p.probs == 1, 0.0, second))
    return first + second


@register_kl(discrete.Binomial, discrete.Binomial)
def _binomial(p: Any, q: Any) -> Any:
    if bool((q.total_count < p.total_count).any()):
        raise NotImplementedError(
            "KL between Binomials where q.total_count < p.total_count is not implemented"
        )
    kl = p.total_count * (p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p())
    return where(p.total_count > q.total_count, math.inf, kl)


@register_kl(categorical.Categorical, categorical.Categorical)
def _categorical(p: Any, q: Any) -> Any:
    terms = p.probs * (p.logits - q.logits)
    terms = where(q.probs == 0, math.inf, terms)
    return where(p.probs == 0, 0.0, terms).sum(-1)


@register_kl(categorical.OneHotCategorical, categorical.OneHotCategorical)
def _one_hot(p: Any, q: Any) -> Any:
    return _categorical(p._categorical, q._categorical)


@register_kl(gamma.Dirichlet, gamma.Dirichlet)
def _dirichlet(p: Any, q: Any) -> Any:
    total = p.concentration.sum(-1)
    first = lgamma(total) - lgamma(q.concentration.sum(-1))
    second = (lgamma(p.concentration) - lgamma(q.concentration)).sum(-1)
    step = digamma(p.concentration) - digamma(total).unsqueeze(-1)
    return first - second + ((p.concentration - q.concentration) * step).sum(-1)


@register_kl(gamma.Beta, gamma.Beta)
def _beta(p: Any, q: Any) -> Any:
    return _dirichlet(p._dirichlet, q._dirichlet)


@register_kl(gamma.Exponential, gamma.Exponential)
def _exponential(p: Any, q: Any) -> Any:
    ratio = q.rate / p.rate
    return ratio - 1 - ratio.log()


@register_kl(gamma.Gamma, gamma.Gamma)
def _gamma(p: Any, q: Any) -> Any:
    a, b = p.concentration, q.concentration
    return (
        b * (p.rate / q.rate).log()
        + lgamma(b)
        - lgamma(a)
        + (a - b) * digamma(a)
        + (q.rate - p.rate) * (a / p.rate)
    )


@register_kl(transformed.Gumbel, transformed.Gumbel)
def _gumbel(p: Any, q: Any) -> Any:
    ratio, location = p.scale / q.scale, p.loc / q.scale - q.loc / q.scale
    tail = (lgamma(1 + ratio) - location).exp()
    return -ratio.log() + location + ratio * euler_constant + tail - (1 + euler_constant)


@register_kl(discrete.Geometric, discrete.Geometric)
def _geometric(p: Any, q: Any) -> Any:
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.logits


@register_kl(transformed.HalfNormal, transformed.HalfNormal)
def _half_normal(p: Any, q: Any) -> Any:
    return _normal(p.base_dist, q.base_dist)


@register_kl(location_scale.Laplace, location_scale.Laplace)
def _laplace(p: Any, q: Any) -> Any:
    ratio = p.scale / q.scale
    distance = (p.loc - q.loc).abs()
    return distance / q.scale + ratio * (-distance / p.scale).exp() - ratio.log() - 1


@register_kl(location_scale.Normal, location_scale.Normal)
def _normal(p: Any, q: Any) -> Any:
    ratio = (p.scale / q.scale).square()
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).square() - 1 - ratio.log())


@register_kl(location_scale.Cauchy, location_scale.Cauchy)
def _cauchy(p: Any, q: Any) -> Any:
    """F. Chyzak and F. Nielsen (2019)."""
    whole = ((p.scale + q.scale).square() + (p.loc - q.loc).square()).log()
    return whole - (4 * p.scale * q.scale).log()


@register_kl(transformed.Pareto, transformed.Pareto)
def _pareto(p: Any, q: Any) -> Any:
    scale, alpha = p.scale / q.scale, q.alpha / p.alpha
    return where(p.scale < q.scale, math.inf, q.alpha * scale.log() - alpha.log() + alpha - 1)


@register_kl(discrete.Poisson, discrete.Poisson)
def _poisson(p: Any, q: Any) -> Any:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(location_scale.Uniform, location_scale.Uniform)
def _uniform(p: Any, q: Any) -> Any:
    outside = (q.low > p.low) | (q.high < p.high)
    return where(outside, math.inf, ((q.high - q.low) / (p.high - p.low)).log())


@register_kl(discrete.ContinuousBernoulli, discrete.ContinuousBernoulli)
def _continuous_bernoulli(p: Any, q: Any) -> Any:
    odds = p.mean * (p.logits - q.logits)
    return odds + p._log_norm() + (-p.probs).log1p() - q._log_norm() - (-q.probs).log1p()


def _covariance_distance(p: Any, q: Any) -> Any:
    """tr(Σq⁻¹ Σp) + the distance of the means by q's covariance."""
    factor = q.scale_tril
    spread = multivariate.lower_solve(factor, p.scale_tril).square().sum((-2, -1))
    return spread + multivariate.squared_distance(factor, q.loc - p.loc)


@register_kl(multivariate.MultivariateNormal, multivariate.MultivariateNormal)
@register_kl(multivariate.MultivariateNormal, multivariate.LowRankMultivariateNormal)
@register_kl(multivariate.LowRankMultivariateNormal, multivariate.MultivariateNormal)
@register_kl(multivariate.LowRankMultivariateNormal, multivariate.LowRankMultivariateNormal)
def _multivariate_normal(p: Any, q: Any) -> Any:
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two Multivariate Normals with different event shapes cannot be "
            f"computed: {tuple(p.event_shape)} and {tuple(q.event_shape)}"
        )
    of_p, of_q = multivariate.log_diagonal(p.scale_tril), multivariate.log_diagonal(q.scale_tril)
    return of_q - of_p + 0.5 * (_covariance_distance(p, q) - p.event_shape[0])


@register_kl(transformed.TransformedDistribution, transformed.TransformedDistribution)
def _transformed(p: Any, q: Any) -> Any:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError("KL of transformed distributions needs the same transforms")
    more = len(p.event_shape) - len(p.base_dist.event_shape)
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), more)


@register_kl(independent.Independent, independent.Independent)
def _independent(p: Any, q: Any) -> Any:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError("KL of Independent needs the same reinterpreted_batch_ndims")
    kl = kl_divergence(p.base_dist, q.base_dist)
    return sum_rightmost(kl, p.reinterpreted_batch_ndims)


@register_kl(ExponentialFamily, ExponentialFamily)
def _exponential_family(p: Any, q: Any) -> Any:
    """A. Bregman divergence of the log normalisers (F. Nielsen and R. Nock, 2010)."""
    if type(p) is not type(q):
        raise NotImplementedError(
            "The cross KL-divergence between different exponential families cannot be computed "
            "using Bregman divergences"
        )
    of_p = [each.detach().requires_grad_() for each in p._natural_params]
    normalizer = p._log_normalizer(*of_p)
    gradients = grad(normalizer.sum(), of_p, create_graph=True)
    result = q._log_normalizer(*q._natural_params) - normalizer
    for first, second, gradient in zip(of_p, q._natural_params, gradients, strict=True):
        term = (second - first) * gradient
        result = result - sum_rightmost(term, len(q.event_shape))
    return result


# across families --------------------------------------------------------------------------------


@register_kl(location_scale.Uniform, gamma.Exponential)
def _uniform_exponential(p: Any, q: Any) -> Any:
    kl = q.rate * (p.high + p.low) / 2 - ((p.high - p.low) * q.rate).log()
    return where(p.low < 0, math.inf, kl)


@register_kl(location_scale.Uniform, location_scale.Normal)
def _uniform_normal(p: Any, q: Any) -> Any:
    width = p.high - p.low
    first = (math.sqrt(math.pi * 2) * q.scale / width).log()
    second = width.square() / 12
    return first + 0.5 * (second + ((p.high + p.low - 2 * q.loc) / 2).square()) / q.scale.square()


@register_kl(gamma.Exponential, gamma.Gamma)
def _exponential_gamma(p: Any, q: Any) -> Any:
    ratio = q.rate / p.rate
    a = q.concentration
    return -a * ratio.log() + ratio + lgamma(a) + a * euler_constant - (1 + euler_constant)


@register_kl(gamma.Gamma, gamma.Exponential)
def _gamma_exponential(p: Any, q: Any) -> Any:
    return -p.entropy() - q.rate.log() + q.rate * p.concentration / p.rate


@register_kl(transformed.Pareto, location_scale.Normal)
@register_kl(gamma.Exponential, location_scale.Normal)
@register_kl(gamma.Gamma, location_scale.Normal)
@register_kl(transformed.Gumbel, location_scale.Normal)
@register_kl(location_scale.Laplace, location_scale.Normal)
@register_kl(gamma.Beta, location_scale.Normal)
@register_kl(discrete.ContinuousBernoulli, location_scale.Normal)
def _against_normal(p: Any, q: Any) -> Any:
    """Cross entropy with a normal distribution needs p's mean and variance only."""
    moment = p.variance + (p.mean - q.loc).square()
    cross = 0.5 * (moment / q.scale.square() + math.log(2 * math.pi)) + q.scale.log()
    return cross - p.entropy()


@register_kl(gamma.Beta, gamma.Exponential)
@register_kl(discrete.ContinuousBernoulli, gamma.Exponential)
@register_kl(transformed.Pareto, gamma.Exponential)
def _against_exponential(p: Any, q: Any) -> Any:
    """Cross entropy with an exponential distribution needs p's mean only."""
    return q.rate * p.mean - q.rate.log() - p.entropy()


def _mean_log(p: Any) -> Any:
    """The mean of log x."""
    if isinstance(p, gamma.Beta):
        return digamma(p.concentration1) - digamma(p._total)
    if isinstance(p, transformed.Pareto):
        return p.scale.log() + p.alpha.reciprocal()
    return (xlogy(p.high, p.high) - xlogy(p.low, p.low)) / (p.high - p.low) - 1


def _mean_exponential(p: Any, rate: Any) -> Any:
    """The mean of exp(-rate · x)."""
    if isinstance(p, location_scale.Normal):
        return (-rate * p.loc + 0.5 * (rate * p.scale).square()).exp()
    if isinstance(p, location_scale.Uniform):
        return ((-rate * p.low).exp() - (-rate * p.high).exp()) / (rate * (p.high - p.low))
    shape = p.concentration if isinstance(p, gamma.Gamma) else 1.0
    return (-shape * (rate / p.rate).log1p()).exp()


@register_kl(location_scale.Uniform, gamma.Gamma)
@register_kl(gamma.Beta, gamma.Gamma)
@register_kl(transformed.Pareto, gamma.Gamma)
def _against_gamma(p: Any, q: Any) -> Any:
    a = q.concentration
    mean = a * q.rate.log() - lgamma(a) + (a - 1) * _mean_log(p) - q.rate * p.mean
    kl = -p.entropy() - mean
    return where(p.low < 0, math.inf, kl) if isinstance(p, location_scale.Uniform) else kl


@register_kl(location_scale.Normal, transformed.Gumbel)
@register_kl(location_scale.Uniform, transformed.Gumbel)
@register_kl(gamma.Gamma, transformed.Gumbel)
@register_kl(gamma.Exponential, transformed.Gumbel)
def _against_gumbel(p: Any, q: Any) -> Any:
    rate = q.scale.reciprocal()
    tail = (q.loc * rate).exp() * _mean_exponential(p, rate)
    return q.scale.log() + (p.mean - q.loc) * rate + tail - p.entropy()


@register_kl(location_scale.Normal, location_scale.Laplace)
def _normal_laplace(p: Any, q: Any) -> Any:
    step = p.loc - q.loc
    ratio = step / (p.scale * math.sqrt(2))
    size = p.scale * math.sqrt(2 / math.pi) * (-ratio.square()).exp() + step * erf(ratio)
    return (2 * q.scale).log() + size / q.scale - p.entropy()


@register_kl(location_scale.Uniform, transformed.Pareto)
def _uniform_pareto(p: Any, q: Any) -> Any:
    mean = q.alpha.log() + q.alpha * q.scale.log() - (q.alpha + 1) * _mean_log(p)
    return where(p.low < q.scale, math.inf, -p.entropy() - mean)


@register_kl(location_scale.Uniform, gamma.Beta)
def _uniform_beta(p: Any, q: Any) -> Any:
    low, high = 1 - p.high, 1 - p.low
    mean_log_rest = (xlogy(high, high) - xlogy(low, low)) / (high - low) - 1
    mean = (q.concentration1 - 1) * _mean_log(p) + (q.concentration0 - 1) * mean_log_rest
    kl = -p.entropy() - mean + q._log_normalizer(q.concentration1, q.concentration0)
    return where((p.low < 0) | (p.high > 1), math.inf, kl)


@register_kl(location_scale.Uniform, discrete.ContinuousBernoulli)
@register_kl(gamma.Beta, discrete.ContinuousBernoulli)
def _against_continuous_bernoulli(p: Any, q: Any) -> Any:
    kl = -p.entropy() - p.mean * q.logits - log1p(-q.probs) - q._log_norm()
    if isinstance(p, location_scale.Uniform):
        return where((p.low < 0) | (p.high > 1), math.inf, kl)
    return kl


@register_kl(gamma.Beta, location_scale.Uniform)
@register_kl(discrete.ContinuousBernoulli, location_scale.Uniform)
def _unit_interval_uniform(p: Any, q: Any) -> Any:
    return where((q.low > 0) | (q.high < 1), math.inf, (q.high - q.low).log() - p.entropy())


@register_kl(discrete.Bernoulli, discrete.Poisson)
def _bernoulli_poisson(p: Any, q: Any) -> Any:
    return -p.entropy() - p.probs * q.rate.log() + q.rate


@register_kl(gamma.InverseGamma, gamma.InverseGamma)
def _inverse_gamma(p: Any, q: Any) -> Any:
    return _gamma(p, q)


@register_kl(multivariate.Wishart, multivariate.Wishart)
def _wishart(p: Any, q: Any) -> Any:
    n = p.event_shape[-1]
    of_p, of_q = p._unbroadcasted_scale_tril, q._unbroadcasted_scale_tril
    spread = multivariate.lower_solve(of_q, of_p).square().sum((-2, -1))
    halves = [digamma(0.5 * (p.df - place)) for place in range(n)]
    return (
        q.df * (multivariate.log_diagonal(of_q) - multivariate.log_diagonal(of_p))
        + 0.5 * p.df * (spread - n)
        + mvlgamma(0.5 * q.df, n)
        - mvlgamma(0.5 * p.df, n)
        + 0.5 * (p.df - q.df) * sum(halves[1:], halves[0])
    )


_OUTSIDE = [
    (gamma.Beta, transformed.Pareto),
    (discrete.ContinuousBernoulli, transformed.Pareto),
    (gamma.Exponential, gamma.Beta),
    (gamma.Exponential, transformed.Pareto),
    (gamma.Exponential, location_scale.Uniform),
    (gamma.Gamma, gamma.Beta),
    (gamma.Gamma, transformed.Pareto),
    (gamma.Gamma, location_scale.Uniform),
    *[
        (p, q)
        for p in (location_scale.Normal, location_scale.Laplace, transformed.Gumbel)
        for q in (
            gamma.Beta, gamma.Exponential, gamma.Gamma, transformed.Pareto, location_scale.Uniform,
            discrete.ContinuousBernoulli,
        )
    ],
    (gamma.Exponential, discrete.ContinuousBernoulli),
    (gamma.Gamma, discrete.ContinuousBernoulli),
    (transformed.Pareto, discrete.ContinuousBernoulli),
    (transformed.Pareto, gamma.Beta),
    (transformed.Pareto, location_scale.Uniform),
    (discrete.Poisson, discrete.Bernoulli),
    (discrete.Poisson, discrete.Binomial),
]  # fmt: skip
"""Pairs whose supports differ so that the divergence is infinite."""

for _pair in _OUTSIDE:
    register_kl(*_pair)(_infinite)

__all__ = ["kl_divergence", "register_kl"]
