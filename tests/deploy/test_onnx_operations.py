"""Operations of the tables of tests/ops, in ONNX: values, and gradients inside the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from elementwise_table import BINARY, UNARY
from onnx_tools import arrays, by_runtime, exported
from structure_table import ALL, convert, tensors

import flambeau as torch
from flambeau.nn import functional

ON_THE_HOST = (
    *("bucketize(", "searchsorted(", "masked_select(", "nonzero(", "argwhere(", "unique("),
    *("unique_consecutive(", "repeat_interleave(real3x2"),
)
"""What reads values on the host, and so is refused."""


def agree(found: Any, expected: Any, tolerance: float = 2e-5) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_operations_on_structure(case: Any) -> None:
    args, kwargs = case.arrays()
    function = case.function(torch, functional)
    given: list[Any] = []

    def note(array: Any) -> Any:
        given.append(torch.tensor(array))
        return given[-1]

    args = [convert(each, note) for each in args]
    kwargs = {name: convert(each, note) for name, each in kwargs.items()}

    def model(*values: Any) -> Any:
        swapped = dict(zip(map(id, given), values, strict=True))

        def other(value: Any) -> Any:
            if isinstance(value, (list, tuple)):
                return type(value)(map(other, value))
            return swapped.get(id(value), value)

        named = {name: other(each) for name, each in kwargs.items()}
        return tensors(function(*map(other, args), **named), torch.Tensor)

    if str(case).startswith(ON_THE_HOST):
        with pytest.raises(torch.onnx.OnnxExporterError, match="on the host"):
            exported(model, tuple(given))
        return
    proto = exported(model, tuple(given))
    agree(by_runtime(proto, given), arrays(model(*given)))


@pytest.mark.parametrize("case", [*UNARY, *BINARY], ids=lambda case: case.name)
def test_elementwise_operations(case: Any) -> None:
    rng = np.random.default_rng(0)
    shapes = [(3, 5), (5,)][: case.arity]
    values = [torch.tensor(rng.uniform(case.low, case.high, each).astype("f4")) for each in shapes]
    proto = exported(case.function, tuple(values))
    agree(by_runtime(proto, values), arrays(case.function(*values)))
    if not case.smooth:
        return

    def slopes(*given: Any) -> Any:
        with torch.enable_grad():
            leaves = [each.detach().requires_grad_() for each in given]
            return torch.autograd.grad(case.function(*leaves).sum(), leaves)

    proto = exported(slopes, tuple(values))
    agree(by_runtime(proto, values), arrays(slopes(*values)), 1e-4)
