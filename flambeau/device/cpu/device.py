"""The cpu device."""

from __future__ import annotations

import ctypes
import platform
from typing import Any

import llvmlite.binding as llvm
import numpy

from flambeau.device import base
from flambeau.device.cpu import native
from flambeau.device.cpu.compile import STATISTICS, Compiler
from flambeau.device.cpu.executable import CpuExecutable, CpuLaunch
from flambeau.device.cpu.memory import Arena, CpuBuffer, Pool, as_numpy
from flambeau.device.cpu.runtime import Runtime
from flambeau.device.cpu.serialize import unpack
from flambeau.graph.node import TensorType
from flambeau.kernel.ir import Kernel
from flambeau.kernel.program import HostCall, Launch, Program

_KINDS: dict[str, Any] = {
    "bool": ctypes.c_bool,
    "uint8": ctypes.c_uint8,
    "uint32": ctypes.c_uint32,
    "int8": ctypes.c_int8,
    "int16": ctypes.c_int16,
    "int32": ctypes.c_int32,
    "int64": ctypes.c_int64,
    "float32": ctypes.c_float,
    "float64": ctypes.c_double,
}
"""Dtypes whose elements are read without numpy."""


class CpuDevice(base.Device):
    """Runs programs as machine code that LLVM makes for this processor, on native threads."""

    name = "cpu"
    host_memory = True

    def __init__(self, processor: str | None = None) -> None:
        self.compiler = Compiler(processor)
        self.runtime = Runtime(self.compiler)
        self.pool = Pool()
        self.arena = Arena()
        self._empty = numpy.zeros(8, numpy.int64)

    def from_numpy(self, array: numpy.ndarray[Any, Any], of: TensorType, copy: bool) -> CpuBuffer:
        flags = array.flags
        if not copy and flags.c_contiguous and flags.aligned:
            owner = array if array.size else self._empty
            address = native.address(owner)
            return CpuBuffer(of, (address, owner), None, None)
        buffer = self.pool.allocate(of)
        if of.size and flags.c_contiguous and array.dtype == of.dtype.numpy:
            ctypes.memmove(buffer.address, native.address(array), of.nbytes)
        elif of.size:
            as_numpy(buffer, buffer.address, of)[...] = array
        return buffer

    def to_numpy(self, buffer: CpuBuffer) -> numpy.ndarray[Any, Any]:
        return as_numpy(buffer, buffer.address, buffer.type)

    def element(self, buffer: CpuBuffer, place: int) -> Any:
        of = buffer.type
        kind = _KINDS.get(of.dtype.name)
        if kind is None:
            return super().element(buffer, place)
        return kind.from_address(buffer.address + place * of.dtype.itemsize).value

    def compile(self, program: Program) -> CpuExecutable:
        launches = [each for each in program.launches if isinstance(each, Launch)]
        codes = iter(self.compiler.codes([each.kernel for each in launches]))
        steps: list[CpuLaunch | HostCall] = []
        for each in program.launches:
            if isinstance(each, HostCall):
                steps.append(each)
                continue
            name = each.kernel.name
            more = (each.locations, each.errors, each.independent)
            steps.append(CpuLaunch(next(codes), name, each.slots, each.scalars, *more))
        return CpuExecutable(
            self,
            program.slots,
            steps,
            program.scalars,
            program.inputs,
            program.outputs,
            program.arena,
        )

    def deserialize(self, data: bytes) -> CpuExecutable | None:
        return unpack(data, self)

    def code(self, kernel: Kernel) -> str:
        text, assembly = self.compiler.assembly(kernel)
        return f"; LLVM IR\n{text}\n; assembly for {self.compiler.processor}\n{assembly}"

    def fingerprint(self) -> str:
        return self.compiler.fingerprint()

    def information(self) -> dict[str, str]:
        return {
            "processor": f"{self.compiler.processor} ({platform.machine()})",
            "features": self.compiler.features or "those that every such processor has",
            "llvm": ".".join(map(str, llvm.llvm_version_info)),
            "threads": str(self.runtime.threads),
            "kernels compiled": str(STATISTICS.compiled),
            "kernels loaded from disk": str(STATISTICS.loaded_from_disk),
        }
