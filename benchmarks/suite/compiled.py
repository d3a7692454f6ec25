"""The training steps of train.py under flambeau.compile, beside PyTorch eager."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flambeau as torch
from benchmarks.suite import train
from benchmarks.suite.registry import WORKS, Training, add


class CompiledTraining:
    """A training step that is one compiled call, but for reading the loss. `plain` is the same
    without compile."""

    def __init__(self, training: Training) -> None:
        self.plain = training
        self.losses = training.losses
        self.step = training.step
        if torch.__name__ == "flambeau":  # the others are the measure: PyTorch eager
            self.step = torch.compile(training.step, fullgraph=True)

    def __call__(self) -> float:
        value = float(self.step().item())
        self.losses.append(value)
        return value


def _maker(make: Callable[..., Training]) -> Callable[..., CompiledTraining]:
    def made(**sizes: Any) -> CompiledTraining:
        return CompiledTraining(make(**sizes))

    return made


for _work in WORKS[train.__name__.rpartition(".")[2]]:
    add("compiled", _work.name, _maker(_work.make), sizes=_work.sizes, tiny=_work.tiny)
