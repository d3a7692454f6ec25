"""Fourier transforms beside PyTorch: results, dtypes, gradients, errors."""

from __future__ import annotations

import pytest
from both import LIBRARIES, same_results, same_results_and_gradients
from fourier_table import ARRAYS, ERRORS, OTHERS, SMOOTH

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.mark.parametrize("name", SMOOTH)
def test_results_and_gradients(name: str) -> None:
    function, names = SMOOTH[name]
    same_results_and_gradients(function, [ARRAYS[each] for each in names.split()])


@pytest.mark.parametrize("name", OTHERS)
def test_results(name: str) -> None:
    function, names = OTHERS[name]
    same_results(function, [ARRAYS[each] for each in names.split()])


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    function, names = ERRORS[name]
    for library in LIBRARIES:
        with pytest.raises(RuntimeError):
            function(library, *[library.tensor(ARRAYS[each]) for each in names.split()])
