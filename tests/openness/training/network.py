"""One linear layer with a logistic loss."""

from __future__ import annotations

import numpy
from numpy.typing import NDArray

Weights = dict[str, NDArray[numpy.float32]]


def initial(seed: int) -> Weights:
    generator = numpy.random.default_rng(seed)
    return {
        "weight": generator.normal(size=2).astype("f4"),
        "bias": numpy.zeros(1, "f4"),
    }


def loss_and_gradient(weights: Weights, data: NDArray[numpy.float64]) -> tuple[float, Weights]:
    inputs, targets = data[:, :2].astype("f4"), data[:, 2].astype("f4")
    guess = 1 / (1 + numpy.exp(-(inputs @ weights["weight"] + weights["bias"])))
    error = guess - targets
    loss = -(targets * numpy.log(guess) + (1 - targets) * numpy.log(1 - guess)).mean()
    return float(loss), {
        "weight": (inputs.T @ error / len(data)).astype("f4"),
        "bias": error.mean(keepdims=True).astype("f4"),
    }
