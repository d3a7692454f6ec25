"""Every primitive, scheduled and run on webgpu, against the numpy reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from flambeau.device.host import HOST_FUNCTIONS
from flambeau.device.reference import ReferenceDevice
from flambeau.device.webgpu import WebGpuDevice
from flambeau.graph import build, op
from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType
from flambeau.graph.graph import Graph
from flambeau.graph.node import Node, ScalarRef, node, tensor_type
from flambeau.schedule import plan

PROBLEM = WebGpuDevice.problem()
pytestmark = pytest.mark.skipif(PROBLEM is not None, reason=PROBLEM or "an adapter is there")

FLOAT, INT, BOOL = dtypes.float32, dtypes.int64, dtypes.bool_


@pytest.fixture(scope="module")
def device() -> WebGpuDevice:
    return WebGpuDevice()


def given(array: Any) -> Node:
    array = np.asarray(array)
    return node(op.BUFFER, (), (array.shape, dtypes.from_numpy(array.dtype)))


def run_on(device: Any, graph: Graph, arrays: Sequence[Any], scalars: Sequence[Any]) -> list[Any]:
    buffers = [
        device.from_numpy(
            np.array(each, order="C"),
            tensor_type(each.shape, dtypes.from_numpy(each.dtype)),
            True,
        )
        for each in arrays
    ]
    if isinstance(device, ReferenceDevice):
        executable = device.interpret(graph)
    else:
        executable = device.compile(plan.build(graph, device.limits))
    return [device.to_numpy(each) for each in executable.run(buffers, scalars)]


def check(
    device: WebGpuDevice,
    make: Callable[..., Node | tuple[Node, ...]],
    *arrays: Any,
    scalars: Sequence[tuple[Any, DType]] = (),
    rtol: float = 3e-6,
    atol: float = 1e-6,
) -> None:
    """`make(*nodes)` gives the same on webgpu as in the reference."""
    arrays = tuple(np.asarray(each) for each in arrays)
    inputs = tuple(given(each) for each in arrays)
    made = make(*inputs)
    outputs = made if isinstance(made, tuple) else (made,)
    graph = Graph(inputs, outputs, tuple(kind for _, kind in scalars))
    numbers = [number for number, _ in scalars]
    expected = run_on(ReferenceDevice(), graph, arrays, numbers)
    actual = run_on(device, graph, arrays, numbers)
    for got, want in zip(actual, expected, strict=True):
        assert got.shape == want.shape
        assert got.dtype == want.dtype
        if want.dtype.kind == "f":
            np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)
        else:
            np.testing.assert_array_equal(got, want)


def floats(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def special(*shape: int) -> Any:
    """Some values are NaN, infinite or zero."""
    array = floats(*shape)
    flat = array.reshape(-1)
    for number, value in enumerate([np.nan, np.inf, -np.inf, 0.0, -0.0]):
        flat[number::11] = value
    return array


def whole(*shape: int, low: int = -9, high: int = 9, dtype: Any = np.int64) -> Any:
    return np.random.default_rng(1).integers(low, high, shape).astype(dtype)


UNARY = {"NEG": 0, "SQRT": 0, "EXP": 0, "LOG": 0, "SIN": 0, "COS": 0, "TAN": 0, "FLOOR": 0}
BINARY = ["ADD", "MUL", "DIV", "MAX", "MOD", "LT", "EQ"]
SHAPES = [
    ((3, 4), (3, 4)),
    ((3, 1), (1, 4)),
    ((4,), (2, 3, 4)),
    ((), (5,)),
    ((0, 3), (3,)),
    ((), ()),
]


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 50)])
def test_unary(device: WebGpuDevice, name: str, shape: tuple[int, ...]) -> None:
    check(device, lambda x: node(op.PRIMITIVES[name], (x,)), special(*shape))


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize(("first", "second"), SHAPES)
def test_binary(
    device: WebGpuDevice, name: str, first: tuple[int, ...], second: tuple[int, ...]
) -> None:
    y = floats(*second, seed=3)
    check(device, lambda a, b: node(op.PRIMITIVES[name], (a, b)), special(*first), y)


def test_multiply_and_add(device: WebGpuDevice) -> None:
    arrays = [floats(*shape, seed=seed) for seed, shape in enumerate([(3, 1), (4,), (2, 1, 4)])]
    check(device, lambda a, b, c: node(op.FMA, (a, b, c)), *arrays)


@pytest.mark.parametrize("name", ["IDIV", "MOD", "AND", "OR", "XOR", "SHL", "SHR"])
@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_integers(device: WebGpuDevice, name: str, dtype: str) -> None:
    x = whole(4, 5, low=0, high=50, dtype=dtype) - (25 if dtype[0] == "i" else 0)
    y = whole(5, low=1, high=6, dtype=dtype)
    check(device, lambda a, b: node(op.PRIMITIVES[name], (a, b)), x.astype(dtype), y)


@pytest.mark.parametrize("make", [build.idiv, build.mod])
def test_division_by_zero(device: WebGpuDevice, make: Any) -> None:
    x, y = whole(6), np.array([1, 2, 0, 3, 4, 5])
    graph_inputs = (given(x), given(y))
    graph = Graph(graph_inputs, (make(*graph_inputs),))
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        run_on(device, graph, (x, y), ())


def test_where_cast_bitcast(device: WebGpuDevice) -> None:
    x, y = special(4, 6), floats(6)
    check(device, lambda a, b: build.where(build.less(a, b), a, build.expand(b, (4, 6))), x, y)
    check(device, lambda a: build.cast(a, INT), floats(9) * 10)
    check(device, lambda a: build.cast(a, BOOL), x)
    check(device, lambda a: build.cast(a, FLOAT), whole(9))
    check(device, lambda a: build.bitcast(a, dtypes.int32), floats(9))


def test_constants_scalars_and_iota(device: WebGpuDevice) -> None:
    check(device, lambda a: build.add(a, build.constant(float("nan"), FLOAT)), floats(3))
    check(device, lambda a: build.mul(a, build.constant(0.0, FLOAT)), special(30))
    check(device, lambda a: build.add(build.iota(7), a), whole(7))
    check(
        device,
        lambda a: build.mul(a, build.scalar(ScalarRef(1), FLOAT)),
        floats(3),
        scalars=((4, INT), (2.5, FLOAT)),
    )
    check(device, lambda: build.full((2, 3), 1.5, FLOAT))


@pytest.mark.parametrize("kind", ["add", "mul", "max"])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((3, 4), (1,)),
        ((3, 4), (0,)),
        ((2, 3, 4), (0, 2)),
        ((5,), (0,)),
        ((2, 3000), (1,)),
        ((20000,), (0,)),
        ((1, 4), (0,)),
        ((300, 40), (0,)),
    ],
)
def test_reduce(
    device: WebGpuDevice, kind: str, shape: tuple[int, ...], axes: tuple[int, ...]
) -> None:
    x = floats(*shape)
    if kind == "mul":
        x = 1 + x * np.float32(1e-3)
    check(device, lambda a: build.reduce(kind, a, axes), x, rtol=2e-5, atol=2e-4)
    check(device, lambda a: build.reduce(kind, a, axes), whole(*shape, low=0, high=2))
    check(device, lambda a: build.reduce(kind, a, axes), whole(*shape, low=0, high=2) > 0)


def test_reduce_of_nothing_and_of_nan(device: WebGpuDevice) -> None:
    check(device, lambda a: build.reduce("add", a, (1,)), floats(3, 0))
    check(device, lambda a: build.reduce("mul", a, (0,)), floats(0, 3))
    check(device, lambda a: build.reduce("max", a, (1,)), special(6, 30))


@pytest.mark.parametrize("kind", ["add", "mul", "max"])
@pytest.mark.parametrize("axis", [0, 1])
def test_scan(device: WebGpuDevice, kind: str, axis: int) -> None:
    check(device, lambda a: build.scan(kind, a, axis), floats(6, 40), rtol=1e-4)
    check(device, lambda a: build.scan(kind, a, axis), whole(6, 9, low=0, high=3))


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("axis", [0, 1])
def test_sort(device: WebGpuDevice, axis: int, descending: bool) -> None:
    check(device, lambda a: build.sort(a, axis, descending), np.abs(special(7, 33)))
    check(device, lambda a: build.sort(a, axis, descending), whole(7, 33))
    check(device, lambda a: build.sort(a, axis, descending)[1], floats(0, 3))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((3, 4), (4, 5)),
        ((2, 3, 4), (4, 5)),
        ((2, 1, 3, 4), (3, 4, 2)),
        ((3, 0), (0, 2)),
        ((64, 30), (30, 70)),
        ((1, 300), (300, 1)),
        ((0, 3), (3, 2)),
        ((5, 48, 8), (5, 8, 48)),
    ],
)
def test_matmul(device: WebGpuDevice, left: tuple[int, ...], right: tuple[int, ...]) -> None:
    check(device, build.matmul, floats(*left), floats(*right, seed=2), rtol=1e-4, atol=1e-4)


CONVOLUTIONS = [
    ((2, 3, 8, 9), (4, 3, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((2, 4, 11, 9), (6, 2, 3, 2), (2, 3), ((0, 1), (2, 0)), (2, 1), 2),
    ((1, 4, 12), (4, 1, 3), (1,), ((2, 2),), (2,), 4),
    ((4, 1, 14, 14), (16, 1, 5, 5), (2, 2), ((2, 2), (2, 2)), (1, 1), 1),
]


@pytest.mark.parametrize(
    ("image", "weight", "stride", "padding", "dilation", "groups"), CONVOLUTIONS
)
def test_conv(
    device: WebGpuDevice, image: Any, weight: Any, stride: Any, padding: Any, dilation: Any,
    groups: int,
) -> None:  # fmt: skip
    settings = (stride, padding, dilation, groups)
    x, w = floats(*image), floats(*weight, seed=2)
    shape = build.conv("forward", given(x), given(w), *settings).shape
    g = floats(*shape, seed=3)
    close = {"rtol": 1e-4, "atol": 1e-4}
    check(device, lambda a, b: build.conv("forward", a, b, *settings), x, w, **close)
    check(device, lambda a, b: build.conv("input", a, b, *settings, image[2:]), g, w, **close)
    check(device, lambda a, b: build.conv("weight", a, b, *settings, weight[2:]), x, g, **close)


def test_movement(device: WebGpuDevice) -> None:
    x = floats(4, 6)
    check(device, lambda a: build.reshape(a, (3, 8)), x)
    check(device, lambda a: build.permute(a, (1, 0)), x)
    check(device, lambda a: build.expand(a, (3, 4, 6)), x)
    check(device, lambda a: build.slice_(a, (1, 5), (2, 3), (1, -2)), x)
    check(device, lambda a: build.flip(a, (0, 1)), x)
    check(device, lambda a: build.pad(a, (9, 13), (1, 2), (2, 2), 7.0), x)
    check(device, lambda a: build.window(a, (1,), (3,), (2,), (1,)), x)
    check(device, lambda a: build.cat([a, a, build.neg(a)], 1), x)
    check(device, lambda a: build.cat([a, a], 0), floats(0, 3))
    check(device, lambda a: build.reshape(build.permute(a, (1, 0)), (2, 12)), x)


def test_runtime_starts(device: WebGpuDevice) -> None:
    starts = (ScalarRef(0), ScalarRef(1))
    scalars = ((2, INT), (1, INT))
    check(device, lambda a: build.slice_(a, starts, (2, 3)), floats(4, 6), scalars=scalars)
    check(device, lambda a: build.pad(a, (9, 9), starts), floats(4, 6), scalars=scalars)
    chain = (("SLICE", (2, 3), (1, 1)),)
    check(
        device,
        lambda a, b: build.assign(a, b, chain, starts),
        floats(4, 6),
        floats(2, 3, seed=2),
        scalars=scalars,
    )


@pytest.mark.parametrize("axis", [0, 1])
def test_gather_and_scatter(device: WebGpuDevice, axis: int) -> None:
    x, index = floats(5, 6), whole(3, 4, low=0, high=5)
    check(device, lambda a, i: build.gather(a, i, axis), x, index)
    value = floats(*((3, 4, 6) if axis == 0 else (5, 3, 4)), seed=3)
    for mode in ("set", "add", "mul", "max"):
        check(device, lambda a, i, v: build.scatter(a, i, v, axis, mode), x, index, value)  # noqa: B023  # called within the loop
    for bad in (-1, 5 + axis):
        wrong = index.copy()
        wrong[1, 2] = bad
        inputs = (given(x), given(wrong), given(value))
        for made in (
            build.gather(inputs[0], inputs[1], axis),
            build.scatter(*inputs, axis, "add"),
        ):
            graph = Graph(inputs, (made,))
            with pytest.raises(IndexError, match=f"{bad} is out of bounds"):
                run_on(device, graph, (x, wrong, value), ())


def test_effects(device: WebGpuDevice) -> None:
    x, y = floats(3, 4), floats(3, 4, seed=2)
    check(device, lambda a: build.exp(build.materialize(build.sin(a))), x)
    check(device, lambda a, b: build.graft(build.detach(a), b), x, y)
    check(device, lambda a: (a, a, build.reshape(a, (4, 3))), x)


def test_host_call_between_launches(device: WebGpuDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    def swap(attrs: Any, x: Any, y: Any) -> tuple[Any, ...]:
        return y * attrs[0], x + 1

    monkeypatch.setitem(HOST_FUNCTIONS, "swap", swap)
    kinds = (tensor_type((3, 4), FLOAT), tensor_type((3, 4), FLOAT))

    def make(x: Node, y: Node) -> tuple[Node, ...]:
        called = node(op.CALL, (build.exp(x), y), ("swap", 3, kinds))
        return build.neg(build.pick(called, 0)), build.pick(called, 1)

    check(device, make, floats(3, 4), floats(3, 4, seed=2))


def test_softmax_and_layer_norm(device: WebGpuDevice) -> None:
    def softmax(x: Node) -> Node:
        shifted = build.sub(x, build.reduce("max", x, (1,)))
        top = build.exp(shifted)
        return build.div(top, build.reduce("add", top, (1,)))

    def layer_norm(x: Node) -> Node:
        count = build.constant(1 / x.shape[1], FLOAT)
        centred = build.sub(x, build.mul(build.reduce("add", x, (1,)), count))
        square = build.mul(build.reduce("add", build.mul(centred, centred), (1,)), count)
        return build.div(centred, build.sqrt(build.add(square, build.constant(1e-5, FLOAT))))

    for shape in ((3, 5), (40, 300), (2, 2000), (0, 4)):
        check(device, softmax, floats(*shape), rtol=1e-4, atol=1e-5)
        check(device, layer_norm, floats(*shape), rtol=1e-4, atol=1e-4)


def test_donated_input_is_updated_in_place(device: WebGpuDevice) -> None:
    x, g = floats(5, 7), floats(5, 7, seed=2)
    inputs = (given(x), given(g))
    step = build.add(inputs[0], build.mul(inputs[1], build.constant(-0.5, FLOAT)))
    graph = Graph(inputs, (step, build.mul(inputs[0], inputs[0])), (), frozenset({0}))
    executable = device.compile(plan.build(graph, device.limits))
    kind = tensor_type((5, 7), FLOAT)
    buffers = [device.from_numpy(each, kind, True) for each in (x, g)]
    first, second = executable.run(buffers, [])
    assert np.allclose(device.to_numpy(first), x - 0.5 * g)
    assert np.allclose(device.to_numpy(second), x * x)


def test_many_inputs_keep_to_eight_buffers(device: WebGpuDevice) -> None:
    def total(*nodes: Node) -> Node:
        result = nodes[0]
        for each in nodes[1:]:
            result = build.add(result, each)
        return result

    check(device, total, *[floats(5, seed=number) for number in range(30)], rtol=1e-5, atol=1e-5)


def test_same_bits_from_run_to_run(device: WebGpuDevice) -> None:
    x, y = floats(70, 300), floats(300, 50, seed=2)
    inputs = (given(x), given(y))
    product = build.matmul(*inputs)
    graph = Graph(inputs, (product, build.reduce("add", product, (0, 1))))
    runs = [run_on(device, graph, (x, y), ()) for _ in range(3)]
    for each in runs[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(runs[0], each, strict=True))
