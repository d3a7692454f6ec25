"""Plans as text: a change to the compiler shows what it does to real graphs."""

from __future__ import annotations

from pathlib import Path

import pytest
from graphs import GRAPHS

from flambeau.kernel.printer import program_text
from flambeau.schedule.plan import build

FOLDER = Path(__file__).parent


@pytest.mark.parametrize("name", GRAPHS)
def test_plan(name, request):
    text = program_text(build(GRAPHS[name]()))
    path = FOLDER / f"{name}.txt"
    if request.config.getoption("--update-plans", default=False):
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"no plan is kept for {name}: pytest tests/plans --update-plans"
    assert text == path.read_text(encoding="utf-8"), (
        f"the plan of {name} changed; if it is meant to: pytest tests/plans --update-plans"
    )


@pytest.mark.parametrize("name", GRAPHS)
def test_building_twice_gives_the_same_plan(name):
    assert program_text(build(GRAPHS[name]())) == program_text(build(GRAPHS[name]()))


def test_every_kept_plan_has_a_graph():
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(GRAPHS)
