"""Fine-tune a network that PyTorch trained: from the digits 0 to 4 to the digits 5 to 9.

PyTorch 2.13 wrote `digits_low.pt`, when this program ran there (`flambeau` replaced by `torch` in
the imports) with `--pretrain digits_low.pt`. Here it is read without running any code of it; the
last layer is replaced, and only that and the second convolution learn, from a few images of each
new digit (the images inside scikit-learn's package).

    python examples/finetune.py --images 10
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sklearn.datasets import load_digits

import flambeau as torch
from flambeau import nn
from flambeau.nn import functional as F

CHECKPOINT = Path(__file__).with_name("digits_low.pt")


class Net(nn.Module):
    """8x8 grey images (batch, 1, 8, 8) to the scores of `classes`."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(16)
        self.second = nn.Conv2d(16, 32, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(32)
        self.head = nn.Linear(32 * 2 * 2, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.norm1(self.first(x))), 2)
        x = F.max_pool2d(F.relu(self.norm2(self.second(x))), 2)
        return self.head(x.flatten(1))


def digits(low: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and classes 0 to 4 of the five digits from `low` on."""
    data = load_digits()
    chosen = (data.target >= low) & (data.target < low + 5)
    images = torch.tensor(data.images[chosen] / 16.0, dtype=torch.float32).unsqueeze(1)
    return images, torch.tensor(data.target[chosen] - low)


def error(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    model.eval()
    with torch.no_grad():
        return (model(x).argmax(1) != y).float().mean().item()


def train(model: nn.Module, x: torch.Tensor, y: torch.Tensor, steps: int, rate: float) -> None:
    """Steps of AdamW over batches of 32, on what is not frozen."""
    model.train()
    learning = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=rate)
    for _ in range(steps):
        rows = torch.randint(0, len(x), (32,))
        loss = F.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def pretrain(path: str) -> None:
    x, y = digits(0)
    model = Net()
    train(model, x, y, steps=400, rate=3e-3)
    print(f"digits 0 to 4: error {100 * error(model, x, y):.1f} %")
    torch.save(model.state_dict(), path)


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Fine-tune, and return the error on images that were not shown, before and after."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10, help="of each new digit")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pretrain", metavar="FILE", help="make the checkpoint instead")
    options = parser.parse_args(arguments)
    torch.manual_seed(options.seed)
    if options.pretrain:
        pretrain(options.pretrain)
        return {}

    x, y = digits(5)
    order = torch.randperm(len(x))
    x, y = x[order], y[order]
    shown = torch.cat([(y == digit).nonzero()[: options.images, 0] for digit in range(5)])
    hidden = torch.ones(len(x), dtype=torch.bool)
    hidden[shown] = False

    model = Net()
    model.load_state_dict(torch.load(CHECKPOINT, weights_only=True))
    model.head = nn.Linear(model.head.in_features, 5)
    for each in (*model.first.parameters(), *model.norm1.parameters()):
        each.requires_grad = False
    before = error(model, x[hidden], y[hidden])
    train(model, x[shown], y[shown], options.steps, rate=3e-3)
    after = error(model, x[hidden], y[hidden])
    print(
        f"{options.images} images of each digit; of {int(hidden.sum())} that were not shown "
        f"{100 * before:.1f} % wrong before, {100 * after:.1f} % after"
    )
    return {"first": before, "last": after}


if __name__ == "__main__":
    main()
