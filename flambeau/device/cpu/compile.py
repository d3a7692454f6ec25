"""Kernels → machine code: rendered, compiled by LLVM, kept in memory and on disk."""

from __future__ import annotations

import hashlib
import json
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from flambeau.device.cpu.render import Rendered, Target, render
from flambeau.kernel.ir import Kernel

VERSION = "1"
"""Of the renderer and of what is stored: part of every key on disk."""


@dataclass
class Statistics:
    """How often kernels were compiled, and found in a cache, since the process began."""

    compiled: int = 0
    loaded_from_disk: int = 0
    memory_hits: int = 0


STATISTICS = Statistics()


@dataclass(frozen=True, slots=True)
class Code:
    """One kernel's machine code in memory."""

    digest: str
    address: int
    items: int
    cost: float
    scratch: int
    stored: bytes  # as on disk: a header and the object


class Compiler:
    """LLVM for the processor of this machine; one engine holds all code."""

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.processor = llvm.get_host_cpu_name()
        features = llvm.get_host_cpu_features()
        self.features = features.flatten()
        self.triple = llvm.get_process_triple()
        self.target = _target(dict(features), self.triple)
        self._machine = self._target_machine()
        self._jit = llvm.create_lljit_compiler(self._target_machine(), use_jit_link=True)
        # Native threads may run its code until the process ends: it is never freed.
        self._jit._owned = True
        self._libraries = 0
        self._codes: dict[str, Code] = {}
        self._lock = threading.RLock()

    def _target_machine(self) -> Any:
        target = llvm.Target.from_triple(self.triple)
        return target.create_target_machine(
            cpu=self.processor, features=self.features, opt=2, reloc="pic", jit=True
        )

    def fingerprint(self) -> str:
        """What the machine code depends on beside the kernel."""
        version = ".".join(map(str, llvm.llvm_version_info))
        parts = (VERSION, llvmlite.__version__, version, self.triple, self.processor, self.features)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def code(self, kernel: Kernel) -> Code:
        """The machine code of a kernel, compiled where it is in no cache."""
        digest = kernel.digest
        with self._lock:
            found = self._codes.get(digest)
            if found is not None:
                STATISTICS.memory_hits += 1
                return found
            rendered = render(kernel, f"kernel_{digest[:32]}", self.target)
            data = self.object(rendered.text)
            STATISTICS.compiled += 1
            return self._load(digest, _pack(rendered, data))

    def _load(self, digest: str, stored: bytes) -> Code:
        header, data = _unpack(stored)
        symbol = f"kernel_{digest[:32]}"
        address = self.load(data, [symbol])[symbol]
        code = Code(digest, address, header["items"], header["cost"], header["scratch"], stored)
        self._codes[digest] = code
        return code

    def object(self, text: str) -> bytes:
        """LLVM IR → an object file."""
        module = llvm.parse_assembly(text)
        module.triple = self.triple
        # No passes: the renderer leaves nothing for them to do, and they cost more than the rest.
        return self._machine.emit_object(module)

    def assembly(self, kernel: Kernel) -> tuple[str, str]:
        """A kernel's LLVM IR and assembly, to look at."""
        text = render(kernel, "kernel", self.target).text
        module = llvm.parse_assembly(text)
        module.triple = self.triple
        return text, self._machine.emit_assembly(module)

    def load(self, data: bytes, symbols: Sequence[str]) -> dict[str, int]:
        """Put an object file into memory; returns the addresses of its symbols."""
        builder = llvm.JITLibraryBuilder().add_object_img(data).add_current_process()
        for each in symbols:
            builder.export_symbol(each)
        self._libraries += 1
        library = builder.link(self._jit, f"library{self._libraries}")
        library._owned = True  # as the engine
        return {each: int(library[each]) for each in symbols}

    def functions(self, text: str, symbols: Sequence[str]) -> dict[str, int]:
        """Compile a module that is no kernel; returns its functions' addresses."""
        with self._lock:
            return self.load(self.object(text), symbols)


def _pack(rendered: Rendered, data: bytes) -> bytes:
    header = json.dumps(
        {"items": rendered.items, "cost": rendered.cost, "scratch": rendered.scratch}
    ).encode()
    return struct.pack("<I", len(header)) + header + data


def _unpack(stored: bytes) -> tuple[dict[str, Any], bytes]:
    (length,) = struct.unpack_from("<I", stored)
    return json.loads(stored[4 : 4 + length]), stored[4 + length :]


def _target(features: dict[str, bool], triple: str) -> Target:
    arm = triple.startswith(("aarch64", "arm64"))
    if arm:
        return Target(fused=True, native_half=True, vector_bytes=16, registers=32)
    if features.get("avx512f"):
        return Target(True, True, 64, 32)
    fused = bool(features.get("fma"))
    wide = 32 if features.get("avx2") else 16
    return Target(fused, bool(features.get("f16c")), wide, 16)
