"""Slots: temporaries do not overlap, donated inputs are overwritten where that is safe."""

from __future__ import annotations

import pytest
from plan_support import buffer, check_graph

from flambeau.graph import build as g
from flambeau.graph import dtype as d
from flambeau.graph import op
from flambeau.graph.graph import Graph
from flambeau.graph.node import Node, walk
from flambeau.kernel.limits import Limits
from flambeau.kernel.program import HostCall, Program


def uses(program: Program) -> dict[int, tuple[int, int]]:
    """First and last launch of every temporary."""
    found: dict[int, tuple[int, int]] = {}
    for number, launch in enumerate(program.launches):
        slots = (*launch.inputs, *launch.outputs) if isinstance(launch, HostCall) else launch.slots
        for slot in slots:
            if program.slots[slot].role == "temporary":
                found[slot] = (found.get(slot, (number, 0))[0], number)
    return found


def test_temporaries_that_live_together_lie_apart():
    x, weights = buffer(6, 6), [buffer(6, 6) for _ in range(6)]
    hidden = [x]
    for weight in weights:
        hidden.append(g.exp(g.sin(g.matmul(hidden[-1], weight))))
    total = hidden[1]
    for each in hidden[2:]:
        total = g.matmul(total, each)
    graph = Graph((x, *weights), (total,))
    program = check_graph(graph)
    lives = uses(program)
    for one, (start, end) in lives.items():
        for other, (first, last) in lives.items():
            if one < other and start <= last and first <= end:
                a, b = program.slots[one], program.slots[other]
                assert a.offset + a.type.nbytes <= b.offset or b.offset + b.type.nbytes <= a.offset
    together = sum(program.slots[slot].type.nbytes for slot in lives)
    assert program.arena < together, "memory is used again"


def aliases(program: Program) -> list[int | None]:
    return [program.slots[number].alias for number in program.outputs]


def sgd(shape: tuple[int, ...]) -> tuple[Node, Node, Node, Node, Node]:
    weight, momentum, gradient = buffer(*shape), buffer(*shape), buffer(*shape)
    new = g.add(g.mul(momentum, g.constant(0.9, d.float32)), gradient)
    return weight, momentum, gradient, g.sub(weight, new), new


def test_an_update_is_made_in_place():
    weight, momentum, gradient, new_weight, new_momentum = sgd((5, 3))
    graph = Graph((weight, momentum, gradient), (new_weight, new_momentum), (), frozenset({0, 1}))
    program = check_graph(graph)
    assert aliases(program) == [0, 1]
    assert program.arena == 0
    assert len(program.launches) == 1


def test_nothing_is_overwritten_that_was_not_donated():
    weight, momentum, gradient, new_weight, new_momentum = sgd((5, 3))
    graph = Graph((weight, momentum, gradient), (new_weight, new_momentum))
    assert aliases(check_graph(graph)) == [None, None]


def test_what_is_read_elsewhere_is_not_overwritten():
    x = buffer(4, 4)
    for result in (
        g.add(x, g.permute(x, (1, 0))),
        g.add(x, g.reduce("add", x, (1,))),
        g.add(x, g.flip(x, (0,))),
        g.matmul(x, x),
    ):
        assert aliases(check_graph(Graph((x,), (result,), (), frozenset({0})))) == [None]


def test_an_output_of_another_shape_has_a_buffer_of_its_own():
    x, row = buffer(2, 3), buffer(1, 3)
    outputs = (g.reshape(g.neg(x), (6,)),)
    assert aliases(check_graph(Graph((x,), outputs, (), frozenset({0})))) == [None]
    new = g.assign(x, row, (("SLICE", (1, 3), (1, 1)),), (1, 0))
    outputs = (g.reshape(new, (6,)),)
    assert aliases(check_graph(Graph((x, row), outputs, (), frozenset({0})))) == [None]


def test_an_input_that_is_an_output_too_is_not_overwritten():
    x = buffer(4)
    program = check_graph(Graph((x,), (g.exp(x), x), (), frozenset({0})))
    assert aliases(program) == [None, None]


def test_swapped_updates_do_not_read_what_was_overwritten():
    x, y = buffer(4), buffer(4)
    outputs = (g.add(x, g.exp(y)), g.add(y, g.exp(x)))
    check_graph(Graph((x, y), outputs, (), frozenset({0, 1})))


def test_update_behind_a_product_is_made_in_place():
    weight, x, gradient = buffer(6, 5), buffer(7, 6), buffer(7, 5)
    step = g.matmul(g.permute(x, (1, 0)), gradient)
    graph = Graph((weight, x, gradient), (g.sub(weight, step),), (), frozenset({0}))
    program = check_graph(graph)
    assert aliases(program) == [0]
    assert len(program.launches) == 1


@pytest.mark.parametrize("donated", [True, False])
def test_a_chain_of_writes_copies_once_at_most(donated):
    x, rows = buffer(6, 4), [buffer(1, 4) for _ in range(4)]
    result = x
    for number, row in enumerate(rows):
        result = g.assign(result, row, (("SLICE", (1, 4), (1, 1)),), (number, 0))
    graph = Graph((x, *rows), (result,), (), frozenset({0} if donated else ()))
    program = check_graph(graph)
    copies = [each for each in program.launches if each.kernel.name == "copy"]
    assert len(copies) == (0 if donated else 1)
    assert aliases(program) == [0 if donated else None]


def test_an_old_value_that_is_wanted_is_kept():
    x, row = buffer(6, 4), buffer(1, 4)
    new = g.assign(x, row, (("SLICE", (1, 4), (1, 1)),), (2, 0))
    check_graph(Graph((x, row), (g.exp(x), new), (), frozenset({0})))
    check_graph(Graph((x, row), (new, g.reduce("add", x, (0,))), (), frozenset({0})))


def test_scatter_into_a_donated_target_is_made_in_place():
    target, index, value = buffer(5), buffer(3, dtype=d.int64), buffer(3)
    places = g.mod(index, g.constant(5, d.int64))
    new = g.scatter(target, places, value, 0, "add")
    program = check_graph(Graph((target, index, value), (new,), (), frozenset({0})))
    assert aliases(program) == [0]


def test_kernels_of_few_buffers():
    x = buffer(4, 6)
    total = x
    for _ in range(12):
        total = g.add(g.mul(total, buffer(4, 6)), g.reduce("add", buffer(4, 6), (1,)))
    inputs = tuple(each for each in walk([total]) if each.op is op.BUFFER)
    check_graph(Graph(inputs, (total,)), limits=Limits(buffers=8))


def test_two_stage_sum_of_a_prime_number_of_elements():
    x = buffer(10007)
    graph = Graph((x,), (g.reduce("max", x, (0,)),))
    program = check_graph(graph, limits=Limits(long=1000, part=640))
    assert [launch.kernel.domain[0].extent for launch in program.launches[:1]] == [16]


@pytest.mark.parametrize("dtype", [d.float16, d.int32, d.bool_], ids=repr)
@pytest.mark.parametrize("kind", ["add", "mul", "max"])
def test_two_stages_of_every_kind(kind, dtype):
    x = buffer(3, 40, 2, dtype=dtype)
    limits = Limits(long=100, part=10)
    program = check_graph(Graph((x,), (g.reduce(kind, x, (0, 1)),)), limits=limits)
    assert len(program.launches) == 2
