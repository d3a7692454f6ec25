"""Programs that are run twice, plainly and compiled, and must leave the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

import flambeau as torch
from flambeau.nn import functional as F  # as everyone calls it

nn = torch.nn


def batches(count: int, *shape: int, classes: int = 3) -> list[tuple[Any, Any]]:
    random = numpy.random.default_rng(0)
    return [
        (
            torch.from_numpy(random.standard_normal(shape, numpy.float32)),
            torch.from_numpy(random.integers(0, classes, shape[0])),
        )
        for _ in range(count)
    ]


def state_of(*owners: Any) -> list[bytes]:
    """The bits of parameters, gradients, buffers and optimizers' states, and counters."""
    found: list[bytes] = []
    for owner in owners:
        if isinstance(owner, torch.optim.Optimizer):
            for value in owner.state.values():
                for name, each in value.items():
                    bits = each.numpy().tobytes() if torch.is_tensor(each) else repr(each).encode()
                    found.append(name.encode() + bits)
            continue
        for parameter in owner.parameters():
            found.append(parameter.detach().numpy().tobytes())
            found.append(repr(parameter._version).encode())
            gradient = parameter.grad
            found.append(b"none" if gradient is None else gradient.numpy().tobytes())
        for buffer in owner.buffers():
            found.append(buffer.numpy().tobytes())
            found.append(repr(buffer._version).encode())
    found.append(repr(torch.default_generator.offset).encode())
    found.append(torch.get_rng_state().numpy().tobytes())
    return found


Run = Callable[[Callable[[Any], Any]], list[bytes]]


def check_same(run: Run) -> None:
    """`run(compile)` gives the bits of `run(lambda function: function)`."""
    torch.manual_seed(0)
    plain = run(lambda function: function)
    torch.manual_seed(0)
    compiled = run(torch.compile)
    assert plain == compiled


def replays_of(compiled: Any) -> list[str]:
    """The kinds of recordings that a compiled function has."""
    return [
        type(each).__name__ for found in compiled.recordings._replays.values() for each in found
    ]


def network(*more: Any) -> Any:
    return nn.Sequential(nn.Linear(4, 8), *more, nn.ReLU(), nn.Linear(8, 3))


def train_step(model: Any, optimizer: Any) -> Callable[[Any, Any], Any]:
    def step(x: Any, target: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), target)
        loss.backward()
        optimizer.step()
        return loss

    return step
