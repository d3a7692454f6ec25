"""Losses against formulas in float64, at their edges, and what they cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.nn import functional


def sample(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def log_softmax(x: Any) -> Any:
    x = x.astype(np.float64)
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def near(found: torch.Tensor, expected: Any) -> None:
    np.testing.assert_allclose(found.detach().cpu().numpy(), expected, rtol=2e-5, atol=2e-6)


ROWS, CLASSES = sample(6, 5), np.array([0, 4, 2, 2, 1, 3])
SCORES = log_softmax(ROWS)
PICKED = -SCORES[np.arange(6), CLASSES]
WEIGHT = np.abs(sample(5)) + np.float32(0.1)


def cross_entropy(**options: Any) -> torch.Tensor:
    return functional.cross_entropy(torch.tensor(ROWS), torch.tensor(CLASSES), **options)


def test_cross_entropy(device: str) -> None:
    near(cross_entropy(), PICKED.mean())
    near(cross_entropy(reduction="sum"), PICKED.sum())
    near(cross_entropy(reduction="none"), PICKED)


def test_cross_entropy_with_weights_and_ignored_rows(device: str) -> None:
    kept = CLASSES != 2
    found = cross_entropy(weight=torch.tensor(WEIGHT), ignore_index=2)
    shares = WEIGHT[CLASSES] * kept
    near(found, (PICKED * shares).sum() / shares.sum())


def test_label_smoothing_mixes_in_all_classes(device: str) -> None:
    near(cross_entropy(label_smoothing=0.2), (0.8 * PICKED - 0.2 * SCORES.mean(1)).mean())


def test_classes_as_probabilities(device: str) -> None:
    found = functional.cross_entropy(
        torch.tensor(ROWS), torch.tensor(np.eye(5, dtype=np.float32)[CLASSES])
    )
    near(found, PICKED.mean())


def test_the_gradient_is_softmax_minus_target(device: str) -> None:
    x = torch.tensor(ROWS, requires_grad=True)
    functional.cross_entropy(x, torch.tensor(CLASSES)).backward()
    assert x.grad is not None
    near(x.grad, (np.exp(SCORES) - np.eye(5)[CLASSES]) / 6)


def test_large_logits(device: str) -> None:
    x = torch.tensor([[1e4, 0.0], [-1e4, 0.0]], requires_grad=True)
    loss = functional.cross_entropy(x, torch.tensor([1, 1]))
    loss.backward()
    near(loss, 5e3)
    assert x.grad is not None
    near(x.grad, [[0.5, -0.5], [0.0, 0.0]])


def test_the_mean_of_nothing_is_nan(device: str) -> None:
    target = torch.full((6,), -100)
    assert np.isnan(functional.cross_entropy(torch.tensor(ROWS), target).item())
    assert functional.cross_entropy(torch.tensor(ROWS), target, reduction="sum").item() == 0
    assert np.isnan(functional.mse_loss(torch.zeros(0), torch.zeros(0)).item())


@pytest.mark.parametrize("place", [5, -1])
def test_a_class_out_of_range(place: int, device: str) -> None:
    with pytest.raises(IndexError, match=f"Target {place} is out of bounds"):
        functional.cross_entropy(torch.tensor(ROWS[:2]), torch.tensor([0, place])).item()


def test_images_have_their_classes_in_the_second_dimension(device: str) -> None:
    x = np.moveaxis(ROWS.reshape(2, 3, 5), 2, 1)
    found = functional.cross_entropy(torch.tensor(x), torch.tensor(CLASSES.reshape(2, 3)))
    near(found, PICKED.mean())


def test_differences(device: str) -> None:
    x, y = sample(3, 4), sample(4, 3).T.copy()
    distance = np.abs(x - y)
    first, second = torch.tensor(x), torch.tensor(y)
    near(functional.mse_loss(first, second), (distance**2).mean())
    near(functional.l1_loss(first, second), distance.mean())
    small = np.where(distance < 1, 0.5 * distance**2, distance - 0.5)
    near(functional.smooth_l1_loss(first, second), small.mean())
    huber = np.where(distance < 0.5, 0.5 * distance**2, 0.5 * (distance - 0.25))
    near(functional.huber_loss(first, second, delta=0.5), huber.mean())


def test_binary_cross_entropy(device: str) -> None:
    x, t = sample(4, 3) * 4, np.random.default_rng(1).random((4, 3)).astype(np.float32)
    p = 1 / (1 + np.exp(-x.astype(np.float64)))
    expected = -(t * np.log(p) + (1 - t) * np.log(1 - p))
    logits = functional.binary_cross_entropy_with_logits(torch.tensor(x), torch.tensor(t))
    near(logits, expected.mean())
    chances = torch.tensor(p.astype(np.float32))
    found = functional.binary_cross_entropy(chances, torch.tensor(t), reduction="none")
    np.testing.assert_allclose(found.cpu().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_binary_cross_entropy_at_its_ends(device: str) -> None:
    x = torch.tensor([100.0, -100.0, 0.0])
    found = functional.binary_cross_entropy_with_logits(x, torch.zeros(3), reduction="none")
    near(found, [100.0, 0.0, np.log(2)])
    certain = torch.tensor([0.0, 1.0])
    ends = functional.binary_cross_entropy(certain, torch.ones(2), reduction="none")
    near(ends, [100.0, 0.0])


def test_kl_divergence(device: str) -> None:
    p = np.exp(log_softmax(sample(3, 4)))
    p[0, 0] = 0  # 0 · log 0 = 0
    q = log_softmax(sample(3, 4) * 2)
    expected = np.where(p > 0, p * (np.log(np.where(p > 0, p, 1)) - q), 0).sum() / 3
    found = functional.kl_div(
        torch.tensor(q.astype(np.float32)),
        torch.tensor(p.astype(np.float32)),
        reduction="batchmean",
    )
    near(found, expected)


def test_errors_at_the_call() -> None:
    x = torch.tensor(ROWS)
    with pytest.raises(ValueError, match=r"batch_size \(6\) to match target batch_size \(2\)"):
        functional.cross_entropy(x, torch.tensor([0, 1]))
    with pytest.raises(RuntimeError, match="expected target dtype to be Long or Byte"):
        functional.cross_entropy(x, torch.zeros(6))
    with pytest.raises(ValueError, match="x is not a valid value for reduction"):
        functional.mse_loss(x, x, reduction="x")
    with pytest.warns(UserWarning, match="different to the input size"):
        functional.mse_loss(x, torch.zeros(6, 1))
