"""autocast's dtypes, asked of PyTorch."""

from __future__ import annotations

import pytest

import flambeau
from flambeau.ops import autocast

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
F = torch.nn.functional
x = torch.rand(4, 8)
labels = torch.tensor([0, 1, 2, 3])

CALLS = {
    "addmm": lambda h: torch.addmm(h.float(), x, x.T),
    "bmm": lambda h: torch.bmm(x[None], x.T[None]),
    "mm": lambda h: torch.mm(x, x.T),
    "linear": lambda h: F.linear(x, x),
    "prelu": lambda h: F.prelu(x, torch.ones(1)),
    "conv1d": lambda h: F.conv1d(x[None], x[None, :, :2]),
    "binary_cross_entropy_with_logits": lambda h: F.binary_cross_entropy_with_logits(h, h),
    "cross_entropy": lambda h: F.cross_entropy(h, labels),
    "huber_loss": lambda h: F.huber_loss(h, h),
    "l1_loss": lambda h: F.l1_loss(h, h),
    "mse_loss": lambda h: F.mse_loss(h, h),
    "nll_loss": lambda h: F.nll_loss(h, labels),
    "prod": lambda h: h.prod(),
    "smooth_l1_loss": lambda h: F.smooth_l1_loss(h, h),
    "softmax": lambda h: F.softmax(h, -1),
    "mv": lambda h: torch.mv(x, x[0]),
}


@pytest.mark.parametrize("name", CALLS)
def test_table(name: str) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = F.linear(x, x)
        found = CALLS[name](hidden).dtype
    if name in autocast.LOWER:
        assert found == torch.bfloat16
    elif name in autocast.FLOAT32:
        assert found == torch.float32
    else:
        assert name in {"softmax", "mv"} and hasattr(flambeau, name)
