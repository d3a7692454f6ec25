"""Products with few rows on the cpu device: the weight is read where it lies, in the same order."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest

from flambeau.device.cpu import CpuDevice
from flambeau.device.cpu.emit import Emitter
from flambeau.device.cpu.few import FEW, LEAST, SHORTEST, module_text, name_of
from flambeau.device.cpu.order import CHAINED, CHAINS
from flambeau.device.cpu.tiling import tiling
from flambeau.device.cpu.values import Values
from flambeau.graph import build
from flambeau.graph import dtype as dtypes
from flambeau.graph.composite import placeholder
from flambeau.graph.dtype import DType
from flambeau.graph.graph import Graph
from flambeau.graph.node import tensor_type
from flambeau.kernel.tile import contraction_of
from flambeau.schedule.plan import build as build_plan
from tests.device.test_cpu_contraction import TARGETS, product_kernel

f32, f64 = dtypes.float32, dtypes.float64


@pytest.fixture(scope="module")
def device() -> Any:
    return CpuDevice()


def layer(device: Any, x: Any, weight: Any, stored: str, dtype: DType = f32) -> Any:
    """max(x · weight, 0) + 1 with a weight that is stored as [k, n] or as [n, k]."""
    held = weight if stored == "kn" else np.ascontiguousarray(weight.T)
    arrays = [np.ascontiguousarray(x), np.ascontiguousarray(held)]
    nodes = [placeholder(tensor_type(each.shape, dtype)) for each in arrays]
    right = nodes[1] if stored == "kn" else build.permute(nodes[1], (1, 0))
    product = build.matmul(nodes[0], right)
    zero, one = (build.constant(each, dtype) for each in (0.0, 1.0))
    result = build.add(build.maximum(product, zero), one)
    program = build_plan(Graph(tuple(nodes), (result,)), device.limits)
    buffers = [device.from_numpy(a, n.type, True) for a, n in zip(arrays, nodes, strict=True)]
    (buffer,) = device.compile(program).run(buffers, [])
    return device.to_numpy(buffer).copy()


def operands(rows: int, n: int, k: int, dtype: DType = f32) -> tuple[Any, Any]:
    random = np.random.default_rng([rows, n, k])
    x, weight = random.standard_normal((rows, k)), random.standard_normal((k, n))
    return x.astype(dtype.numpy), weight.astype(dtype.numpy)


def direct(m: int, n: int, k: int, turned: bool, target: str = "avx512") -> str:
    kernel = product_kernel(m, n, k, (False, turned, False))
    contraction = contraction_of(kernel)
    assert contraction is not None
    found = tiling(contraction, Values(Emitter(True), kernel), TARGETS[target])
    return found.direct if found is not None else "none"


def test_few_rows_are_read_in_place() -> None:
    for target in TARGETS:
        assert direct(1, 512, 512, True, target) == "along"
        assert direct(1, 512, 512, False, target) == "across"
    assert direct(FEW["along"] + 1, 512, 512, True) == ""
    assert direct(FEW["across"] + 1, 512, 512, False) == ""
    assert direct(2, LEAST - 1, 512, True) == ""
    assert direct(2, 512, CHAINED - 1, True) == "along"  # rows too short to have chains
    assert direct(2, 512, SHORTEST - 1, True) == ""
    assert direct(2, 512, CHAINED - 1, False) == "across"


@pytest.mark.parametrize("stored", ["kn", "nk"])
@pytest.mark.parametrize("k", [17, 64, CHAINED - 1, CHAINED, 131, 257, 1000, 4099, 17_000])
@pytest.mark.parametrize("n", [64, 65, 97, 300, 515])
def test_a_row_has_the_same_bits_among_few_and_among_many(
    device: Any, stored: str, k: int, n: int
) -> None:
    x, weight = operands(40, n, k)
    whole = layer(device, x, weight, stored)
    expected = np.maximum(x.astype(float) @ weight, 0) + 1
    np.testing.assert_allclose(whole, expected, rtol=1e-4, atol=2e-5 * k**0.5)
    for rows in (1, 2, 3, 4, 5, 8, 9):
        np.testing.assert_array_equal(layer(device, x[:rows], weight, stored), whole[:rows])


@pytest.mark.parametrize("stored", ["kn", "nk"])
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 8])
def test_doubles(device: Any, stored: str, rows: int) -> None:
    x, weight = operands(30, 130, 301, f64)
    whole = layer(device, x, weight, stored, f64)
    np.testing.assert_allclose(whole, np.maximum(x @ weight, 0) + 1, rtol=1e-11, atol=1e-11)
    np.testing.assert_array_equal(layer(device, x[:rows], weight, stored, f64), whole[:rows])


@pytest.mark.parametrize("stored", ["kn", "nk"])
def test_same_bits_for_any_number_of_threads(device: Any, stored: str) -> None:
    x, weight = operands(2, 1500, 700)
    found = []
    for threads in (1, 2, 3):
        device.runtime.set_threads(threads)
        found.append(layer(device, x, weight, stored).tobytes())
    device.runtime.set_threads(2)
    assert len(set(found)) == 1


@pytest.mark.parametrize("stored", ["kn", "nk"])
def test_nan_reaches_its_row_and_column_only(device: Any, stored: str) -> None:
    x, weight = operands(3, 101, 203)
    x[1, 202], weight[201, 100] = np.nan, np.inf
    got = layer(device, x, weight, stored)
    with np.errstate(all="ignore"):
        expected = np.maximum(x.astype(float) @ weight, 0) + 1
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    clean, weight = operands(3, 101, 203)  # what ran before has left NaN in the threads' memory
    np.testing.assert_allclose(
        layer(device, clean, weight, stored),
        np.maximum(clean @ weight, 0) + 1,
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize("stored", ["kn", "nk"])
def test_sums_are_more_exact_than_those_of_one_chain(device: Any, stored: str) -> None:
    x, weight = (abs(each) for each in operands(2, 200, 4000))
    exact = x.astype(float) @ weight
    chain = np.zeros((2, 200), np.float32)
    for step in range(4000):
        chain += x[:, step : step + 1] * weight[step]
    error = np.abs(layer(device, x, weight, stored) - 1 - exact).mean()
    assert error < np.abs(chain - exact).mean() / 3


@pytest.mark.parametrize("kind", ["float", "double"])
@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("count", [1, 15, 16, 33])
@pytest.mark.parametrize("k", [17, 64, 103, 132, 142, 300])
def test_along_for_vectors_of_any_width(kind: str, lanes: int, count: int, k: int) -> None:
    """Machines with narrower vectors give the same bits; -0 stays -0."""
    dtype = np.dtype(np.float32 if kind == "float" else np.float64)
    random = np.random.default_rng(k)
    a, b = (random.standard_normal((n, k)).astype(dtype) for n in (2, count))
    a[1], b[-1] = -np.finfo(dtype).tiny, np.finfo(dtype).tiny  # products that round to -0
    found = []
    for width in (4, lanes):
        name = name_of("along", kind, 2, width, CHAINS if k >= CHAINED else 1)
        c = np.zeros((2, 64), dtype)
        arguments = [k, 128, a.ctypes.data, b.ctypes.data, k, c.ctypes.data, 64, count]
        _native(name)(*map(ctypes.c_int64, arguments))
        found.append(c[:, :count].copy())
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(np.signbit(found[0]), np.signbit(found[1]))
    exact = a.astype(float) @ b.astype(float).T
    np.testing.assert_allclose(found[1], exact, rtol=1e-4, atol=1e-4)
    assert np.signbit(found[1][1, -1])


_ENGINES: list[Any] = []


@lru_cache
def _native(name: str) -> Any:
    """One of few.py's functions, compiled for this machine."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(module_text(name, True))
    target = llvm.Target.from_default_triple()
    machine = target.create_target_machine(cpu=llvm.get_host_cpu_name(), opt=2)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    _ENGINES.append(engine)
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 8)(engine.get_function_address(name))
