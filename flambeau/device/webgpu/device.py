"""The webgpu device: arrays and programs on a GPU, or on a processor through a Vulkan driver."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy

from flambeau.device.base import Device
from flambeau.device.webgpu import adapter, carrier
from flambeau.device.webgpu.executable import WebGpuExecutable
from flambeau.device.webgpu.memory import Memory, Pool, WebGpuBuffer, size_class
from flambeau.device.webgpu.render import STORAGE_BUFFERS
from flambeau.device.webgpu.table import Step, from_bytes, lower
from flambeau.graph.node import TensorType
from flambeau.kernel.limits import Limits
from flambeau.kernel.program import Program


@dataclass(slots=True)
class Statistics:
    """How often pipelines were compiled, and found in memory, since the process began."""

    compiled: int = 0
    memory_hits: int = 0


STATISTICS = Statistics()


class WebGpuDevice(Device):
    """Programs through WGSL and wgpu.

    Raises RuntimeError, saying what to install, where there is no adapter.
    """

    name = "webgpu"
    limits = Limits(
        buffers=STORAGE_BUFFERS - 1,  # one is left to the record of Checks
        attention=False,
    )

    def __init__(self) -> None:
        adapter.check_fork(-1)
        self.wgpu, self.adapter = adapter.find()
        self.gpu: Any = adapter.request(self.wgpu, self.adapter)
        self.process = os.getpid()
        self.lock = threading.RLock()
        self.half = "shader-f16" in self.gpu.features
        # a GPU is filled by thousands of threads, a processor by a few vectors
        self.most_points = 16 if self.adapter.info["adapter_type"] == "CPU" else 8192
        self.pool = Pool(self.storage, self._forget)
        self._pipelines: dict[str, Any] = {}
        self._layouts: dict[str, tuple[Any, Any]] = {}
        self._staging: dict[int, list[Any]] = {}
        self._executables: weakref.WeakSet[WebGpuExecutable] = weakref.WeakSet()

    @staticmethod
    def is_available() -> bool:
        """Whether an adapter is there. Never raises; the first call looks, later ones remember."""
        return adapter.problem() is None

    @staticmethod
    def problem() -> str | None:
        """None where an adapter is there, else why not and what to install."""
        return adapter.problem()

    @contextmanager
    def working(self) -> Iterator[None]:
        """One thread at a time, and never after a fork."""
        adapter.check_fork(self.process)
        with self.lock:
            yield

    def _forget(self) -> None:
        for each in list(self._executables):
            each.forget()

    # arrays ---------------------------------------------------------------------------------

    def from_numpy(self, array: numpy.ndarray[Any, Any], of: TensorType, copy: bool) -> Any:
        problem = self.supports(of.dtype)
        if problem is not None:
            raise RuntimeError(problem)
        data = carrier.encode(array, of.dtype)
        with self.working():
            buffer = self.allocate(of)
            if len(data):
                self.write(buffer.memory.gpu, data)
            return buffer

    def to_numpy(self, buffer: Any) -> numpy.ndarray[Any, Any]:
        with self.working():
            return self.download(buffer.memory, buffer.type)

    def allocate(self, of: TensorType) -> WebGpuBuffer:
        """A buffer for an array, with any content."""
        return WebGpuBuffer(of, self.pool.acquire(carrier.nbytes(of)), self.pool)

    def download(self, memory: Memory, of: TensorType) -> numpy.ndarray[Any, Any]:
        if not of.size:
            return numpy.zeros(of.shape, of.dtype.numpy)
        return carrier.decode(self.read(memory.gpu, carrier.nbytes(of)), of)

    def supports(self, dtype: Any) -> str | None:
        return carrier.unsupported(dtype, self.half)

    # the queue ------------------------------------------------------------------------------

    def storage(self, nbytes: int) -> Any:
        """A new storage buffer, zero everywhere. Raises RuntimeError where memory is exhausted."""
        usage = self.wgpu.BufferUsage
        return self._create(nbytes, usage.STORAGE | usage.COPY_SRC | usage.COPY_DST)

    def uniform(self, nbytes: int) -> Any:
        """A new uniform buffer."""
        usage = self.wgpu.BufferUsage
        return self._create(nbytes, usage.UNIFORM | usage.COPY_DST)

    def _create(self, nbytes: int, usage: int) -> Any:
        try:
            return self.gpu.create_buffer(size=nbytes, usage=usage)
        except self.wgpu.GPUError as error:
            raise RuntimeError(f"webgpu cannot make a buffer of {nbytes} bytes: {error}") from error

    def write(self, gpu: Any, data: Any) -> None:
        self.gpu.queue.write_buffer(gpu, 0, data)

    def submit(self, encoder: Any) -> None:
        self.gpu.queue.submit([encoder.finish()])

    def copy(self, source: Memory, target: Memory, nbytes: int) -> None:
        encoder = self.gpu.create_command_encoder()
        encoder.copy_buffer_to_buffer(source.gpu, 0, target.gpu, 0, nbytes)
        self.submit(encoder)

    def read(self, gpu: Any, nbytes: int, encoder: Any = None) -> Any:
        """The first bytes of a buffer after all work, and after what `encoder` holds."""
        size = size_class(nbytes)
        kept = self._staging.setdefault(size, [])
        usage = self.wgpu.BufferUsage
        staging = kept.pop() if kept else self._create(size, usage.MAP_READ | usage.COPY_DST)
        encoder = encoder or self.gpu.create_command_encoder()
        encoder.copy_buffer_to_buffer(gpu, 0, staging, 0, nbytes)
        self.submit(encoder)
        staging.map_sync("READ", 0, nbytes)
        data = staging.read_mapped(0, nbytes)
        staging.unmap()
        if len(kept) < 2:
            kept.append(staging)
        return data

    def synchronize(self) -> None:
        # wgpu 0.32's on_submitted_work_done does not work: reading waits as well
        with self.working():
            memory = self.pool.acquire(4)
            self.read(memory.gpu, 4)
            self.pool.release(memory)

    # programs -------------------------------------------------------------------------------

    def compile(self, program: Program) -> WebGpuExecutable:
        for slot in program.slots:
            problem = self.supports(slot.type.dtype)
            if problem is not None:
                raise RuntimeError(problem)
        with self.working():
            return self._executable(lower(program, self.most_points))

    def deserialize(self, data: bytes) -> WebGpuExecutable | None:
        table = from_bytes(data, self.fingerprint())
        if table is None:
            return None
        with self.working():
            return self._executable(table)

    def _executable(self, table: Any) -> WebGpuExecutable:
        made = WebGpuExecutable(self, table)
        self._executables.add(made)
        return made

    def layout(self, step: Step) -> tuple[Any, Any]:
        """(bind group layout, pipeline layout) of a step's bindings."""
        kinds = "u" + step.access + ("w" if step.record >= 0 else "")
        found = self._layouts.get(kinds)
        if found is None:
            names = {"u": "uniform", "r": "read-only-storage", "w": "storage"}
            group = self.gpu.create_bind_group_layout(
                entries=[
                    {
                        "binding": number,
                        "visibility": self.wgpu.ShaderStage.COMPUTE,
                        "buffer": {"type": names[kind]},
                    }
                    for number, kind in enumerate(kinds)
                ]
            )
            whole = self.gpu.create_pipeline_layout(bind_group_layouts=[group])
            found = self._layouts[kinds] = (group, whole)
        return found

    def pipeline(self, step: Step) -> Any:
        """The compute pipeline of a step's WGSL. Raises RuntimeError where it is not accepted."""
        found = self._pipelines.get(step.wgsl)
        if found is not None:
            STATISTICS.memory_hits += 1
            return found
        STATISTICS.compiled += 1
        try:
            found = self.gpu.create_compute_pipeline(
                label=step.name,
                layout=self.layout(step)[1],
                compute={
                    "module": self.gpu.create_shader_module(label=step.name, code=step.wgsl),
                    "entry_point": "main",
                },
            )
        except self.wgpu.GPUError as error:
            raise RuntimeError(
                f"webgpu does not accept the kernel {step.name}: {error}\n{step.wgsl}"
            ) from error
        self._pipelines[step.wgsl] = found
        return found

    def bind_group(self, step: Step, bindings: list[tuple[Any, int, int]]) -> Any:
        """Buffers, with place and size, as one bind group."""
        return self.gpu.create_bind_group(
            layout=self.layout(step)[0],
            entries=[
                {"binding": number, "resource": {"buffer": gpu, "offset": place, "size": size}}
                for number, (gpu, place, size) in enumerate(bindings)
            ],
        )

    # facts ----------------------------------------------------------------------------------

    def fingerprint(self) -> str:
        return f"webgpu-1-{'f16' if self.half else 'no-f16'}-{self.most_points}"

    def information(self) -> dict[str, str]:
        info = self.adapter.info
        limits = adapter.BROWSER_LIMITS
        return {
            "adapter": str(info["device"]),
            "driver": str(info["description"]),
            "backend": str(info["backend_type"]),
            "type": str(info["adapter_type"]),
            "wgpu": str(self.wgpu.__version__),
            "float16": "yes" if self.half else "no",
            "pipelines compiled": str(STATISTICS.compiled),
            "limits": ", ".join(f"{name} {value}" for name, value in limits.items()),
        }
