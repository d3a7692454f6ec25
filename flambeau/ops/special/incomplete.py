"""The incomplete gamma functions, and how gamma and beta distributed numbers move.

The number of terms depends on the arguments, so numpy runs these on the host, in float64: series
below the middle of the distribution, Lentz's continued fractions above (Abramowitz and Stegun
6.5.29, 6.5.31 and 26.5.8; Numerical Recipes 6.2 and 6.4), each with its derivative by the parameter
carried along (forward differentiation).
"""

from __future__ import annotations

from typing import Any

import numpy

from flambeau.graph import dtype as dtypes
from flambeau.ops.host import differentiable, host_function
from flambeau.ops.math import exp, log
from flambeau.ops.promote import floating, result_dtype
from flambeau.ops.publish import public
from flambeau.ops.special.gamma import digamma, lgamma
from flambeau.ops.view import broadcast_tensors
from flambeau.tensor.tensor import Tensor

Array = numpy.ndarray[Any, Any]
_STEPS = 100_000
_TINY = 1e-300
_ENOUGH = 1e-16


def _gamma_series(a: Array, x: Array) -> tuple[Array, Array]:
    """S = Σ xⁿ / (a (a + 1) … (a + n)) and Σ of its terms times Σ 1 / (a + i), i = 1 … n."""
    term = 1 / a
    total, moment, harmonic = term.copy(), numpy.zeros_like(a), numpy.zeros_like(a)
    for n in range(1, _STEPS):
        term = term * (x / (a + n))
        harmonic = harmonic + 1 / (a + n)
        total += term
        moment += term * harmonic
        if not (term * numpy.maximum(harmonic, 1) > _ENOUGH * numpy.abs(total)).any():
            break
    return total, moment


class _Fraction:
    """b + a₁/(b₁ + a₂/(b₂ + …)) by the method of W. Lentz (1976), with its derivative."""

    def __init__(self, start: Array, slope: Array) -> None:
        self.value, self.slope = start, slope
        self._c, self._dc = start, slope
        self._d, self._dd = numpy.zeros_like(start), numpy.zeros_like(start)

    def step(self, a: Array, da: Array, b: Array, db: Array) -> bool:
        """One more level; whether any element still changes."""
        below = _off_zero(b + a * self._d)
        slope = db + da * self._d + a * self._dd
        self._d, self._dd = 1 / below, -slope / (below * below)
        slope = db + da / self._c - a * self._dc / (self._c * self._c)
        self._c, self._dc = _off_zero(b + a / self._c), slope
        factor = self._c * self._d
        change = self._dc * self._d + self._c * self._dd
        self.slope = self.slope * factor + self.value * change
        self.value = self.value * factor
        return bool(((abs(factor - 1) > 4e-16) | (abs(change) > 4e-16)).any())


def _off_zero(x: Array) -> Array:
    return numpy.where(abs(x) < _TINY, _TINY, x)


def _gamma_fraction(a: Array, x: Array) -> tuple[Array, Array]:
    """Γ(a, x) x⁻ᵃ exp x, as 1 / (x + 1 - a - …), and its derivative by a."""
    one = numpy.ones_like(a)
    fraction = _Fraction(_off_zero(x + 1 - a), -one)
    for n in range(1, _STEPS):
        if not fraction.step(n * (a - n), n * one, x + (2 * n + 1) - a, -one):
            break
    return 1 / fraction.value, -fraction.slope / (fraction.value * fraction.value)


@host_function("gammainc")
def _host_gammainc(a: Any, x: Any, log_gamma: Any, upper: bool) -> Any:
    """P(a, x), or Q(a, x) = 1 - P(a, x) where `upper`."""
    result = numpy.full(a.shape, numpy.nan)
    usual = (a > 0) & (x > 0) & numpy.isfinite(a) & numpy.isfinite(x)
    result[(x == 0) & (a > 0)] = float(upper)
    result[(x == numpy.inf) & (a >= 0) & numpy.isfinite(a)] = 1.0 - upper
    result[(a == 0) & (x > 0)] = 1.0 - upper
    result[(a == numpy.inf) & (x >= 0) & numpy.isfinite(x)] = float(upper)
    low = usual & (x < a + 1)
    high = usual & ~low
    factor = numpy.exp(a * numpy.log(x) - x - log_gamma)
    if low.any():
        below = factor[low] * _gamma_series(a[low], x[low])[0]
        result[low] = 1 - below if upper else below
    if high.any():
        above = factor[high] * _gamma_fraction(a[high], x[high])[0]
        result[high] = above if upper else 1 - above
    return result


@host_function("gamma_slope")
def _host_gamma_slope(a: Any, x: Any, digamma_of_a: Any) -> Any:
    """dx/da at a fixed P(a, x): how a sample moves with the parameter."""
    result = numpy.zeros(a.shape)
    usual = (a > 0) & (x > 0)
    low = usual & (x < a + 1)
    high = usual & ~low
    if low.any():
        of, at, psi = a[low], x[low], digamma_of_a[low]
        total, moment = _gamma_series(of, at)
        result[low] = at * (total * (psi + 1 / of - numpy.log(at)) + moment)
    if high.any():
        of, at, psi = a[high], x[high], digamma_of_a[high]
        value, slope = _gamma_fraction(of, at)
        result[high] = at * (value * (numpy.log(at) - psi) + slope)
    return result


def _beta_fraction(p: Array, q: Array, x: Array, first: bool) -> tuple[Array, Array]:
    """I(x; p, q) p B(p, q) x⁻ᵖ (1 - x)⁻q and its derivative by p (where `first`) or by q."""
    one, nothing = numpy.ones_like(p), numpy.zeros_like(p)
    fraction = _Fraction(one, nothing)
    for m in range(_STEPS):
        if m:
            even = m * x / ((p + 2 * m - 1) * (p + 2 * m))
            value = even * (q - m)
            moves = -value * (1 / (p + 2 * m - 1) + 1 / (p + 2 * m)) if first else even
            fraction.step(value, moves, one, nothing)
        value = -(p + m) * (p + q + m) * x / ((p + 2 * m) * (p + 2 * m + 1))
        rate = 1 / (p + q + m)
        if first:
            rate = rate + 1 / (p + m) - 1 / (p + 2 * m) - 1 / (p + 2 * m + 1)
        if not fraction.step(value, value * rate, one, nothing):
            break
    return 1 / fraction.value, -fraction.slope / (fraction.value * fraction.value)


@host_function("beta_slope")
def _host_beta_slope(a: Any, b: Any, x: Any, psi: Any) -> Any:
    """dx/da / (1 - x) of a Beta(a, b) number at a fixed probability; psi = ψ(a + b) - ψ(a)."""
    result = numpy.zeros(a.shape)
    usual = (a > 0) & (b > 0) & (x > 0) & (x < 1)
    low = usual & (x * (a + b + 2) < a + 1)
    high = usual & ~low
    if low.any():
        p, q, at = a[low], b[low], x[low]
        value, slope = _beta_fraction(p, q, at, True)
        result[low] = -at / p * (value * (numpy.log(at) - 1 / p + psi[low]) + slope)
    if high.any():
        p, q, at = a[high], b[high], x[high]
        value, slope = _beta_fraction(q, p, 1 - at, False)
        result[high] = at / q * (value * (numpy.log(at) + psi[high]) + slope)
    return result


def _no_second(arguments: Any, results: Any, gradients: Any) -> Any:
    raise NotImplementedError(
        "the way that a gamma or Dirichlet sample moves with its concentration cannot be "
        "differentiated a second time"
    )


@differentiable(_no_second)
def gamma_slope(concentration: Any, sample: Any) -> Any:
    """d sample / d concentration of gamma numbers, in the sample's dtype."""
    a, x = concentration.to(dtypes.float64), sample.to(dtypes.float64)
    found = _host_gamma_slope([a, x, digamma(a)], (), [(a._type.shape, dtypes.float64)])
    return found[0].to(sample.dtype)


@differentiable(_no_second)
def dirichlet_slope(sample: Any, concentration: Any, total: Any) -> Any:
    """How each of a Dirichlet sample's numbers moves with its own concentration, over 1 - it."""
    x, a, whole = broadcast_tensors(
        *[each.to(dtypes.float64) for each in (sample, concentration, total)]
    )
    psi = digamma(whole) - digamma(a)
    found = _host_beta_slope([a, whole - a, x, psi], (), [(a._type.shape, dtypes.float64)])
    return found[0].to(sample.dtype)


def _gammainc_gradient(arguments: Any, results: Any, gradients: Any) -> Any:
    """By x the density; by a the density times how far x moves at a fixed probability."""
    a, x, upper = arguments
    density = exp((a - 1) * log(x) - x - lgamma(a)) * gradients[0]
    density = -density if upper else density
    return -density * gamma_slope(a, x), density


@differentiable(_gammainc_gradient)
def _gammainc(a: Any, x: Any, upper: bool) -> Any:
    results = [(a._type.shape, dtypes.float64)]
    return _host_gammainc([a, x, lgamma(a)], (upper,), results)[0]


def _regularized(input: Tensor, other: Tensor, upper: bool) -> Any:
    dtype = floating(result_dtype((input, other)))
    a, x = broadcast_tensors(input.to(dtypes.float64), other.to(dtypes.float64))
    return _gammainc(a.contiguous(), x.contiguous(), upper).to(dtype)


@public(inplace=True)
def igamma(input: Tensor, other: Tensor) -> Any:
    """P(a, x): the part of Γ(a) up to x = `other`. Gradients: once by a, any order by x."""
    return _regularized(input, other, False)


@public(inplace=True)
def igammac(input: Tensor, other: Tensor) -> Any:
    """Q(a, x) = 1 - P(a, x), exact where it is small."""
    return _regularized(input, other, True)
