"""Rows that are run together, and sums that choose one term: the same bits as one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support import Nowhere

import flambeau as torch
from flambeau.device.cpu import CpuDevice, pick, rows
from flambeau.device.cpu import compile as compiling
from flambeau.device.cpu.render import Renderer
from flambeau.device.cpu.target import Target
from flambeau.graph import build
from flambeau.graph import dtype as dtypes
from flambeau.graph.composite import placeholder
from flambeau.graph.graph import Graph
from flambeau.graph.node import Node, tensor_type
from flambeau.kernel import ir
from flambeau.kernel.ir import Axis, Fold, Kernel, Parameter, Store
from flambeau.kernel.program import Launch
from flambeau.schedule.plan import build as build_plan
from tests.device.test_cpu import run_kernel

f32, i64 = dtypes.float32, dtypes.int64
TARGET = Target(fused=True, native_half=True, vector_bytes=64, registers=32)
SHAPES = [(16, 128), (33, 128), (197, 65), (130, 17), (40, 512), (9, 100), (5, 7, 50), (64, 600)]


def shifted(x: Node) -> Node:
    last = (len(x.shape) - 1,)
    return build.sub(x, build.expand(build.reduce("max", x, last), x.shape))


def log_softmax(x: Node) -> list[Node]:
    last = (len(x.shape) - 1,)
    total = build.reduce("add", build.exp(shifted(x)), last)
    return [build.sub(shifted(x), build.expand(build.log(total), x.shape)), total]


def softmax(x: Node) -> list[Node]:
    weights = build.exp(shifted(x))
    total = build.reduce("add", weights, (len(x.shape) - 1,))
    return [build.div(weights, build.expand(total, x.shape))]


def normalized(x: Node) -> list[Node]:
    last = (len(x.shape) - 1,)
    share = build.constant(1.0 / x.shape[-1], x.dtype)
    mean = build.mul(build.reduce("add", x, last), share)
    centred = build.sub(x, build.expand(mean, x.shape))
    spread = build.mul(build.reduce("add", build.mul(centred, centred), last), share)
    root = build.sqrt(build.add(spread, build.constant(1e-5, x.dtype)))
    return [build.div(centred, build.expand(root, x.shape)), mean, root]


def total_of_logs(x: Node) -> list[Node]:
    """Nothing is stored but one number a row."""
    last = (len(x.shape) - 1,)
    most = build.reduce("max", x, last)
    return [build.add(build.log(build.reduce("add", build.exp(shifted(x)), last)), most)]


FUNCTIONS = [softmax, log_softmax, normalized, total_of_logs]


def program(function: Any, shape: tuple[int, ...], dtype: Any = f32) -> Any:
    source = placeholder(tensor_type(shape, dtype))
    return build_plan(Graph((source,), tuple(function(source))), CpuDevice().limits)


def rendered(function: Any, shape: tuple[int, ...]) -> str:
    (launch,) = program(function, shape).launches
    assert isinstance(launch, Launch)
    return Renderer(launch.kernel, TARGET).render("rows").text


def computed(function: Any, x: Any, dtype: Any = f32) -> list[Any]:
    device = CpuDevice()
    executable = device.compile(program(function, x.shape, dtype))
    results = executable.run([device.from_numpy(x, tensor_type(x.shape, dtype), True)], [])
    return [device.to_numpy(each).copy() for each in results]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("name", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_bits_as_one_by_one(
    monkeypatch: Any, function: Any, name: str, shape: tuple[int, ...]
) -> None:
    dtype = dtypes.DTYPES[name]
    x = np.random.default_rng(shape[0]).standard_normal(shape).astype(dtype.numpy)
    x.reshape(-1, shape[-1])[3, shape[-1] // 2] = np.nan
    x.reshape(-1, shape[-1])[4, :] = -np.inf
    monkeypatch.setattr(compiling, "disk_cache", lambda: Nowhere)
    together = computed(function, x, dtype)
    monkeypatch.setattr(rows, "AT_ONCE", 1)
    for got, expected in zip(together, computed(function, x, dtype), strict=True):
        np.testing.assert_array_equal(got.astype(float), expected.astype(float))


def test_one_number_a_row_is_computed_in_lanes(monkeypatch: Any) -> None:
    text = rendered(log_softmax, (768, 128))
    assert "fdiv <16 x float>" in text and "fdiv float" not in text  # in the logarithm
    monkeypatch.setattr(rows, "AT_ONCE", 1)
    assert "fdiv float" in rendered(log_softmax, (768, 128))


@pytest.mark.parametrize(
    ("shape", "lanes"), [((768, 128), 16), ((768, 512), 8), ((768, 4096), 1), ((40, 64), 4)]
)
def test_how_many_rows(shape: tuple[int, int], lanes: int) -> None:
    """Few where they are long, or where there are few; each thread is to have some."""
    (launch,) = program(log_softmax, shape).launches
    renderer = Renderer(launch.kernel, TARGET)
    assert rows.rows_at_once(renderer.kernel, renderer.chooser) == lanes


def test_a_sample_alone_and_any_number_of_threads() -> None:
    x = torch.randn(96, 128)
    before = torch.get_num_threads()
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(torch.log_softmax(x, 1).numpy())
    torch.set_num_threads(before)
    np.testing.assert_array_equal(*found)
    np.testing.assert_array_equal(torch.log_softmax(x[37:38], 1).numpy(), found[0][37:38])


# sums that choose one term


def choosing(count: int, width: int, turned: bool = False, scale: float = 1.0) -> Kernel:
    """buffer 2 [i] = Σ k  x[i, k] · scale where k == target[i]"""
    i, k = Axis(count), Axis(width)
    target = ir.load(1, i64, ir.axis(i))
    sides = (target, ir.axis(k)) if turned else (ir.axis(k), target)
    place = ir.index_add(ir.index_multiply(ir.axis(i), width), ir.axis(k))
    value = ir.apply("MUL", ir.load(0, f32, place), ir.const(scale, f32))
    chosen = ir.apply("WHERE", ir.apply("EQ", *sides), value, ir.const(0.0, f32))
    fold = Fold((k,), "add", chosen, f32)
    sizes = (
        Parameter(f32, count * width, False),
        Parameter(i64, count, False),
        Parameter(f32, count, True),
    )
    return Kernel("choose", (i,), (fold, Store(2, ir.axis(i), ir.result(fold))), sizes)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("count", "width"), [(1, 1), (7, 10), (40, 129), (3, 1000)])
def test_one_term_against_numpy(count: int, width: int, turned: bool) -> None:
    random = np.random.default_rng(count)
    x = random.standard_normal((count, width)).astype(np.float32)
    x[:, width // 2] = np.nan  # not chosen, so that it does not count
    target = random.integers(0, width, count)
    if width > 1:
        target[target == width // 2] = 0
    target[0] = -1 if count > 1 else 0
    target[-1] = width if count > 2 else target[-1]
    kernel = choosing(count, width, turned, 3.0)
    assert width == 1 or not any(isinstance(each, Fold) for each in pick.picked(kernel).body)
    out = np.full(count, 9, np.float32)
    (got,) = run_kernel(CpuDevice(), kernel.domain, kernel.body, [x.reshape(-1), target, out], {2})
    inside = (target >= 0) & (target < width)
    terms = x[np.arange(count), np.where(inside, target, 0)] * np.float32(3)
    np.testing.assert_array_equal(got, np.where(inside, terms, 0))


def test_a_term_that_is_minus_zero_is_zero() -> None:
    kernel = choosing(4, 8, scale=-1.0)
    arrays = [np.zeros(32, np.float32), np.arange(4), np.ones(4, np.float32)]
    (got,) = run_kernel(CpuDevice(), kernel.domain, kernel.body, arrays, {2})
    assert not np.signbit(got).any()


def test_what_is_no_choice_stays_a_sum() -> None:
    kernel = choosing(7, 10)
    fold, store = kernel.body
    assert isinstance(fold, Fold)
    (k,) = fold.axes
    own = ir.load(1, i64, ir.axis(k))  # compared with what changes along the row
    chosen = ir.apply("WHERE", ir.apply("EQ", ir.axis(k), own), *fold.value.args[1:])
    fold.value = chosen
    assert pick.picked(kernel) is kernel
    most = Fold((k,), "max", fold.value, f32)
    assert pick.picked(Kernel("most", kernel.domain, (most, store), kernel.buffers)).body[0] is most


def test_what_the_kernel_writes_is_summed() -> None:
    kernel = choosing(7, 10)
    buffers = (Parameter(f32, 70, True), *kernel.buffers[1:])
    written = Kernel("choose", kernel.domain, kernel.body, buffers)
    assert pick.picked(written) is written
