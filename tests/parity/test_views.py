"""What is written down of PyTorch's views and in-place operations is still what it does."""

from __future__ import annotations

import pytest
from view_programs import PROGRAMS, Program, facts, outcome

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.mark.parametrize("run", PROGRAMS, ids=lambda each: each.__name__)
def test_program(run: Program) -> None:
    assert outcome(run, torch) == facts()[run.__name__]
