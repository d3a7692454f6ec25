"""How far elementary functions are from the exact value, in units of the last place (ulp)."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

import flambeau as torch

_ERF = np.vectorize(math.erf, otypes=[np.float64])
_LGAMMA = np.vectorize(math.lgamma, otypes=[np.float64])
_ERFC = np.vectorize(math.erfc, otypes=[np.float64])


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _softplus(x: Any) -> Any:
    return np.where(x > 20, x, np.log1p(np.exp(np.minimum(x, 20))))


# name: (exact, from, to, the greatest error in ulp of float32, of float64 where numpy knows better)
FUNCTIONS: dict[str, tuple[Callable[[Any], Any], float, float, float, float | None]] = {
    "exp": (np.exp, -87.0, 88.0, 0.58, 0.54),
    "exp2": (np.exp2, -126.0, 127.0, 0.53, 0.53),
    "expm1": (np.expm1, -20.0, 80.0, 0.72, 0.72),
    "log": (np.log, 1e-30, 1e30, 0.83, 0.62),
    "log1p": (np.log1p, -0.99, 1e10, 0.56, 0.51),
    "log2": (np.log2, 1e-30, 1e30, 0.56, 0.51),
    "log10": (np.log10, 1e-30, 1e30, 0.56, 0.51),
    "tanh": (np.tanh, -12.0, 12.0, 0.53, 0.55),
    "sigmoid": (_sigmoid, -50.0, 50.0, 2.4, 2.2),
    "softplus": (_softplus, -80.0, 30.0, 1.5, 1.5),
    "erf": (_ERF, -5.0, 5.0, 0.76, None),
    "erfc": (_ERFC, -5.0, 9.0, 0.82, None),
    "lgamma": (_LGAMMA, 1e-30, 1e30, 0.56, None),
    "sin": (np.sin, -1000.0, 1000.0, 0.51, 0.52),
    "cos": (np.cos, -1000.0, 1000.0, 0.51, 0.52),
    "tan": (np.tan, -1000.0, 1000.0, 0.51, 0.52),
    "asin": (np.arcsin, -1.0, 1.0, 0.63, 0.63),
    "acos": (np.arccos, -1.0, 1.0, 0.63, 0.6),
    "atan": (np.arctan, -1e30, 1e30, 0.7, 0.65),
    "sinh": (np.sinh, -88.0, 88.0, 0.55, 0.55),
    "cosh": (np.cosh, -88.0, 88.0, 0.52, 0.52),
    "asinh": (np.arcsinh, -1e30, 1e30, 0.57, 0.57),
    "acosh": (np.arccosh, 1.0, 1e30, 0.55, 0.55),
    "atanh": (np.arctanh, -0.999, 0.999, 0.56, 0.51),
    "sqrt": (np.sqrt, 0.0, 1e30, 0.5, 0.5),
    "rsqrt": (lambda x: 1 / np.sqrt(x), 1e-30, 1e30, 1.5, 1.5),
}
PAIRS: dict[str, tuple[Callable[[Any, Any], Any], float]] = {
    "pow": (np.power, 0.53),
    "atan2": (np.arctan2, 0.72),
    "hypot": (np.hypot, 0.51),
}
"""tests/parity/test_elementary_error.py compares these with PyTorch on the same numbers."""


def function(name: str) -> Any:
    return getattr(torch, name) if hasattr(torch, name) else getattr(torch.nn.functional, name)


def arguments(low: float, high: float) -> np.ndarray:
    """Evenly over the range, over all magnitudes within it, and near 0 and 1."""
    generator = np.random.default_rng(0)
    largest = max(abs(low), abs(high))
    sizes = np.exp(generator.uniform(-60, math.log(largest), 60_000))
    signs = generator.choice([-1.0, 1.0], 60_000)
    near = np.concatenate([generator.uniform(-2, 2, 60_000), 1 + sizes * signs])
    parts = [generator.uniform(low, high, 60_000), sizes * signs, near]
    x = np.concatenate(parts).astype(np.float32)
    return x[(x >= low) & (x <= high)]


def doubles(low: float, high: float) -> np.ndarray:
    """arguments() with all the bits of float64."""
    return (arguments(low, high).astype(np.float64) * (1 - 2.0**-30)).clip(low, high)


def need_long_double() -> None:
    if np.finfo(np.longdouble).nmant <= 52:
        pytest.skip("long double is double here")


def in_double(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Arguments, and what the function gives for them in long double."""
    need_long_double()
    exact, low, high, _, _ = FUNCTIONS[name]
    x = doubles(low, high)
    return x, exact(x.astype(np.longdouble))


def pairs(name: str) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    x = np.exp2(generator.uniform(-30, 30, 100_000)).astype(np.float32)
    reach = 120 / np.maximum(np.abs(np.log2(x)), 1e-3) if name == "pow" else x
    y = (generator.uniform(-1, 1, 100_000) * np.minimum(reach, 1e5)).astype(np.float32)
    return x, y


def error(found: Any, expected: Any, dtype: Any = np.float32) -> float:
    """The greatest, in units of the last place of the dtype."""
    least = np.finfo(dtype).tiny
    last_place = np.spacing(np.abs(expected).astype(dtype).clip(least)).astype(np.float64)
    return float((np.abs(found - expected) / last_place).max())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_error(name: str) -> None:
    exact, low, high, most, _ = FUNCTIONS[name]
    x = arguments(low, high)
    found = function(name)(torch.tensor(x)).numpy()
    assert error(found.astype(np.float64), exact(x.astype(np.float64))) <= most


@pytest.mark.parametrize("name", PAIRS)
def test_error_of_pairs(name: str) -> None:
    exact, most = PAIRS[name]
    x, y = pairs(name)
    found = function(name)(torch.tensor(x), torch.tensor(y)).numpy().astype(np.float64)
    assert error(found, exact(x.astype(np.float64), y.astype(np.float64))) <= most


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in ("softplus", "lgamma")])
def test_ends_of_the_range(name: str) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 2.0, -2.0], np.float32)
    if FUNCTIONS[name][1] != -1000.0:  # of sine and cosine only what has one value
        x = np.append(x, np.array([3e38, -3e38, 1e-42, -1e-42], np.float32))
    with np.errstate(all="ignore"):
        expected = FUNCTIONS[name][0](x.astype(np.float64)).astype(np.float32)
    found = function(name)(torch.tensor(x)).numpy()
    np.testing.assert_allclose(found, expected, rtol=3e-7, atol=0)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found[number]), np.signbit(expected[number]))


@pytest.mark.parametrize("name", [*FUNCTIONS, *PAIRS])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_does_not_depend_on_the_default(name: str, dtype: str) -> None:
    x = torch.tensor([0.25, 0.5], dtype=getattr(torch, dtype))
    torch.set_default_dtype(torch.float64)
    try:
        found = function(name)(*[x] * (2 if name in PAIRS else 1))
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.dtype is x.dtype


@pytest.mark.parametrize("name", [name for name, entry in FUNCTIONS.items() if entry[-1]])
def test_error_in_double(name: str) -> None:
    """Of float64, against numpy's long double where that has more bits."""
    x, expected = in_double(name)
    most = FUNCTIONS[name][-1] or 0
    assert error(function(name)(torch.tensor(x)).numpy(), expected, np.float64) <= most


def test_small_and_large_numbers_cancel_exactly() -> None:
    """log(eˣ + eʸ) near 0: both terms are as great, and known with twice the bits."""
    y = np.linspace(-0.7, -0.01, 5_001).astype(np.float32)
    x = np.log(-np.expm1(y.astype(np.float64))).astype(np.float32)
    exact = np.logaddexp(x.astype(np.longdouble), y.astype(np.longdouble)).astype(np.float64)
    found = torch.logaddexp(torch.tensor(x), torch.tensor(y)).numpy()
    np.testing.assert_allclose(found, exact, rtol=0, atol=5e-9)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_scaled_exponentials_keep_their_numbers(dtype: str) -> None:
    """Of 16-bit floats selu's constants are not rounded to 16 bits."""
    x = torch.linspace(-8, 2, 1001).to(getattr(torch, dtype))
    wide = torch.nn.functional.selu(x.to(torch.float64)).to(x.dtype)
    assert torch.equal(torch.nn.functional.selu(x), wide)


def test_error_of_erfinv() -> None:
    """Beside the normal distribution's quantiles, where a number plus 1 keeps enough digits."""
    x = np.random.default_rng(0).uniform(-1, 1, 50_000).astype(np.float32)
    x = x[np.abs(x) > 1e-3]
    quantile = NormalDist().inv_cdf
    exact = np.array([quantile((each + 1) / 2) for each in x.astype(np.float64)]) / math.sqrt(2)
    assert error(torch.erfinv(torch.tensor(x)).numpy().astype(np.float64), exact) <= 0.62
    ends = torch.erfinv(torch.tensor([-0.0, 0.0, 1.0, -1.0])).tolist()
    assert ends == [0.0, 0.0, math.inf, -math.inf]
    assert math.copysign(1, ends[0]) == -1
