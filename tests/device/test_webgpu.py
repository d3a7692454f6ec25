"""The webgpu device on hand-built kernels, against numpy."""

from __future__ import annotations

import dataclasses
import gc
import json
import math
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from flambeau.device.webgpu import STATISTICS, WebGpuDevice, adapter
from flambeau.device.webgpu.table import Step, lower
from flambeau.graph import dtype as dtypes
from flambeau.graph import numpy_reference
from flambeau.graph.dtype import DType
from flambeau.graph.node import tensor_type
from flambeau.kernel import ir
from flambeau.kernel.ir import Axis, Check, Fold, Kernel, Loop, Parameter, Store, Value
from flambeau.kernel.program import HostCall, Launch, Program, Slot

PROBLEM = WebGpuDevice.problem()
pytestmark = pytest.mark.skipif(PROBLEM is not None, reason=PROBLEM or "an adapter is there")

FLOAT = dtypes.float32
INT = dtypes.int32


@pytest.fixture(scope="module")
def device() -> WebGpuDevice:
    return WebGpuDevice()


def upload(device: WebGpuDevice, array: Any) -> Any:
    array = np.asarray(array)
    return device.from_numpy(array, tensor_type(array.shape, dtypes.from_numpy(array.dtype)), True)


def program_of(
    kernel: Kernel,
    shapes: list[tuple[int, ...]],
    scalars: tuple[DType, ...] = (),
    aliases: dict[int, int] | None = None,
    **launch: Any,
) -> Program:
    """A program of one kernel; written buffers are outputs, the others are inputs."""
    slots = [
        Slot(
            tensor_type(shape, each.dtype),
            "output" if each.written else "input",
            (aliases or {}).get(number),
        )
        for number, (each, shape) in enumerate(zip(kernel.buffers, shapes, strict=True))
    ]
    numbers = range(len(slots))
    return Program(
        slots,
        [Launch(kernel, tuple(numbers), tuple(range(len(scalars))), **launch)],
        scalars,
        tuple(n for n in numbers if slots[n].role == "input"),
        tuple(n for n in numbers if slots[n].role == "output"),
    )


def run_map(
    device: WebGpuDevice,
    function: Callable[..., Value],
    *arrays: Any,
    scalars: tuple[tuple[Any, DType], ...] = (),
) -> Any:
    """One elementwise kernel on flat arrays of equal length."""
    arrays = tuple(np.asarray(each).reshape(-1) for each in arrays)
    size = arrays[0].size
    point = Axis(size)
    index = ir.axis(point)
    kinds = [dtypes.from_numpy(each.dtype) for each in arrays]
    loads = [ir.load(number, kind, index) for number, kind in enumerate(kinds)]
    numbers = [ir.scalar(number, kind) for number, (_, kind) in enumerate(scalars)]
    value = function(*loads, *numbers)
    kernel = Kernel(
        "map",
        (point,),
        (Store(len(arrays), index, value),),
        (*(Parameter(kind, size, False) for kind in kinds), Parameter(value.dtype, size, True)),
        tuple(kind for _, kind in scalars),
    )
    program = program_of(kernel, [(size,)] * (len(arrays) + 1), kernel.scalars)
    (out,) = device.compile(program).run(
        [upload(device, each) for each in arrays], [number for number, _ in scalars]
    )
    return device.to_numpy(out)


EVERY_DTYPE = [
    "float32", "float16", "int64", "int32", "int16", "int8", "uint32", "uint8", "bool",
]  # fmt: skip


def sample(name: str, size: int, seed: int = 0) -> Any:
    random = np.random.default_rng(seed)
    kind = np.dtype(name)
    if kind.kind == "f":
        return random.normal(size=size).astype(kind)
    if kind.kind == "b":
        return random.random(size) < 0.5
    most = min(np.iinfo(kind).max, 2**31 - 1)
    least = max(np.iinfo(kind).min, -(2**31))
    return random.integers(least, most, size, endpoint=True).astype(kind)


@pytest.mark.parametrize("name", EVERY_DTYPE)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (5,), (3, 7)])
def test_upload_and_download(device: WebGpuDevice, name: str, shape: tuple[int, ...]) -> None:
    array = sample(name, math.prod(shape)).reshape(shape)
    result = device.to_numpy(upload(device, array))
    assert result.dtype == array.dtype
    assert result.shape == array.shape
    assert np.array_equal(result, array)


def test_int64_out_of_range(device: WebGpuDevice) -> None:
    with pytest.raises(OverflowError, match=r"4294967296.*carries int64 as int32"):
        upload(device, np.array([1, 2**32]))
    with pytest.raises(OverflowError, match="scalar"):
        run_map(
            device,
            lambda x, s: ir.apply("ADD", x, s),
            np.array([1]),
            scalars=((2**40, dtypes.int64),),
        )
    with pytest.raises(OverflowError, match="constant"):
        run_map(device, lambda x: ir.apply("ADD", x, ir.const(-(2**40))), np.array([1]))


def test_unsupported_dtypes(device: WebGpuDevice) -> None:
    assert "float32" in (device.supports(dtypes.float64) or "")
    assert "bfloat16" in (device.supports(dtypes.bfloat16) or "")
    assert device.supports(dtypes.float32) is None
    with pytest.raises(RuntimeError, match="64-bit floats"):
        upload(device, np.zeros(3))


SPECIAL = np.array(
    [
        0.0, -0.0, 1.0, -1.0, 0.5, 3.0, 7.0, 49.0, 1e-20, -1e-20, 1e20, 3e38, -3e38, 1.2e-38,
        np.inf, -np.inf, np.nan, 88.0, -87.0, 100.0, -100.0, 1e5, 2.0**24, 1 / 3,
    ],
    dtype=np.float32,
)  # fmt: skip


def close_in_ulps(actual: Any, expected: Any, most: float) -> None:
    """Equal up to `most` units in the last place; NaN and infinity at the same places."""
    assert np.array_equal(np.isnan(actual), np.isnan(expected))
    infinite = np.isinf(expected)
    assert np.array_equal(actual[infinite], expected[infinite])
    finite = np.isfinite(expected)
    step = np.spacing(np.maximum(np.abs(expected[finite]), np.float32(1.2e-38)))
    distance = np.abs(actual[finite].astype(np.float64) - expected[finite].astype(np.float64))
    worst = float(np.max(distance / step, initial=0))
    place = np.argmax(distance / step) if worst else 0
    assert worst <= most, (worst, actual[finite][place], expected[finite][place])


def pairs() -> tuple[Any, Any]:
    x, y = np.meshgrid(SPECIAL, SPECIAL)
    random = np.random.default_rng(1)
    more = random.normal(size=(2, 2000)) * np.exp(random.normal(size=(2, 2000)) * 8)
    return (
        np.concatenate([x.ravel(), more[0].astype(np.float32)]),
        np.concatenate([y.ravel(), more[1].astype(np.float32)]),
    )


@pytest.mark.parametrize(
    ("op", "reference", "ulps"),
    [
        ("ADD", np.add, 0),
        ("MUL", np.multiply, 0),
        ("DIV", np.divide, 0),
        ("MAX", np.maximum, 0),
        ("MOD", np.remainder, 1),
        ("LT", np.less, 0),
        ("EQ", np.equal, 0),
    ],
)
def test_float_pairs(device: WebGpuDevice, op: str, reference: Any, ulps: int) -> None:
    x, y = pairs()
    with np.errstate(all="ignore"):
        expected = reference(x, y)
    actual = run_map(device, lambda a, b: ir.apply(op, a, b), x, y)
    if expected.dtype == bool:
        assert np.array_equal(actual, expected)
    else:
        # results that are subnormal may be flushed to zero
        normal = ~(np.abs(expected) < 1.2e-38)
        close_in_ulps(actual[normal], expected[normal], ulps)


def wide(function: Any, x: Any) -> Any:
    with np.errstate(all="ignore"):
        return function(x.astype(np.float64)).astype(np.float32)


@pytest.mark.parametrize(
    ("op", "reference", "ulps"),
    [
        ("NEG", np.negative, 0),
        ("SQRT", np.sqrt, 1),
        ("EXP", np.exp, 2),
        ("LOG", np.log, 2),
        ("SIN", np.sin, 3),
        ("TAN", np.tan, 4),
        ("FLOOR", np.floor, 0),
    ],
)
def test_float_functions(device: WebGpuDevice, op: str, reference: Any, ulps: int) -> None:
    random = np.random.default_rng(2)
    bits = random.integers(0, 2**32, 20000, dtype=np.uint32).view(np.float32)
    near_one = (1 + random.normal(size=2000) * 1e-3).astype(np.float32)
    plain = (random.normal(size=4000) * 30).astype(np.float32)
    turns = (np.arange(-400, 400) * (np.pi / 2)).astype(np.float32)
    x = np.concatenate([SPECIAL, bits, near_one, plain, turns])
    x = x[~((np.abs(x) < 1.2e-38) & (x != 0))]
    expected = wide(reference, x)
    normal = ~((np.abs(expected) < 1.2e-38) & (expected != 0))
    actual = run_map(device, lambda a: ir.apply(op, a), x)
    close_in_ulps(actual[normal], expected[normal], ulps)


def test_signs_of_zero(device: WebGpuDevice) -> None:
    x = np.array([0.0, -0.0, 2.0, -2.0], np.float32)
    negated = run_map(device, lambda a: ir.apply("NEG", a), x)
    assert np.array_equal(np.signbit(negated), np.signbit(-x))
    roots = run_map(device, lambda a: ir.apply("SQRT", a), x[:2])
    assert np.array_equal(np.signbit(roots), [False, True])


def test_nothing_is_folded(device: WebGpuDevice) -> None:
    """x · 0, x - x and comparisons with NaN and infinity constants."""
    x = np.array([np.nan, np.inf, -np.inf, 1.0], np.float32)
    nan = ir.const(float("nan"), FLOAT)
    inf = ir.const(float("inf"), FLOAT)
    zero = ir.const(0.0, FLOAT)
    product = run_map(device, lambda a: ir.apply("MUL", a, zero), x)
    assert np.array_equal(product, [np.nan, np.nan, np.nan, 0], equal_nan=True)
    difference = run_map(device, lambda a: ir.apply("ADD", a, ir.apply("NEG", a)), x)
    assert np.array_equal(difference, [np.nan, np.nan, np.nan, 0], equal_nan=True)
    assert not run_map(device, lambda a: ir.apply("EQ", a, nan), x).any()
    assert not run_map(device, lambda a: ir.apply("LT", a, nan), x).any()
    assert run_map(device, lambda a: ir.apply("EQ", a, a), x).tolist() == [False, True, True, True]
    assert run_map(device, lambda a: ir.apply("LT", a, inf), x).tolist() == [
        False, False, True, True,
    ]  # fmt: skip
    most = run_map(device, lambda a: ir.apply("MAX", zero, a), x)
    assert np.array_equal(most, [np.nan, np.inf, 0, 1], equal_nan=True)


def test_constants_alone(device: WebGpuDevice) -> None:
    """Operations on constants must not become constant expressions that WGSL rejects."""
    big = ir.const(2**31 - 1, INT)
    x = np.zeros(1, np.int32)
    least = ir.const(-(2**31), INT)
    assert run_map(device, lambda a: ir.apply("ADD", big, big), x)[0] == -2
    assert run_map(device, lambda a: ir.apply("MAX", a, least), x)[0] == 0
    assert run_map(device, lambda a: ir.apply("ADD", a, least), x)[0] == -(2**31)
    assert run_map(device, lambda a: ir.apply("NEG", least), x)[0] == -(2**31)
    huge = ir.const(3e38, FLOAT)
    assert np.isinf(run_map(device, lambda a: ir.apply("MUL", huge, huge), x)[0])
    cast = run_map(device, lambda a: ir.apply("CAST", huge, dtype=dtypes.bool_), x)
    assert cast[0]


@pytest.mark.parametrize("name", EVERY_DTYPE[2:])
@pytest.mark.parametrize("op", ["ADD", "MUL", "MAX", "AND", "OR", "XOR", "LT", "EQ", "IDIV", "MOD"])
def test_integer_pairs(device: WebGpuDevice, op: str, name: str) -> None:
    if name == "bool" and op in ("IDIV", "MOD"):
        pytest.skip("no division of bools")
    x, y = sample(name, 500, 1), sample(name, 500, 2)
    if name != "bool":
        x[:300], y[:300] = x[:300] % 50, y[:300] % 7
        if np.dtype(name).kind == "i":
            x[100:300] -= 25
            y[100:300] -= 3
    if op in ("IDIV", "MOD"):
        y[y == 0] = 1
    functions = {
        "ADD": np.add, "MUL": np.multiply, "MAX": np.maximum, "AND": np.bitwise_and,
        "OR": np.bitwise_or, "XOR": np.bitwise_xor, "LT": np.less, "EQ": np.equal,
        "IDIV": np.floor_divide, "MOD": np.remainder,
    }  # fmt: skip
    with np.errstate(all="ignore"):
        expected = functions[op](x, y)
    if name == "int64" and op in ("ADD", "MUL"):
        expected = expected.astype(np.int32).astype(np.int64)  # as it is carried
    actual = run_map(device, lambda a, b: ir.apply(op, a, b), x, y)
    assert actual.dtype == expected.dtype
    assert np.array_equal(actual, expected)


@pytest.mark.parametrize("name", ["int64", "int32", "int16", "int8", "uint32", "uint8"])
@pytest.mark.parametrize("op", ["SHL", "SHR", "NEG"])
def test_shifts(device: WebGpuDevice, op: str, name: str) -> None:
    x = sample(name, 200)
    amount = (np.arange(200) % min(32, 8 * np.dtype(name).itemsize)).astype(name)
    functions = {"SHL": np.left_shift, "SHR": np.right_shift, "NEG": lambda a, b: np.negative(a)}
    expected = functions[op](x, amount)
    if name == "int64":
        expected = expected.astype(np.int32).astype(np.int64)
    parts = (lambda a, b: ir.apply(op, a)) if op == "NEG" else (lambda a, b: ir.apply(op, a, b))
    assert np.array_equal(run_map(device, parts, x, amount), expected)


@pytest.mark.parametrize("source", EVERY_DTYPE)
@pytest.mark.parametrize("target", EVERY_DTYPE)
def test_casts(device: WebGpuDevice, source: str, target: str) -> None:
    x = sample(source, 200)
    if np.dtype(source).kind == "f":
        x = (x * 20).astype(source)
        if np.dtype(target).kind == "u":
            x = np.abs(x)
    if target == "float16" and source not in ("float32", "float16"):
        x = (x % 100).astype(source)
    expected = x.astype(target)
    if (source, target) == ("uint32", "int64"):
        expected = x.astype(np.int32).astype(np.int64)
    kind = dtypes.DTYPES[target]
    actual = run_map(device, lambda a: ir.apply("CAST", a, dtype=kind), x)
    assert np.array_equal(actual, expected)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("float32", "int32"),
        ("float32", "uint32"),
        ("int32", "float32"),
        ("uint32", "int32"),
        ("uint8", "int8"),
        ("int8", "uint8"),
        ("float16", "int16"),
        ("int16", "float16"),
    ],
)
def test_bitcasts(device: WebGpuDevice, source: str, target: str) -> None:
    x = sample(source, 100)
    if target == "float16":
        x = sample("float16", 100).view(np.int16)
    kind = dtypes.DTYPES[target]
    actual = run_map(device, lambda a: ir.apply("BITCAST", a, dtype=kind), x)
    assert np.array_equal(actual, x.view(target))


def test_float16_rounds_after_each_operation(device: WebGpuDevice) -> None:
    if device.supports(dtypes.float16):
        pytest.skip("the adapter has no float16")
    x, y = sample("float16", 300, 1), sample("float16", 300, 2)
    actual = run_map(device, lambda a, b: ir.apply("MUL", ir.apply("ADD", a, b), b), x, y)
    assert np.array_equal(actual, (x + y) * y)


def test_scalars_and_where(device: WebGpuDevice) -> None:
    x = np.arange(6, dtype=np.float32)
    scalars = ((2.5, FLOAT), (True, dtypes.bool_), (-3, dtypes.int64), (7, dtypes.uint8))

    def build(a: Value, f: Value, b: Value, n: Value, u: Value) -> Value:
        total = ir.apply("MUL", a, f)
        for each in (n, u):
            total = ir.apply("ADD", total, ir.apply("CAST", each, dtype=FLOAT))
        return ir.apply("WHERE", b, total, ir.const(float("nan"), FLOAT))

    assert np.array_equal(run_map(device, build, x, scalars=scalars), x * 2.5 + 4)


def row_kernel(rows: int, columns: int) -> Kernel:
    """Softmax of rows: two folds and a loop of stores."""
    row = Axis(rows)

    def at(column: Axis) -> Value:
        index = ir.index_add(ir.index_multiply(ir.axis(row), columns), ir.axis(column))
        return ir.load(0, FLOAT, index)

    first, second, third = Axis(columns), Axis(columns), Axis(columns)
    most = Fold((first,), "max", at(first), FLOAT)

    def shifted(column: Axis) -> Value:
        minus = ir.apply("NEG", ir.result(most))
        return ir.apply("EXP", ir.apply("ADD", at(column), minus))

    total = Fold((second,), "add", shifted(second), FLOAT)
    index = ir.index_add(ir.index_multiply(ir.axis(row), columns), ir.axis(third))
    store = Store(1, index, ir.apply("DIV", shifted(third), ir.result(total)))
    size = rows * columns
    return Kernel(
        "softmax",
        (row,),
        (most, total, Loop((third,), (store,))),
        (Parameter(FLOAT, size, False), Parameter(FLOAT, size, True)),
    )


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (130, 17), (2, 1000), (0, 4)])
def test_softmax_rows(device: WebGpuDevice, shape: tuple[int, int]) -> None:
    x = sample("float32", math.prod(shape)).reshape(shape)
    program = program_of(row_kernel(*shape), [shape, shape])
    (out,) = device.compile(program).run([upload(device, x)], [])
    expected = np.exp(x - x.max(1, keepdims=True, initial=-np.inf))
    expected /= expected.sum(1, keepdims=True)
    assert np.allclose(device.to_numpy(out), expected, rtol=1e-5, atol=1e-7)


def fold_kernel(shape: tuple[int, ...], keep: int, kind: str, dtype: DType) -> Kernel:
    """A fold over the axes of `shape` from number `keep` on."""
    axes = [Axis(extent) for extent in shape]
    index = ir.const(0)
    for each in axes:
        index = ir.index_add(ir.index_multiply(index, each.extent), ir.axis(each))
    fold = Fold(tuple(axes[keep:]), kind, ir.load(0, dtype, index), dtype)
    place = ir.const(0)
    for each in axes[:keep]:
        place = ir.index_add(ir.index_multiply(place, each.extent), ir.axis(each))
    return Kernel(
        "fold",
        tuple(axes[:keep]),
        (fold, Store(1, place, ir.result(fold))),
        (
            Parameter(dtype, math.prod(shape), False),
            Parameter(dtype, math.prod(shape[:keep]), True),
        ),
    )


@pytest.mark.parametrize("name", ["float32", "int32", "uint8", "bool", "int64"])
@pytest.mark.parametrize("kind", ["add", "mul", "max"])
@pytest.mark.parametrize(
    ("shape", "keep"), [((7,), 0), ((3, 4, 5), 1), ((4, 1000), 1), ((5000,), 0), ((2, 3, 400), 1)]
)
def test_folds(
    device: WebGpuDevice, shape: tuple[int, ...], keep: int, kind: str, name: str
) -> None:
    x = sample(name, math.prod(shape)).reshape(shape)
    if kind == "mul" and name == "float32":
        x = (1 + x * 1e-3).astype(name)
    if name == "int64":
        x %= 3
    functions = {"add": np.add, "mul": np.multiply, "max": np.maximum}
    axes = tuple(range(keep, len(shape)))
    expected = functions[kind].reduce(x, axis=axes, dtype=x.dtype)
    if name == "int64":
        expected = expected.astype(np.int32)
    program = program_of(fold_kernel(shape, keep, kind, dtypes.DTYPES[name]), [shape, shape[:keep]])
    (out,) = device.compile(program).run([upload(device, x)], [])
    actual = device.to_numpy(out)
    if name == "float32":
        assert np.allclose(actual, expected, rtol=1e-5, atol=1e-4)
    else:
        assert np.array_equal(actual, expected)


def test_max_fold_keeps_nan_and_infinity(device: WebGpuDevice) -> None:
    x = np.full((4, 6), -np.inf, np.float32)
    x[1, 3] = np.nan
    x[2, 0] = np.inf
    x[3, 5] = -2
    program = program_of(fold_kernel((4, 6), 1, "max", FLOAT), [(4, 6), (4,)])
    (out,) = device.compile(program).run([upload(device, x)], [])
    expected = [-np.inf, np.nan, np.inf, -2]
    assert np.array_equal(device.to_numpy(out), expected, equal_nan=True)


def test_sum_of_nothing(device: WebGpuDevice) -> None:
    program = program_of(fold_kernel((3, 0), 1, "add", FLOAT), [(3, 0), (3,)])
    (out,) = device.compile(program).run([upload(device, np.zeros((3, 0), np.float32))], [])
    assert device.to_numpy(out).tolist() == [0, 0, 0]


@pytest.mark.parametrize("kind", ["add", "mul", "max"])
def test_scan(device: WebGpuDevice, kind: str) -> None:
    row, step = Axis(3), Axis(50)
    index = ir.index_add(ir.index_multiply(ir.axis(row), 50), ir.axis(step))
    x = sample("int32", 150).reshape(3, 50) % 5
    fold = Fold((step,), kind, ir.load(0, INT, index), INT)
    fold.body = (Store(1, index, ir.result(fold)),)
    parameters = (Parameter(INT, 150, False), Parameter(INT, 150, True))
    kernel = Kernel("scan", (row,), (fold,), parameters)
    (out,) = device.compile(program_of(kernel, [(3, 50)] * 2)).run([upload(device, x)], [])
    functions = {"add": np.add, "mul": np.multiply, "max": np.maximum}
    expected = functions[kind].accumulate(x, axis=1, dtype=np.int32)
    assert np.array_equal(device.to_numpy(out), expected)


@pytest.mark.parametrize("combine", [None, "add", "mul", "max"])
def test_scatter_in_place(device: WebGpuDevice, combine: str | None) -> None:
    """Loop of combining stores through an index, into an aliased input; bad indices are checked."""
    column, step = Axis(4), Axis(9)
    where = ir.load(1, dtypes.int64, ir.axis(step))
    inside = ir.apply(
        "AND",
        ir.apply("LT", ir.const(-1), where),
        ir.apply("LT", where, ir.const(5)),
    )
    source = ir.index_add(ir.index_multiply(ir.axis(step), 4), ir.axis(column))
    place = ir.index_add(ir.index_multiply(where, 4), ir.axis(column))
    store = Store(3, place, ir.load(2, FLOAT, source), inside, combine)
    kernel = Kernel(
        "scatter",
        (column,),
        (Loop((step,), (Check(inside, 3, where), store)),),
        (
            Parameter(FLOAT, 20, False),
            Parameter(dtypes.int64, 9, False),
            Parameter(FLOAT, 36, False),
            Parameter(FLOAT, 20, True),
        ),
    )
    errors = {3: ("IndexError", "index {detail} is out of range", ("user.py", 12))}
    program = program_of(kernel, [(5, 4), (9,), (9, 4), (5, 4)], aliases={3: 0}, errors=errors)
    base, value = sample("float32", 20).reshape(5, 4), sample("float32", 36, 3).reshape(9, 4)
    index = np.array([0, 3, 3, 1, 0, 0, 4, 4, 3])
    target = upload(device, base)
    executable = device.compile(program)
    (out,) = executable.run([target, upload(device, index), upload(device, value)], [])
    assert out is target
    expected = base.copy()
    functions = {"add": np.add, "mul": np.multiply, "max": np.maximum}
    for number, row in zip(index, value, strict=True):
        expected[number] = row if combine is None else functions[combine](expected[number], row)
    assert np.array_equal(device.to_numpy(out), expected)
    bad = index.copy()
    bad[2], bad[5] = 7, -2
    inputs = [upload(device, base), upload(device, bad), upload(device, value)]
    with pytest.raises(IndexError, match=r"index -2 is out of range.*user\.py:12"):
        executable.run(inputs, [])
    inputs[1] = upload(device, index)  # the record is clear again
    executable.run(inputs, [])


def test_guarded_loads(device: WebGpuDevice) -> None:
    """Padding: outside of the valid range nothing is read and the value is zero."""
    point = Axis(8)
    index = ir.index_add(ir.axis(point), ir.const(-2))
    valid = ir.apply("AND", ir.apply("LT", ir.const(-1), index), ir.apply("LT", index, ir.const(4)))
    value = ir.load(0, FLOAT, index, valid)
    kernel = Kernel(
        "pad",
        (point,),
        (Store(1, ir.axis(point), value, ir.apply("LT", ir.axis(point), ir.const(8))),),
        (Parameter(FLOAT, 4, False), Parameter(FLOAT, 8, True)),
    )
    x = np.array([5, 6, 7, 8], np.float32)
    (out,) = device.compile(program_of(kernel, [(4,), (8,)])).run([upload(device, x)], [])
    assert device.to_numpy(out).tolist() == [0, 0, 5, 6, 7, 8, 0, 0]


def test_more_workgroups_than_one_dimension_holds(device: WebGpuDevice) -> None:
    size = 65535 * 64 + 1000
    x = np.arange(size, dtype=np.int32)
    assert np.array_equal(run_map(device, lambda a: ir.apply("ADD", a, a), x), x * 2)


def test_two_outputs_in_place_read_before_they_are_written(device: WebGpuDevice) -> None:
    """(x, y) -> (x + y, x - y) in place: both read the old values."""
    point = Axis(10)
    index = ir.axis(point)

    def read(number: int) -> Value:
        return ir.load(number, INT, index)

    parameters = [Parameter(INT, 10, written) for written in (False, False, True, True)]
    kernel = Kernel(
        "swap",
        (point,),
        (
            Store(2, index, ir.apply("ADD", read(0), read(1))),
            Store(3, index, ir.apply("ADD", read(0), ir.apply("NEG", read(1)))),
        ),
        tuple(parameters),
    )
    x, y = sample("int32", 10, 1), sample("int32", 10, 2)
    program = program_of(kernel, [(10,)] * 4, aliases={2: 0, 3: 1})
    first, second = device.compile(program).run([upload(device, x), upload(device, y)], [])
    assert np.array_equal(device.to_numpy(first), x + y)
    assert np.array_equal(device.to_numpy(second), x - y)


@pytest.mark.parametrize("name", ["float32", "int32", "uint8", "bool", "float16", "int64"])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("shape", [(3, 1, 2), (2, 7, 3), (1, 1000, 1), (4, 513, 1)])
@pytest.mark.parametrize("some", [False, True])
def test_sort(
    device: WebGpuDevice, shape: tuple[int, int, int], descending: bool, name: str, some: bool
) -> None:
    before, length, after = shape
    x = sample(name, math.prod(shape)).reshape(shape)
    if name != "bool" and name[0] != "f":
        x %= 50
    if name == "float32":
        x = np.round(x, 1) + np.float32(0)
        x[0, 0, 0] = np.nan
        x[-1, -1, -1] = -np.inf
    outer, along, inner = Axis(before), Axis(length), Axis(after)
    dtype = dtypes.DTYPES[name]

    def flat(*parts: tuple[Axis, int]) -> Value:
        total = ir.const(0)
        for axis, stride in parts:
            total = ir.index_add(total, ir.index_multiply(ir.axis(axis), stride))
        return total

    first, count = (length // 3, 1 + length // 2) if some else (0, length)
    row = flat((outer, length * after), (inner, 1))
    out = flat((outer, count * after), (inner, 1))
    source = ir.load(0, dtype, ir.index_add(row, flat((along, after))))
    scratch = flat((outer, after * 2 * length), (inner, 2 * length))
    sort = ir.Sort(along, source, descending, first, count, 1, 2, out, ir.const(after), 3, scratch)
    size = x.size
    kernel = Kernel(
        "sort",
        (outer, inner),
        (sort,),
        (
            Parameter(dtype, size, False),
            Parameter(dtype, before * count * after, True),
            Parameter(dtypes.int64, before * count * after, True),
            Parameter(dtypes.int64, 2 * size, True),
        ),
    )
    result = (before, count, after)
    program = program_of(kernel, [shape, result, result, (2 * size,)])
    values, indices, _ = device.compile(program).run([upload(device, x)], [])
    expected = numpy_reference.sort((1, descending, first, count), (), x)
    assert np.array_equal(device.to_numpy(indices), expected[1])
    assert np.array_equal(device.to_numpy(values), expected[0], equal_nan=name[0] == "f")


@pytest.mark.parametrize("columns", [5, 200, 3000])
def test_workgroups_that_share_rows(device: WebGpuDevice, columns: int) -> None:
    """The same kernel, one thread a row and one workgroup a row."""
    kernel = row_kernel(5, columns)
    x = sample("float32", 5 * columns).reshape(5, columns)
    results = []
    for most_points in (0, 8192):
        table = lower(program_of(kernel, [x.shape] * 2), most_points)
        assert isinstance(table.steps[0], Step)
        assert ("workgroupBarrier" in table.steps[0].wgsl) == (most_points > 0 and columns > 100)
        (out,) = device._executable(table).run([upload(device, x)], [])
        results.append(device.to_numpy(out))
    assert np.allclose(*results, rtol=1e-5, atol=1e-7)


def matmul_kernel(batch: int, m: int, k: int, n: int, turned: bool, split: int) -> Kernel:
    """(batch, m, k) · (batch, k, n) · 2 + row number; `turned`: the left one lies as (k, m)."""
    axes = [Axis(each) for each in (batch, m, n)]
    outer, inner = Axis(k // split), Axis(split)
    b, i, j = (ir.axis(each) for each in axes)
    step = ir.index_add(ir.index_multiply(ir.axis(outer), split), ir.axis(inner))

    def place(*parts: tuple[Value, int]) -> Value:
        total = ir.const(0)
        for value, stride in parts:
            total = ir.index_add(total, ir.index_multiply(value, stride))
        return total

    left = place((b, m * k), (i, 1), (step, m)) if turned else place((b, m * k), (i, k), (step, 1))
    # the last row of the right factor is padding
    valid = ir.apply("LT", step, ir.const(k - 1))
    right = ir.load(1, FLOAT, place((b, k * n), (step, n), (j, 1)), valid)
    fold = Fold((outer, inner), "add", ir.apply("MUL", ir.load(0, FLOAT, left), right), FLOAT)
    row = ir.apply("CAST", i, dtype=FLOAT)
    value = ir.apply("ADD", ir.apply("MUL", ir.result(fold), ir.const(2.0, FLOAT)), row)
    store = Store(2, place((b, m * n), (i, n), (j, 1)), value)
    return Kernel(
        "matmul",
        tuple(axes),
        (fold, store),
        (
            Parameter(FLOAT, batch * m * k, False),
            Parameter(FLOAT, batch * k * n, False),
            Parameter(FLOAT, batch * m * n, True),
        ),
    )


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("most_points", [16, 8192])
@pytest.mark.parametrize(
    ("batch", "m", "k", "n", "split"),
    [
        (1, 64, 16, 64, 1),
        (1, 65, 33, 70, 3),
        (3, 33, 9, 40, 1),
        (2, 100, 1000, 20, 10),
        (1, 8, 40, 200, 5),
        (1, 3, 2000, 2, 1),
    ],
)
def test_matmul(
    device: WebGpuDevice,
    batch: int,
    m: int,
    k: int,
    n: int,
    split: int,
    most_points: int,
    turned: bool,
) -> None:
    kernel = matmul_kernel(batch, m, k, n, turned, split)
    x, y = sample("float32", batch * m * k, 1), sample("float32", batch * k * n, 2)
    x, y = x.reshape((batch, k, m) if turned else (batch, m, k)), y.reshape(batch, k, n)
    table = lower(program_of(kernel, [x.shape, y.shape, (batch, m, n)]), most_points)
    assert isinstance(table.steps[0], Step)
    assert ("left_tile" in table.steps[0].wgsl) == (m * n >= 1024)
    (out,) = device._executable(table).run([upload(device, x), upload(device, y)], [])
    wide = (x.transpose(0, 2, 1) if turned else x).astype(np.float64)
    right = y.astype(np.float64)
    right[:, -1] = 0
    expected = wide @ right * 2 + np.arange(m)[:, None]
    assert np.allclose(device.to_numpy(out), expected, rtol=1e-5, atol=1e-3)


def copy_kernel(size: int) -> Kernel:
    point = Axis(size)
    index = ir.axis(point)
    value = ir.apply("ADD", ir.load(0, FLOAT, index), ir.const(1.0, FLOAT))
    parameters = (Parameter(FLOAT, size, False), Parameter(FLOAT, size, True))
    return Kernel("increment", (point,), (Store(1, index, value),), parameters)


def chain(length: int, size: int = 100) -> Program:
    """x + 1 + 1 …: `length` launches through temporaries."""
    kind = tensor_type((size,), FLOAT)
    slots = [Slot(kind, "input"), *[Slot(kind, "temporary") for _ in range(length - 1)]]
    slots.append(Slot(kind, "output"))
    launches: list[Launch | HostCall] = [
        Launch(copy_kernel(size), (number, number + 1)) for number in range(length)
    ]
    return Program(slots, launches, (), (0,), (length,))


def test_temporaries_share_memory_and_pipelines_are_cached(device: WebGpuDevice) -> None:
    before = dataclasses.replace(STATISTICS)
    executable = device.compile(chain(10, 101))
    assert len(executable.table.shared) == 2
    assert STATISTICS.compiled - before.compiled == 1
    assert STATISTICS.memory_hits - before.memory_hits == 9
    x = np.arange(101, dtype=np.float32)
    for _ in range(3):
        (out,) = executable.run([upload(device, x)], [])
        assert np.array_equal(device.to_numpy(out), x + 10)


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Buffers that earlier tests left in reference cycles come back now, not in the middle."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
def test_steady_state_reuses_buffers_and_bind_groups(device: WebGpuDevice) -> None:
    executable = device.compile(chain(4))
    x = upload(device, np.zeros(100, np.float32))
    for _ in range(5):
        (x,) = executable.run([x], [])
    groups = [len(each) for each in executable._groups]
    allocated = device.pool.allocated
    for _ in range(20):
        (x,) = executable.run([x], [])
    assert device.to_numpy(x)[0] == 100
    assert [len(each) for each in executable._groups] == groups
    assert device.pool.allocated == allocated


def test_one_buffer_as_two_inputs_one_written(device: WebGpuDevice) -> None:
    point = Axis(5)
    index = ir.axis(point)
    value = ir.apply("ADD", ir.load(0, FLOAT, index), ir.load(1, FLOAT, index))
    kernel = Kernel(
        "add",
        (point,),
        (Store(2, index, value),),
        tuple(Parameter(FLOAT, 5, written) for written in (False, False, True)),
    )
    x = upload(device, np.arange(5, dtype=np.float32))
    (out,) = device.compile(program_of(kernel, [(5,)] * 3, aliases={2: 0})).run([x, x], [])
    assert out is x
    assert device.to_numpy(out).tolist() == [0, 2, 4, 6, 8]


def test_serialize(device: WebGpuDevice) -> None:
    executable = device.compile(chain(3))
    data = executable.serialize()
    assert data is not None
    json.loads(data.partition(b"\n")[2])
    again = device.deserialize(data)
    assert again is not None
    x = np.ones(100, np.float32)
    assert np.array_equal(device.to_numpy(again.run([upload(device, x)], [])[0]), x + 3)
    assert device.deserialize(data[:-5]) is None
    assert device.deserialize(b"") is None


def test_too_large_a_binding(device: WebGpuDevice) -> None:
    big = tensor_type((2**25 + 1,), FLOAT)
    with pytest.raises(RuntimeError, match="binds at most 134217728 bytes"):
        device.allocate(big)


def test_pool_trim_drops_bind_groups(device: WebGpuDevice) -> None:
    executable = device.compile(chain(3))
    executable.run([upload(device, np.zeros(100, np.float32))], [])
    assert any(executable._groups)
    device.pool.trim()
    assert not any(executable._groups)
    (out,) = executable.run([upload(device, np.zeros(100, np.float32))], [])
    assert device.to_numpy(out)[0] == 3


def _use_after_fork(device: WebGpuDevice, queue: Any) -> None:
    try:
        device.from_numpy(np.zeros(1, np.float32), tensor_type((1,), FLOAT), True)
        queue.put("no error")
    except RuntimeError as error:
        queue.put(str(error))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_after_fork(device: WebGpuDevice) -> None:
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=_use_after_fork, args=(device, queue))
    process.start()
    assert "forked" in queue.get()
    process.join(10)


def test_rejected_code_is_shown(device: WebGpuDevice) -> None:
    step = Step("wrong", "fn main( {", "w", (1, 1), [0], [4], 0, -1, [])
    with pytest.raises(RuntimeError, match="does not accept the kernel wrong"):
        device.pipeline(step)


def test_information(device: WebGpuDevice) -> None:
    facts = device.information()
    assert {"adapter", "backend", "type", "limits"} <= set(facts)
    assert device.limits.buffers == 7
    device.synchronize()


def test_what_to_do_without_an_adapter(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gpu:
        @staticmethod
        def enumerate_adapters_sync() -> list[Any]:
            return []

    class Wgpu:
        gpu = Gpu

    with pytest.raises(RuntimeError, match="no WebGPU adapter was found: install a Vulkan driver"):
        adapter._choose(Wgpu)
    monkeypatch.setitem(sys.modules, "wgpu", None)
    with pytest.raises(RuntimeError, match="pip install wgpu"):
        adapter._import()
