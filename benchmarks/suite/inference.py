"""Models in eval mode without gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flambeau as torch
from benchmarks.suite import models
from benchmarks.suite.registry import add, done, integers, normal, same_start


def _infer(model: Any, x: Any) -> Callable[[], Any]:
    same_start(model).eval()

    @torch.no_grad()
    def run() -> None:
        done(model(x))

    return run


def resnet(width: int, side: int) -> Any:
    return _infer(models.ResNet18(width, small=False, classes=1000), normal(1, 3, side, side))


def mlp(sizes: tuple[int, ...]) -> Any:
    return _infer(models.mlp(sizes), normal(1, sizes[0]))


def prefill(words: int, length: int, width: int, heads: int, layers: int) -> Any:
    model = models.GPT(words, length, width, heads, layers)
    return _infer(model, integers(words, 1, length))


def decode(words: int, length: int, width: int, heads: int, layers: int, start: int) -> Any:
    """One token after another, from place `start` on, each chosen from the last scores."""
    model = same_start(models.GPT(words, length, width, heads, layers)).eval()
    shape = (1, heads, length, width // heads)
    caches = [(torch.zeros(*shape), torch.zeros(*shape)) for _ in range(layers)]
    state = {"place": start}

    @torch.no_grad()
    def run() -> int:
        place = state["place"]
        state["place"] = place + 1 if place + 1 < length else start
        scores = model(torch.tensor([[place % words]]), caches, place)
        return int(scores[0, -1].argmax().item())

    return run


_GPT = {"words": 65, "length": 256, "width": 384, "heads": 6, "layers": 6}
_TINY = {"length": 8, "width": 8, "heads": 2, "layers": 1}

add(
    "inference",
    "ResNet-18, 224×224, batch 1",
    resnet,
    sizes={"width": 64, "side": 224},
    tiny={"width": 4, "side": 32},
)
add("inference", "GPT 6×384, prefill of 256", prefill, sizes=_GPT, tiny=_TINY)
add(
    "inference",
    "GPT 6×384, one token with a KV cache",
    decode,
    sizes=_GPT | {"start": 192},
    tiny=_TINY | {"start": 4},
)
add(
    "inference",
    "MLP 784-512-512-10, batch 1",
    mlp,
    sizes={"sizes": (784, 512, 512, 10)},
    tiny={"sizes": (6, 5, 3)},
)
