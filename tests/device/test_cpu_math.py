"""exp, log and sin of the cpu device: accuracy in units in the last place, and special values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flambeau.device.cpu.compile import Compiler
from flambeau.device.cpu.device import CpuDevice
from flambeau.device.cpu.render import render
from flambeau.device.cpu.target import Target
from flambeau.graph import dtype as dtypes
from flambeau.graph.node import tensor_type
from flambeau.kernel import ir
from flambeau.kernel.ir import Axis, Kernel, Parameter, Store
from flambeau.kernel.program import Launch, Program, Slot


@pytest.fixture(scope="module")
def device() -> Any:
    return CpuDevice()


def apply(device: Any, op: str, x: Any) -> Any:
    dtype = dtypes.from_numpy(x.dtype)
    of = tensor_type(x.shape, dtype)
    a = Axis(x.size)
    value = ir.apply(op, ir.load(0, dtype, ir.axis(a)))
    sizes = (Parameter(dtype, x.size, False), Parameter(dtype, x.size, True))
    kernel = Kernel(op, (a,), (Store(1, ir.axis(a), value),), sizes)
    slots = [Slot(of, "input"), Slot(of, "output")]
    executable = device.compile(Program(slots, [Launch(kernel, (0, 1))], (), (0,), (1,)))
    (result,) = executable.run([device.from_numpy(x, of, True)], [])
    return device.to_numpy(result).copy()


def worst(got: Any, exact: Any) -> float:
    """The largest error in units in the last place of the exact result."""
    exact = np.asarray(exact)
    unit = np.spacing(np.abs(exact.astype(got.dtype))).astype(exact.dtype)
    return float(np.max(np.abs(got.astype(exact.dtype) - exact) / unit))


RANGES = {
    "EXP": [(-103.0, 88.7), (-1.0, 1.0), (-1e-3, 1e-3)],
    "LOG": [(1e-3, 10.0), (0.9, 1.1), (1e-38, 1e-30), (1e20, 3e38), (1e-44, 1e-38)],
    "SIN": [(-3.2, 3.2), (-100.0, 100.0), (-1e5, 1e5), (1e6, 1e30)],
    "COS": [(-3.2, 3.2), (-100.0, 100.0), (-1e5, 1e5), (1e6, 1e30)],
    "TAN": [(-3.2, 3.2), (-100.0, 100.0), (-1e5, 1e5), (1e6, 1e30)],
}
FUNCTIONS = {"EXP": np.exp, "LOG": np.log, "SIN": np.sin, "COS": np.cos, "TAN": np.tan}
CASES = [(op, *ends) for op, ranges in RANGES.items() for ends in ranges]


@pytest.mark.parametrize(("op", "low", "high"), CASES)
def test_float32_is_within_two_units(device: Any, op: str, low: float, high: float) -> None:
    x = np.random.default_rng(0).uniform(low, high, 200_003).astype(np.float32)
    got = apply(device, op, x)
    assert worst(got, FUNCTIONS[op](x.astype(np.float64))) <= 2.0


WIDE = np.finfo(np.longdouble).nmant > 52
DOUBLE_CASES = [
    ("EXP", -700.0, 700.0),
    ("EXP", -1.0, 1.0),
    ("EXP", -744.0, -709.0),
    ("LOG", 1e-300, 1e-290),
    ("LOG", 0.5, 2.0),
    ("LOG", 1e-320, 1e-310),
    ("LOG", 1.0, 1e300),
    ("SIN", -3.2, 3.2),
    ("SIN", -1e5, 1e5),
    ("SIN", 1e7, 1e15),
    ("COS", -3.2, 3.2),
    ("COS", -1e5, 1e5),
    ("COS", 1e7, 1e15),
    ("TAN", -3.2, 3.2),
    ("TAN", -1e5, 1e5),
    ("TAN", 1e7, 1e15),
]


@pytest.mark.skipif(not WIDE, reason="this system has no wider float to compare with")
@pytest.mark.parametrize(("op", "low", "high"), DOUBLE_CASES)
def test_float64_is_within_two_units(device: Any, op: str, low: float, high: float) -> None:
    x = np.random.default_rng(0).uniform(low, high, 50_003)
    got = apply(device, op, x)
    assert worst(got, FUNCTIONS[op](x.astype(np.longdouble))) <= 2.0


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("op", ["EXP", "LOG", "SIN", "COS", "TAN", "SQRT", "FLOOR", "NEG"])
def test_special_values(device: Any, op: str, name: str) -> None:
    x = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 89.0, -104.5, 710.0, -746.0, 2.5])
    x = x.astype(dtypes.DTYPES[name].numpy)
    functions = {**FUNCTIONS, "SQRT": np.sqrt, "FLOOR": np.floor, "NEG": np.negative}
    with np.errstate(all="ignore"):
        expected = functions[op](x).astype(x.dtype).astype(float)
    got = apply(device, op, x).astype(float)
    np.testing.assert_allclose(got, expected, rtol=1e-6 if name in ("float32", "float64") else 1e-2)
    signs = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(got[signs]), np.signbit(expected[signs]))


def test_zero_and_one_are_exact(device: Any) -> None:
    for kind in (np.float32, np.float64):
        assert apply(device, "EXP", np.zeros(20, kind))[7] == 1.0
        assert apply(device, "LOG", np.ones(20, kind))[7] == 0.0
        assert apply(device, "SIN", np.zeros(20, kind))[7] == 0.0
        assert apply(device, "TAN", np.zeros(20, kind))[7] == 0.0


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_half_conversion_without_hardware_support(name: str) -> None:
    """All 65,536 bit patterns through the conversion in integer arithmetic."""
    dtype = dtypes.DTYPES[name]
    a = Axis(65536)
    value = ir.apply("ADD", ir.load(0, dtype, ir.axis(a)), ir.const(0.0, dtype))
    value = ir.apply("CAST", value, dtype=dtypes.float32)
    sizes = (Parameter(dtype, 65536, False), Parameter(dtypes.float32, 65536, True))
    kernel = Kernel("half", (a,), (Store(1, ir.axis(a), value),), sizes)
    compiler = Compiler()
    plain = Target(fused=False, native_half=False, vector_bytes=16, registers=16)
    rendered = render(kernel, "plain_half", plain)
    address = compiler.functions(rendered.text, ["plain_half"])["plain_half"]
    x = np.arange(65536, dtype=np.uint16).view(dtype.numpy)
    got = call(address, [x, np.zeros(65536, np.float32)], rendered.stages[0].items)
    with np.errstate(invalid="ignore"):
        expected = x.astype(np.float32) + np.float32(0)
    np.testing.assert_array_equal(got, expected)


def call(address: int, arrays: list[Any], items: int) -> Any:
    """Call a kernel's function; returns the last array."""
    import ctypes

    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    kind = ctypes.CFUNCTYPE(None, pointer, pointer, integer, integer, pointer, pointer)
    addresses = (ctypes.c_uint64 * len(arrays))(*[x.ctypes.data for x in arrays])
    error = (ctypes.c_int64 * 8)()
    kind(address)(ctypes.addressof(addresses), None, 0, items, ctypes.addressof(error), None)
    assert error[0] == 0
    return arrays[-1]
