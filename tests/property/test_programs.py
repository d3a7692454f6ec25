"""Random programs give the same on every device; a failure shrinks to a script that one can run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import flambeau as torch
from flambeau.device.webgpu import WebGpuDevice

DEVICES = ["cpu", "webgpu"]

UNARY = [
    "torch.exp({x} * 0.25)",
    "torch.tanh({x})",
    "torch.relu({x})",
    "torch.sigmoid({x})",
    "torch.sqrt(torch.abs({x}) + 0.5)",
    "torch.log(torch.abs({x}) + 0.5)",
    "torch.sin({x})",
    "torch.floor({x} * 2)",
    "-{x}",
    "{x}.clone()",
    "{x} * 1.5 - 0.25",
    "torch.where({x} > 0, {x}, {x} * 0.5)",
    "torch.softmax({x}, -1) if {x}.ndim else {x}",
    "{x}.flatten()",
    "{x}.unsqueeze(0)",
    "{x}.squeeze()",
    "{x}.sum()",
    "{x}.t() if {x}.ndim == 2 else {x}",
    "{x}.sum(0) if {x}.ndim else {x}",
    "{x}.mean(-1, keepdim=True) if {x}.ndim else {x}",
    "{x}.amax(-1) if {x}.ndim else {x}",
    "torch.cumsum({x}, 0) if {x}.ndim else {x}",
    "{x}.flip(0) if {x}.ndim else {x}",
    "{x}[1:] if {x}.ndim and {x}.shape[0] > 1 else {x}",
    "{x}[..., ::2] if {x}.ndim else {x}",
    "{x}[0] if {x}.ndim else {x}",
    "torch.cat([{x}, {x} + 1], 0) if {x}.ndim and {x}.numel() < 200 else {x}",
    "torch.index_select({x}, 0, torch.tensor([0, 0])) if {x}.ndim else {x}",
    "torch.nn.functional.pad({x}, (1, 2)) if {x}.ndim else {x}",
    "{x}.expand(2, *{x}.shape) if {x}.numel() < 200 else {x}",
    "{x}.reshape(-1, 1)",
    "({x} @ {x}.transpose(-1, -2)) * 0.1 if {x}.ndim >= 2 and {x}.numel() < 200 else {x}",
]
BINARY = [
    "{x} + {y}",
    "{x} * {y} * 0.5",
    "{x} - {y}",
    "torch.maximum({x}, {y})",
    "{x} / ({y} * {y} + 1)",
]
IN_PLACE = [
    "{x}.add_(0.5)",
    "{x}[0].mul_(0.5) if {x}.ndim else None",
    "{x}.t().sub_(1) if {x}.ndim == 2 else None",
]
SHAPES = [(), (1,), (3,), (17,), (2, 3), (4, 1), (3, 5, 2), (1, 16)]


@st.composite
def programs(draw: Any) -> list[str]:
    """Lines that make tensors v0, v1, … and change them; every line can run."""
    lines = []
    for number in range(draw(st.integers(1, 3))):
        shape = draw(st.sampled_from(SHAPES))
        lines.append(f"v{number} = made({shape}, {number})")
    count = len(lines)
    shapes: list[tuple[int, ...]] = _run(lines, "reference", only_shapes=True)
    for _ in range(draw(st.integers(1, 8))):
        x = draw(st.integers(0, count - 1))
        kind = draw(st.integers(0, 5))
        if kind == 0:
            lines.append(draw(st.sampled_from(IN_PLACE)).format(x=f"v{x}"))
            if not _writable(lines):
                lines.pop()
            continue
        fitting = [place for place in range(count) if _fits(shapes[x], shapes[place])]
        if kind == 1 and fitting:
            y = draw(st.sampled_from(fitting))
            text = draw(st.sampled_from(BINARY)).format(x=f"v{x}", y=f"v{y}")
        else:
            text = draw(st.sampled_from(UNARY)).format(x=f"v{x}")
        lines.append(f"v{count} = {text}")
        shapes = _run(lines, "reference", only_shapes=True)
        count += 1
    return lines


def _fits(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(m == n or 1 in (m, n) for m, n in zip(a[::-1], b[::-1], strict=False))


def _writable(lines: list[str]) -> bool:
    try:
        _run(lines, "reference", only_shapes=True)
    except RuntimeError as error:  # an expanded tensor cannot be written to
        if "single memory location" not in str(error):
            raise
        return False
    return True


def _run(lines: list[str], device: str, only_shapes: bool = False) -> list[Any]:
    def made(shape: tuple[int, ...], seed: int) -> Any:
        values = np.random.default_rng(seed).standard_normal(shape)
        return torch.from_numpy(np.asarray(values, np.float32)).clone().to(device)

    space: dict[str, Any] = {"torch": torch, "made": made}
    with torch.device(device):
        exec("\n".join(lines), space)
    values = [space[name] for name in sorted(space, key=_number) if _number(name) >= 0]
    if only_shapes:
        return [tuple(each.shape) for each in values]
    return [each.cpu().numpy() for each in values]


def _number(name: str) -> int:
    return int(name[1:]) if name[0] == "v" and name[1:].isdigit() else -1


@pytest.mark.parametrize("device", DEVICES)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(lines=programs())
def test_devices_agree(device: str, lines: list[str]) -> None:
    if device == "webgpu" and not WebGpuDevice.is_available():
        pytest.skip("no WebGPU adapter: install mesa-vulkan-drivers to run this")
    expected = _run(lines, "reference")
    found = _run(lines, device)
    script = "\n".join(lines)
    for number, (want, got) in enumerate(zip(expected, found, strict=True)):
        assert want.shape == got.shape, f"v{number} on {device} of\n{script}"
        np.testing.assert_allclose(
            got, want, rtol=2e-4, atol=2e-5, err_msg=f"v{number} on {device} of\n{script}"
        )
