"""Distributions against themselves: sums are 1, samples have the mean, formulas agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from table import TABLE, TRANSFORMS

import flambeau as torch
from flambeau import distributions

NAMES = {name.split(".")[0] for name in TABLE}


def tensor(values: Any) -> Any:
    return torch.tensor(values, dtype=torch.float64)


def made(name: str) -> Any:
    return TABLE[name][0](distributions, tensor)


def test_the_table_has_every_distribution() -> None:
    classes = {name for name in distributions.__all__ if name[0].isupper()}
    bases = {"Distribution", "ExponentialFamily", "LogitRelaxedBernoulli", "ExpRelaxedCategorical"}
    assert {name for name in classes if "Transform" not in name} - bases == NAMES - {
        "TransformedDistribution"
    }


@pytest.mark.parametrize("name", TABLE)
def test_samples_lie_in_the_support_and_repeat(name: str) -> None:
    distribution = made(name)
    torch.manual_seed(1)
    first = distribution.sample((5,))
    torch.manual_seed(1)
    assert (distribution.sample((5,)) == first).all()
    assert distribution.support.check(first).all() or name == "Dirichlet"
    assert tuple(first.shape) == (5, *distribution.batch_shape, *distribution.event_shape)
    assert tuple(distribution.log_prob(first).shape) == (5, *distribution.batch_shape)


@pytest.mark.parametrize(
    "name", ["Gamma", "Beta", "Poisson", "Binomial", "NegativeBinomial", "Wishart", "StudentT",
             "MixtureSameFamily", "LowRankMultivariateNormal", "Multinomial", "Weibull"],
)  # fmt: skip
def test_samples_have_the_mean(name: str) -> None:
    distribution = made(name)
    torch.manual_seed(0)
    samples = distribution.sample((1500,)).numpy()
    mean, variance = distribution.mean.numpy(), distribution.variance.numpy()
    error = np.where(np.isfinite(variance), 4.5 * np.sqrt(variance / 1500), np.inf)
    assert (np.abs(samples.mean(0) - mean) <= error + 1e-9).all()


@pytest.mark.parametrize(
    "name", [n for n in TABLE if made(n).has_enumerate_support and "Straight" not in n]
)
def test_probabilities_sum_up_to_1(name: str) -> None:
    distribution = made(name)
    total = distribution.log_prob(distribution.enumerate_support()).exp().sum(0)
    np.testing.assert_allclose(total.numpy(), 1, 1e-9)


@pytest.mark.parametrize(
    "name", ["Normal", "Laplace", "Cauchy", "Gumbel", "LogNormal", "HalfNormal", "HalfCauchy",
             "Weibull", "Kumaraswamy", "Exponential", "Uniform", "GeneralizedPareto",
             "ContinuousBernoulli", "Pareto", "TransformedDistribution"],
)  # fmt: skip
def test_cdf_is_the_integral_of_the_density(name: str) -> None:
    distribution = made(name)
    value = tensor(TABLE[name][1]).requires_grad_()
    probability = distribution.cdf(value)
    (density,) = torch.autograd.grad(probability.sum(), value)
    np.testing.assert_allclose(density.numpy(), distribution.log_prob(value).exp().detach().numpy())
    back = distribution.icdf(probability.detach())
    np.testing.assert_allclose(back.numpy(), value.detach().numpy(), 1e-8)


@pytest.mark.parametrize("name", ["Gamma", "InverseGamma", "Chi2"])
def test_cdf_by_incomplete_gamma(name: str) -> None:
    distribution = made(name)
    value = tensor(TABLE[name][1]).requires_grad_()
    if name == "InverseGamma":
        found = distribution.cdf(value)
        samples = distribution.sample((2000,))
        assert ((samples < value).double().mean(0) - found).abs().max() < 0.05
        return
    (density,) = torch.autograd.grad(distribution.cdf(value).sum(), value)
    np.testing.assert_allclose(density.numpy(), distribution.log_prob(value).exp().detach().numpy())


@pytest.mark.parametrize("name", TABLE)
def test_divergence_from_itself_is_0(name: str) -> None:
    distribution = made(name)
    try:
        divergence = distributions.kl_divergence(distribution, distribution)
    except NotImplementedError:
        assert name in {"StudentT", "Multinomial", "FisherSnedecor", "HalfCauchy", "VonMises",
                        "Weibull", "Kumaraswamy", "NegativeBinomial", "GeneralizedPareto",
                        "MixtureSameFamily", "LKJCholesky", "RelaxedBernoulli",
                        "RelaxedOneHotCategorical"}  # fmt: skip
        return
    np.testing.assert_allclose(divergence.numpy(), 0, atol=1e-9)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_come_back(name: str) -> None:
    make, values = TRANSFORMS[name]
    transform, x = make(distributions.transforms, tensor), tensor(values)
    y = transform(x)
    np.testing.assert_allclose(transform.inv(y).numpy(), x.numpy(), 1e-9)
    assert transform.with_cache(1).inv is not None
    if transform.domain.event_dim == 0 and name not in ("cat", "stack"):
        leaf = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(transform(leaf).sum(), leaf)
        found = transform.log_abs_det_jacobian(x, y).expand(x.shape)
        np.testing.assert_allclose(found.numpy(), slope.abs().log().numpy(), 1e-7, 1e-9)


def test_policy_gradient_and_register_kl() -> None:
    logits = torch.zeros(4, requires_grad=True)
    policy = distributions.Categorical(logits=logits)
    (-policy.log_prob(torch.tensor(2)) - 0.01 * policy.entropy()).backward()
    np.testing.assert_allclose(logits.grad.numpy(), [0.25, 0.25, -0.75, 0.25], 1e-6)

    class Own(distributions.Normal):
        pass

    @distributions.register_kl(Own, distributions.Normal)
    def formula(p: Any, q: Any) -> Any:
        return p.loc * 0 + 5

    normal = distributions.Normal(0.0, 1.0)
    assert distributions.kl_divergence(Own(0.0, 1.0), normal).item() == 5
    assert distributions.kl_divergence(normal, Own(0.0, 1.0)).item() == 0


def test_pytorchs_modules_are_there() -> None:
    from flambeau.distributions.multivariate_normal import MultivariateNormal
    from flambeau.distributions.normal import Normal

    from flambeau.distributions.categorical import Categorical

    assert (Categorical, MultivariateNormal, Normal) == (
        distributions.Categorical, distributions.MultivariateNormal, distributions.Normal
    )  # fmt: skip
