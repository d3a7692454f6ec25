"""Attention and embedding against formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.nn import functional

attention = functional.scaled_dot_product_attention


def sample(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def expected(q: Any, k: Any, v: Any, mask: Any = 0.0, scale: float | None = None) -> Any:
    q, k, v = (each.astype(np.float64) for each in (q, k, v))
    scores = q @ np.swapaxes(k, -1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale) + mask
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    return scores / scores.sum(-1, keepdims=True) @ v


Q, K, V = sample(2, 4, 5, 8), sample(2, 4, 7, 8), sample(2, 4, 7, 6)


def near(found: torch.Tensor, wanted: Any) -> None:
    np.testing.assert_allclose(found.detach().cpu().numpy(), wanted, rtol=2e-5, atol=2e-5)


def test_attention(device: str) -> None:
    q, k, v = map(torch.tensor, (Q, K, V))
    near(attention(q, k, v), expected(Q, K, V))
    near(attention(q, k, v, scale=0.5), expected(Q, K, V, scale=0.5))
    mask = sample(5, 7)
    near(attention(q, k, v, torch.tensor(mask)), expected(Q, K, V, mask))
    kept = mask > -0.5
    near(attention(q, k, v, torch.tensor(kept)), expected(Q, K, V, np.where(kept, 0, -np.inf)))
    later = np.where(np.tri(5, 7) > 0, 0, -np.inf)
    near(attention(q, k, v, is_causal=True), expected(Q, K, V, later))


def test_shared_keys_and_values(device: str) -> None:
    found = attention(*map(torch.tensor, (Q, K[:, :2], V[:, :2])), enable_gqa=True)
    near(found, expected(Q, np.repeat(K[:, :2], 2, 1), np.repeat(V[:, :2], 2, 1)))


def test_a_query_that_may_look_at_nothing_gets_zeros(device: str) -> None:
    mask = torch.tensor(np.array([[True] * 7, [False] * 7] + [[True] * 7] * 3))
    q = torch.tensor(Q, requires_grad=True)
    found = attention(q, torch.tensor(K), torch.tensor(V), mask)
    found.sum().backward()
    assert not found[:, :, 1].detach().cpu().numpy().any()
    assert q.grad is not None
    assert np.isfinite(q.grad.cpu().numpy()).all()


def test_dropout_keeps_the_expected_value() -> None:
    torch.manual_seed(0)
    values = torch.ones(1, 64, 4)
    found = attention(torch.zeros(1, 64, 4), torch.zeros(1, 64, 4), values, dropout_p=0.5)
    assert abs(found.mean().item() - 1) < 0.1
    assert len(set(found[0, :, 0].tolist())) > 1


def test_embedding(device: str) -> None:
    table, index = sample(6, 4), np.array([[0, 5], [2, 2]])
    weight = torch.tensor(table, requires_grad=True)
    found = functional.embedding(torch.tensor(index), weight, padding_idx=5)
    near(found, table[index])
    found.sum().backward()
    counts = np.array([1.0, 0, 2, 0, 0, 0])  # the padding row gets nothing
    assert weight.grad is not None
    near(weight.grad, np.repeat(counts[:, None], 4, 1))


def test_rows_are_scaled_down_to_a_norm(device: str) -> None:
    table = sample(4, 3) * 5
    weight = torch.tensor(table)
    functional.embedding(torch.tensor([1, 1, 3]), weight, max_norm=1.0)
    lengths = np.linalg.norm(weight.cpu().numpy(), axis=1)
    np.testing.assert_allclose(lengths[[1, 3]], 1, rtol=1e-5)
    np.testing.assert_allclose(weight.cpu().numpy()[[0, 2]], table[[0, 2]])


@pytest.mark.parametrize("place", [4, -1])
def test_a_row_that_is_not_there(place: int, device: str) -> None:
    with pytest.raises(IndexError, match="index out of range in self"):
        functional.embedding(torch.tensor([0, place]), torch.zeros(4, 3)).sum().item()


def test_errors() -> None:
    with pytest.raises(RuntimeError, match="should not be set when is_causal=True"):
        attention(*[torch.zeros(2, 3)] * 3, torch.zeros(2, 2), is_causal=True)
    with pytest.raises(RuntimeError, match="same last extent"):
        attention(torch.zeros(2, 3), torch.zeros(2, 4), torch.zeros(2, 4))
    with pytest.raises(RuntimeError, match="following scalar types: Long, Int"):
        functional.embedding(torch.zeros(2), torch.zeros(4, 3))
