"""The table of PyTorch's names: it is looked up in the code, and it never shrinks."""

from __future__ import annotations

from pathlib import Path

import pytest

from flambeau import api

PRESENT = Path(__file__).parent / "api_present.txt"


def test_no_name_is_lost() -> None:
    states = {each.name: each.state for each in api.entries()}
    recorded = PRESENT.read_text(encoding="utf-8").split()
    lost = [name for name in recorded if states[name] == api.MISSING]
    assert not lost


def test_what_is_new_is_recorded() -> None:
    recorded = set(PRESENT.read_text(encoding="utf-8").split())
    new = [e.name for e in api.entries() if e.state != api.MISSING and e.name not in recorded]
    assert not new, "python -m flambeau.api --names > tests/api_present.txt"


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("torch.nn.Linear", api.THERE),
        ("Tensor.add_", api.THERE),
        ("Module.training", api.THERE),
        ("Optimizer.param_groups", api.THERE),
        ("torch.version.cuda", api.THERE),
        ("torch.nn.NoSuchModule", api.MISSING),
        ("Tensor.no_such_method", api.MISSING),
        ("torch.no.such.module", api.MISSING),
    ],
)
def test_names_are_looked_up_in_the_code(name: str, state: str) -> None:
    assert api.state(name) == state


def test_keyword_arguments() -> None:
    import flambeau as torch

    assert api.takes(torch.sum, "keepdim")
    assert api.takes(torch.sum, "axis")
    assert api.takes(torch.sum, "out")
    assert not api.takes(torch.sum, "no_such_keyword")
