"""Complex numbers beside PyTorch: results, dtypes, gradients, printing, random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from complex_table import ARRAYS, OTHERS, SMOOTH

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


@pytest.mark.parametrize("shape", [(3,), (4, 5), (0,), (1,)])
@pytest.mark.parametrize("name", ["rand", "randn"])
def test_random_numbers(name: str, shape: tuple[int, ...]) -> None:
    made = []
    for library in LIBRARIES:
        library.manual_seed(3)
        made.append(getattr(library, name)(*shape, dtype=library.complex64))
    near(*made, 1e-6)


@pytest.mark.parametrize(
    "values",
    [[1 + 2j, 3 - 4.5j], [[1e6 + 1e-3j], [2j]], [1 + 1j, -2 - 3j], [0.1234567 + 100j]],
)
def test_printing(values: Any) -> None:
    assert repr(flambeau.tensor(values)) == repr(torch.tensor(values))
    assert repr(flambeau.tensor(values, dtype=flambeau.complex128)) == repr(
        torch.tensor(values, dtype=torch.complex128)
    )
