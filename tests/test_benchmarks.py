"""The work of the benchmarks runs, at tiny sizes, and gives finite numbers. Nothing is timed."""

from __future__ import annotations

import importlib
import math

import pytest

from benchmarks.suite import load, registry
from flambeau.tensor.tensor import Tensor

for _group in load.GROUPS:
    importlib.import_module(f"benchmarks.suite.{_group}")

_WORKS = [each for works in registry.WORKS.values() for each in works]
_DIFFERENT = {(each.make, repr(each.tiny)): each for each in _WORKS}


def _finite(value: object) -> bool:
    if isinstance(value, Tensor):
        return bool(value.detach().isfinite().all().item())
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, (list, tuple)):
        return all(_finite(each) for each in value)
    return True


@pytest.fixture
def results(monkeypatch):
    """What the work asked to be computed, beside what it returned."""
    found = []

    def done(*values):
        found.extend(values)

    for group in load.GROUPS:
        module = importlib.import_module(f"benchmarks.suite.{group}")
        if hasattr(module, "done"):
            monkeypatch.setattr(module, "done", done)
    return found


@pytest.mark.parametrize("work", list(_DIFFERENT.values()), ids=lambda work: work.name)
def test_work_gives_finite_numbers(work, results):
    run = work.make(**work.tiny)
    found = run()
    assert found is not None or results
    assert _finite(found)
    assert _finite(results)


@pytest.mark.parametrize(
    "work", registry.WORKS["train"], ids=[each.name for each in registry.WORKS["train"]]
)
def test_training_learns_its_batch(work):
    step = work.make(**work.tiny)
    losses = [step() for _ in range(8)]
    assert losses == step.losses
    assert min(losses[1:]) < losses[0]


def test_every_group_has_work_for_the_quick_mode():
    assert set(registry.WORKS) == set(load.GROUPS)
    for works in registry.WORKS.values():
        assert any(each.quick for each in works)


def test_the_text_is_pytorchs_but_for_the_imports():
    for group in load.GROUPS:
        text = (load.FOLDER / f"{group}.py").read_text(encoding="utf-8")
        imported = [
            line for line in load.translated(text, "torch").splitlines() if "flambeau" in line
        ]
        assert not [line for line in imported if line.lstrip().startswith(("import", "from"))]


@pytest.mark.parametrize(
    "number", range(len(registry.WORKS["train"])), ids=[e.name for e in registry.WORKS["train"]]
)
def test_compiled_training_is_replayed_with_the_same_bits(number):
    plain, compiled = (registry.WORKS[group][number] for group in ("train", "compiled"))
    assert plain.name == compiled.name
    step = plain.make(**plain.tiny)
    want = [step() for _ in range(8)]
    step = compiled.make(**compiled.tiny)
    assert [step() for _ in range(8)] == want
    assert step.step.recordings.replayed > 0
