"""Distributions side by side with PyTorch: values, gradients, samples, divergences, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from table import TABLE, TRANSFORMS

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

COMPARED = [name for name in TABLE if name != "GeneralizedPareto"]
"""PyTorch's GeneralizedPareto takes float32 only, and has no gradients at 0."""

PROPERTIES = ["mean", "mode", "variance", "stddev", "entropy", "perplexity"]
PRECISION = {"Multinomial": 1e-7, "VonMises": 1e-7}
"""Where PyTorch computes in float32, or with polynomials of few digits."""

WRONG = {("Kumaraswamy", "mode"), ("ContinuousBernoulli", "Uniform")}
"""What PyTorch gives as NaN, and an infinite divergence where the support is the whole of p's."""


def maker(library: Any, leaves: list[Any]) -> Any:
    def make(values: Any) -> Any:
        leaf = library.tensor(values, dtype=library.float64).requires_grad_()
        leaves.append(leaf)
        return leaf

    return make


def pair(name: str) -> tuple[Any, Any, list[Any], list[Any]]:
    own: list[Any] = []
    theirs: list[Any] = []
    make = TABLE[name][0]
    return (
        make(torch.distributions, maker(torch, theirs)),
        make(flambeau.distributions, maker(flambeau, own)),
        theirs,
        own,
    )


def array(value: Any) -> Any:
    return value.detach().numpy()


def same(found: Any, expected: Any, rtol: float = 1e-9, what: str = "") -> None:
    assert tuple(found.shape) == tuple(expected.shape), what
    assert str(found.dtype) == str(expected.dtype).replace("torch", str(found.dtype).split(".")[0])
    np.testing.assert_allclose(array(found), array(expected), rtol, 1e-12, err_msg=what)


def same_gradients(found: Any, expected: Any, own: Any, theirs: Any, rtol: float) -> None:
    weight = np.random.default_rng(0).normal(size=tuple(expected.shape))
    assert found.requires_grad == expected.requires_grad
    if not expected.requires_grad:
        return
    wanted = torch.autograd.grad(
        (expected * torch.tensor(weight)).sum(), theirs, allow_unused=True, retain_graph=True
    )
    got = flambeau.autograd.grad(
        (found * flambeau.tensor(weight)).sum(), own, allow_unused=True, retain_graph=True
    )
    for mine, other in zip(got, wanted, strict=True):
        if other is not None:
            assert mine is not None
            np.testing.assert_allclose(array(mine), array(other), rtol, 1e-7)


@pytest.mark.parametrize("name", COMPARED)
def test_facts(name: str) -> None:
    theirs, own, _, _ = pair(name)
    assert tuple(own.batch_shape) == tuple(theirs.batch_shape)
    assert tuple(own.event_shape) == tuple(theirs.event_shape)
    assert own.has_rsample == theirs.has_rsample
    assert own.has_enumerate_support == theirs.has_enumerate_support
    assert set(own.arg_constraints) == set(theirs.arg_constraints)
    assert own.support.event_dim == theirs.support.event_dim
    assert own.support.is_discrete == theirs.support.is_discrete
    if theirs.has_enumerate_support:
        same(own.enumerate_support(), theirs.enumerate_support())
        same(own.enumerate_support(expand=False), theirs.enumerate_support(expand=False))
    tried = 0
    for each in PROPERTIES:
        if (name, each) in WRONG:
            continue
        try:
            expected = getattr(theirs, each)
            expected = expected() if callable(expected) else expected
        except (NotImplementedError, AttributeError):
            continue
        found = getattr(own, each)
        same(found() if callable(found) else found, expected, PRECISION.get(name, 1e-9), each)
        tried += 1
    assert tried or name in ("LogisticNormal", "RelaxedBernoulli", "RelaxedOneHotCategorical",
                             "TransformedDistribution", "LKJCholesky")  # fmt: skip


@pytest.mark.parametrize("name", COMPARED)
def test_log_prob_and_its_gradient(name: str) -> None:
    theirs, own, their_leaves, own_leaves = pair(name)
    values = TABLE[name][1]
    expected = theirs.log_prob(torch.tensor(values, dtype=torch.float64))
    found = own.log_prob(flambeau.tensor(values, dtype=flambeau.float64))
    same(found, expected, PRECISION.get(name, 1e-9))
    same_gradients(found, expected, own_leaves, their_leaves, 1e-6)


@pytest.mark.parametrize("name", COMPARED)
def test_cdf(name: str) -> None:
    theirs, own, _, _ = pair(name)
    values = TABLE[name][1]
    try:
        expected = theirs.cdf(torch.tensor(values, dtype=torch.float64))
    except (NotImplementedError, AttributeError):
        with pytest.raises((NotImplementedError, AttributeError)):
            own.cdf(flambeau.tensor(values, dtype=flambeau.float64))
        return
    found = own.cdf(flambeau.tensor(values, dtype=flambeau.float64))
    same(found, expected)
    try:
        expected = theirs.icdf(expected)
    except (NotImplementedError, AttributeError):
        return
    same(own.icdf(found), expected, 1e-8)


@pytest.mark.parametrize("name", COMPARED)
def test_samples_and_their_gradients(name: str) -> None:
    if name == "Wishart":
        pytest.skip("PyTorch draws again where rounding makes a sample asymmetric")
    theirs, own, their_leaves, own_leaves = pair(name)
    for draw in ("sample", "rsample"):
        if draw == "rsample" and not theirs.has_rsample:
            with pytest.raises(NotImplementedError):
                own.rsample()
            continue
        for shape in ((), (4, 3)):
            torch.manual_seed(7)
            flambeau.manual_seed(7)
            expected, found = getattr(theirs, draw)(shape), getattr(own, draw)(shape)
            same(found, expected, 1e-6)
            assert torch.rand(1).item() == flambeau.rand(1).item()  # as far on in the stream
        if draw == "rsample":
            # PyTorch's derivatives of beta numbers are approximations
            rtol = 0.03 if name == "Dirichlet" else 2e-3
            same_gradients(found, expected, own_leaves, their_leaves, rtol)


@pytest.mark.parametrize("name", COMPARED)
def test_expand(name: str) -> None:
    theirs, own, _, _ = pair(name)
    shape = (2, *theirs.batch_shape)
    values = TABLE[name][1]
    theirs, own = theirs.expand(shape), own.expand(shape)
    assert tuple(own.batch_shape) == tuple(theirs.batch_shape)
    expected = theirs.log_prob(torch.tensor(values, dtype=torch.float64))
    found = own.log_prob(flambeau.tensor(values, dtype=flambeau.float64))
    same(found, expected, PRECISION.get(name, 1e-9))
    torch.manual_seed(3)
    flambeau.manual_seed(3)
    if name == "Wishart":
        return
    same(own.sample(), theirs.sample(), 1e-6)


@pytest.mark.parametrize("first", COMPARED)
def test_divergence(first: str) -> None:
    """Of each pair that PyTorch has, ours is there and agrees."""
    for second in COMPARED:
        if (first, second) in WRONG:
            continue
        theirs, own = pair(first)[:2], pair(second)[:2]
        try:
            expected = torch.distributions.kl_divergence(theirs[0], own[0])
        except (NotImplementedError, AttributeError, RuntimeError, ValueError):
            continue  # no formula, or one that does not take these shapes
        found = flambeau.distributions.kl_divergence(theirs[1], own[1])
        values = np.broadcast_to(array(found), tuple(expected.shape))
        np.testing.assert_allclose(values, array(expected), 1e-7, 1e-12, err_msg=second)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms(name: str) -> None:
    make, values = TRANSFORMS[name]
    theirs = make(torch.distributions.transforms, lambda v: torch.tensor(v, dtype=torch.float64))
    own = make(
        flambeau.distributions.transforms, lambda v: flambeau.tensor(v, dtype=flambeau.float64)
    )
    x = torch.tensor(values, dtype=torch.float64)
    mine = flambeau.tensor(values, dtype=flambeau.float64)
    y, other = theirs(x), own(mine)
    same(other, y)
    same(own.inv(other), theirs.inv(y))
    same(own.log_abs_det_jacobian(mine, other), theirs.log_abs_det_jacobian(x, y))
    assert tuple(own.forward_shape(mine.shape)) == tuple(theirs.forward_shape(x.shape))
    assert own.bijective == theirs.bijective
    assert own.domain.event_dim == theirs.domain.event_dim
    assert own.codomain.event_dim == theirs.codomain.event_dim


CONSTRAINTS = [
    "real", "positive", "nonnegative", "unit_interval", "simplex", "lower_cholesky", "real_vector",
    "positive_definite", "corr_cholesky",
]  # fmt: skip


@pytest.mark.parametrize("name", CONSTRAINTS)
@pytest.mark.parametrize("registry", ["biject_to", "transform_to"])
def test_registries(name: str, registry: str) -> None:
    region = getattr(flambeau.distributions.constraints, name)
    own = getattr(flambeau.distributions, registry)(region)
    values = np.random.default_rng(0).normal(size=(2, 3, 3))
    found = own(flambeau.tensor(values))
    assert region.check(found).all()
    known = getattr(torch.distributions.constraints, name)
    expected_check = array(known.check(torch.tensor(values)))
    assert (array(region.check(flambeau.tensor(values))) == expected_check).all()
    try:
        theirs = getattr(torch.distributions, registry)(known)
    except NotImplementedError:
        return  # PyTorch's biject_to has no factors
    same(found, theirs(torch.tensor(values)))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda t: t.distributions.Normal(t.tensor(0.0), t.tensor(-1.0)), ValueError),
        (lambda t: t.distributions.Normal(0.0, 1.0).log_prob(t.tensor(float("nan"))), ValueError),
        (lambda t: t.distributions.Categorical(t.tensor([0.5, 0.5])).log_prob(t.tensor(2)),
         ValueError),
        (lambda t: t.distributions.Categorical(), ValueError),
        (lambda t: t.distributions.Bernoulli(t.tensor(1.5)), ValueError),
        (lambda t: t.distributions.Uniform(1.0, 0.0), ValueError),
        (lambda t: t.distributions.Normal(t.zeros(3), 1.0).log_prob(t.zeros(2)), ValueError),
        (lambda t: t.distributions.Poisson(1.0).entropy(), NotImplementedError),
        (lambda t: t.distributions.Normal("a", 1.0), ValueError),
        (lambda t: t.distributions.MultivariateNormal(t.zeros(2)), ValueError),
        (lambda t: t.distributions.Independent(t.distributions.Normal(0.0, 1.0), 1), ValueError),
        (lambda t: t.distributions.kl_divergence(
            t.distributions.Normal(0.0, 1.0), t.distributions.Cauchy(0.0, 1.0)),
         NotImplementedError),
        (lambda t: t._standard_gamma(t.tensor([1])), NotImplementedError),
    ],
)  # fmt: skip
def test_errors(make: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        make(torch)
    with pytest.raises(error):
        make(flambeau)
