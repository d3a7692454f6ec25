"""Code for other processors than this one: run where it can be, else compiled only."""

from __future__ import annotations

import platform
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest
from test_cpu_contraction import product_kernel, run_graph, run_product, samples

from flambeau.device.cpu import CpuDevice
from flambeau.device.cpu.micro import module_text
from flambeau.device.cpu.render import render
from flambeau.device.cpu.target import target_of
from flambeau.device.cpu.worker_ir import runner_text
from flambeau.graph import build
from flambeau.graph import dtype as dtypes
from flambeau.graph.composite import placeholder
from flambeau.graph.graph import Graph
from flambeau.graph.node import Node, tensor_type
from flambeau.schedule.plan import build as build_plan

f32 = dtypes.float32
X86 = platform.machine().lower() in ("x86_64", "amd64")


def softmax(x: Node) -> Node:
    weights = build.exp(build.sub(x, build.expand(build.reduce("max", x, (1,)), x.shape)))
    return build.div(weights, build.expand(build.reduce("add", weights, (1,)), x.shape))


def mixed(x: Node) -> Node:
    """Masks, gathers, conversions, divided indices and every function."""
    padded = build.pad(x, (x.shape[0] + 5, x.shape[1] + 3), (2, 1))
    turned = build.permute(padded, (1, 0))
    value = build.log(build.add(build.mul(turned, turned), build.full_like(turned, 1.0)))
    value = build.add(value, build.sin(turned))
    half = build.cast(build.cast(value, dtypes.bfloat16), f32)
    flat = build.reshape(build.add(value, half), (value.type.size,))
    return build.reduce("add", build.reshape(flat, (-(-value.type.size // 8), 8)), (1,))


def run(device: Any, function: Any, x: Any) -> Any:
    source = placeholder(tensor_type(x.shape, f32))
    program = build_plan(Graph((source,), (function(source),)), device.limits)
    executable = device.compile(program)
    (result,) = executable.run([device.from_numpy(x, source.type, True)], [])
    return device.to_numpy(result).copy()


@pytest.mark.skipif(not X86, reason="names x86 processors")
@pytest.mark.parametrize("function", [softmax, mixed])
@pytest.mark.parametrize("columns", [10, 37, 253])
def test_same_bits_whatever_the_width_of_vectors(function: Any, columns: int) -> None:
    here = CpuDevice()
    if here.compiler.target.vector_bytes < 32:
        pytest.skip("this processor has no AVX2")
    (x,) = samples(f32, (19, columns))
    expected = run(here, function, x)
    np.testing.assert_array_equal(run(CpuDevice("haswell"), function, x), expected)
    oldest = run(CpuDevice("x86-64"), function, x)
    np.testing.assert_allclose(oldest, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not X86, reason="names x86 processors")
@pytest.mark.parametrize("name", ["haswell", "x86-64"])
@pytest.mark.parametrize(
    "turned", [(False, False, False), (False, True, False), (True, False, True)]
)
def test_products_on_lesser_processors(name: str, turned: tuple[bool, bool, bool]) -> None:
    if CpuDevice().compiler.target.vector_bytes < 32:
        pytest.skip("this processor has no AVX2")
    a, b, bias = samples(f32, (50, 300), (300, 70), (70,))
    got = run_product(CpuDevice(name), a, b, bias, turned)
    expected = np.maximum(a.astype(float) @ b.astype(float) + bias, 0)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-3)


def test_code_for_arm_compiles() -> None:
    """Object code for another architecture: nothing is run."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    triple = "aarch64-unknown-linux-gnu"
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu="neoverse-n1", opt=2)
    target = target_of({}, triple)
    source = placeholder(tensor_type((19, 37), f32))
    kernels = [product_kernel(50, 70, 300, (False, True, False))]
    for function in (softmax, mixed):
        program = build_plan(Graph((source,), (function(source),)), CpuDevice.limits)
        kernels += [launch.kernel for launch in program.launches]
    texts = [runner_text("aarch64", True), runner_text("riscv64", False)]
    for kernel in kernels:
        rendered = render(kernel, "kernel", target)
        texts += [rendered.text, *[module_text(name, True) for name in rendered.imports]]
    for text in texts:
        module = llvm.parse_assembly(text)
        module.triple = triple
        module.verify()
        assert machine.emit_object(module)[:4] == b"\x7fELF"


@pytest.mark.skipif(not X86, reason="names x86 processors")
def test_transformed_convolutions_on_lesser_processors() -> None:
    here = CpuDevice()
    if here.compiler.target.vector_bytes < 32:
        pytest.skip("this processor has no AVX2")
    arrays = samples(f32, (2, 40, 9, 11), (50, 40, 3, 3))
    nodes = [placeholder(tensor_type(each.shape, f32)) for each in arrays]
    result = build.conv("forward", *nodes, (1, 1), ((1, 1), (1, 1)), (1, 1), 1, ())
    found = [run_graph(each, result, nodes, arrays) for each in (here, CpuDevice("haswell"))]
    np.testing.assert_array_equal(*found)
    oldest = run_graph(CpuDevice("x86-64"), result, nodes, arrays)
    np.testing.assert_allclose(oldest, found[0], rtol=1e-5, atol=1e-4)


@pytest.mark.skipif(not X86, reason="names x86 processors")
@pytest.mark.parametrize("groups", [1, 8])
def test_weight_gradients_on_lesser_processors(groups: int) -> None:
    here = CpuDevice()
    if here.compiler.target.vector_bytes < 32:
        pytest.skip("this processor has no AVX2")
    arrays = samples(f32, (2, 8, 19, 21), (2, 24 if groups == 1 else 8, 10, 11))
    nodes = [placeholder(tensor_type(each.shape, f32)) for each in arrays]
    result = build.conv("weight", *nodes, (2, 2), ((1, 1), (1, 1)), (1, 1), groups, (3, 3))
    found = [run_graph(each, result, nodes, arrays) for each in (here, CpuDevice("haswell"))]
    np.testing.assert_array_equal(*found)
    oldest = run_graph(CpuDevice("x86-64"), result, nodes, arrays)
    np.testing.assert_allclose(oldest, found[0], rtol=1e-5, atol=1e-4)


@pytest.mark.skipif(not X86, reason="names x86 processors")
@pytest.mark.parametrize("dtype", [f32, dtypes.float64])
def test_turned_tiles_on_lesser_processors(dtype: dtypes.DType) -> None:
    here = CpuDevice()
    if here.compiler.target.vector_bytes < 32:
        pytest.skip("this processor has no AVX2")
    arrays = samples(dtype, (1, 300, 3, 3), (130, 300, 1, 1))
    nodes = [placeholder(tensor_type(each.shape, dtype)) for each in arrays]
    result = build.conv("forward", *nodes, (1, 1), ((0, 0), (0, 0)), (1, 1), 1, ())
    found = [run_graph(each, result, nodes, arrays) for each in (here, CpuDevice("haswell"))]
    np.testing.assert_array_equal(*found)
    oldest = run_graph(CpuDevice("x86-64"), result, nodes, arrays)
    np.testing.assert_allclose(oldest, found[0], rtol=1e-5, atol=1e-4)
