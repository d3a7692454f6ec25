"""Graphs in tests: inputs, the reference's results, and the comparison with a plan's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from kernel_interpreter import run

from flambeau.graph import dtype as dtypes
from flambeau.graph import op
from flambeau.graph.composite import placeholder
from flambeau.graph.dtype import DType
from flambeau.graph.graph import Graph
from flambeau.graph.node import Node, ScalarRef, tensor_type, walk
from flambeau.kernel.limits import Limits
from flambeau.kernel.program import Program
from flambeau.schedule.plan import build

TOLERANCE = {2: 1e-2, 4: 1e-4, 8: 1e-10}


def buffer(*shape: int, dtype: DType = dtypes.float32) -> Node:
    """An input of a graph."""
    return placeholder(tensor_type(tuple(shape), dtype))


def random_array(node: Node, seed: int = 0) -> Any:
    """Values for an input: small numbers of its dtype."""
    generator = np.random.default_rng([seed, *node.shape, node.dtype.itemsize])
    if node.dtype.kind == "bool":
        return generator.integers(0, 2, node.shape).astype(bool)
    if node.dtype.is_floating_point:
        return np.asarray(generator.standard_normal(node.shape)).astype(node.dtype.numpy)
    low = -5 if node.dtype.is_signed else 0
    return np.asarray(generator.integers(low, 6, node.shape)).astype(node.dtype.numpy)


def evaluate(
    graph: Graph, arrays: Sequence[Any], scalars: Sequence[Any] = (), functions: Any = None
) -> list[Any]:
    """What the numpy reference of each primitive gives."""
    known: dict[Node, Any] = dict(zip(graph.inputs, arrays, strict=True))
    for node in walk(graph.outputs):
        if node in known:
            continue
        values = tuple(
            scalars[each.index] if isinstance(each, ScalarRef) else each for each in node.scalars
        )
        inputs = [known[each] for each in node.inputs]
        if node.op is op.CALL:
            known[node] = functions[node.attrs[0]](*node.attrs[1:-1], *inputs)
            continue
        with np.errstate(all="ignore"):
            known[node] = node.op.reference(node.attrs, values, *inputs)
    return [known[each] for each in graph.outputs]


def assert_close(result: Any, expected: Any) -> None:
    expected = np.asarray(expected)
    assert result.shape == expected.shape
    assert result.dtype == expected.dtype
    if expected.dtype.kind in "biu":
        np.testing.assert_array_equal(result, expected)
        return
    tolerance = TOLERANCE[expected.dtype.itemsize]
    wide = np.float64
    np.testing.assert_allclose(
        result.astype(wide), expected.astype(wide), rtol=tolerance, atol=tolerance
    )


def describe(graph: Graph) -> str:
    """The graph's Nodes, one a line."""
    order = walk((*graph.inputs, *graph.outputs))
    number = {node: at for at, node in enumerate(order)}
    lines = [
        f"%{number[node]} = {node.op.name} {node.attrs} {[number[each] for each in node.inputs]} "
        f"{node.scalars} -> {node.type!r}"
        for node in order
    ]
    outputs = [number[each] for each in graph.outputs]
    return "\n".join([*lines, f"outputs {outputs} donated {sorted(graph.donatable)}"])


def check_graph(
    graph: Graph,
    arrays: Sequence[Any] | None = None,
    scalars: Sequence[Any] = (),
    limits: Limits | None = None,
    functions: Any = None,
) -> Program:
    """Build, run and compare; also that inputs which are not donated stay as they are."""
    if arrays is None:
        arrays = [random_array(each, number) for number, each in enumerate(graph.inputs)]
    arrays = [np.ascontiguousarray(each).reshape(each.shape) for each in arrays]
    expected = evaluate(graph, arrays, scalars, functions)
    limits = limits or Limits()
    program = build(graph, limits)
    for launch in program.launches:
        kernel = getattr(launch, "kernel", None)
        assert kernel is None or len(kernel.buffers) <= limits.buffers, kernel.text
    given = [np.array(each, order="C") for each in arrays]
    for result, wanted in zip(run(program, given, scalars, functions), expected, strict=True):
        assert_close(result, wanted)
    for number, (before, after) in enumerate(zip(arrays, given, strict=True)):
        if number not in graph.donatable:
            assert before.tobytes() == after.tobytes()
    return program


def check(*outputs: Node, scalars: Sequence[Any] = (), **more: Any) -> Program:
    """`check_graph` of the graph under `outputs`, its BUFFERs being inputs in order of use."""
    inputs = tuple([node for node in walk(outputs) if node.op is op.BUFFER])
    dtypes_of = tuple([dtypes.from_numpy(np.asarray(each).dtype) for each in scalars])
    graph = Graph(inputs, tuple(outputs), dtypes_of)
    return check_graph(graph, scalars=scalars, **more)
