"""Random graphs: whatever is fused, stored, overwritten or split, the reference agrees."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from plan_support import buffer, check_graph, describe

from flambeau.graph import build as g
from flambeau.graph import dtype as d
from flambeau.graph import op
from flambeau.graph.graph import Graph
from flambeau.graph.node import Node, ScalarRef, node, walk
from flambeau.graph.shapes import broadcast
from flambeau.kernel.limits import Limits

SHAPES = [(), (1,), (4,), (2, 3), (3, 4), (4, 1), (1, 3), (2, 3, 4), (2, 1, 4), (3, 3)]


class Builder:
    """Draws one operation after the other on what is there."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.nodes = [
            buffer(*draw(st.sampled_from(SHAPES))) for _ in range(draw(st.integers(1, 4)))
        ]
        self.index = buffer(3, dtype=d.int64)
        self.inputs = (*self.nodes, self.index)

    def pick(self) -> Node:
        return self.draw(st.sampled_from(self.nodes[-8:]))

    def axis(self, x: Node) -> int:
        return self.draw(st.integers(0, len(x.shape) - 1))

    def step(self) -> None:
        names = [
            "unary",
            "binary",
            "binary",
            "reduce",
            "scalar",
            "view",
            "move",
            "contract",
            "write",
        ]
        made = getattr(self, self.draw(st.sampled_from(names)))(self.pick())
        if made is not None and made.type.size <= 64:
            self.nodes.append(made)

    def unary(self, x: Node) -> Node:
        kinds = [g.neg, g.sin, g.floor, self._bounded_exp, g.materialize]
        return self.draw(st.sampled_from(kinds))(x)

    def _bounded_exp(self, x: Node) -> Node:
        return g.exp(g.sin(x))

    def binary(self, x: Node) -> Node | None:
        y = self.pick()
        try:
            broadcast(x.shape, y.shape)
        except RuntimeError:
            return None
        kind = self.draw(st.sampled_from(["add", "mul", "max", "div", "where"]))
        if kind == "div":
            return g.div(x, g.add(g.mul(y, y), g.constant(1.0, d.float32)))
        if kind == "where":
            return g.where(g.less(x, y), g.sin(x), y)
        return {"add": g.add, "mul": self._small_product, "max": g.maximum}[kind](x, y)

    def _small_product(self, x: Node, y: Node) -> Node:
        return g.mul(g.sin(x), y)

    def scalar(self, x: Node) -> Node:
        return g.mul(x, node(op.CONST, (), (d.float32,), (ScalarRef(0),)))

    def reduce(self, x: Node) -> Node | None:
        if not x.shape:
            return None
        kind = self.draw(st.sampled_from(["add", "max"]))
        axes = self.draw(st.sets(st.integers(0, len(x.shape) - 1), min_size=1))
        result = g.reduce(kind, x, tuple(axes))
        choice = self.draw(st.integers(0, 3))
        if choice == 0:
            return g.reshape(result, tuple(n for a, n in enumerate(x.shape) if a not in axes))
        if choice == 1:
            return g.sub(x, result)
        return g.expand(result, x.shape) if choice == 2 else result

    def view(self, x: Node) -> Node | None:
        rank = len(x.shape)
        if not rank:
            return g.expand(x, (3,))
        choice = self.draw(st.integers(0, 4))
        if choice == 0:
            return g.permute(x, tuple(self.draw(st.permutations(range(rank)))))
        if choice == 1:
            return g.reshape(x, (x.type.size,))
        if choice == 2 and x.type.size % 2 == 0:
            return g.reshape(x, (2, x.type.size // 2))
        if choice == 3:
            return g.flip(x, (self.axis(x),))
        return g.expand(x, (2, *x.shape))

    def move(self, x: Node) -> Node | None:
        if not x.shape:
            return None
        axis, rank = self.axis(x), len(x.shape)
        n = x.shape[axis]
        choice = self.draw(st.integers(0, 5))
        if choice == 0:
            sizes = tuple(max(1, n - 1) if a == axis else m for a, m in enumerate(x.shape))
            start: Any = ScalarRef(1) if n > 1 else 0
            starts = tuple(start if a == axis else 0 for a in range(rank))
            return node(op.SLICE, (x,), (sizes, (1,) * rank), starts)
        if choice == 1:
            shape = tuple(2 * m + 1 if a == axis else m for a, m in enumerate(x.shape))
            starts = tuple(1 if a == axis else 0 for a in range(rank))
            return g.pad(x, shape, starts, (2,) * rank if rank == 1 else None, fill=0.5)
        if choice == 2:
            return g.cat([x, g.sin(x)], axis)
        if choice == 3:
            places = g.mod(self.index, g.constant(n, d.int64))
            return g.gather(x, places, axis)
        if choice == 4:
            return g.window(x, (axis,), (min(2, n),), (1,), (1,))
        count = self.draw(st.integers(1, n))
        places = (self.draw(st.integers(0, n - count)), count)
        values, order = g.sort(x, axis, places=None if count == n else places)
        return self.draw(st.sampled_from([values, g.cast(order, d.float32)]))

    def contract(self, x: Node) -> Node | None:
        if len(x.shape) < 2:
            return g.scan("add", x, 0) if x.shape else None
        y = self.pick()
        if len(y.shape) == 2 and y.shape[0] == x.shape[-1]:
            return self._bounded_product(x, y)
        turned = g.permute(x, (*range(len(x.shape) - 2), len(x.shape) - 1, len(x.shape) - 2))
        return self._bounded_product(x, turned)

    def _bounded_product(self, x: Node, y: Node) -> Node:
        return g.mul(g.matmul(g.sin(x), g.sin(y)), g.constant(0.3, d.float32))

    def write(self, x: Node) -> Node | None:
        if not x.shape:
            return None
        axis = self.axis(x)
        one = tuple(1 if a == axis else m for a, m in enumerate(x.shape))
        value = g.sin(g.slice_(x, (0,) * len(one), one))
        if self.draw(st.booleans()):
            start = ScalarRef(1) if x.shape[axis] > 1 else 0
            starts = tuple(start if a == axis else 0 for a in range(len(one)))
            return node(op.ASSIGN, (x, value), ((("SLICE", one, (1,) * len(one)),),), starts)
        places = g.mod(self.index, g.constant(x.shape[axis], d.int64))
        wide = tuple(3 if a == axis else m for a, m in enumerate(x.shape))
        mode = self.draw(st.sampled_from(["set", "add", "max"]))
        return g.scatter(x, places, g.expand(value, wide), axis, mode)


@st.composite
def graphs(draw: Any, most: int = 14) -> Graph:
    builder = Builder(draw)
    for _ in range(draw(st.integers(1, most))):
        builder.step()
    count = draw(st.integers(1, 1 + most // 7))
    outputs = [builder.nodes[-1], *[draw(st.sampled_from(builder.nodes)) for _ in range(count - 1)]]
    used = set(walk(outputs))
    inputs = tuple(each for each in builder.inputs if each in used)
    donatable = draw(st.sets(st.sampled_from(range(len(inputs))))) if inputs else set()
    return Graph(inputs, tuple(outputs), (d.float32, d.int64), frozenset(donatable))


LIMITS = [
    Limits(),
    Limits(buffers=8, values=40),
    Limits(long=4, part=2, loop=1),
    Limits(loop=1000, small=0, recompute=0),
    *[Limits(buffers=number) for number in (4, 5, 7)],
]


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(graphs(), st.sampled_from(LIMITS))
def test_random_graphs(graph, limits):
    note(describe(graph))
    check_graph(graph, scalars=(np.float32(0.75), np.int64(1)), limits=limits)
