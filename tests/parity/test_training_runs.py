"""Fifty steps of ten trainings follow PyTorch's losses from the same seed."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed")

import training_runs

import flambeau


@pytest.mark.parametrize("name", training_runs.RUNS)
def test_training(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flambeau.ops.dropout, "_stream", "pytorch")
    assert training_runs.difference(name) < 1e-4
