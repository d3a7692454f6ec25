"""How far elementary functions are from the exact value, in units of the last place (ulp)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau as torch

_ERF = np.vectorize(math.erf, otypes=[np.float64])

# name: (exact, from, to, the greatest error in ulp of float32)
FUNCTIONS: dict[str, tuple[Callable[[Any], Any], float, float, float]] = {
    "exp": (np.exp, -87.0, 88.0, 1.1),
    "exp2": (np.exp2, -126.0, 127.0, 1.0),
    "expm1": (np.expm1, -20.0, 80.0, 1.6),
    "log": (np.log, 1e-30, 1e30, 0.8),
    "log1p": (np.log1p, -0.99, 1e10, 2.1),
    "tanh": (np.tanh, -12.0, 12.0, 1.3),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), -50.0, 50.0, 2.5),
    "erf": (_ERF, -5.0, 5.0, 1.0),
    "sin": (np.sin, -1000.0, 1000.0, 0.6),
    "cos": (np.cos, -1000.0, 1000.0, 1.1),
    "sqrt": (np.sqrt, 0.0, 1e30, 0.5),
    "rsqrt": (lambda x: 1 / np.sqrt(x), 1e-30, 1e30, 1.5),
}


def arguments(low: float, high: float) -> np.ndarray:
    """Evenly over the range, and over all magnitudes within it."""
    generator = np.random.default_rng(0)
    largest = max(abs(low), abs(high))
    sizes = np.exp(generator.uniform(-60, math.log(largest), 60_000))
    signs = generator.choice([-1.0, 1.0], 60_000)
    x = np.concatenate([generator.uniform(low, high, 60_000), sizes * signs]).astype(np.float32)
    return x[(x >= low) & (x <= high)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_error(name: str) -> None:
    exact, low, high, most = FUNCTIONS[name]
    x = arguments(low, high)
    expected = exact(x.astype(np.float64))
    found = getattr(torch, name)(torch.tensor(x)).numpy().astype(np.float64)
    last_place = np.spacing(np.abs(expected).astype(np.float32).clip(1.2e-38)).astype(np.float64)
    error = np.abs(found - expected) / last_place
    assert error.max() <= most


@pytest.mark.parametrize("name", FUNCTIONS)
def test_ends_of_the_range(name: str) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], np.float32)
    with np.errstate(all="ignore"):
        expected = FUNCTIONS[name][0](x.astype(np.float64)).astype(np.float32)
    np.testing.assert_array_equal(getattr(torch, name)(torch.tensor(x)).numpy(), expected)
