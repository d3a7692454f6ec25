"""Less common array operations beside PyTorch: results, dtypes, first gradients, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arrays_table import ARRAYS, ERRORS, OTHERS, SMOOTH

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
LIBRARIES = (flambeau, torch)


def listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list)) else [value]


def near(one: Any, other: Any, tolerance: float = 1e-8) -> None:
    if not hasattr(one, "dtype"):
        assert one == other
        return
    assert tuple(one.shape) == tuple(other.shape)
    assert repr(one.dtype) == repr(other.dtype)
    np.testing.assert_allclose(
        one.detach().numpy(), other.detach().numpy(), rtol=tolerance, atol=tolerance
    )


def made(library: Any, names: str, dtype: str = "float64", gradients: bool = False) -> list[Any]:
    found = []
    for each in names.split():
        array = ARRAYS[each]
        real = array.dtype.kind == "f"
        tensor = library.tensor(array.astype(dtype) if real else array)
        found.append(tensor.requires_grad_() if real and gradients else tensor)
    return found


@pytest.mark.parametrize("name", SMOOTH)
def test_results_and_gradients(name: str) -> None:
    function, names = SMOOTH[name]
    both = []
    for library in LIBRARIES:
        inputs = made(library, names, gradients=True)
        results = listed(function(library, *inputs))
        sum(
            (each * library.arange(each.numel()).double().cos().reshape(each.shape)).sum()
            for each in results
        ).backward()
        both.append([*results, *[each.grad for each in inputs if each.requires_grad]])
    for one, other in zip(*both, strict=True):
        near(one, other)


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results(name: str, dtype: str) -> None:
    function, names = OTHERS[name]
    both = [function(library, *made(library, names, dtype)) for library in LIBRARIES]
    for one, other in zip(*map(listed, both), strict=True):
        near(one, other, 1e-5 if dtype == "float32" else 1e-8)


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    function, names, kind = ERRORS[name]
    for library in LIBRARIES:
        with pytest.raises(kind):
            function(library, *made(library, names))
