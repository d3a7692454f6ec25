"""Fourier transforms beside PyTorch: results, dtypes, gradients, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fourier_table import ARRAYS, ERRORS, OTHERS, SMOOTH

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


@pytest.mark.parametrize("name", SMOOTH)
def test_results_and_gradients(name: str) -> None:
    function, names = SMOOTH[name]
    both = []
    for library in LIBRARIES:
        inputs = [library.tensor(ARRAYS[each], requires_grad=True) for each in names.split()]
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


@pytest.mark.parametrize("name", OTHERS)
def test_results(name: str) -> None:
    function, names = OTHERS[name]
    near(
        *[
            function(library, *[library.tensor(ARRAYS[each]) for each in names.split()])
            for library in LIBRARIES
        ],
        1e-6,
    )


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    function, names = ERRORS[name]
    for library in LIBRARIES:
        with pytest.raises(RuntimeError):
            function(library, *[library.tensor(ARRAYS[each]) for each in names.split()])
