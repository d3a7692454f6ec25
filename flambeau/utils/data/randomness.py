"""The random numbers of samplers and loaders, drawn from generators in PyTorch's order."""

from __future__ import annotations

from typing import Any

from flambeau.ops.generator import Generator, manual_seed
from flambeau.ops.random import integer_values, multinomial, randperm
from flambeau.tensor.device import default_device_name
from flambeau.tensor.tensor import Tensor


def _host() -> str:
    """The default device where it is the host, else the cpu: indices are wanted there."""
    name = default_device_name()
    return name if name in ("cpu", "reference") else "cpu"


def draw_seed(generator: Any) -> int:
    """One int64 of the generator (None: the default one), as Tensor.random_() draws it."""
    return int(integer_values(0, 1 << 63, 1, generator)[0])


def seeded(seed: int) -> Generator:
    """A new generator that starts from `seed`."""
    return Generator(_host()).manual_seed(seed)


def seed_everything(seed: int) -> None:
    """Seed the default generator."""
    manual_seed(seed)


def permutation(length: int, generator: Any) -> list[int]:
    """0 … length - 1 in random order."""
    found: list[int] = randperm(length, generator=generator, device=_host())._to_numpy().tolist()
    return found


def integers(high: int, count: int, generator: Any) -> list[int]:
    """Whole numbers in [0, high)."""
    found: list[int] = integer_values(0, high, count, generator).tolist()
    return found


def weighted(weights: Tensor, count: int, replacement: bool, generator: Any) -> list[int]:
    """Indices with probabilities in proportion to the weights."""
    found: list[int] = (
        multinomial(weights, count, replacement, generator=generator)._to_numpy().tolist()
    )
    return found
