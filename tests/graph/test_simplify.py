"""Each rewrite rule: its docstring's example is what it does, and changes no bit."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from plan_support import evaluate, random_array

from flambeau.graph import build, op, simplify
from flambeau.graph import dtype as d
from flambeau.graph.compiled import FUNCTIONS
from flambeau.graph.composite import placeholder
from flambeau.graph.graph import Graph
from flambeau.graph.node import Node, ScalarRef, node, tensor_type, walk
from flambeau.graph.rewrite import Rewriter
from flambeau.graph.verify import verify

USED: dict[Any, list[Any]] = {}
for _operation, _rules in simplify.RULES.items():
    for _rule in _rules:
        USED.setdefault(_rule, []).append(_operation)


def examples(rule: Any) -> list[tuple[str, str]]:
    text = inspect.cleandoc(rule.__doc__)
    lines = [line for line in text.split("\n") if "=>" in line]
    pairs = [line.split("=>") for line in lines]
    return [(before.strip(), after.strip()) for before, after in pairs]


def namespace() -> dict[str, Any]:
    def buffer(shape: tuple[int, ...], dtype: d.DType) -> Node:
        return placeholder(tensor_type(shape, dtype))

    return {
        **{name: value for name, value in vars(build).items() if isinstance(value, FUNCTIONS)},
        "op": op,
        "node": node,
        "x": buffer((2, 3), d.float32),
        "y": buffer((2, 3), d.float32),
        "i": buffer((2, 3), d.int32),
        "p": buffer((2, 3), d.bool_),
        "h": buffer((2, 3), d.float16),
        "e": buffer((0, 3), d.float32),
        "s": buffer((), d.float32),
        "at": ScalarRef(0),
        "f16": d.float16,
        "f32": d.float32,
        "f64": d.float64,
        "i32": d.int32,
        "b": d.bool_,
    }


# In an order that every process has: the table's begins with a set.
CASES = [
    (rule, *pair)
    for rule in sorted(USED, key=lambda each: each.__name__)
    for pair in examples(rule)
]


def test_every_rule_has_an_example():
    assert not [rule.__name__ for rule in USED if not examples(rule)]


def name_of(case):
    return getattr(case, "__name__", str(case)[:40])


@pytest.mark.parametrize(("rule", "before", "after"), CASES, ids=name_of)
def test_example(rule, before, after):
    names = namespace()
    first, second = (eval(text, dict(names)) for text in (before, after))
    alone = Rewriter({operation: [rule] for operation in USED[rule]})
    assert alone.run([first])[0] is alone.run([second])[0]
    assert Rewriter({}).run([first])[0] is not second, "nothing is simplified"
    inputs = tuple(each for each in walk([first, second]) if each.op is op.BUFFER)
    arrays = [random_array(each) for each in inputs]
    old, new = evaluate(Graph(inputs, (first, second)), arrays, scalars=(np.int64(0),))
    assert old.dtype == new.dtype
    assert np.ascontiguousarray(old).tobytes() == np.ascontiguousarray(new).tobytes()


def simplified(*outputs: Node, scalars: tuple[d.DType, ...] = ()) -> tuple[Node, ...]:
    inputs = tuple(each for each in walk(outputs) if each.op is op.BUFFER)
    return simplify.simplify(Graph(inputs, outputs, scalars)).outputs


@pytest.mark.parametrize(
    "text",
    [
        "mul(x, constant(0.0, f32))",
        "add(x, constant(0.0, f32))",
        "div(x, constant(3.0, f32))",
        "reduce('add', expand(s, (2, 3)), (0,))",
        "cast(cast(x, f16), f32)",
        "maximum(x, y)",
        "materialize(neg(x))",
        "slice_(x, (0, 1), (2, 2))",
    ],
)
def test_what_is_not_exact_stays(text):
    before = eval(text, namespace())
    (after,) = simplified(before)
    assert after.op is before.op


def test_equal_nodes_become_one():
    names = namespace()
    x = names["x"]
    first, second = simplified(build.exp(build.neg(x)), build.exp(build.neg(x)))
    assert first is second


def test_runtime_scalars_are_not_folded():
    rate = node(op.CONST, (), (d.float32,), (ScalarRef(0),))
    (result,) = simplified(build.mul(rate, rate), scalars=(d.float32,))
    assert result.op is op.MUL


def test_constants_differ_by_bits():
    x = namespace()["x"]
    zeros = [build.add(x, build.constant(value, d.float32)) for value in (0.0, -0.0)]
    kept, dropped = simplified(*zeros)
    assert kept.op is op.ADD
    assert dropped is x


def test_a_graph_thousands_of_nodes_deep():
    x = start = namespace()["x"]
    for _ in range(5000):
        x = build.neg(build.neg(build.neg(x)))
    (result,) = simplified(x)
    assert result is start


def test_verify_names_what_is_wrong():
    x = namespace()["x"]
    verify(Graph((x,), (build.neg(x),)))
    with pytest.raises(ValueError, match="is not among the graph's inputs"):
        verify(Graph((), (build.neg(x),)))
    with pytest.raises(ValueError, match="donatable input 3 does not exist"):
        verify(Graph((x,), (x,), (), frozenset({3})))
    with pytest.raises(ValueError, match="refers to scalar 0; there are 0"):
        verify(Graph((), (node(op.CONST, (), (d.float32,), (ScalarRef(0),)),)))
    with pytest.raises(ValueError, match="BUFFERs"):
        verify(Graph((build.neg(x),), ()))
    with pytest.raises(ValueError, match="one device"):
        verify(Graph((x,), (node(op.COPY, (x,), ("cpu",)),)))
