"""Bessel functions of order 0 and 1 of the first, second and third kind, and Airy's Ai.

They run on the host, in float64: integrals of entire functions by the trapezoidal rule, which
converges exponentially (L. Trefethen and J. Weideman, 2014), series near zero and asymptotic series
far out. Formulas: M. Abramowitz and I. Stegun, Handbook of Mathematical Functions, chapters 9 and
10. Errors: about 1e-13 of the function, or of its amplitude where it swings.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy

from flambeau.ops.host import differentiable, host_function
from flambeau.ops.promote import to_floating
from flambeau.ops.publish import public
from flambeau.tensor.tensor import Tensor

Array = Any

_FAR = 25.0
"""From here on H. Hankel's asymptotic series."""

_ANGLES = (numpy.arange(64) + 0.5) * (math.pi / 64)


# the first and second kind ----------------------------------------------------------------------


def _first_kind(order: int, x: Array) -> Array:
    """J: the mean over θ of cos(order · θ - x sin θ) (9.1.21), for |x| up to 25."""
    phase = order * _ANGLES - x[..., None] * numpy.sin(_ANGLES)
    return numpy.cos(phase).mean(-1)


def _from_zero(order: int, x: Array) -> Array:
    """J, below 1 by its power series (9.1.10): exact to the last places however small it is."""
    square = numpy.where(x < 1, -x * x / 4, 0.0)
    series = sum(square**k / (math.factorial(k) * math.factorial(k + order)) for k in range(9))
    return numpy.where(x < 1, series * (x / 2) ** order, _first_kind(order, x))


def _second_kind(order: int, x: Array) -> Array:
    """Y by C. Neumann's series of J (9.1.88), for 0 < x up to 25."""
    digamma = order - numpy.euler_gamma  # ψ(order + 1), for orders 0 and 1
    total = (numpy.log(x / 2) - digamma) * _first_kind(order, x)
    if order:
        total = total - _first_kind(0, x) / x
    for k in range(1, 32):
        weight = (-1) ** k * (order + 2 * k) / (k * (order + k))
        total = total - weight * _first_kind(order + 2 * k, x)
    return total * (2 / math.pi)


def _far(order: int, x: Array) -> tuple[Array, Array, Array]:
    """(amplitude · P, amplitude · Q, phase) of Hankel's series (9.2.5 to 9.2.10), for large x."""
    sums = [numpy.ones_like(x), numpy.zeros_like(x)]
    term = numpy.ones_like(x)
    for k in range(1, 26):
        term = term * (4 * order * order - (2 * k - 1) ** 2) / (8 * k * x)
        sums[k % 2] = sums[k % 2] + (-1) ** (k // 2) * term
    amplitude = numpy.sqrt(2 / (math.pi * x))
    return amplitude * sums[0], amplitude * sums[1], x - (2 * order + 1) * (math.pi / 4)


def _swinging(order: int, second: bool) -> Callable[[Array], Array]:
    def values(x: Array) -> Array:
        size = numpy.abs(x)
        near = numpy.where(size < _FAR, size, 1.0)
        if second:
            near = numpy.where(near > 0, near, 1.0)
        inner = _second_kind(order, near) if second else _from_zero(order, near)
        even, odd, phase = _far(order, numpy.where(size < _FAR, _FAR, size))
        if second:
            outer = even * numpy.sin(phase) + odd * numpy.cos(phase)
        else:
            outer = even * numpy.cos(phase) - odd * numpy.sin(phase)
        found = numpy.where(size < _FAR, inner, outer)
        found = numpy.where(numpy.isinf(size), 0.0, found)
        if second:
            return numpy.where(x > 0, found, numpy.where(x == 0, -math.inf, math.nan))
        found = numpy.where(numpy.isnan(x), math.nan, found)
        return numpy.where(x < 0, -found, found) if order else found

    return values


# the modified second kind -----------------------------------------------------------------------

_STEPS = numpy.arange(60) * 0.125


def _integral(order: float, x: Array) -> Array:
    """exp(x) K: the integral of exp(-x (cosh t - 1)) cosh(order · t) (9.6.24), for x ≥ 1/2."""
    narrow = numpy.sqrt(numpy.minimum(2 / x, 1))[..., None]
    t = _STEPS * narrow
    terms = numpy.exp(-2 * x[..., None] * numpy.sinh(t / 2) ** 2) * numpy.cosh(order * t)
    return 0.125 * narrow[..., 0] * (terms.sum(-1) - 0.5 * terms[..., 0])


def _near_zero(order: int, x: Array) -> Array:
    """K by its power series (9.6.11), for 0 < x ≤ 2."""
    square, log = x * x / 4, numpy.log(x / 2)
    total, power = numpy.zeros_like(x), numpy.ones_like(x)
    digamma = -numpy.euler_gamma
    for k in range(24):
        scale = power / (math.factorial(k) * math.factorial(k + order))
        mean = digamma + order / (2 * (k + 1))  # that of ψ(k + 1) and ψ(k + order + 1)
        total = total + scale * (log - mean)
        power, digamma = power * square, digamma + 1 / (k + 1)
    return 1 / x + total * x / 2 if order else -total


def _decaying(order: int, scaled: bool) -> Callable[[Array], Array]:
    def values(x: Array) -> Array:
        near = numpy.where((x > 0) & (x <= 2), x, 1.0)
        far = numpy.where(x > 2, x, 3.0)
        inner, outer = _near_zero(order, near), _integral(order, numpy.minimum(far, 1e300))
        outer = numpy.where(numpy.isinf(far), 0.0, outer)
        if scaled:
            inner = inner * numpy.exp(near)
        else:
            outer = outer * numpy.exp(-far)
        found = numpy.where(x <= 2, inner, outer)
        return numpy.where(x > 0, found, numpy.where(x == 0, math.inf, math.nan))

    return values


# Airy's function --------------------------------------------------------------------------------

_LINE = numpy.arange(-160, 161) * 0.0625 + 0.5j


def _airy_near(x: Array) -> Array:
    """The integral of exp(i (t³/3 + xt)) / 2π along Im t = 1/2, for -9 < x < 2."""
    waves = numpy.exp(1j * (_LINE**3 / 3 + x[..., None] * _LINE)).real
    return waves.sum(-1) * (0.0625 / (2 * math.pi))


def _airy(x: Array) -> Array:
    """Ai: the integral, K of order 1/3 to the right (10.4.14), a series to the left (10.4.60)."""
    right = numpy.where(x > 2, x, 2.0)
    arc = numpy.minimum(right, 1e6) ** 1.5 * (2 / 3)
    outer = numpy.sqrt(right / 3) / math.pi * _integral(1 / 3, arc) * numpy.exp(-arc)
    left = numpy.where(x < -9, -x, 9.0)
    arc = left**1.5 * (2 / 3)
    sums, term = [numpy.ones_like(x), numpy.zeros_like(x)], numpy.ones_like(x)
    for k in range(1, 24):
        term = term * (6 * k - 1) * (6 * k - 5) / (72 * k * arc)
        sums[k % 2] = sums[k % 2] + (-1) ** (k // 2) * term
    phase = arc + math.pi / 4
    inner = numpy.sin(phase) * sums[0] - numpy.cos(phase) * sums[1]
    inner = inner / (math.sqrt(math.pi) * left**0.25)
    middle = _airy_near(numpy.clip(numpy.where(numpy.isfinite(x), x, 0.0), -9, 2))
    found = numpy.where(x > 2, outer, numpy.where(x < -9, inner, middle))
    return numpy.where(numpy.isinf(x), 0.0, numpy.where(numpy.isnan(x), math.nan, found))


# what is public ---------------------------------------------------------------------------------


def _in_blocks(values: Callable[[Array], Array], x: Array) -> Array:
    """values(x) in float64, a few thousand numbers at a time: each takes hundreds of terms."""
    flat = x.astype(numpy.float64).reshape(-1)
    blocks = [values(flat[start : start + 4096]) for start in range(0, flat.size, 4096)]
    found = numpy.concatenate(blocks) if blocks else flat
    return found.reshape(x.shape).astype(x.dtype)


def _function(name: str, values: Any, derivative: Any, doc: str) -> Any:
    """torch.special.name: values(array of float64) on the host, derivative(x, result)."""

    @host_function(name)
    def run(x: Array) -> Array:
        return _in_blocks(values, x)

    def gradient(arguments: Any, results: Any, gradients: Any) -> Any:
        g = gradients[0]
        return None if g is None else g * derivative(arguments[0], results)

    @differentiable(gradient)
    def compute(x: Tensor) -> Any:
        return run([x], (), [(x._type.shape, x._type.dtype)])[0]

    def call(input: Tensor) -> Any:
        return compute(to_floating(input))

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{doc} Runs on the host."
    return public(method=False, function=False)(call)


_J = "Bessel's function of the first kind, of order"
_Y = "Bessel's function of the second kind, of order"
_K = "The modified Bessel function of the second kind, of order"
bessel_j0: Any = _function("bessel_j0", _swinging(0, False), lambda x, y: -bessel_j1(x), f"{_J} 0.")
bessel_j1: Any = _function(
    "bessel_j1",
    _swinging(1, False),
    lambda x, y: bessel_j0(x) - _over(y, x, 0.5),
    f"{_J} 1.",
)
bessel_y0: Any = _function("bessel_y0", _swinging(0, True), lambda x, y: -bessel_y1(x), f"{_Y} 0.")
bessel_y1: Any = _function(
    "bessel_y1", _swinging(1, True), lambda x, y: bessel_y0(x) - y / x, f"{_Y} 1."
)
modified_bessel_k0: Any = _function(
    "modified_bessel_k0", _decaying(0, False), lambda x, y: -modified_bessel_k1(x), f"{_K} 0."
)
modified_bessel_k1: Any = _function(
    "modified_bessel_k1",
    _decaying(1, False),
    lambda x, y: -modified_bessel_k0(x) - y / x,
    f"{_K} 1.",
)
scaled_modified_bessel_k0: Any = _function(
    "scaled_modified_bessel_k0",
    _decaying(0, True),
    lambda x, y: y - scaled_modified_bessel_k1(x),
    "exp(x) modified_bessel_k0(x).",
)
scaled_modified_bessel_k1: Any = _function(
    "scaled_modified_bessel_k1",
    _decaying(1, True),
    lambda x, y: y - scaled_modified_bessel_k0(x) - y / x,
    "exp(x) modified_bessel_k1(x).",
)


def _over(y: Any, x: Any, at_zero: float) -> Any:
    """y / x with its limit at 0."""
    from flambeau.ops.logic import where

    zero = x == 0
    return where(zero, at_zero, y / where(zero, 1.0, x))


@host_function("airy_ai")
def _host_airy(x: Array) -> Array:
    return _in_blocks(_airy, x)


@public(method=False, function=False)
def airy_ai(x: Tensor) -> Any:
    """Airy's function Ai. Runs on the host, without a gradient, as PyTorch's.

    Raises RuntimeError where the input requires a gradient.
    """
    given = to_floating(x)
    refuse_gradient("special_airy_ai", given)
    return _host_airy([given], (), [(given._type.shape, given._type.dtype)])[0]


def refuse_gradient(name: str, *tensors: Any) -> None:
    """Raises RuntimeError where a tensor wants a gradient that does not exist."""
    from flambeau.autograd.mode import STATE

    if STATE.enabled and any(isinstance(each, Tensor) and each.requires_grad for each in tensors):
        raise RuntimeError(f"the derivative for '{name}' is not implemented; detach() its input")


@public(method=False, function=False)
def spherical_bessel_j0(x: Tensor) -> Any:
    """The spherical Bessel function of the first kind, of order 0: sin(x) / x."""
    given = to_floating(x)
    return _over(given.sin(), given, 1.0)
