"""Stores past the caches: which buffers, which addresses, and that the results are the same."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

from flambeau.device.cpu import stream
from flambeau.device.cpu.compile import Compiler
from flambeau.device.cpu.render import render
from flambeau.graph import dtype as dtypes
from flambeau.kernel import ir
from flambeau.kernel.ir import Axis, Kernel, Parameter, Store

f32 = dtypes.float32


@pytest.fixture(scope="module")
def compiler() -> Compiler:
    return Compiler()


def doubled(rows: int, columns: int, dtype: Any = f32) -> Kernel:
    """buffer 1 = 2 · buffer 0"""
    i, j = Axis(rows), Axis(columns)
    place = ir.index_add(ir.index_multiply(ir.axis(i), columns), ir.axis(j))
    value = ir.load(0, dtype, place)
    sizes = (Parameter(dtype, rows * columns, False), Parameter(dtype, rows * columns, True))
    return Kernel("double", (i, j), (Store(1, place, ir.apply("ADD", value, value)),), sizes)


def run(compiler: Compiler, kernel: Kernel, x: Any, out: Any) -> str:
    """Run a kernel's code on arrays as they lie; returns its text."""
    name = f"streaming_{abs(hash((kernel.text, stream.CACHED)))}"
    rendered = render(kernel, name, compiler.target)
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    kind = ctypes.CFUNCTYPE(None, pointer, pointer, integer, integer, pointer, pointer)
    function = kind(compiler.functions(rendered.text, [name])[name])
    addresses = (ctypes.c_uint64 * 2)(x.ctypes.data, out.ctypes.data)
    error = (ctypes.c_int64 * 8)()
    function(addresses, None, 0, rendered.stages[0].items, error, None)
    return rendered.text


def at(offset: int, size: int, dtype: Any) -> Any:
    """An array that begins so many bytes behind the beginning of a cache line."""
    itemsize = np.dtype(dtype).itemsize
    memory = np.zeros(size * itemsize + 256, np.uint8)
    first = -memory.ctypes.data % 64 + offset
    return memory[first : first + size * itemsize].view(dtype)


@pytest.mark.parametrize("offset", [0, 16, 60])
@pytest.mark.parametrize(
    ("rows", "columns", "streams"),
    [(1, 4096, True), (7, 256, True), (5, 1000, False), (3, 77, False), (1, 40, False)],
)
def test_results_are_the_same(
    compiler: Compiler, monkeypatch: Any, rows: int, columns: int, streams: bool, offset: int
) -> None:
    x = np.random.default_rng(0).standard_normal(rows * columns).astype(np.float32)
    out = at(offset, x.size, np.float32)
    monkeypatch.setattr(stream, "CACHED", 0)
    text = run(compiler, doubled(rows, columns), x, out)
    assert ("!nontemporal" in text) == streams
    np.testing.assert_array_equal(out, x + x)


def test_every_size_of_elements(compiler: Compiler, monkeypatch: Any) -> None:
    monkeypatch.setattr(stream, "CACHED", 0)
    for name in ("float64", "int32", "int8", "float16", "bfloat16", "int64"):
        dtype = dtypes.DTYPES[name]
        x = np.arange(4096).astype(np.int8).astype(dtype.numpy)
        out = at(0, x.size, dtype.numpy)
        run(compiler, doubled(1, 4096, dtype), x, out)
        np.testing.assert_array_equal(out, x + x)


def test_only_large_results_that_nobody_reads_here() -> None:
    large = stream.CACHED // 8 + 64
    assert stream.streamed(doubled(1, large)) == {1}
    assert not stream.streamed(doubled(1, large - 64))
    kernel = doubled(1, large)
    (store,) = kernel.body
    assert isinstance(store, Store)
    store.value = ir.apply("ADD", store.value, ir.load(1, f32, store.index))
    assert not stream.streamed(kernel)
    again = doubled(1, large)
    again.body = (*again.body, *again.body)
    assert not stream.streamed(again)
