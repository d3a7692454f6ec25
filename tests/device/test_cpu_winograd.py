"""3×3 convolutions on the cpu device that are computed by Winograd's transforms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.device import base
from flambeau.device.cpu import render, winograd
from flambeau.device.cpu.compile import Compiler
from flambeau.device.cpu.target import Target
from flambeau.device.cpu.winograd import Convolution
from flambeau.graph import build
from flambeau.graph import dtype as dtypes
from flambeau.graph.composite import placeholder
from flambeau.graph.graph import Graph
from flambeau.graph.node import Node, tensor_type
from flambeau.kernel.program import Launch
from flambeau.kernel.tile import tile
from flambeau.schedule.plan import build as build_plan

F = torch.nn.functional

CASES = [
    # batch, channels, results, height, width, padding
    (1, 16, 16, 8, 8, (1, 1)),
    (2, 16, 20, 7, 7, (1, 1)),
    (3, 33, 40, 9, 14, (0, 0)),
    (5, 40, 70, 13, 37, (2, 2)),
    (33, 32, 32, 4, 4, (1, 1)),
    (1, 32, 32, 10, 4, (2, 0)),
    (2, 17, 31, 6, 75, (1, 1)),
    (1, 150, 130, 14, 14, (1, 1)),
    (2, 20, 18, 4, 90, (0, 2)),
    (9, 64, 40, 28, 28, (1, 1)),
]


def samples(seed: int, *shapes: tuple[int, ...]) -> list[Any]:
    random = np.random.default_rng(seed)
    return [random.standard_normal(shape).astype(np.float32) for shape in shapes]


def found_in(node: Node, *inputs: Node) -> Convolution | None:
    """The convolution that the cpu device finds in a graph's only kernel."""
    program = build_plan(Graph(inputs, (node,)), base.get("cpu").limits)
    (launch,) = program.launches
    assert isinstance(launch, Launch)
    renderer = render.Renderer(launch.kernel, Compiler().target)
    contraction = tile(renderer.kernel).contraction
    assert contraction is not None
    return winograd.convolution_of(contraction, renderer.values)


def conv_of(
    image: tuple[int, ...],
    weight: tuple[int, ...],
    stride: int = 1,
    padding: int = 1,
    dilation: int = 1,
    groups: int = 1,
    mode: str = "forward",
    name: str = "float32",
) -> Convolution | None:
    x, w = (placeholder(tensor_type(each, dtypes.DTYPES[name])) for each in (image, weight))
    attrs = ((stride,) * 2, ((padding,) * 2,) * 2, (dilation,) * 2, groups)
    spatial = image[2:] if mode == "input" else ()
    return found_in(build.conv(mode, x, w, *attrs, spatial), x, w)


def test_which_convolutions_are_transformed() -> None:
    image, weight = (2, 32, 12, 12), (32, 32, 3, 3)
    assert conv_of(image, weight)
    assert conv_of(image, weight, mode="input")
    assert conv_of(image, weight, padding=0)
    assert not conv_of(image, weight, stride=2)
    assert not conv_of(image, weight, dilation=2)
    assert not conv_of(image, (32, 16, 3, 3), groups=2)
    assert not conv_of(image, (32, 32, 5, 5), padding=2)
    assert not conv_of(image, (32, 32, 3, 1))
    assert not conv_of((2, 8, 12, 12), (32, 8, 3, 3))
    assert not conv_of((2, 32, 12, 12), (8, 32, 3, 3))
    assert not conv_of((2, 32, 3, 3), weight)  # two of three tiles would be half empty
    assert not conv_of(image, weight, name="float64")
    assert not conv_of(image, weight, name="float16")


def test_the_choice_does_not_depend_on_the_batch() -> None:
    for side in range(3, 18):
        chosen = {conv_of((n, 32, side, side), (32, 32, 3, 3)) is None for n in (1, 2, 40)}
        assert len(chosen) == 1


def both(case: tuple[Any, ...], dtype: Any) -> tuple[Any, Any]:
    """A convolution's result and its input's gradient, as float64."""
    n, c, o, h, w, padding = case
    x, weight = samples(n, (n, c, h, w), (o, c, 3, 3))
    image = torch.tensor(x.astype(dtype)).requires_grad_()
    result = F.conv2d(image, torch.tensor(weight.astype(dtype)), padding=padding)
    (gradient,) = samples(1, result.shape)
    result.backward(torch.tensor(gradient.astype(dtype)))
    assert image.grad is not None
    return result.detach().numpy().astype(float), image.grad.numpy().astype(float)


@pytest.mark.parametrize("case", CASES)
def test_results_and_gradients(case: tuple[Any, ...]) -> None:
    """The largest error that was seen is 1.5e-6 of the results' standard deviation."""
    for got, expected in zip(both(case, np.float32), both(case, np.float64), strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=3e-6 * expected.std())


def test_what_follows_is_part_of_the_kernel() -> None:
    x, weight, bias, other = samples(3, (2, 24, 9, 11), (20, 24, 3, 3), (20,), (2, 20, 9, 11))
    given = [torch.tensor(each) for each in (x, weight, bias, other)]
    got = (F.conv2d(*given[:3], padding=1) + given[3]).relu()
    wide = [torch.tensor(each.astype(float)) for each in (x, weight, bias, other)]
    expected = (F.conv2d(*wide[:3], padding=1) + wide[3]).relu()
    np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-5, atol=3e-5)


def test_operands_that_are_views() -> None:
    x, weight = samples(4, (6, 20, 10, 12), (3, 20, 16, 3, 3))
    image, weights = torch.tensor(x), torch.tensor(weight)
    for begin in (1, 3):
        got = F.conv2d(image[begin : begin + 2], weights[begin - 1].transpose(0, 1), padding=1)
        wide = torch.tensor(weight[begin - 1].astype(float)).transpose(0, 1)
        part = torch.tensor(x[begin : begin + 2].astype(float))
        expected = F.conv2d(part, wide, padding=1)
        np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-5, atol=3e-5)


@pytest.mark.parametrize("side", [4, 7, 14, 32])
def test_a_sample_does_not_depend_on_its_batch(side: int) -> None:
    x, weight = samples(side, (40, 48, side, side), (56, 48, 3, 3))
    weights = torch.tensor(weight)
    whole = F.conv2d(torch.tensor(x), weights, padding=1).numpy()
    for low, high in ((0, 1), (7, 8), (39, 40), (3, 9)):
        part = F.conv2d(torch.tensor(x[low:high]), weights, padding=1).numpy()
        np.testing.assert_array_equal(part, whole[low:high])
        view = F.conv2d(torch.tensor(x)[low:high], weights, padding=1).numpy()
        np.testing.assert_array_equal(view, whole[low:high])


@pytest.mark.parametrize("batch", [1, 8])
def test_same_bits_for_any_number_of_threads(batch: int) -> None:
    x, weight = samples(5, (batch, 64, 21, 20), (70, 64, 3, 3))
    found = set()
    before = torch.get_num_threads()
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.add(F.conv2d(torch.tensor(x), torch.tensor(weight), padding=1).numpy().tobytes())
    torch.set_num_threads(before)
    assert len(found) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_reaches_the_squares_of_results_that_read_it(bad: float) -> None:
    x, weight = samples(6, (2, 16, 12, 13), (16, 16, 3, 3))
    x[1, 3, 4, 6] = bad
    got = F.conv2d(torch.tensor(x), torch.tensor(weight), padding=1).numpy()
    spoiled = ~np.isfinite(got)
    assert spoiled[1, :, 3:6, 5:8].all()
    spoiled[1, :, 2:6, 4:8] = False  # the squares of 2×2 results that these belong to
    assert not spoiled.any()


def test_integers_are_exact() -> None:
    random = np.random.default_rng(7)
    x, weight = (random.integers(-8, 9, s) for s in ((2, 32, 10, 10), (16, 32, 3, 3)))
    got = F.conv2d(*[torch.tensor(each.astype(np.float32)) for each in (x, weight)])
    expected = F.conv2d(*[torch.tensor(each.astype(float)) for each in (x, weight)])
    assert got.numpy().tolist() == expected.numpy().tolist()


TARGETS = {
    "avx512": Target(True, True, 64, 32),
    "avx2": Target(True, True, 32, 16),
    "sse": Target(False, False, 16, 16),
    "neon": Target(True, True, 16, 32),
}


@pytest.mark.parametrize("name", sorted(TARGETS))
@pytest.mark.parametrize(
    "image", [(1, 512, 7, 7), (1, 64, 56, 56), (32, 128, 28, 28), (1, 40, 2, 2)]
)
def test_sizes_fit_the_target(name: str, image: tuple[int, ...]) -> None:
    found = conv_of(image, (100, image[1], 3, 3))
    assert found is not None
    cut = winograd.cut_of(found, TARGETS[name])
    assert cut.rows * cut.vectors + cut.vectors + 1 <= TARGETS[name].registers
    assert cut.row_panels * cut.rows >= 100
    assert cut.panels * cut.width >= found.tiles
    assert cut.block * cut.blocks >= cut.panels
    assert cut.inside == (cut.blocks == 1)
