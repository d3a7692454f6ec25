"""scaled_dot_product_attention, forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flambeau as torch
from benchmarks.suite.registry import add, done, normal
from flambeau.nn import functional as F  # noqa: N812  # as everyone calls it


def attention(length: int, causal: bool, gradient: bool, batch: int, heads: int, width: int) -> Any:
    inputs = [normal(batch, heads, length, width, seed=seed) for seed in range(3)]
    given = normal(batch, heads, length, width, seed=3)

    def forward() -> None:
        done(F.scaled_dot_product_attention(*inputs, is_causal=causal))

    def backward() -> None:
        for each in inputs:
            each.grad = None
        F.scaled_dot_product_attention(*inputs, is_causal=causal).backward(given)
        done(*[each.grad for each in inputs])

    if not gradient:
        return forward
    for each in inputs:
        each.requires_grad_()
    return backward


def decode(length: int, batch: int, heads: int, width: int) -> Callable[[], Any]:
    """One query over a cache."""
    q = normal(batch, heads, 1, width)
    k, v = (normal(batch, heads, length, width, seed=seed) for seed in (1, 2))
    apply = torch.no_grad()(F.scaled_dot_product_attention)
    return lambda: done(apply(q, k, v))


for _length in (64, 128, 256, 512, 1024, 2048):
    for _causal in (False, True):
        for _gradient in (False, True):
            _kind = "forward and backward" if _gradient else "forward"
            _batch = max(1, 1024 // _length)
            _products = (7 if _gradient else 2) * (0.5 if _causal else 1.0)
            add(
                "attention",
                f"T {_length}, {'causal' if _causal else 'full'}, {_batch}×6 heads of 64, {_kind}",
                attention,
                sizes={
                    "length": _length,
                    "causal": _causal,
                    "gradient": _gradient,
                    "batch": _batch,
                    "heads": 6,
                    "width": 64,
                },
                tiny={"length": 5, "batch": 1, "heads": 2, "width": 4},
                flops=2.0 * _products * _batch * 6 * 64 * _length**2,
                quick=_length in (64, 512),
            )
for _length in (256, 2048):
    add(
        "attention",
        f"one query, T {_length}, 6 heads of 64, forward",
        decode,
        sizes={"length": _length, "batch": 1, "heads": 6, "width": 64},
        tiny={"length": 5, "heads": 2, "width": 4},
        quick=False,
    )
