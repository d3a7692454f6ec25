"""Whole programs print what PyTorch prints."""

from __future__ import annotations

import pytest
from program_facts import NAMES, difference, facts, printed

import flambeau

EXPECTED = facts()


def test_every_program_has_its_fact() -> None:
    assert list(EXPECTED) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_on_cpu(name: str) -> None:
    with flambeau.device("cpu"):
        assert difference(printed(name, "flambeau"), EXPECTED[name]) is None


@pytest.mark.parametrize("name", ["gan", "gcn", "unet"])
def test_on_reference(name: str) -> None:
    with flambeau.device("reference"):
        assert difference(printed(name, "flambeau"), EXPECTED[name]) is None


def test_differences_are_found() -> None:
    assert difference(["a 1.0"], ["a 1.00005"]) is None
    assert difference(["a nan -inf"], ["a nan -inf"]) is None
    for found, expected in (("a 1.0", "a 1.001"), ("a 1", "b 1"), ("a 1", "a 1 1"), ("nan", "1.0")):
        assert difference([found], [expected]) is not None
    assert difference(["a"], ["a", "b"]) is not None
