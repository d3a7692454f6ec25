"""Each program in examples/ runs at a small size, and gets better at what it does."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "examples"

# name: (arguments of a small run, how many times as good it gets at least)
LOWER: dict[str, tuple[str, float]] = {
    "char_gpt": ("--steps 40 --context 32 --width 48 --depth 2", 1.2),
    "lstm_language_model": ("--epochs 1 --most 20000 --width 48 --words 500", 2.0),
    "vae": ("--epochs 4", 1.2),
    "gan": ("--epochs 6", 1.3),
    "gcn": ("--nodes 300 --epochs 40", 2.0),
    "finetune": ("--images 5 --steps 60", 3.0),
    "unet_shapes": ("--steps 50 --side 32", 1.5),
}
"""Programs that return something that falls."""


def run(name: str, arguments: str) -> dict[str, float]:
    specification = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.main(arguments.split())


@pytest.mark.parametrize("name", LOWER)
def test_example(name: str) -> None:
    arguments, factor = LOWER[name]
    found = run(name, arguments)
    assert found["last"] < found["first"] / factor, found


# name: (arguments of a small run, how many times as long the pole stands at least)
HIGHER: dict[str, tuple[str, float]] = {
    "reinforce": ("--episodes 30 --seed 1", 1.1),
    "ppo": ("--updates 8", 1.5),
}
"""Programs that return something that rises."""


@pytest.mark.parametrize("name", HIGHER)
def test_example_that_acts(name: str) -> None:
    arguments, factor = HIGHER[name]
    found = run(name, arguments)
    assert found["last"] > found["first"] * factor, found
