"""torch.distributions: probability distributions, transforms and Kullback–Leibler divergences.

One file for each family; PyTorch's module for each class (torch.distributions.normal, …) is another
name of the file that has it.
"""

from __future__ import annotations

import sys

from flambeau.distributions import (
    categorical,
    constraint_registry,
    constraints,
    discrete,
    distribution,
    gamma,
    independent,
    kl,
    location_scale,
    multivariate,
    relaxed,
    transformed,
    transforms,
    utils,
    von_mises,
)
from flambeau.distributions.constraint_registry import biject_to, transform_to
from flambeau.distributions.distribution import Distribution, ExponentialFamily
from flambeau.distributions.kl import kl_divergence, register_kl
from flambeau.distributions.transforms import *  # noqa: F403  # the names in its __all__

_FILES = {
    categorical: "categorical one_hot_categorical multinomial",
    discrete: "bernoulli binomial continuous_bernoulli geometric negative_binomial poisson",
    distribution: "exp_family",
    gamma: "beta chi2 dirichlet exponential fishersnedecor inverse_gamma",
    independent: "mixture_same_family",
    location_scale: "cauchy laplace normal studentT uniform",
    multivariate: "lkj_cholesky lowrank_multivariate_normal multivariate_normal wishart",
    relaxed: "relaxed_bernoulli relaxed_categorical",
    transformed: "generalized_pareto gumbel half_cauchy half_normal kumaraswamy log_normal "
    "logistic_normal pareto transformed_distribution weibull",
    von_mises: "",
}
"""PyTorch's names of the modules."""

__all__ = [
    "constraint_registry",
    "constraints",
    "kl",
    "utils",
    "Distribution",
    "ExponentialFamily",
    "biject_to",
    "kl_divergence",
    "register_kl",
    "transform_to",
    *transforms.__all__,
]

for _file, _names in _FILES.items():
    for _name in _names.split():
        sys.modules[f"{__name__}.{_name}"] = _file
        globals()[_name] = _file
    for _name, _value in vars(_file).items():
        own = isinstance(_value, type) and _value.__module__ == _file.__name__
        if own and issubclass(_value, Distribution) and not _name.startswith("_"):
            globals()[_name] = _value
            if _name not in ("Odds", "Scalar", "ScalarFamily", "ScalarOdds", "LocationScale"):
                __all__ += [_name]
