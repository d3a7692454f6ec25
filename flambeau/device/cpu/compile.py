"""Kernels → machine code: rendered, compiled by LLVM, kept in memory and on disk."""

from __future__ import annotations

import hashlib
import json
import struct
import threading
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from flambeau.device.cache import disk_cache
from flambeau.device.cpu import few, micro, shifted_ir
from flambeau.device.cpu.emit import Rendered
from flambeau.device.cpu.render import render
from flambeau.device.cpu.target import target_of
from flambeau.kernel.ir import Kernel

WRITERS = {
    **dict.fromkeys(("micro", "turn", "fetch"), micro.module_text),
    **dict.fromkeys(few.FEW, few.module_text),
    shifted_ir.SHIFT: shifted_ir.module_text,
}
"""Who writes the functions that kernels share, by how their names begin."""


@dataclass
class Statistics:
    """How often kernels were compiled, and found in a cache, since the process began."""

    compiled: int = 0
    loaded_from_disk: int = 0
    memory_hits: int = 0


STATISTICS = Statistics()

SERIAL = 12000.0
"""A stage of less estimated work than this is not worth a barrier."""


@dataclass(frozen=True, slots=True)
class CodeStage:
    """One function of a kernel in memory; see emit.Stage."""

    address: int
    items: int
    cost: float
    pieces: int

    @property
    def parallel(self) -> bool:
        return self.items > 1 and self.cost >= SERIAL


@dataclass(frozen=True, slots=True)
class Code:
    """One kernel's machine code in memory."""

    digest: str
    stages: tuple[CodeStage, ...]
    scratch: int
    shared: int
    stored: bytes  # as on disk: a header and the object


KNOWN = {
    "haswell": {"avx2": True, "fma": True, "f16c": True},
    "x86-64": {"sse2": True},
}
"""Processors that a Compiler can be asked to write for, with what the renderer asks about them."""


class Compiler:
    """LLVM for the processor of this machine; one engine holds all code."""

    def __init__(self, processor: str | None = None) -> None:
        """For this machine's processor, or as if it were an older one that LLVM knows by name."""
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.triple = llvm.get_process_triple()
        if processor is None:
            self.processor = llvm.get_host_cpu_name()
            features = dict(llvm.get_host_cpu_features())
            self.features = llvm.get_host_cpu_features().flatten()
        else:
            self.processor, features, self.features = processor, KNOWN[processor], ""
        self.target = target_of(features, self.triple)
        self._machine = self._target_machine()
        self._jit = llvm.create_lljit_compiler(self._target_machine(), use_jit_link=True)
        # Native threads may run its code until the process ends: it is never freed.
        self._jit._owned = True
        self._libraries = 0
        self._micros: dict[str, int] = {}
        self._fingerprint = self._make_fingerprint()
        self._codes: dict[str, Code] = {}
        self._lock = threading.RLock()

    def _target_machine(self) -> Any:
        target = llvm.Target.from_triple(self.triple)
        return target.create_target_machine(
            cpu=self.processor, features=self.features, opt=2, reloc="pic", jit=True
        )

    def fingerprint(self) -> str:
        """What the machine code depends on beside the kernel."""
        return self._fingerprint

    def _make_fingerprint(self) -> str:
        version = ".".join(map(str, llvm.llvm_version_info))
        processor = (self.triple, self.processor, self.features)
        parts = (llvmlite.__version__, version, *processor, repr(self.target))
        digest = hashlib.sha256("\n".join(parts).encode())
        here = Path(__file__).resolve().parent
        for path in (*sorted(here.glob("*.py")), here.parent.parent / "kernel" / "tile.py"):
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def code(self, kernel: Kernel) -> Code:
        """The machine code of a kernel, compiled where it is in no cache."""
        return self.codes([kernel])[0]

    def codes(self, kernels: Sequence[Kernel]) -> list[Code]:
        """The machine code of kernels; what is new is put into memory at once."""
        with self._lock:
            new: dict[str, bytes] = {}
            for each in kernels:
                digest = each.digest
                if digest in self._codes or digest in new:
                    STATISTICS.memory_hits += 1
                else:
                    new[digest] = self._from_disk(digest) or self._compile(each)
            self._adopt(new)
            return [self._codes[each.digest] for each in kernels]

    def adopt(self, stored: dict[str, bytes]) -> dict[str, Code]:
        """Put stored machine code (digest -> Code.stored) into memory, where it is not yet."""
        with self._lock:
            new = {digest: data for digest, data in stored.items() if digest not in self._codes}
            STATISTICS.loaded_from_disk += len(new)
            STATISTICS.memory_hits += len(stored) - len(new)
            self._adopt(new)
            return {digest: self._codes[digest] for digest in stored}

    def _key(self, digest: str) -> str:
        return hashlib.sha256(f"{self._fingerprint} {digest}".encode()).hexdigest()

    def _from_disk(self, digest: str) -> bytes | None:
        found = disk_cache().get(self._key(digest))
        if found is not None:
            STATISTICS.loaded_from_disk += 1
        return found

    def _compile(self, kernel: Kernel) -> bytes:
        rendered = render(kernel, _symbol(kernel.digest), self.target)
        stored = _pack(rendered, self.object(rendered.text))
        STATISTICS.compiled += 1
        disk_cache().put(self._key(kernel.digest), stored)
        return stored

    def _adopt(self, new: dict[str, bytes]) -> None:
        if not new:
            return
        headers = {digest: _unpack(stored) for digest, stored in new.items()}
        symbols = [stage[0] for header, _ in headers.values() for stage in header["stages"]]
        imports = {name for header, _ in headers.values() for name in header["imports"]}
        addresses = self.load([data for _, data in headers.values()], symbols, imports)
        for digest, (header, _) in headers.items():
            stages = [
                CodeStage(addresses[symbol], *numbers) for symbol, *numbers in header["stages"]
            ]
            self._codes[digest] = Code(
                digest, tuple(stages), header["scratch"], header["shared"], new[digest]
            )

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

    def load(
        self, objects: Sequence[bytes], symbols: Sequence[str], imports: Iterable[str] = ()
    ) -> dict[str, int]:
        """Put object files into memory; returns the addresses of symbols in them."""
        builder = llvm.JITLibraryBuilder().add_current_process()
        for each in imports:
            builder.import_symbol(each, self._micro(each))
        for data in objects:
            builder.add_object_img(data)
        for each in symbols:
            builder.export_symbol(each)
        self._libraries += 1
        library = builder.link(self._jit, f"library{self._libraries}")
        library._owned = True  # as the engine
        return {each: int(library[each]) for each in symbols}

    def _micro(self, name: str) -> int:
        """The address of a function that kernels share."""
        found = self._micros.get(name)
        if found is None:
            text = WRITERS[name.split("_")[0]](name, self.target.fused)
            addresses = self.functions(text, [name])
            found = self._micros[name] = addresses[name]
        return found

    def _cached_object(self, text: str) -> bytes:
        key = self._key(hashlib.sha256(text.encode()).hexdigest())
        found = disk_cache().get(key)
        if found is None:
            found = self.object(text)
            disk_cache().put(key, found)
        return found

    def functions(self, text: str, symbols: Sequence[str]) -> dict[str, int]:
        """Compile a module that is no kernel; returns its functions' addresses."""
        with self._lock:
            return self.load([self._cached_object(text)], symbols)


def _symbol(digest: str) -> str:
    return f"kernel_{digest[:32]}"


def _pack(rendered: Rendered, data: bytes) -> bytes:
    fields = {
        "stages": [astuple(each) for each in rendered.stages],
        "scratch": rendered.scratch,
        "shared": rendered.shared,
        "imports": rendered.imports,
    }
    header = json.dumps(fields).encode()
    return struct.pack("<I", len(header)) + header + data


def _unpack(stored: bytes) -> tuple[dict[str, Any], bytes]:
    (length,) = struct.unpack_from("<I", stored)
    return json.loads(stored[4 : 4 + length]), stored[4 + length :]
