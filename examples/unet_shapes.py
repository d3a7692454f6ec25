"""Teach a U-Net to cut out discs among rectangles and noise.

O. Ronneberger, P. Fischer, T. Brox, U-Net: Convolutional Networks for Biomedical Image
Segmentation, 2015. The pictures are made anew for every step.

    python examples/unet_shapes.py --steps 200
"""

from __future__ import annotations

import argparse

import flambeau as torch
from flambeau import nn
from flambeau.nn import functional as F


def pictures(count: int, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures (count, 1, side, side) of a disc and a rectangle in noise, and where the disc is."""
    at = torch.arange(side, dtype=torch.float32)
    y, x = at.view(1, -1, 1), at.view(1, 1, -1)
    low, span = side / 4, side / 2
    row, column, top, left = (torch.rand(count, 1, 1) * span + low for _ in range(4))
    radius = torch.rand(count, 1, 1) * side / 8 + side / 10
    disc = ((y - row) ** 2 + (x - column) ** 2 < radius**2).float()
    box = ((y - top).abs() < radius).float() * ((x - left).abs() < radius * 0.7).float()
    picture = torch.maximum(disc, 0.9 * box) + 0.3 * torch.randn(count, side, side)
    return picture.unsqueeze(1), disc.unsqueeze(1)


def double(into: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(into, out, 3, padding=1, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(inplace=True),
        nn.Conv2d(out, out, 3, padding=1, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(inplace=True),
    )


class UNet(nn.Module):
    """Pictures (batch, 1, h, w) to logits of the mask; h and w are multiples of 2 ** depth."""

    def __init__(self, width: int = 8, depth: int = 2) -> None:
        super().__init__()
        widths = [width << level for level in range(depth + 1)]
        self.first = double(1, width)
        self.down = nn.ModuleList([double(a, 2 * a) for a in widths[:-1]])
        self.up = nn.ModuleList([nn.ConvTranspose2d(2 * a, a, 2, 2) for a in widths[-2::-1]])
        self.join = nn.ModuleList([double(2 * a, a) for a in widths[-2::-1]])
        self.last = nn.Conv2d(width, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = [self.first(x)]
        for down in self.down:
            kept.append(down(F.max_pool2d(kept[-1], 2)))
        x = kept.pop()
        for up, join in zip(self.up, self.join, strict=True):
            x = join(torch.cat([kept.pop(), up(x)], dim=1))
        return self.last(x)


def overlap(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean over pictures of the common area over the joined area of the two."""
    found, mask = logits > 0, mask > 0.5
    common = (found & mask).sum((1, 2, 3)).float()
    return (common / (found | mask).sum((1, 2, 3)).clamp(min=1)).mean()


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train, and return how much of the discs in new pictures is missed, before and after."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--side", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    torch.manual_seed(options.seed)

    model = UNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.steps)
    unseen = pictures(64, options.side)

    def missed() -> float:
        model.eval()
        with torch.no_grad():
            found = overlap(model(unseen[0]), unseen[1])
        model.train()
        return 1 - found.item()

    before = missed()
    for step in range(options.steps):
        x, mask = pictures(options.batch, options.side)
        loss = F.binary_cross_entropy_with_logits(model(x), mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 25 == 0 or step == options.steps - 1:
            print(f"step {step:4}  loss {loss.item():.4f}  missed {100 * missed():.1f} %")
    return {"first": before, "last": missed()}


if __name__ == "__main__":
    main()
