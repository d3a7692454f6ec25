"""Training steps in a plain loop: zero_grad, forward, loss, backward, optimizer, loss.item()."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flambeau as torch
from benchmarks.suite import models
from benchmarks.suite.registry import Training, add, integers, normal, same_start
from flambeau.nn import functional as F  # noqa: N812  # as everyone calls it

optim = torch.optim


def compiled(model: Any) -> Any:
    """Replaced by torch.compile where that is measured."""
    return model


def _training(model: Any, loss: Callable[[Any], Any], optimizer: Any) -> Training:
    """loss(model) is computed with what `compiled` makes of the model."""
    torch.manual_seed(0)
    same_start(model)
    run = compiled(model)
    return Training(model, lambda: loss(run), optimizer)


def _classify(model: Any, x: Any, classes: int, optimizer: Any) -> Training:
    target = integers(classes, x.shape[0], seed=1)
    return _training(model, lambda run: F.cross_entropy(run(x), target), optimizer)


def train_mlp(sizes: tuple[int, ...], batch: int, activation: Any = torch.nn.ReLU) -> Training:
    model = models.mlp(sizes, activation)
    x = normal(batch, sizes[0])
    return _classify(model, x, sizes[-1], optim.Adam(model.parameters()))


def train_vae(pixels: int, hidden: int, latent: int, batch: int) -> Training:
    model = models.VAE(pixels, hidden, latent)
    x = torch.sigmoid(normal(batch, pixels)).detach()

    def loss(run: Any) -> Any:
        found, mean, logvar = run(x)
        likelihood = F.binary_cross_entropy(found, x, reduction="sum")
        return likelihood - 0.5 * torch.sum(1 + logvar - mean.pow(2) - logvar.exp())

    return _training(model, loss, optim.Adam(model.parameters()))


def train_convnet(width: int, side: int, batch: int) -> Training:
    model = models.ConvNet(width, side)
    return _classify(model, normal(batch, 1, side, side), 10, optim.Adam(model.parameters()))


def train_resnet(width: int, side: int, batch: int) -> Training:
    model = models.ResNet18(width)
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    return _classify(model, normal(batch, 3, side, side), 10, optimizer)


def train_mobilenet(width: int, side: int, batch: int) -> Training:
    model = models.MobileNet(width)
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    return _classify(model, normal(batch, 3, side, side), 10, optimizer)


def train_unet(width: int, depth: int, side: int, batch: int) -> Training:
    model = models.UNet(width, depth)
    x, target = normal(batch, 1, side, side), integers(2, batch, side, side)
    return _training(
        model, lambda run: F.cross_entropy(run(x), target), optim.Adam(model.parameters(), lr=1e-4)
    )


def train_lstm(words: int, width: int, layers: int, length: int, batch: int) -> Training:
    model = models.LanguageModel(words, width, layers)
    x, target = (integers(words, batch, length, seed=seed) for seed in (0, 1))

    def loss(run: Any) -> Any:
        return F.cross_entropy(run(x).reshape(-1, words), target.reshape(-1))

    return _training(model, loss, optim.Adam(model.parameters()))


def train_gpt(words: int, length: int, width: int, heads: int, layers: int, batch: int) -> Training:
    model = models.GPT(words, length, width, heads, layers)
    x, target = (integers(words, batch, length, seed=seed) for seed in (0, 1))

    def loss(run: Any) -> Any:
        return F.cross_entropy(run(x).view(-1, words), target.view(-1))

    return _training(model, loss, optim.AdamW(model.parameters(), lr=3e-4))


def train_vit(side: int, patch: int, width: int, heads: int, layers: int, batch: int) -> Training:
    model = models.ViT(side, patch, width, heads, layers)
    optimizer = optim.AdamW(model.parameters(), lr=3e-4)
    return _classify(model, normal(batch, 3, side, side), 10, optimizer)


def train_gcn(nodes: int, edges: int, features: int, hidden: int, classes: int) -> Training:
    model = models.GCN(features, hidden, classes)
    x, target = normal(nodes, features), integers(classes, nodes)
    source, goal = (integers(nodes, edges, seed=seed) for seed in (1, 2))
    scale = torch.sigmoid(normal(edges, 1)).detach()

    def loss(run: Any) -> Any:
        return F.cross_entropy(run(x, source, goal, scale), target)

    return _training(model, loss, optim.Adam(model.parameters(), lr=0.01))


def train_tiny(batch: int) -> Training:
    return train_mlp((4, 64, 64, 2), batch, torch.nn.Tanh)


_GPT_TINY = {"length": 8, "width": 16, "heads": 2, "layers": 1, "batch": 2}

add(
    "train",
    "MLP 784-512-512-10, batch 128, Adam",
    train_mlp,
    sizes={"sizes": (784, 512, 512, 10), "batch": 128},
    tiny={"sizes": (12, 8, 8, 3), "batch": 4},
)
add(
    "train",
    "VAE 784-400-20, batch 128, Adam",
    train_vae,
    sizes={"pixels": 784, "hidden": 400, "latent": 20, "batch": 128},
    tiny={"pixels": 12, "hidden": 8, "latent": 2, "batch": 4},
)
add(
    "train",
    "MNIST convnet, batch 64, Adam",
    train_convnet,
    sizes={"width": 32, "side": 28, "batch": 64},
    tiny={"width": 4, "side": 12, "batch": 2},
)
add(
    "train",
    "ResNet-18 32×32, batch 32, SGD",
    train_resnet,
    sizes={"width": 64, "side": 32, "batch": 32},
    tiny={"width": 4, "side": 16, "batch": 2},
)
add(
    "train",
    "MobileNet-like 32×32, batch 32, SGD",
    train_mobilenet,
    sizes={"width": 16, "side": 32, "batch": 32},
    tiny={"width": 4, "side": 16, "batch": 2},
)
add(
    "train",
    "U-Net 128×128, width 16, batch 4, Adam",
    train_unet,
    sizes={"width": 16, "depth": 3, "side": 128, "batch": 4},
    tiny={"width": 4, "depth": 1, "side": 8, "batch": 1},
)
add(
    "train",
    "LSTM language model 2×256, T 35, batch 20, Adam",
    train_lstm,
    sizes={"words": 2000, "width": 256, "layers": 2, "length": 35, "batch": 20},
    tiny={"words": 11, "width": 8, "layers": 1, "length": 3, "batch": 2},
)
add(
    "train",
    "GPT 4×128, T 64, batch 12, AdamW",
    train_gpt,
    sizes={"words": 65, "length": 64, "width": 128, "heads": 4, "layers": 4, "batch": 12},
    tiny=_GPT_TINY,
)
add(
    "train",
    "GPT 6×384, T 256, batch 4, AdamW",
    train_gpt,
    sizes={"words": 65, "length": 256, "width": 384, "heads": 6, "layers": 6, "batch": 4},
    tiny=_GPT_TINY,
)
add(
    "train",
    "ViT-tiny 32×32 patch 4, batch 16, AdamW",
    train_vit,
    sizes={"side": 32, "patch": 4, "width": 192, "heads": 3, "layers": 12, "batch": 16},
    tiny={"side": 8, "width": 16, "heads": 2, "layers": 1, "batch": 2},
)
add(
    "train",
    "GCN index_add, 2708 nodes, 10556 edges, Adam",
    train_gcn,
    sizes={"nodes": 2708, "edges": 10556, "features": 512, "hidden": 64, "classes": 7},
    tiny={"nodes": 9, "edges": 14, "features": 5, "hidden": 4},
)
add(
    "train",
    "tiny MLP 4-64-64-2, batch 32, Adam",
    train_tiny,
    sizes={"batch": 32},
    tiny={"batch": 4},
)
