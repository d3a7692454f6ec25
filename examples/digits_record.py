"""The digits demo, and the evidence of it: trains, and writes a model folder of Class I.

    flambeau demo                       # or: python examples/digits_record.py
    flambeau openness verify output/digits-model
    flambeau openness reproduce output/digits-model

The training itself is in digits.py and knows nothing of this.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import string
import tempfile
from pathlib import Path
from typing import Any

import digits
import numpy
import sklearn

import flambeau as torch
from flambeau import nn, openness
from flambeau.utils.provenance import device_facts

HERE = Path(__file__).parent
DIGITS = Path(sklearn.__file__).parent / "datasets" / "data" / "digits.csv.gz"
ORIGIN = (
    "E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine Learning "
    "Repository, 1998, https://doi.org/10.24432/C50P49; its test set, as scikit-learn has it"
)
DOCUMENTS = {
    "Model card": "model_card.md",
    "Data card": "data_card.md",
    "Technical report": "technical_report.md",
    "Research paper": "paper.md",
}
CODE = {
    "Model architecture": ["digits.py"],
    "Training code": ["digits.py", "digits_record.py"],
    "Inference code": ["digits.py"],
    "Evaluation code": ["digits.py", "digits_record.py"],
    "Data preprocessing code": ["digits.py"],
    "Supporting libraries and tools": [f"digits_documents/{each}" for each in DOCUMENTS.values()],
}
CHECKPOINTS = 3  # on the way, at equal distances


def parser() -> argparse.ArgumentParser:
    options = digits.parser()
    options.add_argument("--folder", type=Path, help="write only the model folder, and here")
    return options


def record(options: argparse.Namespace, folder: Path) -> tuple[nn.Module, list[float]]:
    """Train as digits.py does and write the model folder; returns what digits.fit returns."""
    options.data = options.data or DIGITS
    train_rows, test_rows = digits.split(options.data)
    total = options.epochs * (len(train_rows) // 64)
    kept = {total * part // (CHECKPOINTS + 1) for part in range(1, CHECKPOINTS + 1)}
    with tempfile.TemporaryDirectory() as temporary:
        held_out = Path(temporary) / "held-out.csv"
        numpy.savetxt(held_out, test_rows, fmt="%d", delimiter=",")
        with openness.record(
            folder,
            name="digits",
            producer="The developers of Flambeau",
            root=HERE,
            code=CODE,
            command=recipe(options),
            seed=options.seed,
            configuration={"epochs": options.epochs, "batch_size": 64, "rate": 2e-3},
            data=[
                openness.DataSource("digits", [options.data], "train", "CC-BY-4.0", ORIGIN),
                openness.DataSource(
                    "held-out digits", [held_out], "evaluation", "CC-BY-4.0",
                    "a fifth of digits.csv.gz that is not trained on: split() in code/digits.py",
                ),
            ],
        ) as run:  # fmt: skip

            def after_step(step: int, loss: float, model: nn.Module) -> None:
                run.step(step, loss=loss)
                if step in kept:
                    run.checkpoint(step, arrays(model))

            model, losses = digits.fit(options, after_step)
            run.weights(arrays(model))
            scores, labels = held_out_scores(model, options)
            run.evaluation("held-out digits", **results(scores, labels))
            run.device(**device_facts(options.device))
            facts = measured(run, model, losses, scores, labels, options)
            for component, file in DOCUMENTS.items():
                template = string.Template((HERE / "digits_documents" / file).read_text("utf-8"))
                run.document(component, file, template.substitute(facts))
    return model, losses


def recipe(options: argparse.Namespace) -> list[str]:
    """The command that trains again, in a copy of the model folder."""
    return [
        "{python}", "code/digits_record.py", "--folder", "{output}",
        "--data", f"data/{options.data.name}", "--device", options.device,
        "--epochs", str(options.epochs), "--seed", str(options.seed),
    ]  # fmt: skip


def arrays(model: nn.Module) -> dict[str, numpy.ndarray]:
    return {name: value.cpu().numpy() for name, value in model.state_dict().items()}


def held_out_scores(
    model: nn.Module, options: argparse.Namespace
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The model's scores for the held-out images, and their digits."""
    images, labels = digits.tensors(digits.split(options.data)[1])
    device = digits.torch.device(options.device)
    return digits.scores_of(model, images, device).numpy().astype("float64"), labels.numpy()


def results(scores: numpy.ndarray, labels: numpy.ndarray) -> dict[str, float]:
    """Accuracy and cross-entropy."""
    shifted = scores - scores.max(1, keepdims=True)
    likelihoods = shifted - numpy.log(numpy.exp(shifted).sum(1, keepdims=True))
    return {
        "accuracy": float((scores.argmax(1) == labels).mean()),
        "cross_entropy": float(-likelihoods[numpy.arange(len(labels)), labels].mean()),
    }


def measured(
    run: openness.Run,
    model: nn.Module,
    losses: list[float],
    scores: numpy.ndarray,
    labels: numpy.ndarray,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """The numbers that the documents' templates name."""
    train_rows, _ = digits.split(options.data)
    right = scores.argmax(1) == labels
    every = numpy.concatenate([train_rows[:, -1].astype(int), labels])
    result = results(scores, labels)
    rows = [f"| {n} | {(labels == n).sum()} | {right[labels == n].sum()} |" for n in range(10)]
    return {
        "name": "digits",
        "framework": run.device_facts["framework"].removeprefix("flambeau "),
        "kind": run.device_facts["kind"],
        "plans": len(run.device_facts["plans"]),
        "parameters": f"{sum(each.numel() for each in model.parameters()):,}",
        "tensors": len(model.state_dict()),
        "epochs": options.epochs,
        "steps": len(losses),
        "seed": options.seed,
        "checkpoints": ", ".join(str(each["step"]) for each in run.checkpoints),
        "first_loss": f"{losses[0]:.4f}",
        "last_loss": f"{numpy.mean(losses[-(len(train_rows) // 64) :]):.4f}",
        "train_count": f"{len(train_rows):,}",
        "test_count": len(labels),
        "count": f"{len(every):,}",
        "digit_counts": ", ".join(map(str, numpy.bincount(every))),
        "accuracy": f"{result['accuracy']:.2%}",
        "loss": f"{result['cross_entropy']:.4f}",
        "wrong": int((~right).sum()),
        "by_digit": "\n".join(rows),
        "data_hash": hashlib.sha256(options.data.read_bytes()).hexdigest(),
    }


def main() -> None:
    command = parser()
    options = command.parse_args()
    try:
        torch.empty(0, device=options.device)
    except RuntimeError as error:  # no such device, or none on this machine
        command.error(str(error))
    if options.folder is not None:
        record(options, options.folder)
        return
    folder = options.output / "digits-model"
    if any((folder / each).exists() for each in ("openness.json", "steps.jsonl")):
        shutil.rmtree(folder)  # an earlier demo's
    digits.show(*record(options, folder), options)
    verdict = openness.evaluate(folder / "mof.yml")
    print(f"\nwrote the model with all its evidence to {folder}/: {verdict.label}")
    print(f"check it, or train it again and compare: flambeau openness reproduce {folder}")


if __name__ == "__main__":
    main()
