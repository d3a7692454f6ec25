"""Matrix products and convolutions on the cpu device, against numpy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.device.cpu import CpuDevice
from flambeau.device.cpu.emit import Emitter
from flambeau.device.cpu.target import Target
from flambeau.device.cpu.tiling import Tiling, tiling
from flambeau.device.cpu.values import Values
from flambeau.graph import build, numpy_reference
from flambeau.graph import dtype as dtypes
from flambeau.graph.composite import placeholder
from flambeau.graph.dtype import DType
from flambeau.graph.graph import Graph
from flambeau.graph.node import Node, tensor_type
from flambeau.kernel import ir
from flambeau.kernel.ir import Axis, Fold, Kernel, Parameter, Store, Value
from flambeau.kernel.program import Launch, Program, Slot
from flambeau.kernel.tile import contraction_of
from flambeau.schedule.plan import build as build_plan

f32, f64 = dtypes.float32, dtypes.float64


@pytest.fixture(scope="module")
def device() -> Any:
    return CpuDevice()


def flat(*parts: tuple[Axis, int]) -> Value:
    total = ir.const(0)
    for axis, stride in parts:
        total = ir.index_add(total, ir.index_multiply(ir.axis(axis), stride))
    return total


def product_kernel(
    m: int, n: int, k: int, turned: tuple[bool, bool, bool], dtype: DType = f32
) -> Kernel:
    """b2 = max(b0 · b1 + b3[n], 0); each of b0, b1, b2 may be stored transposed."""
    rows, columns, inner = Axis(m), Axis(n), Axis(k)
    a = flat((rows, 1), (inner, m)) if turned[0] else flat((rows, k), (inner, 1))
    b = flat((columns, k), (inner, 1)) if turned[1] else flat((columns, 1), (inner, n))
    c = flat((rows, 1), (columns, m)) if turned[2] else flat((rows, n), (columns, 1))
    value = ir.apply("MUL", ir.load(0, dtype, a), ir.load(1, dtype, b))
    fold = Fold((inner,), "add", value, dtype, product=True)
    value = ir.apply("ADD", ir.result(fold), ir.load(3, dtype, ir.axis(columns)))
    value = ir.apply("MAX", value, ir.const(0.0, dtype))
    sizes = ((m * k, False), (k * n, False), (m * n, True), (n, False))
    parameters = tuple(Parameter(dtype, size, written) for size, written in sizes)
    return Kernel("product", (rows, columns), (fold, Store(2, c, value)), parameters)


def run_product(
    device: Any,
    a: Any,
    b: Any,
    bias: Any,
    turned: tuple[bool, bool, bool] = (False, False, False),
) -> Any:
    (m, k), n = a.shape, b.shape[1]
    dtype = dtypes.from_numpy(a.dtype)
    arrays = [a.T if turned[0] else a, b.T if turned[1] else b, bias]
    arrays = [np.ascontiguousarray(x) for x in arrays]
    types = [tensor_type(x.shape, dtype) for x in arrays]
    slots = [Slot(t, "input") for t in types]
    slots.append(Slot(tensor_type((n, m) if turned[2] else (m, n), dtype), "output"))
    kernel = product_kernel(m, n, k, turned, dtype)
    program = Program(slots, [Launch(kernel, (0, 1, 3, 2))], (), (0, 1, 2), (3,))
    buffers = [device.from_numpy(x, t, True) for x, t in zip(arrays, types, strict=True)]
    (result,) = device.compile(program).run(buffers, [])
    array = device.to_numpy(result).copy()
    return array.T if turned[2] else array


def samples(dtype: DType, *shapes: tuple[int, ...]) -> list[Any]:
    random = np.random.default_rng(sum(map(sum, shapes)))
    return [random.standard_normal(shape).astype(dtype.numpy) for shape in shapes]


SHAPES = [(64, 64, 64), (17, 33, 65), (2, 100, 50), (300, 16, 7), (128, 10, 512), (33, 257, 1000)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("turned", list(itertools.product((False, True), repeat=3)))
def test_products_in_all_layouts(
    device: Any, shape: tuple[int, int, int], turned: tuple[bool, bool, bool]
) -> None:
    m, n, k = shape
    a, b, bias = samples(f32, (m, k), (k, n), (n,))
    got = run_product(device, a, b, bias, turned)
    expected = np.maximum(a.astype(float) @ b.astype(float) + bias, 0)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * np.sqrt(k))


@pytest.mark.parametrize("shape", SHAPES)
def test_products_of_doubles(device: Any, shape: tuple[int, int, int]) -> None:
    m, n, k = shape
    a, b, bias = samples(f64, (m, k), (k, n), (n,))
    got = run_product(device, a, b, bias, (False, True, False))
    np.testing.assert_allclose(got, np.maximum(a @ b + bias, 0), rtol=1e-10, atol=1e-11)


def test_an_element_does_not_depend_on_where_it_lies(device: Any) -> None:
    a, b, bias = samples(f32, (210, 700), (700, 90), (90,))
    whole = run_product(device, a, b, bias)
    moved = run_product(device, np.roll(a, 5, 0), b, bias)
    np.testing.assert_array_equal(np.roll(whole, 5, 0), moved)
    part = run_product(device, a[:100], b, bias)
    np.testing.assert_array_equal(part, whole[:100])


def test_same_bits_for_any_number_of_threads(device: Any) -> None:
    a, b, bias = samples(f32, (400, 600), (600, 500), (500,))
    found = []
    for threads in (1, 2, 3):
        device.runtime.set_threads(threads)
        found.append(run_product(device, a, b, bias).tobytes())
    device.runtime.set_threads(2)
    assert len(set(found)) == 1


def test_infinities_and_nan_reach_only_their_row_and_column(device: Any) -> None:
    a, b, bias = samples(f32, (50, 40), (40, 60), (60,))
    a[3, 7] = np.nan
    b[5, 9] = np.inf
    got = run_product(device, a, b, bias)
    with np.errstate(all="ignore"):
        expected = np.maximum(a @ b + bias, 0)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    finite = np.isfinite(expected)
    np.testing.assert_allclose(got[finite], expected[finite], rtol=1e-4, atol=1e-4)


def run_graph(device: Any, result: Node, inputs: list[Node], arrays: list[Any]) -> Any:
    program = build_plan(Graph(tuple(inputs), (result,)), device.limits)
    buffers = [device.from_numpy(x, n.type, True) for x, n in zip(arrays, inputs, strict=True)]
    (buffer,) = device.compile(program).run(buffers, [])
    return device.to_numpy(buffer).copy()


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((4, 20, 30), (4, 30, 25)),
        ((4, 20, 30), (30, 25)),
        ((2, 3, 17, 40), (3, 40, 9)),
        ((30, 40), (5, 40, 33)),
    ],
)
def test_batched_products(device: Any, left: Any, right: Any) -> None:
    a, b = samples(f32, left, right)
    nodes = [placeholder(tensor_type(x.shape, f32)) for x in (a, b)]
    got = run_graph(device, build.matmul(*nodes), nodes, [a, b])
    np.testing.assert_allclose(got, a.astype(float) @ b.astype(float), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_products_of_16_bit_floats_are_summed_in_float32(device: Any, name: str) -> None:
    dtype = dtypes.DTYPES[name]
    a, b = samples(dtype, (40, 300), (300, 50))
    nodes = [placeholder(tensor_type(x.shape, dtype)) for x in (a, b)]
    got = run_graph(device, build.matmul(*nodes), nodes, [a, b])
    expected = (a.astype(np.float32) @ b.astype(np.float32)).astype(dtype.numpy)
    np.testing.assert_allclose(got.astype(float), expected.astype(float), rtol=1e-2, atol=1e-2)


CONVOLUTIONS = [
    # input, weight, stride, padding, dilation, groups
    ((2, 3, 28, 28), (8, 3, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((3, 8, 7, 7), (16, 8, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((2, 4, 17, 20), (6, 4, 5, 3), (2, 3), ((2, 2), (0, 1)), (1, 1), 1),
    ((2, 6, 15, 15), (9, 2, 3, 3), (2, 2), ((1, 0), (1, 2)), (2, 2), 3),
    ((2, 8, 20, 20), (8, 1, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 8),
    ((5, 20, 8, 8), (12, 20, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((7, 24, 4, 4), (18, 24, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((9, 24, 5, 4), (18, 24, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((70, 12, 2, 2), (40, 12, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((3, 8, 16, 16), (24, 8, 2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1), 1),
    ((3, 8, 12, 16), (24, 8, 5, 5), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    ((2, 16, 14, 14), (32, 16, 1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    ((6, 20, 14, 14), (24, 20, 1, 1), (2, 2), ((0, 0), (0, 0)), (1, 1), 1),
    ((9, 20, 13, 13), (24, 20, 3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 1),
    ((5, 12, 19, 23), (20, 12, 3, 3), (3, 4), ((1, 0), (2, 1)), (1, 1), 1),
    ((4, 24, 11, 18), (20, 12, 3, 2), (1, 2), ((2, 2), (1, 0)), (2, 3), 2),
    ((3, 16, 6, 66), (20, 16, 2, 2), (2, 2), ((0, 0), (1, 1)), (1, 1), 1),
    ((8, 128, 26, 27), (120, 128, 3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 1),
    ((6, 200, 25, 27), (220, 100, 3, 3), (2, 2), ((1, 1), (1, 0)), (1, 1), 2),
    ((3, 10, 13, 15), (10, 1, 3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 10),
    ((2, 40, 16, 37), (40, 1, 4, 5), (3, 4), ((1, 1), (2, 0)), (1, 1), 40),
    ((3, 3, 22, 40), (20, 3, 7, 7), (2, 2), ((3, 3), (3, 3)), (1, 1), 1),
    ((3, 3, 22, 41), (20, 3, 7, 7), (2, 2), ((3, 3), (3, 3)), (1, 1), 1),
    ((4, 7, 24, 34), (30, 7, 2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1), 1),
    ((2, 300, 7, 7), (130, 300, 1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    ((1, 700, 10, 10), (96, 700, 3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 1),
    ((3, 96, 13, 10), (160, 48, 3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 2),
    ((3, 5, 100), (7, 5, 4), (2,), ((3, 3),), (1,), 1),
    ((1, 2, 6, 7, 8), (4, 2, 2, 3, 2), (1, 2, 1), ((1, 1), (0, 0), (1, 0)), (1, 1, 1), 1),
]


@pytest.mark.parametrize("case", CONVOLUTIONS)
@pytest.mark.parametrize("mode", ["forward", "input", "weight"])
def test_convolutions(device: Any, case: Any, mode: str) -> None:
    image, weight, stride, padding, dilation, groups = case
    x, w = samples(f64, image, weight)
    attrs = (stride, padding, dilation, groups)
    y = numpy_reference.conv(("forward", *attrs, ()), (), x, w)
    operands, spatial = {
        "forward": ((x, w), ()),
        "input": ((y, w), image[2:]),
        "weight": ((x, y), weight[2:]),
    }[mode]
    expected = numpy_reference.conv((mode, *attrs, spatial), (), *operands)
    for dtype, tolerance in ((f64, 1e-11), (f32, 2e-5)):
        arrays = [each.astype(dtype.numpy) for each in operands]
        nodes = [placeholder(tensor_type(each.shape, dtype)) for each in arrays]
        result = build.conv(mode, *nodes, *attrs, spatial)
        got = run_graph(device, result, nodes, arrays)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance * scale)


def tilings(node: Node, inputs: list[Node]) -> list[Tiling]:
    """How the launches of a graph's products are tiled."""
    program = build_plan(Graph(tuple(inputs), (node,)))
    kernels = [each.kernel for each in program.launches if isinstance(each, Launch)]
    found = []
    for kernel in kernels:
        contraction = contraction_of(kernel)
        assert contraction is not None
        tiles = tiling(contraction, Values(Emitter(True), kernel), TARGETS["avx512"])
        assert tiles is not None
        found.append(tiles)
    return found


def test_short_rows_are_packed_run_by_run() -> None:
    x, w = (placeholder(tensor_type(each, f32)) for each in ((8, 32, 14, 14), (64, 32, 3, 3)))
    y = build.conv("forward", x, w, (2, 2), ((1, 1), (1, 1)), (1, 1), 1, ())
    (found,) = tilings(y, [x, w])
    assert found.columns.pieces == 8 and found.columns.width == 32


def tiles_of_convolution(image: tuple[int, ...], weight: tuple[int, ...], step: int) -> Tiling:
    x, w = (placeholder(tensor_type(each, f32)) for each in (image, weight))
    edge = weight[-1] // 2
    padding = ((edge, edge), (edge, edge))
    y = build.conv("forward", x, w, (step, step), padding, (1, 1), 1, ())
    (found,) = tilings(y, [x, w])
    return found


def test_planes_that_fill_no_vectors_are_rows() -> None:
    """49 positions would be 64 columns; as rows there are 50. Tiles are turned before they are
    stored, also where their sums are joined from several work items."""
    found = tiles_of_convolution((1, 512, 7, 7), (2048, 512, 1, 1), 1)
    assert found.turned and found.rows.length == 49
    found = tiles_of_convolution((8, 512, 14, 14), (512, 512, 3, 3), 2)
    assert found.turned and found.rows.pieces == 8
    found = tiles_of_convolution((8, 512, 7, 7), (2048, 512, 1, 1), 1)
    assert found.turned and found.once
    found = tiles_of_convolution((1, 700, 10, 10), (96, 700, 3, 3), 2)
    assert found.turned and found.shared
    found = tiles_of_convolution((8, 256, 14, 14), (1024, 256, 1, 1), 1)
    assert not found.turned  # 1568 positions fill 49 panels


@pytest.mark.parametrize("positions", [3, 13, 49, 50, 64, 100])
def test_which_side_lies_in_lanes_makes_no_difference(device: Any, positions: int) -> None:
    """Rows of a product, and of the same product transposed, have the same bits."""
    a, b, bias = samples(f32, (90, 700), (700, 100), (1,))
    whole = run_product(device, a, b, np.resize(bias, 100), (False, False, False))
    part = run_product(device, a, b[:, :positions], np.resize(bias, positions), (True, True, True))
    np.testing.assert_array_equal(part, whole[:, :positions])


def test_rows_that_many_items_need_are_packed_once() -> None:
    y, w = (placeholder(tensor_type(each, f32)) for each in ((8, 120, 13, 14), (120, 128, 3, 3)))
    x = build.conv("input", y, w, (2, 2), ((1, 1), (1, 1)), (1, 1), 1, (26, 27))
    assert any(each.once and each.columns.blocks > 1 for each in tilings(x, [y, w]))
    small = placeholder(tensor_type((1, 120, 4, 4), f32))
    x = build.conv("input", small, w, (2, 2), ((1, 1), (1, 1)), (1, 1), 1, (8, 8))
    assert not any(each.once for each in tilings(x, [small, w]))


TARGETS = {
    "avx512": Target(True, True, 64, 32),
    "avx2": Target(True, True, 32, 16),
    "sse": Target(False, False, 16, 16),
    "neon": Target(True, True, 16, 32),
}


def tiles(m: int, n: int, k: int, target: Target) -> Tiling | None:
    kernel = product_kernel(m, n, k, (False, False, False))
    contraction = contraction_of(kernel)
    assert contraction is not None
    return tiling(contraction, Values(Emitter(True), kernel), target)


@pytest.mark.parametrize("name", sorted(TARGETS))
@pytest.mark.parametrize("shape", [*SHAPES, (1000, 1000, 1000), (3, 5000, 64)])
def test_tiles_fit_the_registers_and_cover_the_result(
    name: str, shape: tuple[int, int, int]
) -> None:
    target = TARGETS[name]
    m, n, k = shape
    found = tiles(m, n, k, target)
    assert found is not None
    used = found.rows.width * found.vectors + found.vectors + 1
    assert used <= target.registers
    extents = (n, m) if found.turned else (m, n)
    for side, extent in zip((found.rows, found.columns), extents, strict=True):
        assert side.panels * side.width >= extent
        assert side.width % side.segment == 0
        assert side.block * side.blocks >= side.panels
    assert found.chunk * found.chunks >= k


def test_the_order_of_the_sum_depends_on_k_alone() -> None:
    cuts = {
        (t.split, t.inner)
        for m, n in ((64, 64), (7, 900), (500, 32))
        for target in TARGETS.values()
        for t in [tiles(m, n, 1111, target)]
        if t is not None
    }
    assert len(cuts) == 1


def parts_of(m: int, n: int, k: int) -> tuple[int, bool]:
    found = tiles(m, n, k, TARGETS["avx512"])
    assert found is not None
    return found.parts, found.shared


@pytest.mark.parametrize("k", [3, 5, 100, 700, 5000, 20_000])
def test_a_row_does_not_depend_on_how_many_there_are(device: Any, k: int) -> None:
    """Small products, tiles, sums split over work items and a single row: all the same bits."""
    n = 80
    data, weight, bias = samples(f32, (1200, k), (k, n), (n,))
    nodes = [placeholder(tensor_type(x.shape, f32)) for x in (data, weight, bias)]
    if k >= 5000:
        assert parts_of(600, n, k)[1] != parts_of(1200, n, k)[1]

    def layer(rows: int) -> Any:
        x = placeholder(tensor_type((rows, k), f32))
        product = build.matmul(x, nodes[1])
        result = build.add(product, build.expand(nodes[2], product.shape))
        return run_graph(device, result, [x, *nodes[1:]], [data[:rows].copy(), weight, bias])

    whole = layer(1200)
    for rows in (1, 2, 13, 600):
        np.testing.assert_array_equal(layer(rows), whole[:rows])
    expected = data.astype(float) @ weight + bias
    np.testing.assert_allclose(whole, expected, rtol=1e-4, atol=2e-5 * k**0.5)


@pytest.mark.parametrize("length", [2, 3, 5, 10, 40, 300])
@pytest.mark.parametrize("turned", [False, True])
def test_sums_of_rows_do_not_depend_on_how_many_there_are(
    device: Any, length: int, turned: bool
) -> None:
    (data,) = samples(f32, (64, length, 17))

    def sums(rows: int) -> Any:
        array = data[:rows].copy() if turned else data[:rows, :, 0].copy()
        x = placeholder(tensor_type(array.shape, f32))
        result = build.reduce("add", build.mul(x, build.exp(x)), (1,))
        return run_graph(device, result, [x], [array])

    whole = sums(64)
    for rows in (1, 2, 5, 33):
        np.testing.assert_array_equal(sums(rows), whole[:rows])


@pytest.mark.parametrize(
    ("m", "n", "k"), [(1, 70, 300), (70, 1, 300), (1, 33, 5000), (3, 2, 20_000)]
)
def test_matrix_times_vector(device: Any, m: int, n: int, k: int) -> None:
    for turned in (False, True):
        a, b = samples(f32, (m, k), (n, k) if turned else (k, n))
        nodes = [placeholder(tensor_type(x.shape, f32)) for x in (a, b)]
        right = build.permute(nodes[1], (1, 0)) if turned else nodes[1]
        got = run_graph(device, build.matmul(nodes[0], right), nodes, [a, b])
        expected = a.astype(float) @ (b.T if turned else b)
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=2e-5 * k**0.5)


def test_sums_of_one_product_that_are_used_by_a_map() -> None:
    import flambeau as torch  # the map kernel is of the whole framework's making

    x = torch.arange(-8.0, 8.0).reshape(1, 4, 2, 2).requires_grad_()
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 4, 1, 1)
    torch.nn.functional.conv2d(x.relu(), weight).sum().backward()
    assert x.grad is not None
    expected = weight.expand(1, 4, 2, 2) * (x > 0)
    assert x.grad.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("batch", "steps", "inner", "outer"), [(2, 17, 64, 32), (3, 2, 64, 32), (3, 5, 65, 45)]
)
def test_weight_gradient_of_one_step_of_many(batch, steps, inner, outer):
    """Panels whose lanes are no power of two, of an operand that is 0 but at one inner step."""
    torch.manual_seed(0)
    x, factor = torch.randn(batch, steps, inner), torch.randn(batch, outer)
    weight = torch.randn(outer, inner, requires_grad=True)
    (torch.nn.functional.linear(x, weight)[:, 0] * factor).sum().backward()
    wanted = factor.numpy().T @ x.numpy()[:, 0]
    np.testing.assert_allclose(weight.grad.numpy(), wanted, rtol=1e-4, atol=1e-4)
