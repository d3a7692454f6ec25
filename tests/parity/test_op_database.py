"""Every operation of the op database passes, or is recorded as failing for the same cause."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("expecttest", reason="PyTorch's op database needs expecttest")

import op_database

import flambeau

RECORDED = op_database.recorded()


@pytest.fixture(autouse=True)
def dropout_as_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flambeau.ops.dropout, "_stream", "pytorch")


@pytest.mark.parametrize("title", op_database.operations())
def test_operation(title: str) -> None:
    found = op_database.verdict(title)
    cause = found.cause if isinstance(found, op_database.Failure) else None
    assert cause == RECORDED.get(title), (
        f"{title}: {found}; recorded: {RECORDED.get(title, 'passes')}. Where this is right: "
        "python tests/parity/op_database.py --write"
    )
