"""A tiny logistic regression in numpy, recorded; the smallest thing that can be reproduced."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy
from network import initial, loss_and_gradient

from flambeau.openness import DataSource, record

HERE = Path(__file__).parent
DOCUMENTS = {
    "Model card": "model_card.md",
    "Data card": "data_card.md",
    "Technical report": "technical_report.md",
    "Research paper": "paper.md",
}
CODE = {
    "Model architecture": ["network.py"],
    "Training code": ["train.py"],
    "Inference code": ["network.py"],
    "Evaluation code": ["train.py"],
    "Data preprocessing code": ["train.py"],
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--documents", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--noise-from", type=int, default=1 << 30)
    arguments = parser.parse_args()
    folder, documents = Path(arguments.data), Path(arguments.documents)
    train = numpy.loadtxt(folder / "train.csv", delimiter=",")
    test = numpy.loadtxt(folder / "test.csv", delimiter=",")
    with record(
        arguments.output,
        name="tiny-line",
        producer="the tests",
        root=HERE,
        code=CODE,
        command=[
            "{python}", "code/train.py", "--output", "{output}", "--data", "data",
            "--documents", ".", "--seed", str(arguments.seed),
        ],
        seed=arguments.seed,
        configuration={"rate": 0.5, "steps": 20},
        data=[
            DataSource("train", [folder / "train.csv"], origin="made by the tests"),
            DataSource("test", [folder / "test.csv"], role="evaluation"),
        ],
        documents={name: documents / file for name, file in DOCUMENTS.items()
                   if (documents / file).exists()}
        or {"Model card": documents / "README.md"},
    ) as run:  # fmt: skip
        run.device("numpy cpu", plans=["0" * 64])
        weights = initial(arguments.seed)
        for step in range(1, 21):
            loss, gradient = loss_and_gradient(weights, train)
            weights = {name: weights[name] - 0.5 * gradient[name] for name in weights}
            if step >= arguments.noise_from:
                weights["weight"] = weights["weight"] + numpy.float32(arguments.noise)
            run.step(step, loss=loss)
            if step % 5 == 0:
                run.checkpoint(step, weights)
        run.evaluation("test", loss=loss_and_gradient(weights, test)[0])
        run.weights(weights)


if __name__ == "__main__":
    main()
