"""Random programs with dynamic axes: the file gives the program's results at sizes not tried."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx_tools import by_runtime, onnx

import flambeau as torch

STEPS = [
    "torch.exp({x} * 0.25)",
    "torch.softmax({x}, -1)",
    "torch.where({x} > 0, {x}, {x} * 0.5)",
    "{x} * torch.arange({x}.shape[-1])",
    "{x} / {x}.shape[0]",
    "{x}.new_zeros({x}.shape) + {x}",
    "{x}.reshape(-1)",
    "{x}.reshape({x}.shape[0], -1)",
    "{x}.transpose(0, -1)",
    "{x}.unsqueeze(0)",
    "{x}.flatten(-2) if {x}.ndim > 1 else {x}",
    "{x}.sum(0, keepdim=True)",
    "{x}.mean(-1, keepdim=True)",
    "{x}.var(-1, correction=0, keepdim=True)",
    "{x}.cumsum(0)",
    "{x}.flip(0)",
    "{x}.roll(1, 0)",
    "{x}.repeat(2, *[1] * ({x}.ndim - 1))",
    "{x}.sort(0)[0]",
    "{x}[:-1]",
    "{x}[{x}.shape[0] // 2 :]",
    "{x}[..., ::2]",
    "{x}.split(1, 0)[0]",
    "{x}.unfold(0, 2, 1)",
    "{x}.expand(2, *{x}.shape)",
    "{x}.tril() if {x}.ndim > 1 else {x}",
    "torch.cat([{x}, {x} + 1], 0)",
    "torch.stack([{x}, {x}], 1)",
    "torch.nn.functional.pad({x}, (1, 2))",
    "torch.nn.functional.layer_norm({x}, {x}.shape[-1:])",
    "torch.nn.functional.interpolate({x}.reshape(1, 1, -1), scale_factor=2)[0, 0]",
    "torch.nn.functional.avg_pool1d({x}.reshape(1, 1, -1), 2)[0, 0]",
    "{x}.index_add(0, torch.tensor([0]), {x}[:1])",
    "{x}.masked_fill({x} > 0.5, -1.0)",
    "({x} @ {x}.transpose(-1, -2)) * 0.1 if {x}.ndim > 1 else {x}",
    "{x} + {y}",
    "{x} * {y} * 0.5",
]
IN_PLACE = ["{x}.add_(0.5)", "{x}[0].mul_(0.5)", "{x}[:, 1:].sub_(1) if {x}.ndim > 1 else None"]


@st.composite
def programs(draw: Any) -> str:
    """A function of v0, of whose lines some do not fit at some sizes."""
    lines = ["v0 = v0 * 1"]
    for number in range(1, draw(st.integers(2, 7))):
        x, y = (f"v{draw(st.integers(0, number - 1))}" for _ in range(2))
        lines.append(f"v{number} = {draw(st.sampled_from(STEPS)).format(x=x, y=y)}")
        if draw(st.integers(0, 4)) == 0:
            lines.append(draw(st.sampled_from(IN_PLACE)).format(x=f"v{number}"))
    return "\n    ".join(["def program(v0):", *lines, f"return v{number}"])


def made(rows: int, columns: int) -> Any:
    values = np.random.default_rng(rows).normal(size=(rows, columns))
    return torch.from_numpy(values.astype("f4"))


def results(program: Any, *sizes: int) -> Any:
    """The result, or None where a line does not fit."""
    try:
        return program(made(*sizes)).numpy()
    except (RuntimeError, IndexError, ValueError):
        return None


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(programs(), st.booleans())
def test_programs_give_their_results_at_other_sizes(source: str, both: bool) -> None:
    scope: dict[str, Any] = {"torch": torch}
    exec(source, scope)
    program = scope["program"]
    if results(program, 4, 3) is None:
        return
    axes = {0: "n", 1: "m"} if both else {0: "n"}
    try:
        exported = torch.onnx.export(program, made(4, 3), dynamic_shapes={"v0": axes})
    except torch.onnx.OnnxExporterError:
        return  # refused is honest; test_onnx_models.py says what must not be
    onnx.checker.check_model(exported.model_proto, full_check=True)
    for sizes in ((4, 3), (9, 3), (30, 3), *([(5, 8), (23, 7)] if both else [])):
        expected = results(program, *sizes)
        if expected is not None:
            (found,) = by_runtime(exported.model_proto, made(*sizes))
            assert found.shape == expected.shape
            np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4)


def test_most_programs_are_not_refused() -> None:
    """Each step by itself, with both axes dynamic; those that need one size are named here."""
    refused = []
    for step in STEPS:
        scope: dict[str, Any] = {"torch": torch}
        exec(f"def program(v0):\n    return {step.format(x='v0', y='v0')}", scope)
        try:
            torch.onnx.export(scope["program"], made(4, 3), dynamic_shapes={"v0": {0: "n", 1: "m"}})
        except torch.onnx.OnnxExporterError:
            refused.append(step)
    assert refused == []


@pytest.mark.parametrize("sizes", [(2, 2), (40, 3)])
def test_a_size_may_be_far_from_those_tried(sizes: tuple[int, int]) -> None:
    def program(x: Any) -> Any:
        y = x[x.shape[0] // 2 :].cumsum(0)
        return torch.cat([y, x.flip(1)], 0).reshape(-1)

    proto = torch.onnx.export(
        program, made(5, 4), dynamic_shapes={"x": {0: "n", 1: "m"}}
    ).model_proto
    np.testing.assert_allclose(
        by_runtime(proto, made(*sizes))[0], results(program, *sizes), rtol=1e-5, atol=1e-6
    )
