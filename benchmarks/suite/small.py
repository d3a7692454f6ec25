"""Small and changing work in plain Python."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy

import flambeau as torch
from benchmarks.suite import models
from benchmarks.suite.registry import add, done, normal, same_start


def three_operations(count: int) -> Callable[[], Any]:
    a, b, c = (normal(count, seed=seed) for seed in range(3))
    return lambda: (a * b + c).sum().item()


def changing_number(count: int) -> Callable[[], Any]:
    a, c = (normal(count, seed=seed) for seed in range(2))
    numbers = itertools.count()
    return lambda: (a * (0.1 * next(numbers)) + c).sum().item()


def changing_start(count: int) -> Callable[[], Any]:
    a, c = normal(100 + count), normal(count, seed=1)
    starts = itertools.cycle(range(100))

    def run() -> float:
        start = next(starts)
        return (a[start : start + count] + c).sum().item()

    return run


def rollout(steps: int, batch: int) -> Callable[[], Any]:
    """A vector environment: observations kept in a buffer, actions drawn from a policy."""
    policy = same_start(models.mlp((8, 64, 64, 4), torch.nn.Tanh))
    obs, logits = torch.zeros(steps, batch, 8), torch.zeros(steps, batch, 4)
    frames = numpy.random.default_rng(0).standard_normal((steps, batch, 8), numpy.float32)

    @torch.no_grad()
    def run() -> Any:
        for step in range(steps):
            x = torch.from_numpy(frames[step])
            obs[step] = x
            found = policy(x)
            logits[step] = found
            actions = found.argmax(1).numpy()
        return actions

    return run


def action(width: int) -> Callable[[], Any]:
    """One observation to an action, gradients off."""
    policy = same_start(models.mlp((8, width, width, 4), torch.nn.Tanh))
    frame = numpy.random.default_rng(0).standard_normal(8, numpy.float32)

    @torch.no_grad()
    def run() -> Any:
        return policy(torch.from_numpy(frame)[None]).argmax(1).item()

    return run


def sum_of_two(count: int) -> Callable[[], Any]:
    a, b = (normal(count, seed=seed) for seed in range(2))

    def run() -> None:
        done(a + b)

    return run


_TINY = {"count": 5}

add("small", "3 operations and .item(), 100 elements", three_operations, sizes={"count": 100})
add("small", "the same, a number changes", changing_number, sizes={"count": 100})
add("small", "the same, a slice's start changes", changing_start, sizes={"count": 100})
add("small", "a + b alone, 100 elements", sum_of_two, sizes={"count": 100})
add(
    "small",
    "rollout: obs[t] = x, MLP batch 4, 128 steps",
    rollout,
    sizes={"steps": 128, "batch": 4},
    tiny={"steps": 3},
)
add("small", "MLP batch 1 to an action", action, sizes={"width": 64}, tiny={"width": 4})
