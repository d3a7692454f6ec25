"""Convolutions against loops that follow the definition."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.nn import functional


def sample(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def convolved(x: Any, w: Any, stride: int, padding: int, dilation: int, groups: int) -> Any:
    """The definition, a sum for every place of the result."""
    rank = x.ndim - 2
    x = np.pad(x, [(0, 0), (0, 0)] + [(padding, padding)] * rank)
    taps = w.shape[2:]
    places = [
        (n - dilation * (k - 1) - 1) // stride + 1 for n, k in zip(x.shape[2:], taps, strict=True)
    ]
    result = np.zeros((x.shape[0], w.shape[0], *places))
    inner, outer = w.shape[1], w.shape[0] // groups
    for channel, place in itertools.product(range(w.shape[0]), np.ndindex(*places)):
        window = tuple(
            slice(p * stride, p * stride + dilation * (k - 1) + 1, dilation)
            for p, k in zip(place, taps, strict=True)
        )
        first = channel // outer * inner
        part = x[(slice(None), slice(first, first + inner), *window)]
        result[(slice(None), channel, *place)] = (part * w[channel]).reshape(len(x), -1).sum(1)
    return result


@pytest.mark.parametrize(
    ("shape", "taps", "stride", "padding", "dilation", "groups"),
    [
        ((2, 3, 8), (4, 3, 3), 1, 0, 1, 1),
        ((2, 3, 7, 6), (5, 3, 3, 3), 1, 1, 1, 1),
        ((2, 4, 9, 8), (6, 2, 3, 2), 2, 1, 1, 2),
        ((1, 4, 8, 8), (4, 1, 3, 3), 1, 1, 2, 4),
        ((1, 2, 4, 5, 4), (3, 2, 2, 3, 2), 1, 1, 1, 1),
        ((3, 2, 5, 5), (2, 2, 1, 1), 1, 0, 1, 1),
    ],
)
def test_conv(
    shape: Any, taps: Any, stride: int, padding: int, dilation: int, groups: int, device: str
) -> None:
    x, w = sample(*shape), sample(*taps)
    bias = sample(taps[0])
    function = getattr(functional, f"conv{len(shape) - 2}d")
    found = function(*map(torch.tensor, (x, w, bias)), stride, padding, dilation, groups)
    expected = convolved(x, w, stride, padding, dilation, groups)
    expected += bias.reshape(-1, *[1] * (len(shape) - 2))
    np.testing.assert_allclose(found.cpu().numpy(), expected, rtol=1e-4, atol=1e-4)


def test_the_transpose_is_the_adjoint(device: str) -> None:
    """⟨conv x, y⟩ = ⟨x, transposed conv y⟩"""
    w = torch.tensor(sample(4, 3, 3, 2))
    x, y = sample(2, 3, 9, 8), sample(2, 4, 4, 4)
    forward = functional.conv2d(torch.tensor(x), w, stride=2).cpu().numpy()
    back = functional.conv_transpose2d(torch.tensor(y), w, stride=2).cpu().numpy()
    assert forward.shape == y.shape
    assert back.shape == x.shape
    np.testing.assert_allclose((forward * y).sum(), (x * back).sum(), rtol=1e-4)


def test_unbatched_and_same(device: str) -> None:
    x, w = torch.tensor(sample(3, 6, 5)), torch.tensor(sample(4, 3, 4, 3))
    found = functional.conv2d(x, w, padding="same")
    assert tuple(found.shape) == (4, 6, 5)
    whole = functional.conv2d(functional.pad(x, (1, 1, 1, 2))[None], w)[0]
    np.testing.assert_allclose(found.cpu().numpy(), whole.cpu().numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        ((1, 2, 8, 8), {}, "to have 3 channels, but got 2 channels instead"),
        ((8, 8), {}, r"Expected 3D \(unbatched\) or 4D \(batched\) input to conv2d"),
        ((1, 3, 2, 2), {}, "can't be greater than actual input size"),
        ((1, 3, 8, 8), {"stride": 0}, "non-positive stride"),
        ((1, 3, 8, 8), {"padding": "full"}, "Invalid padding string: 'full'"),
        ((1, 3, 8, 8), {"padding": "same", "stride": 2}, "not supported for strided"),
        ((1, 3, 8, 8), {"bias": torch.zeros(3)}, "1-dimensional with 4 elements"),
    ],
)
def test_errors(shape: Any, options: Any, words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        functional.conv2d(torch.zeros(shape), torch.zeros(4, 3, 3, 3), **options)
