"""Weight gradients of convolutions on the cpu device, against numpy in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.device.cpu import CpuDevice
from flambeau.device.cpu.correlation import correlates
from flambeau.device.cpu.prepare import prepared
from flambeau.graph import build, numpy_reference
from flambeau.graph import dtype as dtypes
from flambeau.graph.composite import placeholder
from flambeau.graph.dtype import DType
from flambeau.graph.graph import Graph
from flambeau.graph.node import Node, tensor_type
from flambeau.kernel.tile import contraction_of
from flambeau.schedule.plan import build as build_plan

f32 = dtypes.float32


@pytest.fixture(scope="module")
def device() -> Any:
    return CpuDevice()


def depthwise(channels: int) -> tuple[int, tuple[int, ...]]:
    return channels, (channels, 1)


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
    assert correlates(the_contraction(device, attrs, weight[2:], arrays))


def the_contraction(device: Any, attrs: Any, taps: tuple[int, ...], arrays: list[Any]) -> Any:
    nodes: list[Node] = [placeholder(tensor_type(each.shape, f32)) for each in arrays]
    result = build.conv("weight", *nodes, *attrs, taps)
    program = build_plan(Graph(tuple(nodes), (result,)), device.limits)
    (launch,) = program.launches
    return contraction_of(prepared(launch.kernel))


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


def test_bits_do_not_depend_on_threads() -> None:
    x, gradient = (torch.randn(2, 6, 30, 30) for _ in range(2))
    weight = torch.zeros(6, 1, 3, 3, requires_grad=True)
    found = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        result = torch.nn.functional.conv2d(x, weight, padding=1, groups=6)
        (slope,) = torch.autograd.grad(result, weight, gradient)
        found.append(slope.numpy())
    torch.set_num_threads(before)
    np.testing.assert_array_equal(*found)
