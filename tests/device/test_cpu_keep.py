"""Values that loops over a row share: computed once, and with the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support import Nowhere

import flambeau as torch
from flambeau.device.cpu import CpuDevice, keep
from flambeau.device.cpu import compile as compiling
from flambeau.device.cpu.render import Renderer
from flambeau.device.cpu.target import Target
from flambeau.graph import build
from flambeau.graph import dtype as dtypes
from flambeau.graph.composite import placeholder
from flambeau.graph.graph import Graph
from flambeau.graph.node import Node, tensor_type
from flambeau.kernel.program import Launch
from flambeau.schedule.plan import build as build_plan

f32 = dtypes.float32
TARGET = Target(fused=True, native_half=True, vector_bytes=64, registers=32)


def softmax(x: Node) -> Node:
    weights = build.exp(build.sub(x, build.expand(build.reduce("max", x, (1,)), x.shape)))
    return build.div(weights, build.expand(build.reduce("add", weights, (1,)), x.shape))


def twice(x: Node) -> Node:
    """Three loops: the second keeps for the third what the first left it."""
    y = softmax(x)
    total = build.reduce("add", build.mul(y, x), (1,))
    return build.mul(y, build.sub(x, build.expand(total, x.shape)))


def moments(x: Node) -> Node:
    """Two sums in one loop, which share what is kept for a third."""
    weights = build.exp(x)
    first = build.reduce("add", weights, (1,))
    second = build.reduce("add", build.mul(weights, x), (1,))
    both = build.add(build.expand(first, x.shape), build.expand(second, x.shape))
    return build.div(weights, both)


def program(function: Any, shape: tuple[int, ...], dtype: Any = f32) -> Any:
    source = placeholder(tensor_type(shape, dtype))
    return build_plan(Graph((source,), (function(source),)), CpuDevice().limits)


def rendered(function: Any, shape: tuple[int, ...]) -> str:
    (launch,) = program(function, shape).launches
    assert isinstance(launch, Launch)
    return Renderer(launch.kernel, TARGET).render("rows").text


@pytest.mark.parametrize(("function", "exponentials"), [(softmax, 1), (twice, 1), (moments, 1)])
def test_a_row_has_each_exponential_once(function: Any, exponentials: int) -> None:
    text = rendered(function, (64, 256))
    # two subtractions each: the magic number, and what 1 + r loses
    assert text.count("fsub <16 x float>") == 2 * exponentials


@pytest.mark.parametrize("function", [softmax, twice, moments])
@pytest.mark.parametrize("name", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("columns", [2, 15, 16, 100, 253, 1024, 1030])
def test_the_same_bits_as_without(monkeypatch: Any, function: Any, name: str, columns: int) -> None:
    dtype = dtypes.DTYPES[name]
    x = np.random.default_rng(columns).standard_normal((19, columns)).astype(dtype.numpy)
    x[3, columns // 2] = np.nan
    x[4, :] = -np.inf
    results = []
    for most in (keep.MOST, 0):
        monkeypatch.setattr(keep, "MOST", most)
        device = CpuDevice()
        monkeypatch.setattr(compiling, "disk_cache", lambda: Nowhere)
        executable = device.compile(program(function, x.shape, dtype))
        of = tensor_type(x.shape, dtype)
        (result,) = executable.run([device.from_numpy(x, of, True)], [])
        results.append(device.to_numpy(result).copy())
    np.testing.assert_array_equal(results[0].astype(float), results[1].astype(float))


def test_rows_too_long_for_the_cache_are_computed_again() -> None:
    columns = keep.MOST // 4
    text = rendered(softmax, (64, columns))
    assert text.count("fsub <16 x float>") >= 2


def test_rows_against_float64() -> None:
    x = np.random.default_rng(0).standard_normal((40, 777)).astype(np.float32) * 5
    wide = x.astype(np.float64)
    weights = np.exp(wide - wide.max(1, keepdims=True))
    expected = weights / weights.sum(1, keepdims=True)
    got = torch.softmax(torch.from_numpy(x), 1).numpy()
    np.testing.assert_allclose(got, expected, rtol=3e-6)  # of x - most, which is up to 40
