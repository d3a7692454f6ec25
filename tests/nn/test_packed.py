"""Packed sequences and L-BFGS by their definitions; what modules can do."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as torch
from flambeau import nn
from flambeau.nn.utils import rnn


def test_packed_sequences_come_back() -> None:
    given = [torch.arange(n * 2.0).reshape(n, 2) for n in (2, 4, 1)]
    packed = rnn.pack_sequence(given, enforce_sorted=False)
    assert packed.batch_sizes.tolist() == [3, 2, 1, 1]
    padded, lengths = rnn.pad_packed_sequence(packed)
    found = rnn.unpad_sequence(padded, lengths)
    assert [each.tolist() for each in found] == [each.tolist() for each in given]
    with pytest.raises(RuntimeError, match="enforce_sorted=False"):
        rnn.pack_sequence(given)


def test_packed_steps_are_those_of_each_sequence_alone() -> None:
    layer = nn.GRU(2, 3)
    given = [torch.randn(n, 2) for n in (4, 2)]
    output, last = layer(rnn.pack_sequence(given))
    padded, _ = rnn.pad_packed_sequence(output)
    for number, each in enumerate(given):
        alone, end = layer(each)
        np.testing.assert_allclose(
            padded[: len(each), number].detach().numpy(), alone.detach().numpy(), atol=1e-6
        )
        np.testing.assert_allclose(
            last[:, number].detach().numpy(), end.detach().numpy(), atol=1e-6
        )


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs_finds_the_bottom_of_a_valley(search: str | None) -> None:
    x = torch.tensor([-1.0, 1.5], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([x], lr=1.0 if search else 0.3, line_search_fn=search)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (1 - x[0]) ** 2 + 5 * (x[1] - x[0] ** 2) ** 2
        loss.backward()
        return loss

    for _ in range(12):
        optimizer.step(closure)
    np.testing.assert_allclose(x.detach().numpy(), [1.0, 1.0], atol=1e-3)


def test_modules_move() -> None:
    layer = nn.Linear(2, 2)
    layer.compile()
    assert layer(torch.ones(1, 2)).shape == (1, 2)
    assert layer.to_empty(device="cpu").weight.shape == (2, 2)
    with pytest.raises((RuntimeError, AssertionError), match=r"(?i)cuda"):
        layer.cuda()
