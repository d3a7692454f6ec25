"""Train a variational autoencoder on handwritten digits, and draw new ones.

D. P. Kingma and M. Welling, Auto-Encoding Variational Bayes, 2014. The data are the 1,797 images of
8x8 pixels inside scikit-learn's package.

    python examples/vae.py --epochs 30
"""

from __future__ import annotations

import argparse

from sklearn.datasets import load_digits

import flambeau as torch
from flambeau import nn
from flambeau.nn import functional as F
from flambeau.utils.data import DataLoader, TensorDataset

SHADES = " .:-=+*#%@"


class VAE(nn.Module):
    """Images (batch, 64) in [0, 1] to logits of their pixels, and the code's mean and logvar."""

    def __init__(self, hidden: int = 128, code: int = 8) -> None:
        super().__init__()
        self.code = code
        self.encode = nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 2 * code))
        self.decode = nn.Sequential(nn.Linear(code, hidden), nn.ReLU(), nn.Linear(hidden, 64))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        mean, logvar = self.encode(x).chunk(2, dim=1)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * logvar)
        return self.decode(z), mean, logvar

    @torch.no_grad()
    def draw(self, count: int) -> torch.Tensor:
        """`count` new images (count, 8, 8)."""
        return torch.sigmoid(self.decode(torch.randn(count, self.code))).view(-1, 8, 8)


def bound(
    logits: torch.Tensor, x: torch.Tensor, mean: torch.Tensor, logvar: torch.Tensor
) -> torch.Tensor:
    """The negative lower bound of log p(x), in nats for each image."""
    fit = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    apart = -0.5 * torch.sum(1 + logvar - mean.pow(2) - logvar.exp())
    return (fit + apart) / len(x)


def show(images: torch.Tensor) -> None:
    """Images side by side, in characters."""
    for row in range(images.shape[1]):
        print(
            "   ".join(
                "".join(SHADES[int(9 * v)] * 2 for v in each[row]) for each in images.tolist()
            )
        )


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train, draw, and return the bound of the first and the last epoch."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    torch.manual_seed(options.seed)

    images = torch.tensor(load_digits().data / 16.0, dtype=torch.float32)
    loader = DataLoader(TensorDataset(images), batch_size=options.batch, shuffle=True)
    model = VAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    bounds = []
    for epoch in range(options.epochs):
        total = 0.0
        for (x,) in loader:
            logits, mean, logvar = model(x)
            loss = bound(logits, x, mean, logvar)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
        bounds.append(total / len(images))
        print(f"epoch {epoch + 1:3}  {bounds[-1]:.2f} nats an image")
    show(model.draw(6))
    return {"first": bounds[0], "last": bounds[-1]}


if __name__ == "__main__":
    main()
