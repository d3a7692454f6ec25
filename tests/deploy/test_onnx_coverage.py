"""The exporter's table against the table of primitives; needs no library of others."""

from __future__ import annotations

import pytest

from flambeau.deploy.onnx import table
from flambeau.graph import op
from flambeau.graph.composite import Composite


def test_the_table_knows_every_primitive() -> None:
    """Each is written, resolved by the walk, or refused with a reason; none in two ways."""
    groups = [set(table.PRIMITIVES), set(table.WALKED), set(table.REASONS)]
    missing = set(op.PRIMITIVES.values()) - set.union(*groups)
    assert not missing, f"flambeau/deploy/onnx/table.py has no rule and no reason for {missing}"
    assert sum(map(len, groups)) == len(op.PRIMITIVES)


@pytest.mark.parametrize("reason", table.REASONS.values())
def test_reasons_say_something(reason: str) -> None:
    assert len(reason) > 20


def test_composites_are_composites() -> None:
    assert all(isinstance(each, Composite) for each in table.COMPOSITES)
