"""Complex numbers beside PyTorch: results, dtypes, gradients, printing, random numbers."""

from __future__ import annotations

from typing import Any

import pytest
from both import LIBRARIES, near, same_results, same_results_and_gradients
from complex_table import ARRAYS, OTHERS, SMOOTH

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.mark.parametrize("name", SMOOTH)
def test_results_and_gradients(name: str) -> None:
    function, names = SMOOTH[name]
    same_results_and_gradients(function, [ARRAYS[each] for each in names.split()])


@pytest.mark.parametrize("name", OTHERS)
def test_results(name: str) -> None:
    function, names = OTHERS[name]
    same_results(function, [ARRAYS[each] for each in names.split()])


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
