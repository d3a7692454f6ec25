"""flambeau.explain shows each stage, with the user's lines, and computes nothing."""

from __future__ import annotations

import pytest

import flambeau as torch


def test_each_stage_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    x = torch.arange(12.0).reshape(3, 4)
    y = (x * 2).exp().sum(1)  # the line that is looked for
    found = torch.explain(y)
    printed = capsys.readouterr().out
    assert str(found) in printed
    assert "the line that is looked for" in found.recorded
    assert "float32[3, 4]" in found.recorded
    assert "test_explain.py" in found.kernels
    assert "EXP" in found.kernels
    assert "kernel" in found.kernels
    assert "launch" in found.launches
    assert "define void" in found.code
    assert y._read().buffer is None, "explain computes nothing"
    assert y.shape == (3,)


def test_what_is_computed_is_an_input() -> None:
    x = torch.arange(4.0)
    middle = x * 2
    middle.tolist()
    found = torch.explain(middle + 1, show=False)
    assert "input0: float32[4]" in found.recorded
    assert "MUL" not in found.recorded
    assert "nothing is pending" in torch.explain(middle, show=False).recorded


def test_several_tensors_share_a_plan() -> None:
    x = torch.arange(4.0)
    x.tolist()
    found = torch.explain(x + 1, x * 2, show=False)
    assert "ADD" in found.recorded
    assert "MUL" in found.recorded
    assert found.launches.count("launch") == 1


def test_on_webgpu_the_code_is_wgsl(webgpu: str) -> None:
    x = torch.arange(4.0, device=webgpu)
    found = torch.explain(x * 2 + 1, show=False)
    assert "@compute" in found.launches


def test_on_the_reference_device_nothing_waits() -> None:
    x = torch.arange(4.0, device="reference")
    assert "nothing is pending" in torch.explain(x * 2, show=False).recorded


def test_wrong_arguments() -> None:
    with pytest.raises(TypeError, match="expects tensors, got float"):
        torch.explain(1.5)
