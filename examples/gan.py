"""Train a generative adversarial network on handwritten digits.

A. Radford, L. Metz, S. Chintala, Unsupervised Representation Learning with Deep Convolutional
Generative Adversarial Networks, 2016, for images of 8x8 pixels (inside scikit-learn's package).

    python examples/gan.py --epochs 60
"""

from __future__ import annotations

import argparse

from sklearn.datasets import load_digits

import flambeau as torch
from flambeau import nn
from flambeau.utils.data import DataLoader, TensorDataset

CODE = 32
SHADES = " .:-=+*#%@"


def generator() -> nn.Module:
    """Noise (batch, CODE, 1, 1) to images (batch, 1, 8, 8) in [-1, 1]."""
    return nn.Sequential(
        nn.ConvTranspose2d(CODE, 64, 2, 1, 0, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(True),
        nn.ConvTranspose2d(64, 32, 4, 2, 1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(True),
        nn.ConvTranspose2d(32, 1, 4, 2, 1, bias=False),
        nn.Tanh(),
    )


def discriminator() -> nn.Module:
    """Images (batch, 1, 8, 8) to the logits of their being real (batch, 1)."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(32, 64, 4, 2, 1, bias=False),
        nn.BatchNorm2d(64),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Flatten(),
        nn.Linear(64 * 2 * 2, 1),
    )


def start(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


def show(images: torch.Tensor) -> None:
    """Images (count, 1, 8, 8) side by side, in characters."""
    for row in range(8):
        print(
            "   ".join(
                "".join(SHADES[int(4.9 * (v + 1))] * 2 for v in each[0][row])
                for each in images.tolist()
            )
        )


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train, draw, and return how far the mean drawing is from the mean image, before and after."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    torch.manual_seed(options.seed)

    images = torch.tensor(load_digits().images / 8.0 - 1.0, dtype=torch.float32).unsqueeze(1)
    loader = DataLoader(TensorDataset(images), options.batch, shuffle=True, drop_last=True)
    make, judge = generator().apply(start), discriminator().apply(start)
    makes = torch.optim.Adam(make.parameters(), lr=1e-3, betas=(0.5, 0.999))
    judges = torch.optim.Adam(judge.parameters(), lr=4e-4, betas=(0.5, 0.999))
    criterion = nn.BCEWithLogitsLoss()
    real, fake = torch.ones(options.batch, 1), torch.zeros(options.batch, 1)
    noise = torch.randn(256, CODE, 1, 1)

    def apart() -> float:
        with torch.no_grad():
            return (make(noise).mean(0) - images.mean(0)).pow(2).mean().sqrt().item()

    before = apart()
    for epoch in range(options.epochs):
        for (x,) in loader:
            made = make(torch.randn(options.batch, CODE, 1, 1))
            told = criterion(judge(x), 0.9 * real) + criterion(judge(made.detach()), fake)
            judges.zero_grad()
            told.backward()
            judges.step()
            fooled = criterion(judge(made), real)
            makes.zero_grad()
            fooled.backward()
            makes.step()
        if epoch % 10 == 0 or epoch == options.epochs - 1:
            print(
                f"epoch {epoch + 1:3}  discriminator {told.item():.3f}  "
                f"generator {fooled.item():.3f}  means apart {apart():.3f}"
            )
    make.eval()
    with torch.no_grad():
        show(make(noise[:6]))
    make.train()
    return {"first": before, "last": apart()}


if __name__ == "__main__":
    main()
