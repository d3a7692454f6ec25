"""The error of attention beside float64 is PyTorch's, within a fifth: forward and backward."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


def answers(library: Any, arrays: list[Any], causal: bool) -> list[Any]:
    *inputs, given = [library.tensor(each) for each in arrays]
    for each in inputs:
        each.requires_grad_()
    attention = library.nn.functional.scaled_dot_product_attention
    result = attention(*inputs, is_causal=causal)
    result.backward(given)
    return [each.detach().numpy() for each in (result, *[each.grad for each in inputs])]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("length", [33, 64, 200, 384, 1000])
def test_error(length: int, causal: bool) -> None:
    generator = np.random.default_rng(length)
    arrays = [generator.standard_normal((2, 3, length, 64)) for _ in range(4)]
    single = [each.astype(np.float32) for each in arrays]
    exact = answers(torch, [each.astype(np.float64) for each in single], causal)
    for mine, theirs, true in zip(
        answers(flambeau, single, causal), answers(torch, single, causal), exact, strict=True
    ):
        own, other = (np.sqrt(np.mean((each - true) ** 2)) for each in (mine, theirs))
        assert own <= 1.2 * other + 1e-9, (own, other)
