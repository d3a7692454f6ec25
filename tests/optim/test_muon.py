"""Muon: steps of orthogonal matrices."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as torch


@pytest.mark.parametrize("shape", [(4, 6), (6, 4)])
def test_a_step_is_about_orthogonal(shape: tuple[int, int]) -> None:
    start = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    parameter = torch.nn.Parameter(torch.tensor(start))
    optimizer = torch.optim.Muon([parameter], lr=0.1, weight_decay=0.0)
    (parameter * torch.tensor(start)).sum().backward()
    optimizer.step()
    scale = 0.1 * max(1.0, shape[0] / shape[1]) ** 0.5
    moved = (start - parameter.detach().numpy()) / scale
    lengths = np.linalg.svd(moved, compute_uv=False)
    assert lengths.min() > 0.5 and lengths.max() < 1.3  # what five iterations reach
    left, _, right = np.linalg.svd(start, full_matrices=False)
    assert np.abs(moved - left @ right).max() < 0.35
    average = optimizer.state[parameter]["momentum_buffer"]
    np.testing.assert_allclose(average.numpy(), 0.05 * start, 1e-5)


def test_arguments() -> None:
    vector, matrix = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2, 2))
    with pytest.raises(ValueError, match="only supports 2D"):
        torch.optim.Muon([vector])
    with pytest.raises(ValueError, match="Learning rate"):
        torch.optim.Muon([matrix], lr=-1.0)
    with pytest.raises(ValueError, match="not supported"):
        torch.optim.Muon([matrix], adjust_lr_fn="other")
    optimizer = torch.optim.Muon([matrix], lr=0.5, weight_decay=0.2, adjust_lr_fn="match_rms_adamw")
    matrix.grad = torch.zeros(2, 2)
    optimizer.step()
    torch.testing.assert_close(matrix.detach(), torch.full((2, 2), 0.9))  # decay alone
