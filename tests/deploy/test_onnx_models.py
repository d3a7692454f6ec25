"""Whole models in ONNX files: fixed sizes and dynamic axes, against onnxruntime."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx_tools import arrays, by_reference, by_runtime, close, exported, kinds

import flambeau as torch
from flambeau import nn
from flambeau.nn import functional as F


def mlp() -> Any:
    return nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 3), nn.LogSoftmax(-1))


def conv_net() -> Any:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, stride=2, groups=2),
        nn.GELU(),
        nn.AvgPool2d(3, 2, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(8, 4),
    )


class Block(nn.Module):
    """A residual block of ResNet."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.shortcut = nn.Sequential(
            nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside)
        )

    def forward(self, x: Any) -> Any:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        y += self.shortcut(x)
        return F.relu(y)


class UNet(nn.Module):
    """One level: down, up with a transposed convolution and by interpolation, and across."""

    def __init__(self, mode: str = "bilinear") -> None:
        super().__init__()
        self.mode = mode
        self.down = nn.Conv2d(2, 6, 3, padding=1)
        self.bottom = nn.Sequential(nn.Conv2d(6, 12, 3, padding=1), nn.GroupNorm(3, 12), nn.SiLU())
        self.up = nn.ConvTranspose2d(12, 6, 2, stride=2)
        self.out = nn.Conv2d(24, 1, 1)

    def forward(self, x: Any) -> Any:
        first = F.relu(self.down(x))
        low = self.bottom(F.max_pool2d(first, 2))
        if self.mode == "nearest":
            other = F.interpolate(low, scale_factor=2, mode="nearest")
        else:
            other = F.interpolate(low, size=x.shape[2:], mode=self.mode, align_corners=False)
        joined = torch.cat([first, self.up(low), other], dim=1)
        return torch.sigmoid(self.out(joined))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Any) -> Any:
        b, t, c = x.shape
        parts = self.qkv(x).split(c, dim=2)
        q, k, v = (each.view(b, t, self.heads, c // self.heads).transpose(1, 2) for each in parts)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).contiguous().view(b, t, c))


class HandMade(nn.Module):
    """Attention with a mask that is a buffer, as nanoGPT's."""

    def __init__(self, width: int, length: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.register_buffer("mask", torch.tril(torch.ones(length, length))[None])

    def forward(self, x: Any) -> Any:
        t = x.size(1)
        q, k, v = self.qkv(x).chunk(3, -1)
        scores = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
        scores = scores.masked_fill(self.mask[:, :t, :t] == 0, float("-inf"))
        return F.softmax(scores, dim=-1) @ v


class GPT(nn.Module):
    def __init__(self, hand_made: bool = False) -> None:
        super().__init__()
        self.tokens = nn.Embedding(11, 16)
        self.places = nn.Embedding(32, 16)
        self.norm = nn.LayerNorm(16)
        self.attention = HandMade(16, 32) if hand_made else Attention(16, 2)
        self.mlp = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
        self.head = nn.Linear(16, 11, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, index: Any) -> Any:
        t = index.size(1)
        x = self.tokens(index) + self.places(torch.arange(t, device=index.device))
        x = x + self.attention(self.norm(x))
        x = x + self.mlp(x)
        return self.head(x)


class Recurrent(nn.Module):
    def __init__(self, kind: Any, **options: Any) -> None:
        super().__init__()
        self.layer = kind(4, 6, num_layers=2, batch_first=True, **options)

    def forward(self, x: Any) -> Any:
        output, last = self.layer(x)
        return output, last


class Padded(nn.Module):
    """Attention with a mask that hides padding, given as an input."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    def forward(self, x: Any, padding: Any) -> Any:
        return self.layer(x, src_key_padding_mask=padding)


class ViT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.first = nn.Parameter(torch.randn(1, 1, 16))
        self.places = nn.Parameter(torch.randn(1, 10, 16))
        layer = nn.TransformerEncoderLayer(
            16, 2, 32, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 2)

    def forward(self, x: Any) -> Any:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(x.shape[0], -1, -1), x], 1) + self.places
        return self.encoder(x)[:, 0]


class Windows(nn.Module):
    """Attention within shifted windows, as Swin's."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Any) -> Any:
        b, h, w, c = x.shape
        y = torch.roll(x, (-1, -1), (1, 2)).view(b, h // 2, 2, w // 2, 2, c)
        y = y.permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, c)
        y, _ = self.attention(y, y, y, need_weights=False)
        y = y.view(b, h // 2, w // 2, 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(b, h, w, c)
        return x + torch.roll(y, (1, 1), (1, 2))


class Decoder(nn.Module):
    """Rotary places and a cache of keys that is an input and an output."""

    def __init__(self) -> None:
        super().__init__()
        self.qk = nn.Linear(8, 16)
        self.register_buffer("speeds", 0.1 ** torch.arange(4.0), persistent=False)

    def forward(self, x: Any, past: Any) -> Any:
        t = x.shape[1]
        q, k = self.qk(x).chunk(2, -1)
        angle = (torch.arange(t) + past.shape[1])[:, None] * self.speeds
        angle = torch.cat([angle, angle], -1)

        def turned(each: Any) -> Any:
            other = torch.cat([-each[..., 4:], each[..., :4]], -1)
            return each * angle.cos() + other * angle.sin()

        keys = torch.cat([past, turned(k)], 1)
        return F.scaled_dot_product_attention(turned(q), keys, keys), keys


class Messages(nn.Module):
    """A graph convolution: means over edges."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 6)

    def forward(self, x: Any, edges: Any) -> Any:
        h = self.linear(x)
        total = torch.zeros_like(h).index_add(0, edges[1], h[edges[0]])
        count = torch.zeros(x.shape[0]).scatter_add(0, edges[1], torch.ones(edges.shape[1]))
        return total / count.clamp(min=1)[:, None]


class Sound(nn.Module):
    """Convolutions over time with weight norm, and frames."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad1d(3),
            nn.Conv1d(2, 4, 7),
            nn.utils.weight_norm(nn.Conv1d(4, 4, 3, dilation=2)),
            nn.MaxPool1d(3, 2, ceil_mode=True),
            nn.ConvTranspose1d(4, 1, 4, 2, 1),
            nn.Upsample(scale_factor=2),
        )

    def forward(self, x: Any) -> Any:
        frames = self.layers(x).squeeze(1).unfold(1, 8, 3) * torch.hann_window(8)
        return frames.pow(2).sum(-1).log1p()


class Experts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(8, 4)
        self.experts = nn.ModuleList(nn.Linear(8, 8) for _ in range(4))

    def forward(self, x: Any) -> Any:
        weights, chosen = self.gate(x).softmax(-1).topk(2, -1)
        total: Any = 0
        for number, expert in enumerate(self.experts):
            total = total + expert(x) * (weights * (chosen == number)).sum(-1, keepdim=True)
        return total


def normal(*shape: int) -> Any:
    return torch.from_numpy(np.random.default_rng(sum(shape)).normal(size=shape).astype("f4"))


def tokens(*shape: int) -> Any:
    return torch.from_numpy(np.random.default_rng(sum(shape)).integers(0, 11, shape))


def padding(rows: int, columns: int) -> Any:
    lengths = torch.arange(rows)[:, None] % 2 + columns - 2
    return torch.arange(columns)[None] >= lengths


Model = Callable[[], Any]
MODELS: list[tuple[str, Model, Callable[..., tuple[Any, ...]], tuple[int, ...], Any]] = [
    ("mlp", mlp, lambda n: (normal(n, 5),), (2,), [{0: "n"}]),
    ("mlp on sequences", mlp, lambda n, t: (normal(n, t, 5),), (2, 3), [{0: "n", 1: "t"}]),
    (
        "conv net",
        conv_net,
        lambda n, h, w: (normal(n, 3, h, w),),
        (2, 19, 17),
        [{0: "n", 2: "h", 3: "w"}],
    ),
    (
        "resnet block",
        lambda: Block(3, 6, 2),
        lambda n, h, w: (normal(n, 3, h, w),),
        (2, 9, 9),
        [{0: "n", 2: "h", 3: "w"}],
    ),
    ("u-net", UNet, lambda n: (normal(n, 2, 8, 12),), (2,), [{0: "n"}]),
    ("u-net, cubic", lambda: UNet("bicubic"), lambda n: (normal(n, 2, 8, 12),), (2,), [{0: "n"}]),
    ("u-net, nearest", lambda: UNet("nearest"), lambda n: (normal(n, 2, 8, 8),), (1,), [{0: "n"}]),
    (
        "lstm",
        lambda: Recurrent(nn.LSTM),
        lambda n, t: (normal(n, t, 4),),
        (2, 5),
        [{0: "n", 1: "t"}],
    ),
    (
        "lstm, both ways",
        lambda: Recurrent(nn.LSTM, bidirectional=True),
        lambda n, t: (normal(n, t, 4),),
        (2, 5),
        [{0: "n", 1: "t"}],
    ),
    ("gru", lambda: Recurrent(nn.GRU), lambda n, t: (normal(n, t, 4),), (2, 5), [{0: "n", 1: "t"}]),
    ("rnn", lambda: Recurrent(nn.RNN), lambda n, t: (normal(n, t, 4),), (2, 5), [{0: "n", 1: "t"}]),
    (
        "rnn with relu",
        lambda: Recurrent(nn.RNN, nonlinearity="relu", bias=False),
        lambda n, t: (normal(n, t, 4),),
        (2, 5),
        [{0: "n", 1: "t"}],
    ),
    (
        "transformer encoder",
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2),
        lambda n, t: (normal(n, t, 8),),
        (2, 5),
        [{0: "n", 1: "t"}],
    ),
    (
        "transformer encoder with a mask",
        Padded,
        lambda n, t: (normal(n, t, 8), padding(n, t)),
        (2, 5),
        [{0: "n", 1: "t"}, {0: "n", 1: "t"}],
    ),
    ("vit", ViT, lambda n: (normal(n, 3, 12, 12),), (2,), [{0: "n"}]),
    (
        "shifted windows",
        Windows,
        lambda n, h, w: (normal(n, 2 * h, 2 * w, 8),),
        (2, 3, 4),
        [{0: "n", 1: "h", 2: "w"}],
    ),
    (
        "decoder",
        Decoder,
        lambda n, t, p: (normal(n, t, 8), normal(n, p, 8)),
        (2, 3, 5),
        [{0: "n", 1: "t"}, {0: "n", 1: "p"}],
    ),
    (
        "messages",
        Messages,
        lambda n, m: (normal(n, 4), tokens(2, m) % n),
        (5, 7),
        [{0: "n"}, {1: "m"}],
    ),
    ("sound", Sound, lambda n, t: (normal(n, 2, 10 * t),), (2, 4), [{0: "n", 2: "t"}]),
    (
        "resized to one size",
        lambda: nn.Upsample((7, 9), mode="bilinear", align_corners=True),
        lambda n, h, w: (normal(n, 2, h, w),),
        (2, 5, 4),
        [{0: "n", 2: "h", 3: "w"}],
    ),
    ("experts", Experts, lambda n: (normal(n, 8),), (3,), [{0: "n"}]),
    ("gpt", GPT, lambda n, t: (tokens(n, t),), (2, 6), [{0: "n", 1: "t"}]),
    ("gpt of one", GPT, lambda n, t: (tokens(n, t),), (1, 32), [{0: "n", 1: "t"}]),
    ("gpt by hand", lambda: GPT(True), lambda n, t: (tokens(n, t),), (2, 6), [{0: "n", 1: "t"}]),
]


@pytest.mark.parametrize(("name", "make", "inputs", "sizes", "axes"), MODELS)
def test_a_model_gives_its_results_in_onnx(
    name: str, make: Model, inputs: Any, sizes: tuple[int, ...], axes: Any
) -> None:
    torch.manual_seed(0)
    model = make()
    values = inputs(*sizes)
    proto = exported(model, values)
    model.eval()
    close(by_runtime(proto, values), arrays(model(*values)))


@pytest.mark.parametrize(("name", "make", "inputs", "sizes", "axes"), MODELS)
@pytest.mark.parametrize("opset", [20])
def test_a_model_with_dynamic_axes_runs_at_other_sizes(
    name: str, make: Model, inputs: Any, sizes: tuple[int, ...], axes: Any, opset: int
) -> None:
    torch.manual_seed(0)
    model = make()
    names = [f"in_{number}" for number in range(len(axes))]
    dynamic = dict(zip(names, axes, strict=True))
    proto = exported(
        model, inputs(*sizes), input_names=names, dynamic_axes=dynamic, opset_version=opset
    )
    model.eval()
    for larger in (
        sizes,
        tuple([size - 1 or 4 for size in sizes]),
        (1, *[n - 2 for n in sizes[1:]]),
    ):
        values = inputs(*larger)
        close(by_runtime(proto, values), arrays(model(*values)))


def test_the_reference_evaluator_agrees() -> None:
    torch.manual_seed(0)
    model = GPT()
    values = (tokens(2, 6),)
    proto = exported(model, values)
    close(by_reference(proto, values), arrays(model(*values)))


@pytest.mark.parametrize("opset", [13, 14, 16, 17, 19, 21, 23])
def test_every_opset_gives_the_same(opset: int) -> None:
    torch.manual_seed(0)
    for make, values in ((conv_net, (normal(2, 3, 12, 12),)), (GPT, (tokens(2, 6),))):
        model = make()
        proto = exported(model, values, opset_version=opset)
        assert proto.opset_import[0].version == opset
        model.eval()
        close(by_runtime(proto, values), arrays(model(*values)))


def test_layers_are_operators() -> None:
    assert kinds(exported(conv_net(), (normal(2, 3, 12, 12),), opset_version=20)) == [
        *("Conv", "BatchNormalization", "Relu", "MaxPool", "Conv", "Gelu", "AveragePool"),
        *("GlobalAveragePool", "Reshape", "Gemm"),
    ]
    assert kinds(exported(Recurrent(nn.LSTM), (normal(2, 5, 4),))).count("LSTM") == 2


class Forces(nn.Module):
    """A gradient inside the model, as energies give forces."""

    def __init__(self) -> None:
        super().__init__()
        self.energy = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x: Any) -> Any:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.energy(x).sum(), x)
        return -slope


def test_a_gradient_inside_the_model() -> None:
    values = (normal(4, 3),)
    model = Forces()
    close(by_runtime(exported(model, values), values), arrays(model(*values)))


class Cache(nn.Module):
    """Writes into a buffer, at a place that depends on nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("cache", torch.zeros(4, 3))

    def forward(self, x: Any) -> Any:
        self.cache[1:3] = x
        self.cache.mul_(2)
        return self.cache + 1


def test_what_the_model_writes_is_undone() -> None:
    model, values = Cache(), (normal(2, 3),)
    proto = exported(model, values)
    assert model.cache.tolist() == torch.zeros(4, 3).tolist()
    close(by_runtime(proto, values), arrays(model(*values)))


def test_numbers_of_parameters_are_no_control_flow() -> None:
    scale = torch.tensor(2.0)

    def model(x: Any) -> Any:
        return x * scale.item() if scale > 1 else x

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        proto = exported(model, torch.ones(3))
    assert kinds(proto) == ["Mul"]


class Branches(nn.Module):
    def forward(self, x: Any) -> Any:
        return x * 2 if x.sum() > 0 else -x


def test_control_flow_is_traced_and_said_so() -> None:
    with pytest.warns(torch.jit.TracerWarning, match=r"test_onnx_models.py:\d+ reads values"):
        proto = exported(Branches(), torch.ones(3))
    assert kinds(proto) == ["Mul"]
    close(by_runtime(proto, -torch.ones(3)), [np.full(3, -2, "f4")])
