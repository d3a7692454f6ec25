"""The table of distributions: how each is made, and values in its support."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Make = Callable[[Any, Any], Any]
"""make(torch, t): the distribution, of either library; t makes tensors of float64 lists."""

POSITIVE = [0.5, 1.5, 2.5]
REAL = [-1.0, 0.3, 2.0]
UNIT = [0.2, 0.5, 0.9]
COUNTS = [0.0, 1.0, 3.0]
VECTORS = [[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]]
MATRIX = [[2.0, 0.3, 0.1], [0.3, 1.0, -0.2], [0.1, -0.2, 1.5]]

# name -> (make, values)
TABLE: dict[str, tuple[Make, Any]] = {
    "Normal": (lambda d, t: d.Normal(t(REAL), t(POSITIVE)), REAL),
    "Laplace": (lambda d, t: d.Laplace(t(REAL), t(POSITIVE)), POSITIVE),
    "Cauchy": (lambda d, t: d.Cauchy(t(REAL), t(POSITIVE)), POSITIVE),
    "StudentT": (lambda d, t: d.StudentT(t([1.5, 2.5, 4.0]), t(REAL), t(POSITIVE)), POSITIVE),
    "Uniform": (lambda d, t: d.Uniform(t([-1.0, 0.0, 0.1]), t([1.0, 2.0, 3.0])), UNIT),
    "Gumbel": (lambda d, t: d.Gumbel(t(REAL), t(POSITIVE)), REAL),
    "LogNormal": (lambda d, t: d.LogNormal(t(REAL), t(POSITIVE)), POSITIVE),
    "HalfNormal": (lambda d, t: d.HalfNormal(t(POSITIVE)), POSITIVE),
    "HalfCauchy": (lambda d, t: d.HalfCauchy(t(POSITIVE)), POSITIVE),
    "Weibull": (lambda d, t: d.Weibull(t(POSITIVE), t([1.2, 2.0, 0.8])), POSITIVE),
    "Pareto": (lambda d, t: d.Pareto(t([0.1, 0.2, 0.3]), t([2.5, 3.0, 1.5])), POSITIVE),
    "Kumaraswamy": (lambda d, t: d.Kumaraswamy(t([1.5, 2.0, 3.0]), t([2.5, 1.1, 2.0])), UNIT),
    "Gamma": (lambda d, t: d.Gamma(t(POSITIVE), t([1.0, 2.0, 0.5])), POSITIVE),
    "Chi2": (lambda d, t: d.Chi2(t(POSITIVE)), POSITIVE),
    "InverseGamma": (lambda d, t: d.InverseGamma(t([2.5, 3.5, 1.2]), t(POSITIVE)), POSITIVE),
    "Exponential": (lambda d, t: d.Exponential(t(POSITIVE)), POSITIVE),
    "Beta": (lambda d, t: d.Beta(t(POSITIVE), t([2.0, 0.7, 1.5])), UNIT),
    "Dirichlet": (lambda d, t: d.Dirichlet(t([POSITIVE, [2.0, 3.0, 0.4]])), VECTORS),
    "FisherSnedecor": (lambda d, t: d.FisherSnedecor(t([3.0, 5.0, 1.0]), t([5.0, 7.0, 3.0])),
                       POSITIVE),
    "Bernoulli": (lambda d, t: d.Bernoulli(t(UNIT)), [0.0, 1.0, 1.0]),
    "Bernoulli.logits": (lambda d, t: d.Bernoulli(logits=t(REAL)), [0.0, 1.0, 1.0]),
    "ContinuousBernoulli": (lambda d, t: d.ContinuousBernoulli(t([0.2, 0.5, 0.9])), UNIT),
    "Geometric": (lambda d, t: d.Geometric(t(UNIT)), COUNTS),
    "Binomial": (lambda d, t: d.Binomial(5, t(UNIT)), COUNTS),
    "NegativeBinomial": (lambda d, t: d.NegativeBinomial(t([1.0, 4.0, 2.5]), t(UNIT)), COUNTS),
    "Poisson": (lambda d, t: d.Poisson(t([0.5, 3.0, 20.0])), COUNTS),
    "Categorical": (lambda d, t: d.Categorical(t(VECTORS)), [0.0, 2.0]),
    "Categorical.logits": (lambda d, t: d.Categorical(logits=t([REAL, UNIT])), [0.0, 2.0]),
    "OneHotCategorical": (lambda d, t: d.OneHotCategorical(t(VECTORS)),
                          [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),
    "OneHotCategoricalStraightThrough": (
        lambda d, t: d.OneHotCategoricalStraightThrough(t(VECTORS)),
        [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),
    "Multinomial": (lambda d, t: d.Multinomial(4, t(VECTORS)), [[1.0, 3.0, 0.0], [2.0, 1.0, 1.0]]),
    "VonMises": (lambda d, t: d.VonMises(t(REAL), t(POSITIVE)), REAL),
    "LogisticNormal": (lambda d, t: d.LogisticNormal(t([REAL[:2], UNIT[:2]]),
                                                     t([POSITIVE[:2], UNIT[:2]])), VECTORS),
    "RelaxedBernoulli": (lambda d, t: d.RelaxedBernoulli(t(0.7), t(UNIT)), UNIT),
    "RelaxedOneHotCategorical": (lambda d, t: d.RelaxedOneHotCategorical(t(0.7), t(VECTORS)),
                                 VECTORS),
    "GeneralizedPareto": (lambda d, t: d.GeneralizedPareto(t([0.0, 0.1, 0.2]), t(POSITIVE),
                                                           t([0.1, 0.3, -0.1])), POSITIVE),
    "Independent": (lambda d, t: d.Independent(d.Normal(t([REAL, UNIT]), t([POSITIVE, UNIT])), 1),
                    VECTORS),
    "MixtureSameFamily": (lambda d, t: d.MixtureSameFamily(
        d.Categorical(t(VECTORS)), d.Normal(t([REAL, UNIT]), t([POSITIVE, UNIT]))), [0.1, 0.2]),
    "TransformedDistribution": (lambda d, t: d.TransformedDistribution(
        d.Normal(t(REAL), t(POSITIVE)),
        [d.AffineTransform(0.5, 2.0), d.SigmoidTransform()]), UNIT),
    "MultivariateNormal": (lambda d, t: d.MultivariateNormal(t(REAL), t(MATRIX)), VECTORS),
    "MultivariateNormal.precision": (
        lambda d, t: d.MultivariateNormal(t(REAL), precision_matrix=t(MATRIX)), VECTORS),
    "MultivariateNormal.scale_tril": (
        lambda d, t: d.MultivariateNormal(t([REAL, UNIT]), scale_tril=t(MATRIX).tril()), VECTORS),
    "LowRankMultivariateNormal": (lambda d, t: d.LowRankMultivariateNormal(
        t(REAL), t([[0.5], [1.0], [-0.3]]), t(POSITIVE)), VECTORS),
    "Wishart": (lambda d, t: d.Wishart(t(4.5), t(MATRIX)), [MATRIX]),
    "LKJCholesky": (lambda d, t: d.LKJCholesky(3, t([1.5])),
                    [[[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.6, 0.8]]]),
}  # fmt: skip

TRANSFORMS: dict[str, tuple[Callable[[Any, Any], Any], Any]] = {
    "exp": (lambda d, t: d.ExpTransform(), REAL),
    "sigmoid": (lambda d, t: d.SigmoidTransform(), REAL),
    "tanh": (lambda d, t: d.TanhTransform(), REAL),
    "softplus": (lambda d, t: d.SoftplusTransform(), REAL),
    "power": (lambda d, t: d.PowerTransform(t(1.7)), POSITIVE),
    "affine": (lambda d, t: d.AffineTransform(t([1.0]), t([-2.0])), REAL),
    "affine of vectors": (lambda d, t: d.AffineTransform(0.5, 2.0, event_dim=1), VECTORS),
    "compose": (lambda d, t: d.ComposeTransform([d.ExpTransform(), d.AffineTransform(1.0, 3.0)]),
                REAL),
    "inverse": (lambda d, t: d.ExpTransform().inv, POSITIVE),
    "stick breaking": (lambda d, t: d.StickBreakingTransform(), VECTORS),
    "corr cholesky": (lambda d, t: d.CorrCholeskyTransform(), VECTORS),
    "independent": (lambda d, t: d.IndependentTransform(d.ExpTransform(), 1), VECTORS),
    "reshape": (lambda d, t: d.ReshapeTransform((3,), (3, 1)), VECTORS),
    "cat": (lambda d, t: d.CatTransform([d.ExpTransform(), d.TanhTransform()], -1, [1, 2]),
            VECTORS),
    "stack": (lambda d, t: d.StackTransform(
        [d.ExpTransform(), d.TanhTransform(), d.SigmoidTransform()], -1), VECTORS),
}  # fmt: skip
