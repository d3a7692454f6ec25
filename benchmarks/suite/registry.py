"""What a piece of work is, and the list of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy

import flambeau as torch


@dataclass(frozen=True)
class Work:
    """One row of the table.

    make(**sizes) prepares, and returns what is timed: a function that ends with its value computed.
    flops and bytes count what must be done at least, for the distance to this machine's ceilings.
    tiny: other sizes for tests. single: it is measured with one thread, too.
    """

    group: str
    name: str
    make: Callable[..., Callable[[], Any]]
    sizes: dict[str, Any]
    tiny: dict[str, Any]
    flops: float = 0.0
    bytes: float = 0.0
    single: bool = False
    quick: bool = True


WORKS: dict[str, list[Work]] = {}


def add(group: str, name: str, make: Callable[..., Callable[[], Any]], **how: Any) -> None:
    """Register a piece of work; the names within a group are different (ValueError)."""
    sizes, tiny = how.pop("sizes", {}), how.pop("tiny", {})
    works = WORKS.setdefault(group, [])
    if any(each.name == name for each in works):
        raise ValueError(f"there is work '{name}' in group '{group}' already")
    works.append(Work(group, name, make, sizes, sizes | tiny, **how))


def done(*results: Any) -> None:
    """Compute what is pending. PyTorch has computed it already."""
    if torch.__name__ == "flambeau":
        from flambeau.schedule.flush import flush

        flush()


def normal(*shape: int, seed: int = 0) -> Any:
    """The same numbers in both frameworks, computed."""
    array = numpy.random.default_rng([seed, *shape]).standard_normal(shape, numpy.float32)
    return torch.from_numpy(array)


def integers(below: int, *shape: int, seed: int = 0) -> Any:
    """The same integers in both frameworks, computed."""
    return torch.from_numpy(numpy.random.default_rng([seed, *shape]).integers(0, below, shape))


def same_start(model: Any) -> Any:
    """Give a model the same parameters in both frameworks: scales 1, shifts 0, weights uniform."""
    state = {}
    for number, (name, value) in enumerate(model.state_dict().items()):
        shape, end = tuple(value.shape), name.rsplit(".", 1)[-1]
        if value.ndim > 1:
            bound = (value.numel() // shape[0]) ** -0.5
            array = numpy.random.default_rng(number).uniform(-bound, bound, shape)
        else:
            array = numpy.full(shape, float(end in ("weight", "running_var")))
        state[name] = torch.from_numpy(array.astype(str(value.dtype).rpartition(".")[2]))
    model.load_state_dict(state)
    return model


@dataclass
class Training:
    """A training step that keeps its losses: `training()` is one step and reads the loss."""

    model: Any
    loss: Callable[[], Any]
    optimizer: Any
    losses: list[float] = field(default_factory=list)

    def step(self) -> Any:
        """All but reading the loss."""
        self.optimizer.zero_grad()
        loss = self.loss()
        loss.backward()
        self.optimizer.step()
        return loss

    def __call__(self) -> float:
        value = float(self.step().item())
        self.losses.append(value)
        return value
