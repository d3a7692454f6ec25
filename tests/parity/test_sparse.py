"""Sparse tensors beside PyTorch: results and gradients."""

from __future__ import annotations

import numpy as np
import pytest
from sparse_table import CALLS, DENSE, OTHER, VALUES

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.mark.parametrize("name", [each for each in CALLS if each != "csr"])
def test_results_and_gradients(name: str) -> None:
    both = []
    for library in (flambeau, torch):
        inputs = [library.tensor(each, requires_grad=True) for each in (VALUES, DENSE, OTHER)]
        found = CALLS[name](library, *inputs)
        weights = library.arange(found.numel()).double().cos().reshape(found.shape)
        if found.requires_grad:
            (found * weights).sum().backward()
        both.append([found, *[each.grad for each in inputs]])
    for one, other in zip(*both, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert repr(one.dtype) == repr(other.dtype)
            np.testing.assert_allclose(one.detach().numpy(), other.detach().numpy(), atol=1e-12)
