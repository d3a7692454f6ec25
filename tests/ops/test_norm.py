"""Normalisation against formulas in float64, running statistics, 16-bit floats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.device import base
from flambeau.nn import functional

EPS = 1e-5


def sample(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32) * 3 + 1


def standardized(x: Any, axes: Any) -> Any:
    x = x.astype(np.float64)
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + EPS)


def near(found: torch.Tensor, expected: Any, tolerance: float = 2e-5) -> None:
    np.testing.assert_allclose(
        found.detach().cpu().numpy(), expected, rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 6), (2, 3, 5, 4)], ids=str)
def test_batch_norm_updates_the_running_statistics(shape: Any, device: str) -> None:
    x, w, bias = sample(*shape), sample(3), sample(3)
    mean, var = np.zeros(3, np.float32), np.ones(3, np.float32)
    running = torch.tensor(mean), torch.tensor(var)
    axes = tuple(axis for axis in range(x.ndim) if axis != 1)
    line = (1, 3, *[1] * (x.ndim - 2))
    for _ in range(2):
        found = functional.batch_norm(
            torch.tensor(x, requires_grad=True),
            *running,
            torch.tensor(w),
            torch.tensor(bias),
            training=True,
            momentum=0.3,
        )
        near(found, standardized(x, axes) * w.reshape(line) + bias.reshape(line))
        mean = 0.7 * mean + 0.3 * x.mean(axes, dtype=np.float64)
        var = 0.7 * var + 0.3 * x.var(axes, ddof=1, dtype=np.float64)
    near(running[0], mean)
    near(running[1], var)
    assert not running[0].requires_grad
    scale = w / np.sqrt(var + EPS)
    expected = (x - mean.reshape(line)) * scale.reshape(line) + bias.reshape(line)
    found = functional.batch_norm(torch.tensor(x), *running, torch.tensor(w), torch.tensor(bias))
    near(found, expected)


@pytest.mark.parametrize("shape", [(4, 8), (2, 3, 8), (3, 1000)], ids=str)
def test_layer_norm(shape: Any, device: str) -> None:
    x, w, bias = sample(*shape), sample(shape[-1]), sample(shape[-1])
    found = functional.layer_norm(torch.tensor(x), shape[-1:], torch.tensor(w), torch.tensor(bias))
    near(found, standardized(x, -1) * w + bias, 5e-5)


def test_rms_norm(device: str) -> None:
    x, w = sample(3, 16), sample(16)
    found = functional.rms_norm(torch.tensor(x), (16,), torch.tensor(w), 1e-6)
    wide = x.astype(np.float64)
    near(found, wide / np.sqrt((wide**2).mean(-1, keepdims=True) + 1e-6) * w)


def test_group_and_instance_norm(device: str) -> None:
    x = sample(2, 6, 4, 3)
    grouped = standardized(x.reshape(2, 3, -1), 2).reshape(x.shape)
    near(functional.group_norm(torch.tensor(x), 3), grouped)
    near(functional.instance_norm(torch.tensor(x)), standardized(x, (2, 3)))


def test_large_means_do_not_drown_small_differences(device: str) -> None:
    """Two passes: the variance is of what is centred, not a difference of large squares."""
    x = (1e4 + np.arange(8)).astype(np.float32).reshape(1, 8)
    near(functional.layer_norm(torch.tensor(x), (8,)), standardized(x, -1), 1e-3)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bit_floats_are_summed_in_32(dtype: str, device: str) -> None:
    of = getattr(torch, dtype)
    reason = base.get(device).supports(of)
    if reason is not None:
        pytest.skip(f"{dtype} on {device}: {reason}")
    x = torch.tensor(np.linspace(1, 200, 512, dtype=np.float32).reshape(1, -1)).to(of)
    found = functional.layer_norm(x, (512,))
    assert found.dtype is of
    near(found.float(), standardized(x.float().cpu().numpy(), -1), 0.02)


def test_normalize_has_no_gradient_trouble_at_0(device: str) -> None:
    x = torch.zeros(1, 3, requires_grad=True)
    functional.normalize(x).sum().backward()
    assert x.grad is not None
    assert np.isfinite(x.grad.cpu().numpy()).all()


def test_errors() -> None:
    x = torch.zeros(1, 3)
    with pytest.raises(ValueError, match="more than 1 value per channel when training"):
        functional.batch_norm(x, None, None, training=True)
    with pytest.raises(RuntimeError, match="running_mean should contain 3 elements not 2"):
        functional.batch_norm(x, torch.zeros(2), torch.zeros(2))
    with pytest.raises(RuntimeError, match=r"Given normalized_shape=\[4\]"):
        functional.layer_norm(x, (4,))
    with pytest.raises(RuntimeError, match="divisible by num_groups"):
        functional.group_norm(x, 2)
    with pytest.raises(NotImplementedError, match="int64"):
        functional.layer_norm(torch.zeros(2, 3, dtype=torch.int64), (3,))
