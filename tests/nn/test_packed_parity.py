"""Packed sequences and L-BFGS: PyTorch's numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

LENGTHS = [5, 3, 3, 1]


@pytest.mark.parametrize("sorted_", [True, False])
@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_packed_sequences_through_recurrent_layers(name: str, sorted_: bool) -> None:
    x = np.random.default_rng(0).standard_normal((4, 5, 3)).astype(np.float32)
    lengths = LENGTHS if sorted_ else [3, 1, 5, 3]
    found = []
    for library in (flambeau, torch):
        library.manual_seed(0)
        layer = getattr(library.nn, name)(3, 4, 2, batch_first=True, bidirectional=True)
        rnn = library.nn.utils.rnn
        given = library.tensor(x, requires_grad=True)
        packed = rnn.pack_padded_sequence(given, lengths, True, enforce_sorted=sorted_)
        output, state = layer(packed)
        padded, sizes = rnn.pad_packed_sequence(output, batch_first=True, padding_value=-1.0)
        states = list(state) if isinstance(state, tuple) else [state]
        (padded.sum() + sum(each.sum() for each in states)).backward()
        results = [packed.data, packed.batch_sizes, padded, sizes, *states, given.grad]
        found.append([each.detach().numpy() for each in results])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_sequences_padded_and_not() -> None:
    given = [np.arange(n * 2.0).reshape(n, 2) for n in (2, 4, 1)]
    for options in ({}, {"batch_first": True}, {"padding_value": -1.0, "padding_side": "left"}):
        found = [
            library.nn.utils.rnn.pad_sequence([library.tensor(x) for x in given], **options)
            for library in (flambeau, torch)
        ]
        np.testing.assert_array_equal(*[each.numpy() for each in found])


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs(search: str | None) -> None:
    losses: list[list[float]] = []
    for library in (flambeau, torch):
        library.manual_seed(0)
        x = library.randn(40, 3, dtype=library.float64)
        y = library.sin(x.sum(1, keepdim=True))
        model = library.nn.Sequential(
            library.nn.Linear(3, 8), library.nn.Tanh(), library.nn.Linear(8, 1)
        ).double()
        rate = 0.5 if search is None else 1.0
        optimizer = library.optim.LBFGS(
            model.parameters(), lr=rate, max_iter=6, line_search_fn=search
        )

        def closure(model: Any = model, optimizer: Any = optimizer, x: Any = x, y: Any = y) -> Any:
            optimizer.zero_grad()
            loss = (model(x) - y).pow(2).mean()
            loss.backward()
            return loss

        losses.append([float(optimizer.step(closure)) for _ in range(6)])
    np.testing.assert_allclose(*losses, rtol=1e-4)
