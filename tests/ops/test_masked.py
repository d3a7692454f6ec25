"""torch.masked against numpy's masked arrays, and the windows of torch.signal."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.ops.gradcheck import gradcheck

masked = torch.masked
GENERATOR = np.random.default_rng(3)
X = GENERATOR.standard_normal((3, 4))
MASK = np.array([[1, 0, 1, 1], [0, 1, 1, 0], [1, 1, 0, 1]], bool)
EXPECTED: dict[str, Any] = {
    "sum": lambda x: x.sum(1),
    "prod": lambda x: x.prod(1),
    "mean": lambda x: x.mean(1),
    "amax": lambda x: x.max(1),
    "amin": lambda x: x.min(1),
    "argmax": lambda x: x.argmax(1),
    "argmin": lambda x: x.argmin(1),
    "var": lambda x: x.var(1, ddof=1),
    "std": lambda x: x.std(1, ddof=1),
    "logsumexp": lambda x: np.log(np.exp(x).sum(1)),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_reductions(name: str) -> None:
    found = getattr(masked, name)(torch.tensor(X), dim=1, mask=torch.tensor(MASK))
    expected = EXPECTED[name](np.ma.array(X, mask=~MASK))
    np.testing.assert_allclose(found.numpy(), np.asarray(expected), 1e-12)


@pytest.mark.parametrize("name", ["sum", "mean", "var", "norm", "logsumexp", "prod"])
def test_gradients_and_all_dimensions(name: str) -> None:
    x = torch.tensor(X, requires_grad=True)
    mask = torch.tensor(MASK)
    assert gradcheck(lambda each: getattr(masked, name)(each, mask=mask), (x,))
    whole = getattr(masked, name)(x, mask=mask)
    kept = getattr(masked, name)(torch.tensor(X[MASK]))
    torch.testing.assert_close(whole, kept)


def test_where_nothing_takes_part() -> None:
    x, none = torch.ones(1, 2), torch.zeros(2, dtype=torch.bool)
    found = {name: getattr(masked, name)(x, dim=1, mask=none).item() for name in EXPECTED}
    assert found["sum"] == 0 and found["prod"] == 1 and found["amax"] == -math.inf
    assert math.isnan(found["mean"]) and math.isnan(found["var"])
    assert math.isnan(masked.median(x, 1, mask=none).item())
    assert masked.softmax(x, 1, mask=none).isnan().all()
    assert masked.normalize(x, 2.0, 1, mask=none).tolist() == [[0.0, 0.0]]


def test_along_a_dimension() -> None:
    x, mask = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([True, False, True])
    assert masked.cumsum(x, 0, mask=mask).tolist() == [1, 1, 4]
    assert masked.cumprod(x, 0, mask=mask).tolist() == [1, 1, 3]
    assert masked.median(x, 0, mask=mask).item() == 1
    kept = torch.tensor([1.0, 3.0])
    for name in ("softmax", "softmin", "log_softmax"):
        found = getattr(masked, name)(x, 0, mask=mask)
        torch.testing.assert_close(found[mask], getattr(masked, name)(kept, 0))
        assert found[1] == (-math.inf if name == "log_softmax" else 0)
    torch.testing.assert_close(masked.normalize(x, 2.0, 0, mask=mask)[mask], kept / kept.norm())
    both = masked.logaddexp(x, x, input_mask=mask)
    torch.testing.assert_close(both, torch.where(mask, x + math.log(2), x))


def test_errors() -> None:
    with pytest.raises(ValueError, match="floating point"):
        masked.mean(torch.arange(3))
    with pytest.raises(IndexError, match="broadcastable mask"):
        masked.sum(torch.ones(2), mask=torch.ones(2, 2, dtype=torch.bool))
    with pytest.raises(NotImplementedError, match=r"identity of amax on torch\.bool"):
        masked.amax(torch.ones(2, dtype=torch.bool), mask=torch.ones(2, dtype=torch.bool))


WINDOWS: dict[str, Any] = {
    "bartlett": np.bartlett,
    "blackman": np.blackman,
    "hamming": np.hamming,
    "hann": np.hanning,
    "kaiser": lambda count: np.kaiser(count, 12.0),
    "gaussian": lambda count: np.exp(-0.5 * (np.arange(count) - (count - 1) / 2) ** 2),
    "exponential": lambda count: np.exp(-np.abs(np.arange(count) - (count - 1) / 2)),
    "cosine": lambda count: np.sin(np.pi / count * (np.arange(count) + 0.5)),
    "nuttall": lambda count: sum(
        each * np.cos(2 * np.pi * k * np.arange(count) / (count - 1))
        for k, each in enumerate((0.3635819, -0.4891775, 0.1365995, -0.0106411))
    ),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_windows(name: str) -> None:
    window = getattr(torch.signal.windows, name)
    whole = window(9, dtype=torch.float64)
    np.testing.assert_allclose(whole.numpy(), WINDOWS[name](9), atol=1e-12)
    torch.testing.assert_close(window(8, sym=False, dtype=torch.float64), whole[:8])
    assert window(1).tolist() == [1.0] and window(0).shape == (0,)
    assert window(4, requires_grad=True).requires_grad
    with pytest.raises(ValueError, match="non-negative"):
        window(-1)
    with pytest.raises(ValueError, match="dtypes"):
        window(3, dtype=torch.int64)
    with pytest.raises(TypeError, match="unexpected keyword"):
        window(3, periodic=True)


def test_general_windows() -> None:
    windows = torch.signal.windows
    torch.testing.assert_close(windows.general_cosine(7, a=[0.5, 0.5]), windows.hann(7))
    torch.testing.assert_close(windows.general_hamming(7), windows.hamming(7))
    with pytest.raises(ValueError, match="Center must be None"):
        windows.exponential(3, center=1.0)
    with pytest.raises(ValueError, match="Coefficients"):
        windows.general_cosine(3, a=[])
