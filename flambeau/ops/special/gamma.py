"""The gamma function: its logarithm, the derivatives of that, and Hurwitz's zeta function.

Errors: lgamma of positive numbers 0.55 of the last place. The others about 1e-6 (float32) and 1e-14
(float64), relative to the result or, where that has a zero beside a pole's range (digamma near
1.46, lgamma of negative numbers), to the terms it is made of.
Formulas: M. Abramowitz and I. Stegun, Handbook of Mathematical Functions, chapters 6 and 23.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from flambeau.graph import op
from flambeau.ops import precise as p
from flambeau.ops.comparison import isinf
from flambeau.ops.fused import fused, real
from flambeau.ops.logic import where
from flambeau.ops.math import exp, log
from flambeau.ops.polynomials import LGAMMA, LGAMMA_FIRST, evaluate, fma
from flambeau.ops.promote import as_node, floating
from flambeau.ops.publish import assign, public
from flambeau.ops.trigonometry import cos, sin
from flambeau.tensor.attach import method
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor

_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798)
"""B₂, B₄, B₆, …"""


def _series(coefficients: Sequence[float], x: Any) -> Any:
    return evaluate((tuple(coefficients), tuple(coefficients)), x)


def _terms(of: Any) -> list[float]:
    """of(B₂ₖ, 2k) for k = 1, 2, …: the coefficients of an asymptotic series."""
    return [of(each, 2 * place + 2) for place, each in enumerate(_BERNOULLI)]


_HALF_LOG_TURN = (0.9189385332046728, -3.878294158067242e-17)
"""½ log 2π, and what that double lacks."""

_STIRLING = _terms(lambda number, order: number / (order * (order - 1)))
_DIGAMMA = _terms(lambda number, order: number / order)


def _sine_of_half_turns(x: Any) -> Any:
    """sin πx, exactly 0 at whole numbers."""
    whole = record(op.FLOOR, (x + 0.5,))
    odd = whole - 2 * record(op.FLOOR, (whole * 0.5,))
    return sin((x - whole) * math.pi) * (1 - 2 * odd)


def _log_gamma_of_positive(x: Any) -> Any:
    """Γ's recurrence into [1.5, 2.5], a polynomial there; J. Stirling's series from 8 on."""
    near = where(x < 8, x, 2.0)
    return where(x < 8, _near_log_gamma(near), _stirling(where(x < 8, 8.0, x)))


def _near_log_gamma(x: Any) -> Any:
    """What the polynomial and the logarithm of the recurrence's product give may cancel: pairs."""
    product, lost, rest = where(x < 1.5, x, 1.0), x * 0, x
    for _ in range(6):
        above = rest > 2.5
        rest = where(above, rest - 1, rest)
        high, low = p.exact_product(product, rest)
        product, lost = where(above, high, product), where(above, fma(lost, rest, low), lost)
    sum_, sum_low = p.exact_sum(x, 1.0)
    high, low = p.exact_product(x, sum_)
    product, lost = where(x < 0.5, high, product), where(x < 0.5, fma(x, sum_low, low), lost)
    factor, factor_low = p.natural(*p.logarithm(product, lost, twice=True))
    factor, factor_low = (where(x < 1.5, -each, each) for each in (factor, factor_low))
    offset = where(x < 0.5, x, where(x < 1.5, x - 1, rest - 2))
    curve, curve_low = p.begun(LGAMMA_FIRST, evaluate(LGAMMA, offset), offset)
    bend, bend_low = p.exact_product(offset, curve)
    total, more = p.exact_sum(bend, factor)
    value = total + (more + (fma(offset, curve_low, bend_low) + factor_low))
    return where(x == 0, math.inf, value)


def _stirling(x: Any) -> Any:
    """x (log x - 1) - ½ log x + ½ log 2π + …, the first three as pairs."""
    inverse = 1 / x
    tail = _series(_STIRLING, inverse * inverse) * inverse
    factor, factor_low = p.natural(*p.logarithm(x, twice=True))
    less, less_low = p.exact_sum(factor, -1.0)
    total, low = p.exact_product(x, less)
    low = fma(x, less_low + factor_low, low)
    half, half_low = p.in_parts(_HALF_LOG_TURN, x.dtype)
    end, end_low = p.exact_sum(factor * -0.5, half)
    total, more = p.exact_sum(total, end)
    value = total + (more + ((low + tail) + (end_low + fma(factor_low, -0.5, half_low))))
    return where((value == value) | (x != x), value, math.inf)  # the product was too great


def _lgamma_gradient(x: Any, g: Any) -> Any:
    return g * digamma(x)


@fused(gradient=_lgamma_gradient)
def _lgamma(x: Any) -> Any:
    """Negative numbers by Euler's reflection: Γ(x) Γ(-x) = -π / (x sin πx)."""
    size = x.abs()
    positive = _log_gamma_of_positive(size)
    minus = where(x < 0, x, -0.5)
    reflected = math.log(math.pi) - log((minus * _sine_of_half_turns(minus)).abs()) - positive
    result = where(x < 0, reflected, positive)
    return where(isinf(x), math.inf, result)


@public(inplace=True)
def lgamma(input: Tensor) -> Any:
    """log |Γ(x)|; infinite at 0 and the negative whole numbers."""
    return real(_lgamma, input)


def _digamma_gradient(x: Any, g: Any) -> Any:
    return g * polygamma(1, x)


@fused(gradient=_digamma_gradient)
def _digamma(x: Any) -> Any:
    """Recurrence up to 10, then the asymptotic series; reflection below 0."""
    minus = x < 0
    start = where(minus, 1 - x, x)
    shifted, steps = start, start * 0
    for _ in range(10):
        low = shifted < 10
        steps = where(low, steps - 1 / where(low, shifted, 1.0), steps)
        shifted = where(low, shifted + 1, shifted)
    inverse = 1 / shifted
    square = inverse * inverse
    result = log(shifted) - 0.5 * inverse - square * _series(_DIGAMMA, square) + steps
    part = where(minus, x - record(op.FLOOR, (x + 0.5,)), 0.25) * math.pi
    reflected = result - math.pi * (cos(part) / sin(part))
    poles = where(part == 0, math.nan, reflected)
    poles = where(x == -math.inf, math.nan, poles)
    zero = where(1 / x < 0, math.inf, -math.inf)
    return where(x == 0, zero, where(minus, poles, where(x == math.inf, math.inf, result)))


@public(inplace=True)
def digamma(input: Tensor) -> Any:
    """ψ(x): the derivative of log Γ(x). NaN at negative whole numbers, ∓∞ at ±0."""
    return real(_digamma, input)


def _zeta_gradient(s: Any, q: Any, g: Any) -> Any:
    return None, g * -s * zeta(s + 1, q)


_ZETA_STEPS = 9


@fused(gradient=_zeta_gradient)
def _zeta(s: Any, q: Any) -> Any:
    """Nine terms of the sum, the rest by Euler and Maclaurin's formula."""
    safe = where(q > 0, q, 1.0)
    minus = where(s > 1, -s, -2.0)
    total = exp(minus * log(safe))
    for place in range(1, _ZETA_STEPS):
        total = total + exp(minus * log(safe + float(place)))
    end = safe + float(_ZETA_STEPS)
    power = exp(minus * log(end))
    total = total + end * power / (-minus - 1) + 0.5 * power
    factor = power / end
    for place, number in enumerate(_BERNOULLI):
        order = 2 * place + 2
        factor = factor * (-minus + float(max(order - 3, 0)))
        if place:
            factor = factor * (-minus + float(order - 2)) / (end * end)
        total = total + factor * (number / math.factorial(order))
    result = where(total == total, total, 0.0)
    pole = where(q == record(op.FLOOR, (q,)), math.inf, math.nan)
    result = where(q > 0, result, pole)
    return where(s > 1, result, where(s == 1, math.inf, math.nan))


@public(method=False, function=False)
def zeta(input: Any, other: Any) -> Any:
    """Hurwitz's zeta function: the sum of (k + other) to the power -input, k = 0, 1, …

    Defined for input > 1; infinite where input is 1 or other is 0 or a negative whole number, NaN
    elsewhere. Differentiable in `other`.
    """
    return real(_zeta, input, other)


def _polygamma_gradient(x: Any, g: Any, n: Any) -> Any:
    return g * polygamma(n + 1, x)


@fused(gradient=_polygamma_gradient)
def _polygamma(x: Any, n: int) -> Any:
    """(-1)ⁿ⁺¹ n! ζ(n + 1, x); below 0 by the n-th derivative of ψ(1 - x) - ψ(x) = π cot πx."""
    minus = x <= 0
    sign = 1.0 if n % 2 else -1.0
    result = zeta(float(n + 1), where(minus, 1 - x, x)) * (sign * math.factorial(n))
    place = where(minus, x - record(op.FLOOR, (x + 0.5,)), 0.25) * math.pi
    pole = place == 0
    place = where(pole, 0.25 * math.pi, place)
    reflected = -sign * result - _series(_cotangent(n), cos(place) / sin(place))
    return where(minus, where(pole, sign * math.inf, reflected), result)


def _cotangent(n: int) -> list[float]:
    """The n-th derivative of π cot πx as a polynomial of cot πx: it is -π (1 + cot²) each time."""
    found = [0.0, math.pi]
    for _ in range(n):
        inner = [-math.pi * place * each for place, each in enumerate(found)][1:]
        found = [a + b for a, b in zip([*inner, 0.0, 0.0], [0.0, 0.0, *inner], strict=True)]
    return found


@public(method=False)
def polygamma(n: int, input: Any) -> Any:
    """The n-th derivative of digamma.

    Raises RuntimeError for a negative n.
    """
    if n < 0:
        raise RuntimeError(f"polygamma(n, x) does not support negative n, but got n={n}")
    if n == 0:
        return digamma(input)
    return record(_polygamma, (as_node(input, floating(input.dtype)),), (int(n),))


@method("polygamma")
def _polygamma_of(self: Tensor, n: int) -> Any:
    """The n-th derivative of digamma at these numbers."""
    return polygamma(n, self)


@method("polygamma_")
def _polygamma_into(self: Tensor, n: int) -> Any:
    """As polygamma, written into the tensor."""
    return assign(self, polygamma(n, self))


@public(inplace=True)
def mvlgamma(input: Tensor, p: int) -> Any:
    """log Γₚ(x) of the multivariate gamma function: log π · p (p - 1)/4 + Σ log Γ(x - j/2).

    Raises RuntimeError where p < 1.
    """
    if p < 1:
        raise RuntimeError(f"mvlgamma: p has to be greater than or equal to 1, but got p={p}")
    result = lgamma(input)
    for place in range(1, p):
        result = result + lgamma(input - place / 2)
    return result + (p * (p - 1) / 4) * math.log(math.pi)
