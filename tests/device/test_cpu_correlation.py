"""Weight gradients of convolutions on the cpu device, against numpy in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.device.cpu import CpuDevice
from flambeau.device.cpu.correlation import correlates
from flambeau.device.cpu.emit import Emitter
from flambeau.device.cpu.prepare import prepared
from flambeau.device.cpu.render import render
from flambeau.device.cpu.shifted import Lines, lines_of
from flambeau.device.cpu.target import Target
from flambeau.device.cpu.tiling import tiling
from flambeau.device.cpu.values import Values
from flambeau.graph import build, numpy_reference
from flambeau.graph import dtype as dtypes
from flambeau.graph.composite import placeholder
from flambeau.graph.dtype import DType
from flambeau.graph.graph import Graph
from flambeau.graph.node import Node, tensor_type
from flambeau.kernel.ir import Kernel
from flambeau.kernel.tile import contraction_of
from flambeau.schedule.plan import build as build_plan

f32 = dtypes.float32
TARGETS = {
    "avx512": Target(True, True, 64, 32),
    "avx2": Target(True, True, 32, 16),
    "neon": Target(True, True, 16, 32),
}


@pytest.fixture(scope="module")
def device() -> Any:
    return CpuDevice()


def operands(
    image: tuple[int, ...], weight: tuple[int, ...], attrs: Any, dtype: DType = f32
) -> list[Any]:
    """An image, and a gradient of the convolution's result."""
    random = np.random.default_rng(3)
    x = random.standard_normal(image)
    shape = numpy_reference.conv(("forward", *attrs, ()), (), x, np.ones(weight)).shape
    return [each.astype(dtype.numpy) for each in (x, random.standard_normal(shape))]


def weight_gradient(device: Any, attrs: Any, taps: tuple[int, ...], arrays: list[Any]) -> Any:
    dtype = f32 if arrays[0].dtype == np.float32 else dtypes.float64
    nodes = [placeholder(tensor_type(each.shape, dtype)) for each in arrays]
    result = build.conv("weight", *nodes, *attrs, taps)
    program = build_plan(Graph(tuple(nodes), (result,)), device.limits)
    buffers = [device.from_numpy(x, n.type, True) for x, n in zip(arrays, nodes, strict=True)]
    (buffer,) = device.compile(program).run(buffers, [])
    return device.to_numpy(buffer).copy()


def exact(attrs: Any, taps: tuple[int, ...], arrays: list[Any]) -> Any:
    wide = [each.astype(np.float64) for each in arrays]
    return numpy_reference.conv(("weight", *attrs, taps), (), *wide)


# image, weight, (stride, padding, dilation, groups)
DEPTHWISE = {
    "wide": ((2, 5, 20, 37), (5, 1, 3, 3), ((1, 1), ((1, 1), (1, 1)), (1, 1), 5)),
    "narrow": ((3, 4, 7, 7), (4, 1, 3, 3), ((1, 1), ((1, 1), (1, 1)), (1, 1), 4)),
    "stride": ((2, 3, 21, 34), (3, 1, 3, 3), ((2, 2), ((1, 1), (1, 1)), (1, 1), 3)),
    "dilation": ((1, 3, 12, 40), (3, 1, 3, 3), ((1, 1), ((2, 2), (2, 2)), (2, 2), 3)),
    "no edge": ((2, 3, 9, 18), (3, 1, 2, 3), ((1, 1), ((0, 0), (0, 0)), (1, 1), 3)),
    "uneven": ((2, 3, 9, 18), (3, 1, 3, 2), ((1, 2), ((2, 0), (0, 1)), (1, 1), 3)),
    "many taps": ((2, 2, 16, 16), (2, 1, 7, 7), ((1, 1), ((3, 3), (3, 3)), (1, 1), 2)),
    "one axis": ((4, 6, 50), (6, 1, 5), ((1,), ((2, 2),), (1,), 6)),
    "three axes": ((2, 2, 5, 6, 17), (2, 1, 2, 3, 3), ((1,) * 3, ((1, 1),) * 3, (1,) * 3, 2)),
    "one output": ((2, 3, 9, 18), (1, 3, 3, 3), ((1, 1), ((1, 1), (1, 1)), (1, 1), 1)),
}


@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.float64])
@pytest.mark.parametrize("name", DEPTHWISE)
def test_one_row_of_weights(device: Any, name: str, dtype: DType) -> None:
    image, weight, attrs = DEPTHWISE[name]
    arrays = operands(image, weight, attrs, dtype)
    got = weight_gradient(device, attrs, weight[2:], arrays)
    np.testing.assert_allclose(got, exact(attrs, weight[2:], arrays), rtol=1e-4, atol=2e-5)
    contraction = contraction_of(the_kernel(device, attrs, weight[2:], arrays))
    assert contraction is not None
    assert correlates(contraction)


def the_kernel(device: Any, attrs: Any, taps: tuple[int, ...], arrays: list[Any]) -> Kernel:
    nodes: list[Node] = [placeholder(tensor_type(each.shape, f32)) for each in arrays]
    result = build.conv("weight", *nodes, *attrs, taps)
    program = build_plan(Graph(tuple(nodes), (result,)), device.limits)
    (launch,) = program.launches
    return prepared(launch.kernel)


DENSE = {
    "square": ((2, 5, 14, 14), (32, 5, 3, 3), ((1, 1), ((1, 1), (1, 1)), (1, 1), 1)),
    "stride": ((3, 13, 11, 12), (35, 13, 3, 3), ((2, 2), ((1, 1), (1, 1)), (1, 1), 1)),
    "stem": ((1, 3, 40, 44), (64, 3, 7, 7), ((2, 2), ((3, 3), (3, 3)), (1, 1), 1)),
    "dilation": ((2, 6, 20, 24), (10, 6, 3, 3), ((1, 1), ((2, 2), (3, 3)), (2, 3), 1)),
    "uneven": ((2, 6, 20, 24), (10, 6, 4, 2), ((3, 1), ((2, 0), (0, 1)), (1, 1), 1)),
    "no edge": ((3, 6, 9, 18), (20, 6, 3, 5), ((1, 1), ((0, 0), (0, 0)), (1, 1), 1)),
    "groups": ((2, 12, 10, 10), (27, 4, 3, 3), ((1, 1), ((1, 1), (1, 1)), (1, 1), 3)),
    "small planes": ((70, 9, 4, 4), (17, 9, 3, 3), ((1, 1), ((1, 1), (1, 1)), (1, 1), 1)),
    "many blocks": ((2, 4, 80, 130), (16, 4, 3, 3), ((1, 1), ((1, 1), (1, 1)), (1, 1), 1)),
    "shared blocks": ((1, 24, 40, 60), (40, 24, 3, 3), ((1, 1), ((1, 1), (1, 1)), (1, 1), 1)),
    "long rows": ((1, 4, 4, 700), (16, 4, 3, 3), ((1, 1), ((1, 1), (1, 1)), (1, 1), 1)),
    "one axis": ((4, 6, 500), (12, 6, 5), ((2,), ((2, 2),), (1,), 1)),
    "one axis alone": ((1, 6, 500), (12, 6, 5), ((1,), ((2, 2),), (1,), 1)),
    "a column of taps": ((2, 6, 12, 20), (12, 6, 3, 1), ((1, 2), ((1, 1), (0, 0)), (1, 1), 1)),
    "three axes": ((2, 3, 5, 6, 9), (8, 3, 2, 3, 3), ((1,) * 3, ((1, 1),) * 3, (1,) * 3, 1)),
    "many channels": ((2, 70, 7, 7), (600, 70, 3, 3), ((1, 1), ((1, 1), (1, 1)), (1, 1), 1)),
}


@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.float64])
@pytest.mark.parametrize("name", DENSE)
def test_many_rows_of_weights(device: Any, name: str, dtype: DType) -> None:
    image, weight, attrs = DENSE[name]
    arrays = operands(image, weight, attrs, dtype)
    got = weight_gradient(device, attrs, weight[2:], arrays)
    right = exact(attrs, weight[2:], arrays)
    tolerance = 2e-6 if dtype is f32 else 1e-13
    np.testing.assert_allclose(got, right, rtol=0, atol=tolerance * np.abs(right).max())
    kernel = the_kernel(device, attrs, weight[2:], arrays)
    for target in TARGETS.values():
        assert lines(kernel, target) is not None


def lines(kernel: Kernel, target: Target) -> Lines | None:
    values, contraction = Values(Emitter(True), kernel), contraction_of(kernel)
    assert contraction is not None
    tiles = tiling(contraction, values, target)
    return tiles and lines_of(contraction, tiles, values, target.registers)


def test_what_is_added_to_a_weight_and_what_it_is_made_of() -> None:
    """Operands that are computed, and an epilogue with arrays of the weight's shape and others."""
    random = np.random.default_rng(5)
    shapes = (2, 5, 12, 13), (18, 5, 3, 3), (2, 18, 12, 13), (18, 1, 1, 1), (5, 1, 3)
    image, weight, gradient, scale, shift = (
        random.standard_normal(each).astype(np.float32) for each in shapes
    )
    attrs = ((1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    x, w, g, a, b = map(torch.from_numpy, (image, weight, gradient, scale, shift))
    w.requires_grad_()
    result = torch.nn.functional.conv2d(x.relu(), w, padding=1)
    (slope,) = torch.autograd.grad(result, w, g * 2)
    got = (w.detach() - slope * a + b).numpy()
    right = exact(attrs, (3, 3), [np.maximum(image, 0), gradient * 2])
    np.testing.assert_allclose(got, weight - right * scale + shift, rtol=1e-5, atol=2e-4)


def test_dense_weights_keep_what_is_not_finite_where_it_is(device: Any) -> None:
    image, weight, attrs = (2, 4, 5, 18), (9, 4, 3, 3), ((1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    x, gradient = operands(image, weight, attrs)
    x[1, 2, 0, 0] = np.inf
    got = weight_gradient(device, attrs, (3, 3), [x, gradient])
    assert np.isinf(got[:, 2, 0, 0]).all()
    assert np.isfinite(got).sum() == got.size - 9


def test_a_long_sum_is_more_exact_than_one_in_order(device: Any) -> None:
    """100,000 products: each lane sums some thousand of them, then a tree."""
    image, weight, attrs = (8, 2, 112, 112), (2, 1, 3, 3), ((1, 1), ((1, 1), (1, 1)), (1, 1), 2)
    arrays = operands(image, weight, attrs)
    got = weight_gradient(device, attrs, (3, 3), arrays)
    right = exact(attrs, (3, 3), arrays)
    length = 8 * 112 * 112
    in_order = np.cumsum((arrays[0] * arrays[1])[:, 0], dtype=np.float32)[-1]  # the middle tap
    error = np.abs(got - right).max()
    assert error < 1.5e-6 * np.sqrt(length)
    assert error < abs(in_order - right[0, 0, 1, 1])


def test_what_is_not_finite_stays_where_it_is(device: Any) -> None:
    """An infinite element at the edge reaches the taps that meet it, and no other."""
    image, weight, attrs = (1, 2, 4, 20), (2, 1, 3, 3), ((1, 1), ((0, 0), (0, 0)), (1, 1), 2)
    x, gradient = operands(image, weight, attrs)
    x[0, 0, 0, 0] = np.inf
    got = weight_gradient(device, attrs, (3, 3), [x, gradient])
    assert np.isinf(got[0, 0, 0, 0])
    assert np.isfinite(got).sum() == got.size - 1


@pytest.mark.parametrize("groups", [1, 6])
def test_bits_do_not_depend_on_threads(groups: int) -> None:
    x, gradient = (torch.randn(2, 6, 60, 60) for _ in range(2))
    weight = torch.zeros(6, 6 // groups, 3, 3, requires_grad=True)
    found = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        result = torch.nn.functional.conv2d(x, weight, padding=1, groups=groups)
        (slope,) = torch.autograd.grad(result, weight, gradient)
        found.append(slope.numpy())
    torch.set_num_threads(before)
    np.testing.assert_array_equal(*found)


def test_small_planes_are_read_as_they_lie(device: Any) -> None:
    """A whole plane in lanes: the lanes behind it lie elsewhere, but do not count. No gathers."""
    x, weight = (placeholder(tensor_type(s, f32)) for s in ((4, 32, 7, 7), (32, 1, 3, 3)))
    attrs = ((1, 1), ((1, 1), (1, 1)), (1, 1), 32)
    result = build.conv("forward", x, weight, *attrs, ())
    program = build_plan(Graph((x, weight), (result,)), device.limits)
    (launch,) = program.launches
    assert "gather" not in render(launch.kernel, "kernel", TARGETS["avx512"]).text
    random = np.random.default_rng(2)
    arrays = [random.standard_normal(n.shape).astype(np.float32) for n in (x, weight)]
    buffers = [device.from_numpy(a, n.type, True) for a, n in zip(arrays, (x, weight), strict=True)]
    (buffer,) = device.compile(program).run(buffers, [])
    expected = numpy_reference.conv(("forward", *attrs, ()), (), *arrays)
    np.testing.assert_allclose(device.to_numpy(buffer), expected, rtol=1e-5, atol=1e-5)
