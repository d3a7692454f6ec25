"""The networks that are measured, as one finds them in PyTorch programs."""

from __future__ import annotations

import itertools
from typing import Any

import flambeau as torch
from flambeau import nn
from flambeau.nn import functional as F  # noqa: N812  # as everyone calls it


def mlp(sizes: tuple[int, ...], activation: Any = nn.ReLU) -> Any:
    layers: list[Any] = []
    for into, out in itertools.pairwise(sizes):
        layers += [nn.Linear(into, out), activation()]
    return nn.Sequential(*layers[:-1])


class VAE(nn.Module):
    """Kingma and Welling, 2014, as in PyTorch's examples."""

    def __init__(self, pixels: int, hidden: int, latent: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(pixels, hidden)
        self.fc21 = nn.Linear(hidden, latent)
        self.fc22 = nn.Linear(hidden, latent)
        self.fc3 = nn.Linear(latent, hidden)
        self.fc4 = nn.Linear(hidden, pixels)

    def forward(self, x: Any) -> Any:
        h = F.relu(self.fc1(x))
        mean, logvar = self.fc21(h), self.fc22(h)
        std = torch.exp(0.5 * logvar)
        z = mean + torch.randn_like(std) * std
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mean, logvar


class ConvNet(nn.Module):
    """PyTorch's MNIST example without dropout."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3)
        self.conv2 = nn.Conv2d(width, 2 * width, 3)
        self.fc1 = nn.Linear(2 * width * ((side - 4) // 2) ** 2, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x: Any) -> Any:
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        x = torch.flatten(F.max_pool2d(x, 2), 1)
        return self.fc2(F.relu(self.fc1(x)))


class BasicBlock(nn.Module):
    """He et al., 2016."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.short = nn.Sequential()
        if stride != 1 or into != out:
            conv = nn.Conv2d(into, out, 1, stride, bias=False)
            self.short = nn.Sequential(conv, nn.BatchNorm2d(out))

    def forward(self, x: Any) -> Any:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.short(x))


class ResNet18(nn.Module):
    """For 32×32 images (small: 3×3 start), or 224×224 (7×7 and pooling)."""

    def __init__(self, width: int = 64, small: bool = True, classes: int = 10) -> None:
        super().__init__()
        start = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        layers: list[Any] = [start, nn.BatchNorm2d(width), nn.ReLU()]
        if not small:
            layers[0] = nn.Conv2d(3, width, 7, 2, 3, bias=False)
            layers.append(nn.MaxPool2d(3, 2, 1))
        into = width
        for stage in range(4):
            for block in range(2):
                out = width << stage
                layers.append(BasicBlock(into, out, 2 if stage and not block else 1))
                into = out
        self.features = nn.Sequential(*layers)
        self.fc = nn.Linear(into, classes)

    def forward(self, x: Any) -> Any:
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(self.features(x), 1), 1))


class InvertedResidual(nn.Module):
    """Sandler et al., 2018."""

    def __init__(self, into: int, out: int, stride: int, expand: int) -> None:
        super().__init__()
        wide = into * expand
        self.add = stride == 1 and into == out
        self.conv = nn.Sequential(
            nn.Conv2d(into, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(),
            nn.Conv2d(wide, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )

    def forward(self, x: Any) -> Any:
        return x + self.conv(x) if self.add else self.conv(x)


class MobileNet(nn.Module):
    """MobileNetV2's blocks at CIFAR's size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        plan = [(1, 1, 1), (2, 2, 2), (4, 2, 2), (8, 3, 2), (12, 1, 1)]
        layers = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU6()]
        into = width
        for factor, count, stride in plan:
            for number in range(count):
                out = width * factor
                layers.append(InvertedResidual(into, out, 1 if number else stride, 4))
                into = out
        self.features = nn.Sequential(*layers)
        self.fc = nn.Linear(into, 10)

    def forward(self, x: Any) -> Any:
        return self.fc(self.features(x).mean((2, 3)))


def _double(into: int, out: int) -> Any:
    return nn.Sequential(
        nn.Conv2d(into, out, 3, padding=1),
        nn.GroupNorm(4, out),
        nn.ReLU(),
        nn.Conv2d(out, out, 3, padding=1),
        nn.GroupNorm(4, out),
        nn.ReLU(),
    )


class UNet(nn.Module):
    """Ronneberger et al., 2015, with group norm."""

    def __init__(self, width: int, depth: int, classes: int = 2) -> None:
        super().__init__()
        widths = [width << level for level in range(depth + 1)]
        pairs = list(itertools.pairwise(widths))
        self.first = _double(1, width)
        self.down = nn.ModuleList([_double(a, b) for a, b in pairs])
        self.up = nn.ModuleList([nn.ConvTranspose2d(b, a, 2, 2) for a, b in reversed(pairs)])
        self.join = nn.ModuleList([_double(2 * a, a) for a, _ in reversed(pairs)])
        self.last = nn.Conv2d(width, classes, 1)

    def forward(self, x: Any) -> Any:
        kept = [self.first(x)]
        for each in self.down:
            kept.append(each(F.max_pool2d(kept[-1], 2)))
        x = kept.pop()
        for up, join in zip(self.up, self.join, strict=True):
            x = join(torch.cat([kept.pop(), up(x)], 1))
        return self.last(x)


class LanguageModel(nn.Module):
    """Words, an LSTM, words."""

    def __init__(self, words: int, width: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True)
        self.head = nn.Linear(width, words)

    def forward(self, x: Any) -> Any:
        return self.head(self.lstm(self.embedding(x))[0])


class Block(nn.Module):
    """A transformer's layer, norms first."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Any, cache: Any = None, place: int = 0) -> Any:
        batch, length, width = x.shape
        parts = self.qkv(self.norm1(x)).split(width, 2)
        shape = (batch, length, self.heads, width // self.heads)
        q, k, v = [each.view(*shape).transpose(1, 2) for each in parts]
        if cache is not None:
            cache[0][:, :, place : place + length] = k
            cache[1][:, :, place : place + length] = v
            k, v = [each[:, :, : place + length] for each in cache]
        causal = self.causal and length > 1
        y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        x = x + self.out(y.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    """Radford et al., 2019, as nanoGPT writes it."""

    def __init__(self, words: int, length: int, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.places = nn.Embedding(length, width)
        self.blocks = nn.ModuleList([Block(width, heads, True) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, words, bias=False)

    def forward(self, x: Any, caches: Any = None, place: int = 0) -> Any:
        places = torch.arange(place, place + x.shape[1])
        x = self.words(x) + self.places(places)
        for number, block in enumerate(self.blocks):
            x = block(x, None if caches is None else caches[number], place)
        return self.head(self.norm(x))


class ViT(nn.Module):
    """Dosovitskiy et al., 2021."""

    def __init__(self, side: int, patch: int, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(torch.zeros(1, (side // patch) ** 2 + 1, width))
        self.blocks = nn.Sequential(*[Block(width, heads, False) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Any) -> Any:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        return self.head(self.norm(self.blocks(x))[:, 0])


class GCN(nn.Module):
    """Kipf and Welling, 2017: messages are added with index_add."""

    def __init__(self, features: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(features, hidden)
        self.second = nn.Linear(hidden, classes)

    def forward(self, x: Any, source: Any, target: Any, scale: Any) -> Any:
        x = F.relu(self._spread(self.first(x), source, target, scale))
        return self._spread(self.second(x), source, target, scale)

    def _spread(self, x: Any, source: Any, target: Any, scale: Any) -> Any:
        zeros = torch.zeros(x.shape[0], x.shape[1])
        return x + zeros.index_add(0, target, x[source] * scale)
