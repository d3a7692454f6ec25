"""The steady training step of the demo, Flambeau beside PyTorch, in one run.

    make bench
    python benchmarks/demo_step.py --torch-python .venv-torch/bin/python

Both run the text of examples/digits.py, PyTorch with `flambeau` replaced by `torch` in the imports.
Processes alternate, so that what else the machine does meets both; of each process the median step
counts, and of all processes of one framework the median of those.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import package

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "examples" / "digits.py"
WARM_UP = 20


def load_example(framework: str) -> dict[str, Any]:
    """The example's names, imported from one of the two frameworks."""
    text = SCRIPT.read_text(encoding="utf-8")
    if framework == "torch":
        text = text.replace("import flambeau as torch", "import torch")
        text = text.replace("from flambeau", "from torch")
    namespace: dict[str, Any] = {"__name__": "digits"}
    exec(compile(text, str(SCRIPT), "exec"), namespace)
    return namespace


def make_step(example: dict[str, Any], device_name: str) -> Any:
    """A function that trains on one batch and reads the loss, as the demo does."""
    torch, nn = example["torch"], example["nn"]
    torch.manual_seed(0)
    device = torch.device(device_name)
    images, labels = example["tensors"](example["split"](None)[0])
    model = example["DigitNet"]().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    criterion = nn.CrossEntropyLoss()
    batches = [
        (images[start : start + 64], labels[start : start + 64])
        for start in range(0, len(images) - 64, 64)
    ]
    state = {"number": 0}

    def step() -> float:
        batch, target = (each.to(device) for each in batches[state["number"] % len(batches)])
        state["number"] += 1
        optimizer.zero_grad()
        scores = model(batch)
        loss = criterion(scores, target)
        loss.backward()
        optimizer.step()
        (scores.argmax(1) == target).sum().item()
        return float(loss.item())

    return step


def work(framework: str, device: str, steps: int) -> None:
    """Print one line of JSON: the median step in ms, and the losses at both ends."""
    step = make_step(load_example(framework), device)
    first = step()
    for _ in range(WARM_UP):
        step()
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        loss = step()
        times.append(time.perf_counter() - start)
    print(json.dumps({"ms": statistics.median(times) * 1e3, "first": first, "last": loss}))


def measure(python: str, framework: str, device: str, steps: int) -> dict[str, float]:
    """Run one process and read its line."""
    command = [python, __file__, "--work", framework, "--device", device, "--steps", str(steps)]
    environment = os.environ | package.environment()
    found = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT
    )
    if found.returncode:
        sys.exit(f"{framework} failed:\n{found.stderr}")
    result: dict[str, float] = json.loads(found.stdout.splitlines()[-1])
    return result


def compare(torch_python: str | None, device: str, rounds: int, steps: int) -> None:
    """Alternate processes and print the table."""
    interpreters = {"flambeau": sys.executable}
    if torch_python:
        interpreters["torch"] = torch_python
    results: dict[str, list[dict[str, float]]] = {name: [] for name in interpreters}
    for _ in range(rounds):
        for name, python in interpreters.items():
            where = device if name == "flambeau" else "cpu"
            results[name].append(measure(python, name, where, steps))
    medians = {
        name: statistics.median(each["ms"] for each in found) for name, found in results.items()
    }
    print(f"{'framework':<10} {'ms per step':>12} {'images/s':>10} {'loss after':>11}")
    for name, found in results.items():
        loss = statistics.median(each["last"] for each in found)
        print(f"{name:<10} {medians[name]:>12.3f} {64e3 / medians[name]:>10.0f} {loss:>11.4f}")
    if "torch" in medians:
        print(f"flambeau takes {medians['flambeau'] / medians['torch']:.2f} of PyTorch's time")
    else:
        print("PyTorch was not measured: name an interpreter that has it with --torch-python")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--torch-python", help="an interpreter that has PyTorch")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--work", choices=["flambeau", "torch"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.device, options.steps)
    else:
        compare(options.torch_python, options.device, options.rounds, options.steps)


if __name__ == "__main__":
    main()
