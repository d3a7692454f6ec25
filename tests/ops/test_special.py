"""Special functions against Python's math and identities; gradients against differences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import flambeau as torch

special = torch.special
X = np.array([0.03, 0.4, 0.9, 1.0, 1.3, 1.46, 2.0, 2.6, 5.5, 9.7, 40.0, 1e5])
EXACT = [  # name, the function in Python, digits
    ("gammaln", math.lgamma),
    ("ndtr", lambda x: 0.5 * math.erfc(-x / math.sqrt(2))),
    ("entr", lambda x: -x * math.log(x)),
    ("i0e", lambda x: _bessel(x, 0)),
    ("i1e", lambda x: _bessel(x, 1)),
]


def _bessel(x: float, order: int) -> float:
    """∫ exp(x (cos t - 1)) cos(order t) dt / π: the rule of rectangles is exact to all digits."""
    t = (np.arange(4000) + 0.5) * (math.pi / 4000)
    return float((np.exp(x * (np.cos(t) - 1)) * np.cos(order * t)).mean())


@pytest.mark.parametrize(("name", "exact"), EXACT)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 3e-6), ("float64", 4e-14)])
def test_values(name: str, exact: Any, dtype: str, tolerance: float) -> None:
    x = np.concatenate([X, -X[:8]]) if name == "ndtr" else X
    rounded = x.astype(dtype)
    found = getattr(special, name)(torch.tensor(rounded)).numpy()
    expected = np.array([exact(float(each)) for each in rounded])
    np.testing.assert_allclose(found, expected, tolerance, tolerance)


def test_identities() -> None:
    x = torch.tensor(X)
    np.testing.assert_allclose((torch.digamma(x + 1) - torch.digamma(x)).numpy(), 1 / X, 1e-10)
    one = torch.tensor([1.0], dtype=torch.float64)
    assert abs(torch.digamma(one).item() + 0.5772156649015329) < 1e-15
    assert abs(torch.polygamma(1, one).item() - math.pi**2 / 6) < 1e-14
    assert abs(special.zeta(one * 3, one).item() - 1.2020569031595942) < 1e-15
    p = torch.tensor([1e-300, 1e-10, 0.2, 0.5, 0.8, 1 - 1e-10], dtype=torch.float64)
    np.testing.assert_allclose(special.ndtr(special.ndtri(p)).numpy(), p.numpy(), 1e-12)
    np.testing.assert_allclose(
        special.log_ndtr(x * -0.001).exp().numpy(), special.ndtr(x * -0.001).numpy(), 1e-13
    )
    a = torch.tensor([0.3, 1.0, 4.0, 300.0], dtype=torch.float64)
    below, above = special.gammainc(a, a), special.gammaincc(a, a)
    np.testing.assert_allclose((below + above).numpy(), 1, 1e-13)
    assert abs(below[1].item() - (1 - math.exp(-1))) < 1e-15
    np.testing.assert_allclose(
        torch.mvlgamma(a + 2, 2).numpy(),
        [math.lgamma(v + 2) + math.lgamma(v + 1.5) + 0.5 * math.log(math.pi) for v in a.tolist()],
    )
    np.testing.assert_allclose(
        special.erfcx(torch.tensor([0.5, 2.0, 1e5], dtype=torch.float64)).numpy(),
        [math.exp(0.25) * math.erfc(0.5), math.exp(4) * math.erfc(2), 5.641895835195681e-06], 1e-13,
    )  # fmt: skip


def test_poles_and_ends() -> None:
    x = torch.tensor([0.0, -0.0, -1.0, math.inf, math.nan])
    assert torch.lgamma(x)[:4].tolist() == [math.inf] * 4
    assert torch.lgamma(x)[4].isnan()
    assert torch.lgamma(torch.tensor([1.0, 2.0, 1e38, 1e-42])).tolist()[:3] == [0.0, 0.0, math.inf]
    assert torch.digamma(x)[:2].tolist() == [-math.inf, math.inf]
    assert torch.digamma(x)[2:].isnan().tolist() == [True, False, True]
    assert special.ndtri(torch.tensor([0.0, 1.0])).tolist() == [-math.inf, math.inf]
    assert special.xlog1py(torch.tensor([0.0]), torch.tensor([-1.0])).tolist() == [0.0]
    with pytest.raises(RuntimeError):
        torch.polygamma(-1, x)
    with pytest.raises(RuntimeError):
        torch.mvlgamma(x, 0)


UNARY = ["gammaln", "digamma", "erfcx", "ndtr", "log_ndtr", "i0", "i0e", "i1", "i1e", "entr"]


@pytest.mark.parametrize("name", UNARY)
def test_gradients(name: str) -> None:
    x = torch.tensor([0.6, 1.7, 2.9], dtype=torch.float64, requires_grad=True)
    function = getattr(special, name)
    assert torch.autograd.gradcheck(function, x)
    assert torch.autograd.gradgradcheck(function, x)


def test_gradients_of_two() -> None:
    x = torch.tensor([0.6, 1.7, 2.9], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([1.4, 1.1, 0.8], dtype=torch.float64, requires_grad=True)
    for function in (special.gammainc, special.gammaincc, special.xlog1py):
        assert torch.autograd.gradcheck(function, (x, y))
    p = torch.tensor([0.1, 0.5, 0.97], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(special.ndtri, p)


@pytest.mark.parametrize("shape", [0.2, 1.0, 3.5, 50.0])
def test_gamma_samples_move_with_their_shape(shape: float) -> None:
    """dP(a, x(a)) = 0: the sample stays at its probability."""
    torch.manual_seed(2)
    a = torch.full((20,), shape, dtype=torch.float64, requires_grad=True)
    sample = torch._standard_gamma(a)
    (slope,) = torch.autograd.grad(sample.sum(), a)
    step = 1e-5 * shape
    above = special.gammainc(a.detach() + step, sample.detach() + step * slope)
    below = special.gammainc(a.detach() - step, sample.detach() - step * slope)
    np.testing.assert_allclose(above.numpy(), below.numpy(), 1e-7, 1e-9)


def test_counts() -> None:
    torch.manual_seed(0)
    drawn = torch.binomial(torch.full((400,), 100.0), torch.full((400,), 0.3))
    assert abs(drawn.mean().item() - 30) < 1 and drawn.max() <= 100
    few = torch.binomial(torch.full((400,), 5.0), torch.full((400,), 0.9))
    assert abs(few.mean().item() - 4.5) < 0.2
    assert torch.poisson(torch.zeros(3)).tolist() == [0, 0, 0]
    with pytest.raises(RuntimeError):
        torch.poisson(torch.tensor([-1.0]))
