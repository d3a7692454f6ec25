"""1×1 convolutions with a stride: the places that they read are laid side by side first."""

from __future__ import annotations

import pytest
from plan_support import buffer, check

from flambeau.graph import build as g
from flambeau.graph import op
from flambeau.graph.graph import Graph
from flambeau.graph.node import Node, walk
from flambeau.graph.simplify import simplify
from flambeau.schedule import subsample as rule
from flambeau.schedule.plan import build

NONE = (0, 0)


def forward(x: Node, w: Node, stride: tuple[int, ...], padding=NONE, groups: int = 1) -> Node:
    rank = len(stride)
    return g.conv("forward", x, w, stride, (padding,) * rank, (1,) * rank, groups, ())


def copies(node: Node) -> list[Node]:
    found = simplify(Graph((), (node,)), {op.CONV: [rule.subsample]})
    return [each for each in walk(found.outputs) if each.op is op.MATERIALIZE]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("image", "stride"),
    [((2, 4, 7, 8), (2, 2)), ((3, 4, 9, 5), (1, 3)), ((2, 4, 11), (4,)), ((1, 4, 2, 2), (5, 5))],
)
def test_plans_compute_what_the_reference_does(monkeypatch, image, stride, groups):
    monkeypatch.setattr(rule, "FEWEST", 1)
    x, w = buffer(*image), buffer(6, 4 // groups, *(1,) * len(stride))
    y = forward(x, w, stride, groups=groups)
    gradient = buffer(*y.shape)
    attributes = (stride, (NONE,) * len(stride), (1,) * len(stride), groups, w.shape[2:])
    change = g.conv("weight", x, gradient, *attributes)
    assert copies(y) and copies(change)
    check(y, change)


def test_forward_and_weight_gradient_share_the_copy():
    x, w = buffer(2, 8, 14, 14), buffer(256, 8, 1, 1)
    y = forward(x, w, (2, 2))
    gradient = buffer(*y.shape)
    change = g.conv("weight", x, gradient, (2, 2), (NONE, NONE), (1, 1), 1, (1, 1))
    program = build(Graph((x, w, gradient), (y, change)))
    assert len(program.launches) == 3


def test_others_stay():
    x = buffer(2, 8, 14, 14)
    assert copies(forward(x, buffer(256, 8, 1, 1), (2, 2)))
    assert not copies(forward(x, buffer(255, 8, 1, 1), (2, 2)))  # few outputs
    assert not copies(forward(x, buffer(256, 8, 1, 1), (1, 1)))
    assert not copies(forward(x, buffer(256, 8, 3, 3), (2, 2)))
    assert not copies(forward(x, buffer(256, 8, 1, 1), (2, 2), (1, 1)))  # an edge
    assert not copies(forward(x, buffer(256, 4, 1, 1), (2, 2), NONE, 2))  # few in each group
    y = buffer(2, 256, 7, 7)
    spatial = ((2, 2), (NONE, NONE), (1, 1), 1, (14, 14))
    assert not copies(g.conv("input", y, buffer(256, 8, 1, 1), *spatial))
