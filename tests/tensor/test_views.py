"""Views and in-place operations give what PyTorch gives: results, gradients, strides, errors."""

from __future__ import annotations

import pytest
from view_programs import PROGRAMS, Program, facts, outcome

import flambeau

FACTS = facts()


def test_every_program_has_its_fact() -> None:
    assert [run.__name__ for run in PROGRAMS] == list(FACTS)


@pytest.mark.parametrize("run", PROGRAMS, ids=lambda each: each.__name__)
def test_program(run: Program, every_device: str) -> None:
    with flambeau.device(every_device):
        assert outcome(run, flambeau) == FACTS[run.__name__]
