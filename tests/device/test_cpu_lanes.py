"""Several axes in lanes, axes split where indices divide, sums side by side: against numpy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from flambeau.device.cpu import CpuDevice
from flambeau.device.cpu.compile import Compiler
from flambeau.device.cpu.prepare import prepared
from flambeau.device.cpu.render import Renderer
from flambeau.device.cpu.target import Target
from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType
from flambeau.kernel import ir
from flambeau.kernel.ir import Axis, Fold, Kernel, Loop, Parameter, Store, Value
from tests.device.test_cpu import flat, run_kernel, sample

f32, i64, b8 = dtypes.float32, dtypes.int64, dtypes.bool_
TARGET = Target(fused=True, native_half=True, vector_bytes=64, registers=32)
PLANES = [(2, 2), (4, 4), (8, 8), (6, 10), (14, 14), (2, 30), (28, 28), (34, 6), (10, 64)]


@pytest.fixture(scope="module")
def device() -> Any:
    return CpuDevice()


def half(axis: Axis) -> Value:
    return ir.index_divide(ir.axis(axis), 2)


def halved(channel: Value, rows: Axis, columns: Axis) -> Value:
    """Where a plane of half the height and width has the point."""
    row = ir.index_multiply(half(rows), columns.extent // 2)
    size = rows.extent * columns.extent // 4
    return ir.index_add(ir.index_multiply(channel, size), ir.index_add(row, half(columns)))


@pytest.mark.parametrize("name", ["float32", "int64", "bool", "float16", "float64"])
@pytest.mark.parametrize("plane", PLANES)
def test_each_element_four_times(device: Any, plane: tuple[int, int], name: str) -> None:
    h, w = plane
    dtype = dtypes.DTYPES[name]
    x = sample(dtype, 5 * h * w // 4)
    channels, rows, columns = Axis(5), Axis(h), Axis(w)
    value = ir.load(0, dtype, halved(ir.axis(channels), rows, columns))
    place = flat((channels, h * w), (rows, w), (columns, 1))
    out = np.zeros(5 * h * w, dtype.numpy)
    body = (Store(1, place, value),)
    (got,) = run_kernel(device, (channels, rows, columns), body, [x, out], {1})
    expected = x.reshape(5, h // 2, w // 2).repeat(2, 1).repeat(2, 2)
    np.testing.assert_array_equal(got.reshape(5, h, w), expected)


@pytest.mark.parametrize("plane", PLANES)
def test_the_greatest_of_four_and_where_it_was(device: Any, plane: tuple[int, int]) -> None:
    h, w = plane
    x = sample(f32, 3 * h * w)
    channels, rows, columns = Axis(3), Axis(h // 2), Axis(w // 2)
    corner = flat((channels, h * w), (rows, 2 * w), (columns, 2))

    def at(down: Axis, right: Axis) -> Value:
        return ir.load(0, f32, ir.index_add(corner, flat((down, w), (right, 1))))

    most_down, most_right = Axis(2), Axis(2)
    most = Fold((most_down, most_right), "max", at(most_down, most_right), f32)
    down, right = Axis(2), Axis(2)
    here = ir.apply("EQ", at(down, right), ir.result(most))
    number = ir.index_add(ir.const(4), flat((down, -2), (right, -1)))
    where = Fold((down, right), "max", ir.apply("WHERE", here, number, ir.const(0)), i64)
    place = flat((channels, h * w // 4), (rows, w // 2), (columns, 1))
    body = (most, Store(1, place, ir.result(most)), where, Store(2, place, ir.result(where)))
    outs = [np.zeros(3 * h * w // 4, each) for each in (np.float32, np.int64)]
    got = run_kernel(device, (channels, rows, columns), body, [x, *outs], {1, 2})
    tiles = x.reshape(3, h // 2, 2, w // 2, 2).transpose(0, 1, 3, 2, 4).reshape(-1, 4)
    np.testing.assert_array_equal(got[0], tiles.max(1))
    np.testing.assert_array_equal(4 - got[1], tiles.argmax(1))


@pytest.mark.parametrize("samples", [1, 3, 64])
@pytest.mark.parametrize("plane", PLANES)
def test_sums_over_planes_side_by_side(device: Any, plane: tuple[int, int], samples: int) -> None:
    """Σ x, Σ x·y, max x over samples and planes, with y of a quarter of the size; then x - mean."""
    h, w, channels = *plane, 4
    x = sample(f32, samples * channels * h * w)
    y = sample(f32, x.size // 4, 1)
    channel = Axis(channels)

    def point(axes: tuple[Axis, ...]) -> tuple[Value, Value]:
        number, rows, columns = axes
        place = flat((channel, h * w), (number, channels * h * w), (rows, w), (columns, 1))
        which = flat((channel, 1), (number, channels))
        return place, ir.load(1, f32, halved(which, rows, columns))

    folds = []
    for kind in ("sum", "product", "max"):
        axes = (Axis(samples), Axis(h), Axis(w))
        place, other = point(axes)
        value = ir.load(0, f32, place)
        if kind == "product":
            masked = ir.apply("LT", ir.const(0.0, f32), other)
            value = ir.apply("WHERE", masked, ir.apply("MUL", other, value), ir.const(0.0, f32))
        folds.append(Fold(axes, "max" if kind == "max" else "add", value, f32))
    loops = (Axis(samples), Axis(h), Axis(w))
    place, other = point(loops)
    moved = ir.apply("ADD", ir.load(0, f32, place), ir.apply("NEG", ir.result(folds[0])))
    loop = Loop(loops, (Store(3, place, ir.apply("MUL", moved, other)),))
    stores = [
        Store(2, ir.index_add(flat((channel, 3)), ir.const(n)), ir.result(fold))
        for n, fold in enumerate(folds)
    ]
    outs = [np.zeros(3 * channels, np.float32), np.zeros_like(x)]
    got = run_kernel(device, (channel,), (*folds, loop, *stores), [x, y, *outs], {2, 3})
    x4 = x.reshape(samples, channels, h, w).astype(np.float64)
    y4 = y.reshape(samples, channels, h // 2, w // 2).repeat(2, 2).repeat(2, 3)
    total = x4.sum((0, 2, 3))
    found = got[0].reshape(channels, 3)
    np.testing.assert_allclose(found[:, 0], total, rtol=1e-4, atol=1e-3)
    expected = np.where(y4 > 0, x4 * y4, 0).sum((0, 2, 3))
    np.testing.assert_allclose(found[:, 1], expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(found[:, 2], x4.max((0, 2, 3)).astype(np.float32))
    less = found[:, 0].reshape(1, channels, 1, 1)
    moved_by = (x.reshape(x4.shape) - less) * y4
    np.testing.assert_array_equal(got[1].reshape(x4.shape), moved_by)


@pytest.mark.parametrize("strides", list(itertools.permutations((1, 3, 12))))
@pytest.mark.parametrize("dtype", [f32, b8], ids=["float32", "bool"])
def test_short_axes_in_any_order(device: Any, strides: tuple[int, int, int], dtype: DType) -> None:
    extents = {1: 3, 3: 4, 12: 5}
    axes = [Axis(extents[each]) for each in strides]
    x = sample(dtype, 60 * 7)
    samples = Axis(7)
    place = flat((samples, 60), *zip(axes, strides, strict=True))
    straight, after = [], 60
    for axis in axes:
        after //= axis.extent
        straight.append((axis, after))
    body = (Store(1, flat((samples, 60), *straight), ir.load(0, dtype, place)),)
    out = np.zeros(420, dtype.numpy)
    (got,) = run_kernel(device, (samples, *axes), body, [x, out], {1})
    order = [(12, 3, 1).index(each) + 1 for each in strides]
    np.testing.assert_array_equal(got, x.reshape(7, 5, 4, 3).transpose(0, *order).ravel())


def sums(same: bool) -> Kernel:
    """Two sums over 6 × 6; the second needs the first unless `same`."""
    first, second = (Axis(6), Axis(6)), (Axis(6), Axis(6))
    place = ir.index_add(half(first[0]), ir.index_multiply(half(first[1]), 6))
    a = Fold(first, "add", ir.load(0, f32, place), f32)
    value = ir.load(0, f32, ir.index_add(ir.index_multiply(half(second[0]), 6), half(second[1])))
    if not same:
        value = ir.apply("ADD", value, ir.result(a))
    b = Fold(second, "add", value, f32)
    stores = (Store(1, ir.const(0), ir.result(a)), Store(1, ir.const(1), ir.result(b)))
    return Kernel("sums", (), (a, b, *stores), (Parameter(f32, 36, False), Parameter(f32, 2, True)))


@pytest.mark.parametrize("name", ["float32", "int64", "bool", "float16", "float64"])
@pytest.mark.parametrize("extent", [5, 16, 37, 300])
@pytest.mark.parametrize("step", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["all", "some", "added"])
def test_what_lies_between_stored_elements_stays(
    device: Any, step: int, extent: int, name: str, kind: str
) -> None:
    """b1[row, step · column + 1] = b0[row, column], or added to what is there."""
    dtype = dtypes.DTYPES[name]
    rows, columns = Axis(3), Axis(extent)
    x, before = sample(dtype, 3 * extent), sample(dtype, 3 * extent * step)[::-1].copy()
    value = ir.load(0, dtype, flat((rows, extent), (columns, 1)))
    place = ir.index_add(flat((rows, extent * step), (columns, step)), ir.const(1))
    valid = ir.apply("LT", ir.axis(columns), ir.const(extent - 3)) if kind == "some" else None
    store = Store(1, place, value, valid, "add" if kind == "added" else None)
    (got,) = run_kernel(device, (rows, columns), (store,), [x, before.copy()], {1})
    expected = before.reshape(3, extent, step).copy()
    last = extent - 3 if kind == "some" else extent
    new = x.reshape(3, extent)[:, :last]
    there = expected[:, :last, 1]
    expected[:, :last, 1] = (
        new if kind != "added" else (new | there if name == "bool" else new + there)
    )
    np.testing.assert_array_equal(got, expected.ravel())


def test_sums_that_do_not_need_each_other_share_axes() -> None:
    first, second = prepared(sums(True)).body[:2]
    assert isinstance(first, Fold) and isinstance(second, Fold)
    assert first.axes == second.axes
    assert [axis.extent for axis in first.axes] == [3, 2, 3, 2]
    renderer = Renderer(sums(True), TARGET)
    assert len(renderer.side_by_side(renderer.kernel.body[:2])) == 2


def test_sums_that_need_each_other_run_one_after_the_other(device: Any) -> None:
    kernel = prepared(sums(False))
    renderer = Renderer(kernel, TARGET)
    assert len(renderer.side_by_side(renderer.kernel.body)) == 1
    x = np.arange(36, dtype=np.float32)
    (got,) = run_kernel(device, (), sums(False).body, [x, np.zeros(2, np.float32)], {1})
    x = x.reshape(6, 6)
    first = x[np.ix_(np.arange(6) // 2, np.arange(6) // 2)].sum()
    np.testing.assert_allclose(got, [first, first + 36 * first], rtol=1e-6)


def test_what_is_prepared_stays_as_it_is() -> None:
    kernel = prepared(sums(True))
    assert prepared(kernel) is kernel


def test_no_lanes_gather_where_an_array_is_read_four_times() -> None:
    channels, rows, columns = Axis(5), Axis(8), Axis(8)
    value = ir.load(0, f32, halved(ir.axis(channels), rows, columns))
    store = Store(1, flat((channels, 64), (rows, 8), (columns, 1)), value)
    parameters = (Parameter(f32, 80, False), Parameter(f32, 320, True))
    kernel = Kernel("four_times", (channels, rows, columns), (store,), parameters)
    text, _ = Compiler().assembly(kernel)
    assert "gather" not in text
    assert "div" not in text
