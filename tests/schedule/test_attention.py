"""ATTENTION in plans: what is computed, from which lengths on, and that memory is linear."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_support import buffer, check

from flambeau.graph import build as g
from flambeau.graph import op
from flambeau.graph.attention import attention, attention_backward
from flambeau.graph.dtype import bfloat16, float16, float32, float64
from flambeau.graph.graph import Graph
from flambeau.graph.node import Node, walk
from flambeau.kernel.ir import Attend
from flambeau.kernel.limits import Limits
from flambeau.kernel.program import Launch, Program
from flambeau.schedule import attention as lengths
from flambeau.schedule.plan import build


def step(
    lead: Sequence[int], sizes: Sequence[int], causal: bool, bias: bool = False, dtype=float32
) -> list[Node]:
    """Output and gradients, as ops/attention.py builds them."""
    rows, columns, depth, width = sizes
    inputs = [
        buffer(*lead, rows, depth, dtype=dtype),
        buffer(*lead[:-1], 1, columns, depth, dtype=dtype),
        buffer(*lead, columns, width, dtype=dtype),
    ]
    wide = float32 if dtype.itemsize == 2 else dtype
    extra = [buffer(rows, columns, dtype=wide)] if bias else []
    given = buffer(*lead, rows, width, dtype=dtype)
    output, normaliser = attention((*inputs, *extra), causal, 0.5)
    products = g.mul(g.cast(given, wide), g.cast(output, wide))
    delta = g.reduce("add", products, (len(output.shape) - 1,))
    rest = (given, normaliser, delta, *extra)
    return [output, *attention_backward((*inputs, *rest), causal, 0.5)]


def attends(program: Program) -> int:
    launches = [each for each in program.launches if isinstance(each, Launch)]
    return sum(isinstance(each.kernel.body[0], Attend) for each in launches)


@settings(max_examples=25, deadline=None)
@given(
    lead=st.sampled_from([(1,), (2,), (2, 1), (2, 3)]),
    sizes=st.tuples(*[st.integers(1, 5)] * 4),
    causal=st.booleans(),
    bias=st.booleans(),
    blocks=st.booleans(),
)
def test_plans_compute_what_the_reference_does(lead, sizes, causal, bias, blocks):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lengths, "FEWEST", 1)
        patch.setattr(lengths, "FEWEST_FULL", 1)
        nodes = step(lead, sizes, causal, bias)
        program = check(*nodes, limits=Limits(attention=blocks))
    assert attends(program) == (3 if blocks else 0)


@pytest.mark.parametrize("dtype", [float16, bfloat16, float64], ids=repr)
def test_other_floats(monkeypatch, dtype):
    monkeypatch.setattr(lengths, "FEWEST", 1)
    program = check(*step((2,), (4, 5, 3, 2), True, dtype=dtype))
    assert attends(program) == 3


def test_operands_are_views_and_arithmetic(monkeypatch):
    monkeypatch.setattr(lengths, "FEWEST", 1)
    whole = buffer(2, 4, 3, 6)  # batch, positions, (query, key, value), width
    parts = [
        g.permute(
            g.reshape(g.slice_(whole, (0, 0, n, 0), (2, 4, 1, 6)), (2, 4, 2, 3)), (0, 2, 1, 3)
        )
        for n in range(3)
    ]
    index = buffer(4, 3, dtype=float32)
    output, _ = attention((g.neg(parts[0]), *parts[1:]), True, 0.3)
    program = check(g.add(output, index))
    assert attends(program) == 1


@pytest.mark.parametrize(("length", "causal"), [(64, True), (320, False)])
def test_lengths_decide(length, causal):
    def found(extent: int, training: bool) -> int:
        outputs = step((1, 1), (extent, extent, 8, 8), causal)
        graph = graph_of(outputs if training else outputs[:1])
        return attends(build(graph))

    assert (found(length, True), found(length, False)) == (3, 1)
    assert (found(length - 1, True), found(length - 1, False)) == (0, 0)


def graph_of(outputs: Sequence[Node]) -> Graph:
    inputs = [node for node in walk(outputs) if node.op is op.BUFFER]
    return Graph(tuple(inputs), tuple(outputs))


@pytest.mark.parametrize("causal", [False, True])
def test_memory_is_linear_in_the_length(causal):
    def program(length: int) -> Program:
        return build(graph_of(step((2, 3), (length, length, 16, 16), causal)))

    once, twice = program(512), program(1024)
    assert 0 < twice.arena <= 2 * once.arena
    assert max(slot.type.size for slot in twice.slots) < 2 * 3 * 1024 * 1024
