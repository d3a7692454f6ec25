"""Train a convolutional network on real handwritten digits, look at it, and run it on a GPU.

The data are the 1,797 images of 8x8 pixels inside scikit-learn's package (Alpaydin and Kaynak,
"Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998). A fifth of them
is held out and never trained on.

This is plain PyTorch: replace `flambeau` by `torch` in the imports, and it runs there as well.

    python examples/digits.py --epochs 4 --device webgpu
    flambeau demo                       # the same, and digits_record.py keeps the evidence
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy
from safetensors.numpy import save_file
from sklearn.datasets import load_digits
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import flambeau as torch
from flambeau import nn
from flambeau.utils.data import DataLoader, TensorDataset

matplotlib.use("Agg")
from matplotlib import pyplot  # the backend is chosen first


class DigitNet(nn.Module):
    """Two blocks of convolutions and a classifier: 8x8 grey images to ten scores."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, kernel_size=3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 32, kernel_size=3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, kernel_size=3, padding=1),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * 2 * 2, 10))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(images))


def split(file: Path | None) -> list[numpy.ndarray]:
    """The digits, four fifths and one: rows of 64 pixels from 0 to 16, then the digit.

    file: scikit-learn's digits.csv.gz; without it, what load_digits() finds.
    """
    if file is None:
        digits = load_digits()
        rows = numpy.column_stack([digits.data, digits.target])
    else:
        rows = numpy.loadtxt(file, delimiter=",")
    return train_test_split(rows, test_size=0.2, stratify=rows[:, -1], random_state=0)


def tensors(rows: numpy.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Images with pixels from 0 to 1, and their labels."""
    images = (rows[:, :-1] / 16).astype("float32").reshape(-1, 1, 8, 8)
    return torch.from_numpy(images), torch.from_numpy(rows[:, -1].astype("int64"))


def train(
    model: nn.Module,
    batches: DataLoader,
    device: torch.device,
    epochs: int,
    after_step: Callable[[int, float, nn.Module], None] | None = None,
) -> list[float]:
    """Train, with a progress bar; returns the loss of every step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    criterion = nn.CrossEntropyLoss()
    losses: list[float] = []
    model.train()
    with tqdm(total=epochs * len(batches.dataset), unit=" images", unit_scale=True) as bar:
        for epoch in range(epochs):
            correct = seen = 0
            for images, labels in batches:
                images, labels = images.to(device), labels.to(device)
                optimizer.zero_grad()
                scores = model(images)
                loss = criterion(scores, labels)
                loss.backward()
                optimizer.step()

                losses.append(loss.item())
                if after_step is not None:
                    after_step(len(losses), losses[-1], model)
                correct += (scores.argmax(1) == labels).sum().item()
                seen += len(labels)
                bar.update(len(labels))
                bar.set_description(f"epoch {epoch + 1}/{epochs}", refresh=False)
                bar.set_postfix(
                    loss=f"{loss.item():.4f}", accuracy=f"{correct / seen:.1%}", refresh=False
                )
            scheduler.step()
    return losses


@torch.no_grad()
def scores_of(model: nn.Module, images: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The model's scores for these images, on the CPU."""
    model.eval()
    return model(images.to(device)).cpu()


def draw(losses: list[float], labels: torch.Tensor, predicted: torch.Tensor, folder: Path) -> None:
    """The loss curve and the confusion matrix, as PNG."""
    figure, axes = pyplot.subplots(figsize=(7, 4))
    axes.semilogy(losses, linewidth=0.8)
    axes.set(xlabel="step", ylabel="cross-entropy", title="Training loss")
    figure.savefig(folder / "loss.png", dpi=120, bbox_inches="tight")

    counts = confusion_matrix(labels.numpy(), predicted.numpy(), labels=range(10))
    figure, axes = pyplot.subplots(figsize=(5, 5))
    axes.imshow(counts, cmap="Blues")
    for (row, column), count in numpy.ndenumerate(counts):
        if count:
            colour = "white" if count > counts.max() / 2 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour)
    axes.set(xlabel="predicted", ylabel="digit", title="Held-out images")
    axes.set_xticks(range(10))
    axes.set_yticks(range(10))
    figure.savefig(folder / "confusion.png", dpi=120, bbox_inches="tight")


def milliseconds(
    model: nn.Module, images: torch.Tensor, device: torch.device, runs: int = 10
) -> float:
    """Median time of one batch, from images on the host to scores on the host."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        scores_of(model, images, device).numpy()
        times.append(time.perf_counter() - start)
    return float(numpy.median(times) * 1e3)


def compare(model: nn.Module, images: torch.Tensor, names: list[str]) -> None:
    """Run the trained model on each device and print how fast it is and how far it differs."""
    batch = images[:64]
    expected = scores_of(model.to(names[0]), images, torch.device(names[0])).numpy()
    rows = []
    for name in names:
        try:
            device = torch.device(name)
            model.to(device)
        except RuntimeError as error:
            print(f"{name}: {error}")
            continue
        found = scores_of(model, images, device).numpy()
        same = int((found.argmax(1) == expected.argmax(1)).sum())
        difference = float(abs(found - expected).max())
        rows.append((name, milliseconds(model, batch, device), difference, same))
    print(f"\n{'device':<10} {'ms per batch':>13} {'largest difference':>19} {'same digits':>13}")
    for name, time_taken, difference, same in rows:
        total = f"{same}/{len(images)}"
        print(f"{name:<10} {time_taken:>13.2f} {difference:>19.2e} {total:>13}")


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="flambeau demo", description=__doc__.split("\n")[0])
    options.add_argument("--device", default=os.environ.get("FLAMBEAU_DEVICE", "cpu"))
    options.add_argument("--epochs", type=int, default=20)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--data", type=Path, help="another copy of scikit-learn's digits.csv.gz")
    options.add_argument("--output", type=Path, default=Path("output"))
    return options


def fit(
    options: argparse.Namespace,
    after_step: Callable[[int, float, nn.Module], None] | None = None,
) -> tuple[nn.Module, list[float]]:
    """Train as the options say; returns the model and the loss of every step."""
    device = torch.device(options.device)
    torch.manual_seed(options.seed)
    train_rows, test_rows = split(options.data)
    batches = DataLoader(
        TensorDataset(*tensors(train_rows)), batch_size=64, shuffle=True, drop_last=True
    )
    print(f"{len(train_rows)} images to train on, {len(test_rows)} held out, on {device}")
    start = time.perf_counter()
    model = DigitNet().to(device)
    losses = train(model, batches, device, options.epochs, after_step)
    print(f"trained in {time.perf_counter() - start:.1f} s")
    return model, losses


def show(model: nn.Module, losses: list[float], options: argparse.Namespace) -> None:
    """Save the weights, load them again, and look at what they do on the held-out images."""
    device = torch.device(options.device)
    options.output.mkdir(parents=True, exist_ok=True)
    weights = options.output / "digits.safetensors"
    save_file({name: value.cpu().numpy() for name, value in model.state_dict().items()}, weights)
    reloaded = DigitNet().to(device)
    reloaded.load_state_dict(torch.load(weights))

    images, labels = tensors(split(options.data)[1])
    predicted = scores_of(reloaded, images, device).argmax(1)
    accuracy = (predicted == labels).float().mean().item()
    draw(losses, labels, predicted, options.output)
    print(f"accuracy on the held-out images, with the reloaded weights: {accuracy:.2%}")
    print(f"wrote digits.safetensors, loss.png and confusion.png to {options.output}/")

    others = [each for each in ("cpu", "webgpu") if each != device.type]
    compare(reloaded, images, [device.type, *others])


def main() -> None:
    options = parser().parse_args()
    show(*fit(options), options)


if __name__ == "__main__":
    main()
