"""The cpu device on hand-built kernels, against numpy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from flambeau.device.cpu import CpuDevice
from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DTYPES, DType
from flambeau.graph.node import tensor_type
from flambeau.kernel import ir
from flambeau.kernel.ir import Axis, Check, Fold, Kernel, Loop, Parameter, Sort, Store, Value
from flambeau.kernel.program import Launch, Program, Slot

f32, f64, i64, b8 = dtypes.float32, dtypes.float64, dtypes.int64, dtypes.bool_
REAL = sorted(name for name, each in DTYPES.items() if not each.is_complex)
EXTENTS = (0, 1, 2, 3, 15, 16, 17, 63, 65, 100, 1000)


@pytest.fixture(scope="module")
def device() -> Any:
    return CpuDevice()


def run_kernel(
    device: Any,
    domain: tuple[Axis, ...],
    body: tuple[Any, ...],
    arrays: list[Any],
    written: set[int],
    scalars: tuple[tuple[DType, Any], ...] = (),
    errors: Any = None,
) -> list[Any]:
    """Run one launch; written arrays start as copies of what is given, and are returned."""
    types = [tensor_type(x.shape, dtypes.from_numpy(x.dtype)) for x in arrays]
    parameters = tuple(
        Parameter(t.dtype, t.size, number in written) for number, t in enumerate(types)
    )
    kernel = Kernel("test", domain, body, parameters, tuple(d for d, _ in scalars))
    slots = [Slot(t, "input") for t in types]
    place = []
    for number in range(len(arrays)):
        if number in written:
            slots.append(Slot(types[number], "output", alias=number))
            place.append(len(slots) - 1)
        else:
            place.append(number)
    launch = Launch(
        kernel, tuple(place), tuple(range(len(scalars))), (("user.py", 7),), errors or {}
    )
    program = Program(
        slots,
        [launch],
        tuple(d for d, _ in scalars),
        tuple(range(len(arrays))),
        tuple(range(len(arrays), len(slots))),
    )
    buffers = [device.from_numpy(x, t, True) for x, t in zip(arrays, types, strict=True)]
    results = device.compile(program).run(buffers, [v for _, v in scalars])
    return [device.to_numpy(each).copy() for each in results]


def flat(*parts: tuple[Axis, int]) -> Value:
    total = ir.const(0)
    for axis, stride in parts:
        total = ir.index_add(total, ir.index_multiply(ir.axis(axis), stride))
    return total


def sample(dtype: DType, n: int, seed: int = 0) -> Any:
    random = np.random.default_rng(seed)
    if dtype is b8:
        return random.integers(0, 2, n).astype(bool)
    if dtype.is_floating_point:
        return (random.standard_normal(n) * 3).astype(dtype.numpy)
    low = -90 if dtype.is_signed else 0
    return random.integers(low, 100, n).astype(dtype.numpy)


def unary(device: Any, op: str, x: Any, dtype: DType | None = None) -> Any:
    """The operation on a flat array, through a map kernel."""
    a = Axis(x.size)
    source = dtypes.from_numpy(x.dtype)
    value = ir.apply(op, ir.load(0, source, ir.axis(a)), dtype=dtype)
    out = np.zeros(x.size, (dtype or source).numpy)
    (result,) = run_kernel(device, (a,), (Store(1, ir.axis(a), value),), [x, out], {1})
    return result


def binary(device: Any, op: str, x: Any, y: Any) -> Any:
    a = Axis(x.size)
    d = dtypes.from_numpy(x.dtype)
    value = ir.apply(op, ir.load(0, d, ir.axis(a)), ir.load(1, d, ir.axis(a)))
    out = np.zeros(x.size, value.dtype.numpy)
    (result,) = run_kernel(device, (a,), (Store(2, ir.axis(a), value),), [x, y, out], {2})
    return result


@pytest.mark.parametrize("n", EXTENTS)
@pytest.mark.parametrize("name", REAL)
def test_add_of_every_dtype_and_extent(device: Any, name: str, n: int) -> None:
    dtype = DTYPES[name]
    x, y = sample(dtype, n), sample(dtype, n, 1)
    np.testing.assert_array_equal(binary(device, "ADD", x, y), np.add(x, y))


FLOAT_OPS = {"MUL": np.multiply, "DIV": np.divide, "MAX": np.maximum, "LT": np.less, "EQ": np.equal}


@pytest.mark.parametrize("op", sorted(FLOAT_OPS))
@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_floating_arithmetic_with_special_values(device: Any, name: str, op: str) -> None:
    special = [0.0, -0.0, 1.0, -2.5, np.inf, -np.inf, np.nan, 1e-7, 6e4]
    pairs = np.array(list(itertools.product(special, special)))
    kind = DTYPES[name].numpy
    x, y = pairs[:, 0].astype(kind), pairs[:, 1].astype(kind)
    with np.errstate(all="ignore"):
        expected = FLOAT_OPS[op](x, y)
    got = binary(device, op, x, y)
    np.testing.assert_array_equal(got.astype(float), expected.astype(float))


def test_a_sum_with_a_product_is_rounded_once(device: Any) -> None:
    tiny = 2.0**-12
    x, y, z = (np.array([each], np.float32) for each in (1 + tiny, 1 - tiny, -1))
    a = Axis(1)
    value = ir.apply("FMA", *[ir.load(number, f32, ir.axis(a)) for number in range(3)])
    body = (Store(3, ir.axis(a), value),)
    (result,) = run_kernel(device, (a,), body, [x, y, z, np.empty(1, np.float32)], {3})
    assert result.item() == (-(tiny**2) if device.compiler.target.fused else 0)


INTEGER_OPS = {
    "MUL": np.multiply,
    "MAX": np.maximum,
    "LT": np.less,
    "EQ": np.equal,
    "AND": np.bitwise_and,
    "OR": np.bitwise_or,
    "XOR": np.bitwise_xor,
    "IDIV": np.floor_divide,
    "MOD": np.remainder,
}


@pytest.mark.parametrize("op", sorted(INTEGER_OPS))
@pytest.mark.parametrize("name", ["uint8", "int8", "int16", "int32", "uint32", "int64"])
def test_integer_arithmetic_with_extremes(device: Any, name: str, op: str) -> None:
    info = np.iinfo(DTYPES[name].numpy)
    values = [info.min, info.max, 0, 1, 2, 7, info.max // 2, 3]
    values += [-1, -3, info.min + 1] if info.min else []
    pairs = np.array(list(itertools.product(values, values)), dtype=info.dtype)
    if op in ("IDIV", "MOD"):
        pairs = pairs[pairs[:, 1] != 0]
    x, y = np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])
    with np.errstate(all="ignore"):
        expected = INTEGER_OPS[op](x, y)
    np.testing.assert_array_equal(binary(device, op, x, y), expected)


@pytest.mark.parametrize("name", ["uint8", "int8", "int16", "int32", "uint32", "int64"])
def test_shifts(device: Any, name: str) -> None:
    kind = DTYPES[name].numpy
    bits = kind.itemsize * 8
    x = np.repeat(sample(DTYPES[name], 10), bits)
    y = np.tile(np.arange(bits), 10).astype(kind)
    np.testing.assert_array_equal(binary(device, "SHL", x, y), np.left_shift(x, y))
    np.testing.assert_array_equal(binary(device, "SHR", x, y), np.right_shift(x, y))


def test_integer_division_by_zero_is_an_error(device: Any) -> None:
    x, y = np.arange(40), np.arange(40) % 7
    with pytest.raises(RuntimeError, match=r"ZeroDivisionError.*\(at user.py:7\)"):
        binary(device, "IDIV", x, y)
    np.testing.assert_array_equal(binary(device, "IDIV", x, y + 1), x // (y + 1))


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_float_modulo_is_numpy_remainder(device: Any, name: str) -> None:
    special = [0.0, -0.0, 1.0, -2.5, 3.25, np.inf, -np.inf, np.nan, 1e-7, 6e20, -7.0]
    pairs = np.array(list(itertools.product(special, special))).astype(name)
    with np.errstate(all="ignore"):
        expected = np.remainder(pairs[:, 0], pairs[:, 1])
    got = binary(device, "MOD", pairs[:, 0].copy(), pairs[:, 1].copy())
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(np.signbit(got), np.signbit(expected))


@pytest.mark.parametrize("source", REAL)
@pytest.mark.parametrize("target", REAL)
def test_cast_between_all_dtypes(device: Any, source: str, target: str) -> None:
    x = sample(DTYPES[source], 37)
    if DTYPES[source].is_floating_point and not DTYPES[target].is_signed:
        x = np.abs(x)
    got = unary(device, "CAST", x, DTYPES[target])
    np.testing.assert_array_equal(got, x.astype(DTYPES[target].numpy))


def test_cast_of_what_does_not_fit_is_no_crash(device: Any) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30], np.float32)
    for target in ("int8", "int32", "int64", "uint32"):
        assert unary(device, "CAST", x, DTYPES[target]).shape == (5,)
    np.testing.assert_array_equal(unary(device, "CAST", x, b8), [True] * 5)


def test_float64_to_16_bits_rounds_once(device: Any) -> None:
    x = np.array([1 + 2**-11 + 2**-40, 1 + 2**-11, 1 + 3 * 2**-11, 65519.999, 65520.0, 1e-8, -6e-8])
    with np.errstate(over="ignore"):
        expected = x.astype(np.float16)
    np.testing.assert_array_equal(unary(device, "CAST", x, dtypes.float16), expected)


def test_bitcast(device: Any) -> None:
    x = sample(f32, 20)
    np.testing.assert_array_equal(unary(device, "BITCAST", x, dtypes.int32), x.view(np.int32))
    h = sample(dtypes.float16, 20)
    np.testing.assert_array_equal(unary(device, "BITCAST", h, dtypes.int16), h.view(np.int16))


@pytest.mark.parametrize("n", [1, 9, 1000])
def test_softmax_in_one_kernel(device: Any, n: int) -> None:
    x = sample(f32, 7 * n).reshape(7, n)
    row = Axis(7)
    axes = [Axis(n) for _ in range(3)]
    place = [flat((row, n), (each, 1)) for each in axes]
    greatest = Fold((axes[0],), "max", ir.load(0, f32, place[0]), f32)

    def weight(at: Value) -> Value:
        shifted = ir.apply("ADD", ir.load(0, f32, at), ir.apply("NEG", ir.result(greatest)))
        return ir.apply("EXP", shifted)

    total = Fold((axes[1],), "add", weight(place[1]), f32)
    share = ir.apply("DIV", weight(place[2]), ir.result(total))
    body = (greatest, total, Loop((axes[2],), (Store(1, place[2], share),)))
    (got,) = run_kernel(device, (row,), body, [x, np.zeros_like(x)], {1})
    e = np.exp(x - x.max(1, keepdims=True), dtype=np.float64)
    np.testing.assert_allclose(got, e / e.sum(1, keepdims=True), rtol=1e-5)


FOLDS = {"add": np.add, "mul": np.multiply, "max": np.maximum}


@pytest.mark.parametrize("n", EXTENTS)
@pytest.mark.parametrize("kind", sorted(FOLDS))
@pytest.mark.parametrize("by", ["row", "column"])
def test_reductions(device: Any, n: int, kind: str, by: str) -> None:
    x = sample(f64, 5 * n).reshape(5, n) / 2
    outer, inner = (Axis(5), Axis(n)) if by == "row" else (Axis(n), Axis(5))
    strides = (n, 1) if by == "row" else (1, n)
    fold = Fold(
        (inner,), kind, ir.load(0, f64, flat((outer, strides[0]), (inner, strides[1]))), f64
    )
    body = (fold, Store(1, ir.axis(outer), ir.result(fold)))
    (got,) = run_kernel(device, (outer,), body, [x, np.zeros(outer.extent)], {1})
    axis = 1 if by == "row" else 0
    start = {"add": 0.0, "mul": 1.0, "max": -np.inf}[kind]
    np.testing.assert_allclose(got, FOLDS[kind].reduce(x, axis=axis, initial=start), rtol=1e-12)


@pytest.mark.parametrize("name", REAL)
def test_maximum_of_every_dtype(device: Any, name: str) -> None:
    x = sample(DTYPES[name], 100)
    inner = Axis(100)
    fold = Fold((inner,), "max", ir.load(0, DTYPES[name], ir.axis(inner)), DTYPES[name])
    body = (fold, Store(1, ir.const(0), ir.result(fold)))
    (got,) = run_kernel(device, (), body, [x, np.zeros(1, x.dtype)], {1})
    assert got[0] == x.max()


def test_maximum_of_nan_is_nan(device: Any) -> None:
    for n, at in itertools.product((5, 100), (0, 4)):
        x = sample(f32, n)
        x[at] = np.nan
        inner = Axis(n)
        fold = Fold((inner,), "max", ir.load(0, f32, ir.axis(inner)), f32)
        body = (fold, Store(1, ir.const(0), ir.result(fold)))
        (got,) = run_kernel(device, (), body, [x, np.zeros(1, np.float32)], {1})
        assert np.isnan(got[0])


def test_fold_over_two_axes_without_points_is_the_identity(device: Any) -> None:
    fold = Fold((Axis(3), Axis(0)), "add", ir.const(1.0, f32), f32)
    body = (fold, Store(0, ir.const(0), ir.result(fold)))
    (got,) = run_kernel(device, (), body, [np.ones(1, np.float32)], {0})
    assert got[0] == 0.0


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 20, 33), (40, 1, 7)])
def test_transposition_and_broadcast(device: Any, shape: tuple[int, int, int]) -> None:
    x = sample(f32, int(np.prod(shape))).reshape(shape)
    bias = sample(f32, shape[1], 3)
    a, b, c = (Axis(each) for each in shape)
    at = flat((a, shape[1] * shape[2]), (b, shape[2]), (c, 1))
    value = ir.apply("ADD", ir.load(0, f32, at), ir.load(1, f32, ir.axis(b)))
    out = flat((c, shape[0] * shape[1]), (a, shape[1]), (b, 1))
    result = np.zeros(shape[::-1], np.float32).reshape(shape[2], shape[0], shape[1])
    (got,) = run_kernel(device, (a, b, c), (Store(2, out, value),), [x, bias, result], {2})
    np.testing.assert_array_equal(got, (x + bias[:, None]).transpose(2, 0, 1))


def test_reversed_and_strided_reading(device: Any) -> None:
    x = sample(f32, 301)
    for n, start, step in ((100, 300, -1), (100, 299, -3), (150, 0, 2), (17, 16, -1)):
        a = Axis(n)
        at = ir.index_add(ir.index_multiply(ir.axis(a), step), ir.const(start))
        body = (Store(1, ir.axis(a), ir.load(0, f32, at)),)
        (got,) = run_kernel(device, (a,), body, [x, np.zeros(n, np.float32)], {1})
        np.testing.assert_array_equal(
            got, x[start : start + n * step if start + n * step >= 0 else None : step]
        )


@pytest.mark.parametrize("n", [5, 16, 100])
def test_masked_reading_is_zero_outside(device: Any, n: int) -> None:
    x = sample(f32, n)
    a = Axis(n + 6)
    at = ir.index_add(ir.axis(a), ir.const(-3))
    inside = ir.apply(
        "AND",
        ir.apply("LT", ir.const(-1), at),
        ir.apply("LT", at, ir.const(n)),
    )
    body = (Store(1, ir.axis(a), ir.load(0, f32, at, inside)),)
    (got,) = run_kernel(device, (a,), body, [x, np.ones(n + 6, np.float32)], {1})
    np.testing.assert_array_equal(got, np.pad(x, 3))


def test_masked_writing_leaves_the_rest(device: Any) -> None:
    x = sample(f32, 50)
    a = Axis(50)
    even = ir.apply("EQ", ir.index_modulo(ir.axis(a), 2), ir.const(0))
    body = (Store(1, ir.axis(a), ir.load(0, f32, ir.axis(a)), even),)
    (got,) = run_kernel(device, (a,), body, [x, np.full(50, 7, np.float32)], {1})
    np.testing.assert_array_equal(got, np.where(np.arange(50) % 2 == 0, x, 7))


def test_divided_indices(device: Any) -> None:
    x = sample(f32, 12)
    a = Axis(36)
    index = ir.index_add(
        ir.index_multiply(ir.index_divide(ir.axis(a), 9), 3), ir.index_modulo(ir.axis(a), 3)
    )
    body = (Store(1, ir.axis(a), ir.load(0, f32, index)),)
    (got,) = run_kernel(device, (a,), body, [x, np.zeros(36, np.float32)], {1})
    i = np.arange(36)
    np.testing.assert_array_equal(got, x[i // 9 * 3 + i % 3])


def test_gather_of_rows_and_error_with_the_users_line(device: Any) -> None:
    table = sample(f32, 10 * 33).reshape(10, 33)
    index = np.array([3, 0, 9, 9])
    r, c = Axis(4), Axis(33)
    place = ir.load(1, i64, ir.axis(r))
    good = ir.apply("AND", ir.apply("LT", ir.const(-1), place), ir.apply("LT", place, ir.const(10)))
    at = ir.index_add(ir.index_multiply(place, 33), ir.axis(c))
    value = ir.load(0, f32, at, good)
    body = (Check(good, 1, place), Store(2, flat((r, 33), (c, 1)), value))
    errors = {1: ("IndexError", "index {detail} is out of bounds", ("mine.py", 12))}
    out = np.zeros((4, 33), np.float32)
    (got,) = run_kernel(device, (r, c), body, [table, index, out], {2}, (), errors)
    np.testing.assert_array_equal(got, table[index])
    for bad in (10, -1):
        index[2] = bad
        with pytest.raises(IndexError, match=rf"index {bad} is out of bounds \(at mine.py:12\)"):
            run_kernel(device, (r, c), body, [table, index, out], {2}, (), errors)


@pytest.mark.parametrize("combine", [None, "add", "mul", "max"])
def test_scatter_is_in_order(device: Any, combine: str | None) -> None:
    target = sample(f32, 6 * 20).reshape(6, 20)
    index = np.array([1, 5, 1, 0, 1, 5])
    value = sample(f32, 6 * 20, 2).reshape(6, 20)
    c, r = Axis(20), Axis(6)
    place = ir.index_add(ir.index_multiply(ir.load(1, i64, ir.axis(r)), 20), ir.axis(c))
    store = Store(2, place, ir.load(0, f32, flat((r, 20), (c, 1))), None, combine)
    (got,) = run_kernel(device, (c,), (Loop((r,), (store,)),), [value, index, target], {2})
    expected = target.copy()
    for number, at in enumerate(index):
        old = expected[at]
        new = value[number]
        expected[at] = new if combine is None else FOLDS[combine](old, new)
    np.testing.assert_array_equal(got, expected)


def test_scatter_into_a_flat_array_keeps_the_order(device: Any) -> None:
    index = np.array([1, 5, 1, 0, 1, 5] * 8)
    value = sample(f32, 48)
    r = Axis(48)
    store = Store(2, ir.load(1, i64, ir.axis(r)), ir.load(0, f32, ir.axis(r)), None, "add")
    target = np.zeros(6, np.float32)
    (got,) = run_kernel(device, (), (Loop((r,), (store,)),), [value, index, target], {2})
    np.add.at(target, index, value)
    np.testing.assert_array_equal(got, target)


@pytest.mark.parametrize("rows_in_lanes", [False, True])
def test_scan(device: Any, rows_in_lanes: bool) -> None:
    shape = (50, 40)
    x = sample(f32, 2000).reshape(shape)
    r, c = Axis(50), Axis(40)
    outer, inner = (c, r) if rows_in_lanes else (r, c)
    at = flat((r, 40), (c, 1))
    fold = Fold((inner,), "add", ir.load(0, f32, at), f32)
    fold.body = (Store(1, at, ir.result(fold)),)
    (got,) = run_kernel(device, (outer,), (fold,), [x, np.zeros_like(x)], {1})
    axis = 0 if rows_in_lanes else 1
    np.testing.assert_array_equal(got, np.cumsum(x, axis=axis))


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("name", REAL)
def test_sort_is_stable(device: Any, name: str, descending: bool) -> None:
    dtype = DTYPES[name]
    x = np.concatenate([sample(dtype, 301), sample(dtype, 301)])
    if dtype.is_floating_point:
        x[[3, 50, 333]] = np.nan
        x[[10, 11, 12, 13]] = [0.0, -0.0, np.inf, -np.inf]
    n = 301
    x = x.reshape(2, n)
    row, axis = Axis(2), Axis(n)
    source = ir.load(0, dtype, flat((row, n), (axis, 1)))
    base = flat((row, n))
    body = (Sort(axis, source, descending, 0, n, 1, 2, base, ir.const(1), 3, flat((row, 2 * n))),)
    out = [np.zeros_like(x), np.zeros((2, n), np.int64), np.zeros(4 * n, np.int64)]
    values, indices, _ = run_kernel(device, (row,), body, [x, *out], {1, 2, 3})
    wide = x.astype(np.float64)
    order = [
        sorted(range(n), key=lambda k, r=r: (np.isnan(r[k]), 0 if np.isnan(r[k]) else r[k]))
        if not descending
        else sorted(
            range(n), key=lambda k, r=r: (not np.isnan(r[k]), 0 if np.isnan(r[k]) else -r[k])
        )
        for r in wide
    ]
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_array_equal(
        values.astype(float), np.take_along_axis(wide, np.array(order), 1)
    )


def test_runtime_scalars(device: Any) -> None:
    x = sample(f32, 30)
    a = Axis(20)
    at = ir.index_add(ir.axis(a), ir.scalar(1, i64))
    value = ir.apply("MUL", ir.load(0, f32, at), ir.scalar(0, f32))
    value = ir.apply("WHERE", ir.scalar(2, b8), value, ir.const(0.0, f32))
    for flag in (True, False):
        scalars = ((f32, 0.1), (i64, 7), (b8, flag))
        (got,) = run_kernel(
            device,
            (a,),
            (Store(1, ir.axis(a), value),),
            [x, np.zeros(20, np.float32)],
            {1},
            scalars,
        )
        np.testing.assert_array_equal(got, x[7:27] * np.float32(0.1) * flag)


def test_loads_from_a_written_buffer_are_in_order(device: Any) -> None:
    """p -= m·lr, m = m + g in one kernel, in place."""
    a = Axis(37)
    i = ir.axis(a)
    m = ir.apply("ADD", ir.load(1, f32, i), ir.load(2, f32, i))
    p = ir.apply("ADD", ir.load(0, f32, i), ir.apply("MUL", m, ir.const(-0.5, f32)))
    arrays = [sample(f32, 37, seed) for seed in range(3)]
    got = run_kernel(device, (a,), (Store(1, i, m), Store(0, i, p)), arrays, {0, 1})
    momentum = arrays[1] + arrays[2]
    np.testing.assert_array_equal(got[1], momentum)
    np.testing.assert_array_equal(got[0], arrays[0] + momentum * np.float32(-0.5))


@pytest.mark.parametrize("shape", [(16, 16), (40, 33), (100, 8), (9, 200), (64, 128)])
@pytest.mark.parametrize("name", ["float32", "int32", "float64", "int64", "int16"])
def test_turned_arrays(device: Any, shape: tuple[int, int], name: str) -> None:
    """x.T + y, whole and with what is left at the edges, under a third axis."""
    dtype = DTYPES[name]
    m, n = shape
    x, y = sample(dtype, 3 * m * n).reshape(3, n, m), sample(dtype, 3 * m * n, 1).reshape(3, m, n)
    b, i, j = Axis(3), Axis(m), Axis(n)
    here = flat((b, m * n), (i, n), (j, 1))
    there = flat((b, m * n), (j, m), (i, 1))
    value = ir.apply("ADD", ir.load(0, dtype, there), ir.load(1, dtype, here))
    body = (Store(2, here, value),)
    (got,) = run_kernel(device, (b, i, j), body, [x, y, np.zeros_like(y)], {2})
    np.testing.assert_array_equal(got, x.transpose(0, 2, 1) + y)
