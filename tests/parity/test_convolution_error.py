"""Errors of convolutions in float32 against float64, beside PyTorch's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

SHAPES = [(64, 64, 56), (128, 128, 28), (256, 256, 14), (512, 512, 7)]


def results(library: Any, dtype: Any, arrays: list[Any]) -> list[Any]:
    """The result and the gradient of the input, as float64."""
    x, weight, gradient = (library.tensor(each.astype(dtype)) for each in arrays)
    x.requires_grad_()
    result = library.nn.functional.conv2d(x, weight, padding=1)
    result.backward(gradient)
    return [each.numpy().astype(float) for each in (result.detach(), x.grad)]


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_no_larger_than_pytorch(shape: tuple[int, int, int], positive: bool) -> None:
    """The largest error of a hundred thousand results; a tenth more is chance."""
    into, out, side = shape
    random = np.random.default_rng(into)
    shapes = ((1, into, side, side), (out, into, 3, 3), (1, out, side, side))
    arrays = [random.standard_normal(each).astype(np.float32) for each in shapes]
    if positive:
        arrays = [np.maximum(arrays[0], 0), arrays[1], np.abs(arrays[2])]
    exact = results(torch, np.float64, arrays)
    ours, theirs = (results(library, np.float32, arrays) for library in (flambeau, torch))
    for truth, our, their in zip(exact, ours, theirs, strict=True):
        assert np.abs(our - truth).max() <= 1.1 * np.abs(their - truth).max()
