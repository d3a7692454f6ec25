"""Linear algebra beside PyTorch: results, dtypes, first gradients, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from linalg_table import ARRAYS, ERRORS, OTHERS, SMOOTH

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
LIBRARIES = (flambeau, torch)

NO_BACKWARD = {"cond fro", "torch.vander"}  # PyTorch modifies in place what it saved, and raises


def listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list)) else [value]


def near(one: Any, other: Any, tolerance: float = 1e-8) -> None:
    if not hasattr(one, "dtype"):
        assert tuple(one) == tuple(other)
        return
    assert tuple(one.shape) == tuple(other.shape)
    assert repr(one.dtype) == repr(other.dtype)
    np.testing.assert_allclose(
        one.detach().numpy(), other.detach().numpy(), rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("name", SMOOTH)
def test_results_and_gradients(name: str) -> None:
    function, names = SMOOTH[name]
    both = []
    for library in LIBRARIES:
        inputs = [
            library.tensor(ARRAYS[each], requires_grad=name not in NO_BACKWARD)
            for each in names.split()
        ]
        results = listed(function(library, *inputs))
        if name in NO_BACKWARD:
            both.append(results)
            continue
        sum(
            (each * library.arange(each.numel()).double().cos().reshape(each.shape)).sum()
            for each in results
        ).backward()
        both.append([*results, *[each.grad for each in inputs]])
    for one, other in zip(*both, strict=True):
        near(one, other)


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results(name: str, dtype: str) -> None:
    function, names = OTHERS[name]
    both = [
        function(library, *[library.tensor(ARRAYS[each].astype(dtype)) for each in names.split()])
        for library in LIBRARIES
    ]
    for one, other in zip(*map(listed, both), strict=True):
        near(one, other, 1e-3 if dtype == "float32" else 1e-8)


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    function, names = ERRORS[name]
    found = []
    for library in LIBRARIES:
        inputs = [library.tensor(ARRAYS[each], requires_grad=True) for each in names.split()]
        with pytest.raises(RuntimeError) as caught:
            function(library, *inputs)
        found.append(caught.value)
    ours, theirs = found
    assert isinstance(ours, flambeau.linalg.LinAlgError) == isinstance(
        theirs, torch.linalg.LinAlgError
    )
