"""Attention of several heads and transformers: same seed, same keys, PyTorch's numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau
from flambeau import nn

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 3, 8)).astype(np.float32)
Y = RNG.standard_normal((4, 3, 8)).astype(np.float32)
K = RNG.standard_normal((4, 3, 6)).astype(np.float32)
CAUSAL = np.triu(np.ones((5, 5), bool), 1)
PADDED = np.arange(5)[None] >= np.array([5, 4, 2])[:, None]


def both(name: str, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    flambeau.manual_seed(1)
    torch.manual_seed(1)
    mine, theirs = getattr(nn, name)(*args, **kwargs), getattr(torch.nn, name)(*args, **kwargs)
    state = theirs.state_dict()
    assert list(mine.state_dict()) == list(state)
    for key, value in mine.state_dict().items():
        np.testing.assert_allclose(value.numpy(), state[key].numpy(), rtol=1e-6, atol=1e-7)
    return mine, theirs


def compare(mine: Any, theirs: Any, *arrays: np.ndarray, **masks: np.ndarray) -> None:
    ours = [flambeau.tensor(each, requires_grad=True) for each in arrays]
    reference = [torch.tensor(each, requires_grad=True) for each in arrays]
    a = mine(*ours, **{key: flambeau.tensor(each) for key, each in masks.items()})
    b = theirs(*reference, **{key: torch.tensor(each) for key, each in masks.items()})
    pairs = zip(a, b, strict=True) if isinstance(a, tuple) else [(a, b)]
    for own, other in pairs:
        if other is None:
            assert own is None
            continue
        np.testing.assert_allclose(own.detach().numpy(), other.detach().numpy(), atol=2e-5)
    first, second = (each[0] if isinstance(each, tuple) else each for each in (a, b))
    weight = RNG.standard_normal(first.shape).astype(np.float32)
    (first * flambeau.tensor(weight)).sum().backward()
    (second * torch.tensor(weight)).sum().backward()
    leaves = zip([*ours, *mine.parameters()], [*reference, *theirs.parameters()], strict=True)
    for own, other in leaves:
        if other.grad is None:
            assert own.grad is None
        else:
            np.testing.assert_allclose(own.grad.numpy(), other.grad.numpy(), atol=5e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"bias": False},
        {"add_bias_kv": True},
        {"add_zero_attn": True},
        {"add_bias_kv": True, "add_zero_attn": True},
        {"batch_first": True},
    ],
    ids=str,
)
def test_multihead_self_attention(kwargs: dict[str, Any]) -> None:
    mine, theirs = both("MultiheadAttention", 8, 2, **kwargs)
    x = X.transpose(1, 0, 2).copy() if kwargs.get("batch_first") else X
    _self(mine, theirs, x)


class _Self:
    def __init__(self, model: Any, **options: Any) -> None:
        self.model, self.options = model, options
        self.parameters = model.parameters

    def __call__(self, x: Any, **masks: Any) -> Any:
        return self.model(x, x, x, **masks, **self.options)


def _self(mine: Any, theirs: Any, x: np.ndarray) -> None:
    for options in ({}, {"average_attn_weights": False}, {"need_weights": False}):
        for masks in ({}, {"attn_mask": CAUSAL}, {"key_padding_mask": PADDED}):
            mine.zero_grad()
            theirs.zero_grad()
            compare(_Self(mine, **options), _Self(theirs, **options), x, **masks)


def test_multihead_attention_to_another_sequence() -> None:
    compare(*both("MultiheadAttention", 8, 4, kdim=6, vdim=6), X, K, K)
    compare(*both("MultiheadAttention", 8, 4), X, Y, Y)
    compare(*both("MultiheadAttention", 8, 4), X[:, 0].copy(), Y[:, 0].copy(), Y[:, 1].copy())


def test_a_mask_for_every_head() -> None:
    mine, theirs = both("MultiheadAttention", 8, 2)
    mask = RNG.standard_normal((6, 5, 5)).astype(np.float32)
    compare(_Self(mine), _Self(theirs), X, attn_mask=mask)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_encoder(norm_first: bool, activation: str) -> None:
    options = {"norm_first": norm_first, "activation": activation, "dropout": 0.0}
    mine, theirs = both("TransformerEncoderLayer", 8, 2, 16, **options)
    compare(mine, theirs, X, src_mask=CAUSAL)
    flambeau.manual_seed(0)
    ours = nn.TransformerEncoder(mine, 2)
    reference = torch.nn.TransformerEncoder(theirs, 2, enable_nested_tensor=False)
    compare(ours, reference, X, src_key_padding_mask=PADDED)


@pytest.mark.parametrize("norm_first", [False, True])
def test_decoder(norm_first: bool) -> None:
    options = {"norm_first": norm_first, "dropout": 0.0}
    mine, theirs = both("TransformerDecoderLayer", 8, 2, 16, **options)
    compare(mine, theirs, X, Y, tgt_mask=CAUSAL, tgt_key_padding_mask=PADDED)


def test_transformer() -> None:
    mine, theirs = both("Transformer", 8, 2, 2, 2, 16, 0.0)
    mask = nn.Transformer.generate_square_subsequent_mask(5).numpy()
    np.testing.assert_array_equal(
        mask, torch.nn.Transformer.generate_square_subsequent_mask(5).numpy()
    )
    compare(mine, theirs, Y, X, tgt_mask=mask)


def test_errors() -> None:
    with pytest.raises(AssertionError, match="divisible"):
        nn.MultiheadAttention(8, 3)
    attention = nn.MultiheadAttention(8, 2)
    with pytest.raises(AssertionError, match="embedding dimension of 8, but got 6"):
        attention(*[flambeau.tensor(K)] * 3)
    with pytest.raises(RuntimeError, match="relu/gelu"):
        nn.TransformerEncoderLayer(8, 2, activation="tanh")
    with pytest.raises(RuntimeError, match="Need attn_mask"):
        attention(*[flambeau.tensor(X)] * 3, is_causal=True)
