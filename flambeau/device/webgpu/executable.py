"""Running a table: one encoder and one submit for each stretch of launches between host calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy

from flambeau.device.base import Executable, Failure
from flambeau.device.webgpu import carrier
from flambeau.device.webgpu.memory import Memory
from flambeau.device.webgpu.table import Host, Step, Table, to_bytes

if TYPE_CHECKING:
    from flambeau.device.webgpu.device import WebGpuDevice

CACHED_RUNS = 16
CACHED_GROUPS = 64


class WebGpuExecutable(Executable):
    """A compiled program: pipelines, the scalars' uniform, the error records, bind groups."""

    def __init__(self, device: WebGpuDevice, table: Table) -> None:
        self.device = device
        self.table = table
        self.dispatches = [each for each in table.steps if isinstance(each, Step)]
        self.pipelines = [device.pipeline(each) for each in self.dispatches]
        self.used = sorted({slot for each in self.dispatches for slot in each.slots})
        self.written = frozenset(table.inputs) & {
            slot
            for each in self.dispatches
            for slot, access in zip(each.slots, each.access, strict=True)
            if access == "w"
        }
        self.fresh = [each for each in table.outputs if table.roots[each] == each]
        self.uniform = device.uniform(4 * len(table.words)) if table.words else None
        self.records = device.storage(table.records) if table.records else None
        self._sent: bytes | None = None
        self._places = numpy.asarray(table.words, dtype=numpy.int64)
        self._runs: dict[tuple[int, ...], list[Any]] = {}
        self._groups: list[dict[tuple[int, ...], Any]] = [{} for _ in self.dispatches]

    def forget(self) -> None:
        """Drop the bind groups, which keep their buffers' memory."""
        self._runs.clear()
        for each in self._groups:
            each.clear()

    # a run ----------------------------------------------------------------------------------

    def run(self, inputs: Sequence[Any], scalars: Sequence[Any]) -> list[Any]:
        with self.device.working():
            table, pool = self.table, self.device.pool
            pool.tick()
            buffers: dict[int, Any] = dict(zip(table.inputs, inputs, strict=True))
            memories = {slot: each.memory for slot, each in buffers.items()}
            shared: list[Memory] = []
            try:
                for slot in self.fresh:
                    buffers[slot] = self.device.allocate(table.types[slot])
                    memories[slot] = buffers[slot].memory
                shared.extend(pool.acquire(size) for size in table.shared)
                for slot, number in table.temporaries.items():
                    memories[slot] = shared[number]
                if self.written:
                    self._separate(memories, shared)
                self._send_scalars(scalars)
                failure = self._execute(memories)
            finally:
                for each in shared:
                    pool.release(each)
            outputs = [buffers[table.roots[slot]] for slot in table.outputs]
            if failure is not None:
                failure.outputs = outputs
                raise failure.exception()
            return outputs

    def _separate(self, memories: dict[int, Memory], shared: list[Memory]) -> None:
        """Copy an input that lies in the buffer of another one that is written in place."""
        holders: dict[int, int] = {}
        for slot in sorted(self.table.inputs, key=lambda each: each not in self.written):
            first = holders.setdefault(memories[slot].serial, slot)
            if first == slot or first not in self.written:
                continue
            size = carrier.nbytes(self.table.types[slot])
            copy = self.device.pool.acquire(size)
            shared.append(copy)
            self.device.copy(memories[slot], copy, size)
            memories[slot] = copy

    def _send_scalars(self, scalars: Sequence[Any]) -> None:
        if self.uniform is None:
            return
        kinds = self.table.scalars
        words = [carrier.scalar_word(*each) for each in zip(scalars, kinds, strict=True)]
        data = numpy.asarray([*words, 0], dtype=numpy.uint32)[self._places].tobytes()
        if data != self._sent:
            self.device.write(self.uniform, data)
            self._sent = data

    def _execute(self, memories: dict[int, Memory]) -> Failure | None:
        groups = self._bind(memories)
        encoder: Any = None
        compute: Any = None
        current: Any = None
        number = 0
        for step in self.table.steps:
            if isinstance(step, Host):
                if encoder is not None:
                    compute.end()
                    self.device.submit(encoder)
                    encoder = None
                self._call(step, memories)
                continue
            if encoder is None:
                encoder = self.device.gpu.create_command_encoder()
                compute = encoder.begin_compute_pass()
                current = None
            if self.pipelines[number] is not current:
                current = self.pipelines[number]
                compute.set_pipeline(current)
            compute.set_bind_group(0, groups[number])
            compute.dispatch_workgroups(*step.groups)
            number += 1
        if encoder is not None:
            compute.end()
            if self.records is None:
                self.device.submit(encoder)
        if self.records is None:
            return None
        return self._failure(self.device.read(self.records, self.table.records, encoder))

    # bindings -------------------------------------------------------------------------------

    def _bind(self, memories: dict[int, Memory]) -> list[Any]:
        """The bind groups of all dispatches for these buffers, kept for the next run."""
        key = tuple([memories[each].serial for each in self.used])
        found = self._runs.get(key)
        if found is None:
            found = [self._group(number, memories) for number in range(len(self.dispatches))]
            while len(self._runs) >= CACHED_RUNS:
                del self._runs[next(iter(self._runs))]
            self._runs[key] = found
        return found

    def _group(self, number: int, memories: dict[int, Memory]) -> Any:
        step, cache = self.dispatches[number], self._groups[number]
        chosen = [memories[each] for each in step.slots]
        key = tuple([each.serial for each in chosen])
        found = cache.get(key)
        if found is not None:
            return found
        bindings: list[tuple[Any, int, int]] = [(self.uniform, step.uniform, _uniform_size(step))]
        bindings += [(each.gpu, 0, size) for each, size in zip(chosen, step.sizes, strict=True)]
        if step.record >= 0:
            bindings.append((self.records, step.record, 8 * len(step.errors)))
        while len(cache) >= CACHED_GROUPS:
            del cache[next(iter(cache))]
        found = cache[key] = self.device.bind_group(step, bindings)
        return found

    # host calls and errors --------------------------------------------------------------------

    def _call(self, step: Host, memories: dict[int, Memory]) -> None:
        from flambeau.device.host import HOST_FUNCTIONS

        types = self.table.types
        arrays = [self.device.download(memories[each], types[each]) for each in step.inputs]
        results = HOST_FUNCTIONS[step.function](step.attrs, *arrays)
        for slot, result in zip(step.outputs, results, strict=True):
            data = carrier.encode(numpy.asarray(result), types[slot].dtype)
            if len(data):
                self.device.write(memories[slot].gpu, data)

    def _failure(self, data: Any) -> Failure | None:
        """What the first launch with a record says; clears the records."""
        words = numpy.frombuffer(data, dtype=numpy.uint32)
        if not words.any():
            return None
        self.device.write(self.records, bytes(words.nbytes))
        for step in self.dispatches:
            for number, (name, message, file, line) in enumerate(step.errors):
                place = step.record // 4 + 2 * number
                if words[place]:
                    detail = 0x7FFFFFFF - int(words[place + 1])
                    where = (file, line) if file else None
                    return Failure(self.table.steps.index(step), name, message, detail, where)
        return None

    # seeing -----------------------------------------------------------------------------------

    def describe(self) -> str:
        parts = []
        for number, step in enumerate(self.table.steps):
            if isinstance(step, Host):
                parts.append(f"// launch {number}: host function {step.function}")
            else:
                x, y = step.groups
                parts.append(f"// launch {number}: {step.name}, {x} x {y} workgroups\n{step.wgsl}")
        return "\n".join(parts)

    def serialize(self) -> bytes | None:
        return to_bytes(self.table, self.device.fingerprint())


def _uniform_size(step: Step) -> int:
    """Bytes of the step's parameters, as its WGSL declares them."""
    start = step.wgsl.index("array<vec4<u32>, ") + len("array<vec4<u32>, ")
    return 16 * int(step.wgsl[start : step.wgsl.index(">", start)])
