"""Input gradients with a stride and few channels: all phases in one convolution."""

from __future__ import annotations

import numpy as np
import pytest
from plan_support import buffer, check

import flambeau as torch
from flambeau.graph import build as g
from flambeau.graph import op
from flambeau.graph.graph import Graph
from flambeau.graph.node import Node, walk
from flambeau.graph.simplify import simplify
from flambeau.schedule.phases import together


def gradient(image, taps, stride, padding, outputs: int = 5) -> tuple[Node, Node, Node]:
    """An input gradient, and what it is made of."""
    x, w = buffer(*image), buffer(outputs, image[1], *taps)
    ones = (1,) * len(taps)
    y = g.conv("forward", x, w, stride, padding, ones, 1, ())
    given = buffer(*y.shape)
    return g.conv("input", given, w, stride, padding, ones, 1, image[2:]), given, w


def modes(node: Node) -> list[str]:
    found = simplify(Graph((), (node,)), {op.CONV: [together]})
    return [each.attrs[0] for each in walk(found.outputs) if each.op is op.CONV]


CASES = [
    # image, taps, stride, padding
    ((2, 3, 12, 14), (7, 7), (2, 2), ((3, 3), (3, 3))),
    ((2, 3, 12, 14), (7, 6), (2, 2), ((2, 3), (3, 1))),
    ((3, 2, 8, 6), (2, 2), (2, 2), ((0, 0), (0, 0))),
    ((2, 1, 9, 8), (5, 4), (3, 2), ((1, 2), (0, 0))),
    ((2, 2, 12, 9), (4, 5), (4, 1), ((0, 0), (2, 2))),
    ((2, 1, 20), (9,), (4,), ((4, 4),)),
    ((2, 9, 8), (4,), (4,), ((0, 0),)),
    ((1, 1, 4, 6, 4), (2, 3, 2), (2, 2, 2), ((0, 0), (1, 1), (0, 0))),
]


@pytest.mark.parametrize("case", CASES)
def test_plans_compute_what_the_reference_does(case):
    node, *_ = gradient(*case)
    assert modes(node) == ["forward"]
    check(node)


def test_others_stay():
    edges = ((1, 1), (1, 1))
    assert modes(gradient((2, 64, 8, 8), (3, 3), (2, 2), edges)[0]) == ["input"]  # many channels
    assert modes(gradient((2, 3, 9, 8), (7, 7), (2, 2), ((3, 3), (3, 3)))[0]) == ["input"]  # odd
    assert modes(gradient((2, 3, 8, 8), (3, 3), (1, 1), edges)[0]) == ["input"]
    assert modes(gradient((2, 1, 6), (2,), (3,), ((0, 0),))[0]) == ["input"]  # phases without a tap
    far = ((2, 2), (2, 2))
    assert modes(gradient((2, 3, 8, 8), (2, 2), (2, 2), far)[0]) == ["input"]


def test_one_launch_with_its_bias():
    x, w = torch.randn(2, 8, 6, 6), torch.randn(8, 3, 2, 2)
    stages = torch.explain(
        torch.nn.functional.conv_transpose2d(x, w, torch.ones(3), 2).relu(), show=False
    )
    assert stages.kernels.count("kernel ") == 1


def test_nan_reaches_the_window_only():
    x = torch.zeros(1, 4, 16, 16)
    x[0, 0, 8, 8] = float("nan")
    w = torch.ones(4, 3, 7, 7)
    y = torch.nn.functional.conv_transpose2d(x, w, None, 2, 3, 1)[0, 0].numpy()
    rows = np.flatnonzero(np.isnan(y).any(1))
    assert set(range(13, 20)) <= set(rows.tolist()) <= set(range(12, 21))
