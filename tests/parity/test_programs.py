"""What is written down of the programs that PyTorch runs as well is still what it prints."""

from __future__ import annotations

import pytest
from program_facts import NAMES, difference, facts, printed

pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.mark.parametrize("name", NAMES)
def test_program(name: str) -> None:
    assert difference(printed(name, "torch"), facts()[name]) is None
