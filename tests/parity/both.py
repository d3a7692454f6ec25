"""What several families ask of both libraries, case by case of a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
LIBRARIES = (flambeau, torch)


def near(one: Any, other: Any, tolerance: float = 1e-9) -> None:
    assert tuple(one.shape) == tuple(other.shape)
    assert repr(one.dtype) == repr(other.dtype)
    np.testing.assert_allclose(
        one.detach().numpy(),
        other.detach().resolve_conj().numpy(),
        rtol=tolerance,
        atol=tolerance,
    )


def same_results_and_gradients(function: Callable[..., Any], arrays: list[Any]) -> None:
    both = []
    for library in LIBRARIES:
        inputs = [library.tensor(each, requires_grad=True) for each in arrays]
        result = function(library, *inputs)
        weights = library.arange(result.numel()).double().cos().reshape(result.shape)
        if result.is_complex():
            weights = library.complex(weights, weights + 0.5)
        total = (result * weights).sum()
        (total.real + 2 * total.imag if result.is_complex() else total).backward()
        both.append([result, *[each.grad for each in inputs]])
    for one, other in zip(*both, strict=True):
        if other is not None:
            near(one, other)


def same_results(function: Callable[..., Any], arrays: list[Any]) -> None:
    near(*[function(each, *map(each.tensor, arrays)) for each in LIBRARIES], 1e-6)
