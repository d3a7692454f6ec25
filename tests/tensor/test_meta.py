"""The meta device: shapes and dtypes without values."""

from __future__ import annotations

import copy

import pytest

import flambeau as torch
from flambeau import nn
from flambeau.schedule.flush import STATISTICS, flush


def test_a_model_is_made_without_memory_and_filled_later() -> None:
    with torch.device("meta"):
        model = nn.Sequential(
            nn.Embedding(10**9, 4096),  # 16 TB
            nn.Linear(4096, 8),
            nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
            nn.LSTM(8, 4),
        )
        words = torch.zeros(2, 3, dtype=torch.int64)
        out, _ = model(words)
    assert out.is_meta and out.shape == (2, 3, 4)
    assert all(each.is_meta for each in model.parameters())
    assert torch.zeros(1).device.type == "cpu"
    real = nn.Linear(3, 2, device="meta").to_empty(device="cpu")
    assert real.weight.device.type == "cpu" and real(torch.ones(1, 3)).shape == (1, 2)


def test_nothing_is_compiled_and_nothing_drawn() -> None:
    torch.manual_seed(0)
    first = torch.rand(1)
    flush()
    before = STATISTICS.plans_built, STATISTICS.plans_loaded
    torch.manual_seed(0)
    x = torch.randn(5, device="meta")
    y = (x @ torch.ones(5, 3, device="meta")).softmax(0)
    layer = nn.Linear(4, 4, device="meta")
    nn.init.orthogonal_(layer.weight)
    nn.init.trunc_normal_(layer.weight)
    nn.init.sparse_(layer.weight, 0.5)
    flush()
    assert (STATISTICS.plans_built, STATISTICS.plans_loaded) == before
    assert y.shape == (3,)
    assert torch.equal(torch.rand(1), first)


def test_loading_values() -> None:
    real = nn.Linear(3, 2)
    layer = nn.Linear(3, 2, device="meta")
    with pytest.warns(UserWarning, match="no-op"):
        layer.load_state_dict(real.state_dict())
    assert layer.weight.is_meta
    layer.load_state_dict(real.state_dict(), assign=True)
    assert torch.equal(layer.weight, real.weight)
    assert real.to("meta").weight.is_meta


def test_gradients_copies_and_facts() -> None:
    x = torch.ones(2, 3, device="meta", requires_grad=True)
    (x * 2).sum().backward()
    assert x.grad.is_meta and x.grad.shape == (2, 3)
    layer = copy.deepcopy(nn.Linear(3, 2, device="meta"))
    assert layer.weight.is_meta and isinstance(layer.weight, nn.Parameter)
    assert x.data_ptr() == 0
    assert x.half().dtype is torch.float16
    assert torch.empty_like(x, device="cpu").device.type == "cpu"
    assert repr(torch.zeros(2, device="meta")) == "tensor(..., device='meta', size=(2,))"
    shown = repr(torch.zeros(0, 2, dtype=torch.int64, device="meta"))
    assert shown == "tensor(..., device='meta', size=(0, 2), dtype=torch.int64)"


def test_values_cannot_be_read() -> None:
    x = torch.ones(2, device="meta")
    for read in (x.tolist, x.cpu, lambda: x.sum().item(), lambda: x[x > 0]):
        with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor; no data"):
            read()
    with pytest.raises(TypeError, match="can't convert meta"):
        x.numpy()
    with pytest.raises(NotImplementedError, match="to_empty"):
        nn.Linear(2, 2, device="meta").to("cpu")
    with pytest.raises(RuntimeError, match="same device"):
        x + torch.ones(2)
