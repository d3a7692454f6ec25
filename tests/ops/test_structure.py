"""Operations on shapes, indices, matrices, images and rows: devices agree, gradients are right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from structure_table import ALL, Case, convert, tensors

import flambeau as torch
from flambeau.nn import functional
from flambeau.ops.gradcheck import gradcheck

every = pytest.mark.parametrize("case", ALL, ids=str)


def call(case: Case, to: Any) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """The results, and the inputs that get a gradient."""
    args, kwargs = case.arrays()
    made = [convert(each, to) for each in args]
    named = {name: convert(each, to) for name, each in kwargs.items()}
    wanted = []
    for key, value in [*enumerate(made), *named.items()]:
        found = [each for each in tensors(value, torch.Tensor) if each.is_floating_point()]
        wanted.extend([each.requires_grad_() for each in found if key not in case.fixed])
    return tensors(case.function(torch, functional)(*made, **named), torch.Tensor), wanted


def answers(case: Case, to: Any) -> list[np.ndarray]:
    """All results, and the gradients of the sum of their products with fixed numbers."""
    results, wanted = call(case, to)
    total: Any = None
    for each in results:
        if each.requires_grad:
            weights = np.cos(np.arange(each.numel())).reshape(tuple(each.shape))
            term = (each * torch.tensor(weights.astype(np.float32))).sum()
            total = term if total is None else total + term
    if total is not None:
        total.backward()
    gradients = [each.grad for each in wanted if total is not None and each.grad is not None]
    return [each.detach().cpu().numpy() for each in [*results, *gradients]]


def agree(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)


def on_reference(case: Case) -> list[np.ndarray]:
    with torch.device("reference"):
        return answers(case, torch.tensor)


@every
@pytest.mark.parametrize("device", ["cpu", "webgpu"], indirect=True)
def test_devices_agree(case: Case, device: str) -> None:
    agree(answers(case, torch.tensor), on_reference(case))


def strided(array: np.ndarray) -> torch.Tensor:
    """The array as a view that is transposed and has gaps."""
    if array.ndim == 0:
        return torch.tensor(array)
    wide = np.repeat(array.T, 2, axis=0)
    return torch.tensor(wide)[::2].permute(*reversed(range(array.ndim)))


@every
def test_strides_do_not_matter(case: Case) -> None:
    args, kwargs = case.arrays()
    with torch.no_grad():
        plain, there = (
            case.function(torch, functional)(
                *[convert(each, to) for each in args],
                **{name: convert(each, to) for name, each in kwargs.items()},
            )
            for to in (torch.tensor, strided)
        )
    found, expected = (
        [each.numpy() for each in tensors(results, torch.Tensor)] for results in (there, plain)
    )
    agree(found, expected)


def replaced(value: Any, into: Iterator[Any]) -> Any:
    """Arguments with their floating arrays replaced, in order."""
    if isinstance(value, np.ndarray):
        return next(into) if value.dtype.kind == "f" else torch.tensor(value)
    if isinstance(value, (list, tuple)):
        return type(value)([replaced(each, into) for each in value])
    return value


@pytest.mark.parametrize("case", [each for each in ALL if each.smooth], ids=str)
def test_gradients(case: Case) -> None:
    """Against differences, in float64."""
    args, kwargs = case.arrays()
    inputs = [
        torch.tensor(each.astype(np.float64), requires_grad=key not in case.fixed)
        for key, value in [*enumerate(args), *kwargs.items()]
        for each in tensors(value, np.ndarray)
        if each.dtype.kind == "f"
    ]

    def function(*given: torch.Tensor) -> Any:
        into = iter(given)
        made = [replaced(each, into) for each in args]
        named = {name: replaced(each, into) for name, each in kwargs.items()}
        results = tensors(case.function(torch, functional)(*made, **named), torch.Tensor)
        return tuple(each for each in results if each.is_floating_point())

    if not any(each.requires_grad for each in function(*inputs)):
        pytest.skip("nothing here has a gradient")
    assert gradcheck(function, tuple(inputs), eps=1e-6, atol=1e-4)
