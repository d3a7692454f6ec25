"""Bessel's, Airy's and orthogonal functions against tables, identities and differences."""

from __future__ import annotations

import math

import numpy as np
import pytest

import flambeau as torch
from flambeau.ops.gradcheck import gradcheck, gradgradcheck

special = torch.special
TABLE = [  # Abramowitz and Stegun, tables 9.1, 9.8 and 10.11
    ("bessel_j0", 5.0, -0.177596771314338304),
    ("bessel_j0", 17.0, -0.169854252151184),
    ("bessel_j1", 5.0, -0.327579137591465222),
    ("bessel_j1", -1.0, -0.440050585744933516),
    ("bessel_y0", 1.0, 0.0882569642156769580),
    ("bessel_y1", 1.0, -0.781212821300288717),
    ("modified_bessel_k0", 1.0, 0.421024438240708333),
    ("modified_bessel_k1", 1.0, 0.601907230197234575),
    ("modified_bessel_k0", 3.0, 0.0347395043862792),
    ("airy_ai", 0.0, 0.355028053887817239),
    ("airy_ai", 1.0, 0.135292416312881416),
    ("airy_ai", -1.0, 0.535560883292352069),
]


@pytest.mark.parametrize(("name", "x", "expected"), TABLE)
def test_tables(name: str, x: float, expected: float) -> None:
    found = getattr(special, name)(torch.tensor([x], dtype=torch.float64))
    assert found.item() == pytest.approx(expected, rel=2e-13)


def test_wronskians_join_the_pieces() -> None:
    x = torch.tensor(np.concatenate([np.logspace(-3, 3, 97), [24.999, 25.0, 25.001]]))
    found = special.bessel_j1(x) * special.bessel_y0(x) - special.bessel_j0(x) * special.bessel_y1(
        x
    )
    np.testing.assert_allclose(found.numpy(), 2 / (math.pi * x.numpy()), 1e-11)
    near = x[x < 500]
    first = special.i0e(near) * special.scaled_modified_bessel_k1(near)
    second = special.i1e(near) * special.scaled_modified_bessel_k0(near)
    np.testing.assert_allclose((first + second).numpy(), 1 / near.numpy(), 1e-12)


def test_airy_solves_its_equation_across_the_pieces() -> None:
    step = 1e-3
    for x in (-20.0, -9.0, -3.0, 0.5, 2.0, 6.0):
        points = torch.tensor([x - step, x, x + step], dtype=torch.float64)
        low, middle, high = special.airy_ai(points).tolist()
        scale = max(abs(low), abs(high))
        assert (low - 2 * middle + high) / step**2 == pytest.approx(x * middle, abs=2e-3 * scale)


def test_ends() -> None:
    ends = torch.tensor([0.0, -1.0, math.inf])
    assert special.bessel_y0(ends).tolist()[0] == -math.inf
    assert math.isnan(special.bessel_y1(ends).tolist()[1])
    assert special.modified_bessel_k0(ends).tolist()[::2] == [math.inf, 0.0]
    assert special.bessel_j1(ends).tolist()[::2] == [0.0, 0.0]
    assert special.spherical_bessel_j0(ends).tolist()[0] == 1.0


@pytest.mark.parametrize(
    "name",
    [
        "bessel_j0",
        "bessel_j1",
        "bessel_y0",
        "bessel_y1",
        "modified_bessel_k0",
        "modified_bessel_k1",
        "scaled_modified_bessel_k0",
        "scaled_modified_bessel_k1",
        "spherical_bessel_j0",
    ],
)
def test_gradients(name: str) -> None:
    x = torch.tensor([0.4, 1.9, 2.3, 7.0, 30.0], dtype=torch.float64, requires_grad=True)
    assert gradcheck(getattr(special, name), (x,))
    assert gradgradcheck(getattr(special, name), (x,))


POLYNOMIALS = {
    "chebyshev_polynomial_t": lambda x, n: np.polynomial.Chebyshev.basis(n)(x),
    "shifted_chebyshev_polynomial_t": lambda x, n: np.polynomial.Chebyshev.basis(n)(2 * x - 1),
    "hermite_polynomial_h": lambda x, n: np.polynomial.Hermite.basis(n)(x),
    "hermite_polynomial_he": lambda x, n: np.polynomial.HermiteE.basis(n)(x),
    "laguerre_polynomial_l": lambda x, n: np.polynomial.Laguerre.basis(n)(x),
    "legendre_polynomial_p": lambda x, n: np.polynomial.Legendre.basis(n)(x),
}


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials(name: str) -> None:
    x = np.linspace(-1.5, 1.5, 7)
    degrees = np.arange(-1, 7)[:, None]
    found = getattr(special, name)(torch.tensor(x), torch.tensor(degrees))
    for row, n in zip(found.numpy(), degrees[:, 0], strict=True):
        expected = POLYNOMIALS[name](x, n) if n >= 0 else np.zeros(7)
        np.testing.assert_allclose(row, expected, 1e-12, 1e-12)


@pytest.mark.parametrize("kind", ["u", "v", "w"])
def test_the_other_kinds_of_chebyshev(kind: str) -> None:
    angle = np.linspace(0.3, 2.8, 6)
    upper, lower = {
        "u": (lambda n: np.sin((n + 1) * angle), np.sin(angle)),
        "v": (lambda n: np.cos((n + 0.5) * angle), np.cos(angle / 2)),
        "w": (lambda n: np.sin((n + 0.5) * angle), np.sin(angle / 2)),
    }[kind]
    plain = getattr(special, f"chebyshev_polynomial_{kind}")
    shifted = getattr(special, f"shifted_chebyshev_polynomial_{kind}")
    for n in (0, 1, 5):
        expected = upper(n) / lower
        np.testing.assert_allclose(plain(torch.tensor(np.cos(angle)), n).numpy(), expected, 1e-10)
        moved = torch.tensor((np.cos(angle) + 1) / 2)
        np.testing.assert_allclose(shifted(moved, n).numpy(), expected, 1e-10)


def test_what_has_no_gradient_says_so() -> None:
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="derivative for 'special_legendre_polynomial_p'"):
        special.legendre_polynomial_p(x, 2)
    with pytest.raises(RuntimeError, match="special_airy_ai"):
        special.airy_ai(x)


def test_polygamma_below_zero() -> None:
    x = torch.tensor([-0.3, -1.6, -4.25], dtype=torch.float64, requires_grad=True)
    for n in (1, 2, 3):  # the recurrence ψₙ(x + 1) = ψₙ(x) + (-1)ⁿ n! / xⁿ⁺¹
        step = (-1) ** n * math.factorial(n) / x.detach() ** (n + 1)
        above = torch.polygamma(n, x.detach() + 1)
        torch.testing.assert_close(torch.polygamma(n, x.detach()) + step, above)
        assert gradcheck(lambda each, order=n: torch.polygamma(order, each), (x,))
