"""A compiled program: tables in native memory, filled and run."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flambeau.device import base
from flambeau.device.base import Failure
from flambeau.device.cpu import native, worker_ir
from flambeau.device.cpu.compile import Code
from flambeau.device.cpu.memory import as_numpy
from flambeau.device.executable import Executable
from flambeau.device.host import HOST_FUNCTIONS
from flambeau.graph.dtype import DType
from flambeau.graph.node import Location
from flambeau.kernel import ir
from flambeau.kernel.program import HostCall, Slot

if TYPE_CHECKING:
    from flambeau.device.cpu.device import CpuDevice

WAKE = 20000.0
"""A program of less estimated work than this is not worth waking threads."""

PIECE = 200000.0
"""Estimated work of so much is cut off a thread's range at once, for others to take over."""

Errors = dict[int, tuple[str, str, Location | None]]


class CpuLaunch:
    """One launch of a compiled kernel."""

    __slots__ = ("code", "errors", "independent", "locations", "name", "scalars", "slots")

    def __init__(
        self,
        code: Code,
        name: str,
        slots: tuple[int, ...],
        scalars: tuple[int, ...],
        locations: tuple[Location, ...],
        errors: Errors,
        independent: bool,
    ) -> None:
        self.code = code
        self.name = name
        self.slots = slots
        self.scalars = scalars
        self.locations = locations
        self.errors = errors
        self.independent = independent  # of those before it: see program.Launch

    @property
    def items(self) -> int:
        return self.code.stages[0].items

    @property
    def parallel(self) -> bool:
        return any(each.parallel for each in self.code.stages)


class Segment:
    """Launches between two host calls: one job of worker_ir.py, with a row for every stage."""

    __slots__ = ("job", "keep", "records", "retired", "rows", "threaded")

    def __init__(
        self,
        launches: list[CpuLaunch],
        place: dict[int, int],
        shared: int,
        table: int,
        scalars: int,
    ) -> None:
        self.rows: list[CpuLaunch] = []
        self.records = 0  # what the job was told last: see Runtime.records
        self.keep: list[Any] = []
        self.retired: list[tuple[int, list[Any]]] | None = None  # where its memory goes in the end
        stages = [stage for each in launches for stage in each.code.stages]
        self.threaded = sum(each.cost for each in stages if each.parallel) >= WAKE
        numbers: list[int] = []
        together = False  # whether threads have run apart since the last barrier
        order = False  # whether launches since then rely on their order on one thread
        since = 0  # how many launches there were since then
        for each in launches:
            slots = [place[slot] for slot in each.slots] + [shared] * (each.code.shared > 0)
            slots_at, picks_at = self._numbers(slots), self._numbers(each.scalars)
            # launches that share the memory between their stages wait for each other
            after = bool(numbers) and (not each.independent or each.code.shared > 0)
            for stage in each.code.stages:
                parallel = self.threaded and stage.parallel
                barrier = (after or order) and (parallel or together)
                barrier = barrier or since == worker_ir.SLOTS
                since = 1 if barrier else since + 1
                order = (after or order) and not barrier
                together = parallel or (together and not barrier)
                after = True
                flags = worker_ir.PARALLEL * parallel | worker_ir.BARRIER * barrier
                numbers += [stage.address, stage.items, flags, slots_at, len(slots)]
                pieces = max(1, min(stage.pieces, int(stage.cost / PIECE)))
                numbers += [picks_at, len(each.scalars), pieces]
                self.rows.append(each)
        self.job = self._numbers([self._numbers(numbers), len(self.rows), table, scalars, 0])

    def __del__(self) -> None:
        if self.retired is not None:  # workers have seen it: see Runtime.bury
            self.retired.append((self.job, self.keep))

    def _numbers(self, values: Sequence[int]) -> int:
        array = (ctypes.c_int64 * max(1, len(values)))(*values)
        self.keep.append(array)
        return ctypes.addressof(array)


class CpuExecutable(Executable):
    """See Executable. Runs hold the device's lock: programs share arena and threads."""

    def __init__(
        self,
        device: CpuDevice,
        slots: list[Slot],
        steps: list[CpuLaunch | HostCall],
        scalars: tuple[DType, ...],
        inputs: tuple[int, ...],
        outputs: tuple[int, ...],
        arena: int,
    ) -> None:
        self.device = device
        self.slots = slots
        self.steps = steps
        self.scalars = scalars
        self.inputs = inputs
        self.outputs = outputs
        self.arena = arena
        self._pool = device.pool
        self._arena = device.arena
        self._runtime = device.runtime
        launches = [each for each in steps if isinstance(each, CpuLaunch)]
        self._scratch = max([each.code.scratch for each in launches], default=0)
        self._shared_bytes = max([each.code.shared for each in launches], default=0)
        self._room = max([len(each.slots) + len(each.scalars) + 1 for each in launches], default=0)
        self._lay_out()
        self._segments = self._cut()

    # building

    def _lay_out(self) -> None:
        """Give every slot a place in the table: inputs, then fresh outputs, then temporaries."""
        place = {slot: number for number, slot in enumerate(self.inputs)}
        fresh: list[int] = []
        temporary: list[int] = []
        for number, slot in enumerate(self.slots):
            if slot.role == "output" and slot.alias is None:
                fresh.append(number)
            elif slot.role == "temporary":
                temporary.append(number)
        for each in (*fresh, *temporary):
            place[each] = len(place)
        for number, slot in enumerate(self.slots):
            if slot.alias is not None:
                place[number] = place[slot.alias]
        self._place = place
        self._fresh = [self.slots[each].type for each in fresh]
        self._results = [place[each] for each in self.outputs]
        # the last temporary is the memory that stages of one kernel share, behind the others
        self._offsets = [self.slots[each].offset for each in temporary]
        self._offsets.append(-(-self.arena // 64) * 64)
        count = len(self.inputs) + len(fresh) + len(self._offsets)
        self._shared = count - 1
        self._table = (ctypes.c_uint64 * max(1, count))()
        self._addresses = memoryview(self._table).cast("B").cast("Q")
        self._first = 8 * (len(self.inputs) + len(fresh))
        self._rest = struct.Struct(f"{len(self._offsets)}Q")
        self._base = -1
        self._numbers = (ctypes.c_uint64 * max(1, len(self.scalars)))()
        formats = ["d" if each.is_floating_point else "q" for each in self.scalars]
        self._scalar_format = struct.Struct("=" + "".join(formats))

    def _cut(self) -> list[Segment | HostCall]:
        parts: list[Segment | HostCall] = []
        group: list[CpuLaunch] = []
        for each in (*self.steps, None):
            if isinstance(each, CpuLaunch):
                if each.items:
                    group.append(each)
                continue
            if group:
                table, scalars = ctypes.addressof(self._table), ctypes.addressof(self._numbers)
                parts.append(Segment(group, self._place, self._shared, table, scalars))
                group = []
            if each is not None:
                parts.append(each)
        return parts

    # running

    def run(self, inputs: Sequence[Any], scalars: Sequence[Any]) -> list[Any]:
        runtime = self._runtime
        with runtime.lock:
            buffers = list(inputs)
            for of in self._fresh:
                buffers.append(self._pool.allocate(of))  # noqa: PERF401  # one list less
            addresses = self._addresses
            for number, buffer in enumerate(buffers):
                addresses[number] = buffer.address
            if scalars:
                self._scalar_format.pack_into(self._numbers, 0, *scalars)
            if self._base != self._arena.base or self._base == -1:
                self._place_temporaries()
            runtime.reserve(self._scratch, self._room)
            for part in self._segments:
                if not isinstance(part, Segment):
                    self._call_host(part, buffers)
                    continue
                failure = self._run_segment(part)
                if failure is not None:
                    if part is self._segments[-1]:
                        failure.outputs = [buffers[each] for each in self._results]
                    raise failure.exception()
        return [buffers[each] for each in self._results]

    def _place_temporaries(self) -> None:
        arena = self._arena
        arena.reserve(self._offsets[-1] + self._shared_bytes)
        self._base = arena.base
        addresses = [arena.base + each for each in self._offsets]
        self._rest.pack_into(self._table, self._first, *addresses)

    def _run_segment(self, segment: Segment) -> Failure | None:
        runtime = self._runtime
        if segment.records != runtime.records:
            segment.records = runtime.records
            ctypes.c_int64.from_address(segment.job + 32).value = runtime.records
        state = runtime.start() if segment.threaded else 0
        if state:
            segment.retired = runtime.retired
            if runtime.retired:
                runtime.bury()
            failed = native.call_with_two(runtime.together, segment.job, state)
        else:
            failed = native.call(runtime.alone, segment.job)
        if not failed:
            return None
        return self._failure(segment, *runtime.first_error(runtime.threads if state else 1))

    def _failure(self, segment: Segment, launch: int, code: int, detail: int) -> Failure:
        """What a launch recorded."""
        met = segment.rows[launch]
        before = self.steps[: self.steps.index(met)]
        step = sum(1 for each in before if isinstance(each, HostCall) or each.items)
        if code == ir.DIVISION_BY_ZERO:
            where = met.locations[-1] if met.locations else None
            return Failure(step, "RuntimeError", base.DIVISION_BY_ZERO, detail, where)
        kind, message, location = met.errors[code]
        return Failure(step, kind, message, detail, location)

    def _call_host(self, call: HostCall, buffers: list[Any]) -> None:
        results = HOST_FUNCTIONS[call.function](
            call.attrs, *[self._array(each, buffers) for each in call.inputs]
        )
        for slot, result in zip(call.outputs, results, strict=True):
            target = self._array(slot, buffers)  # stored in the shape of who reads it
            target[...] = result.reshape(target.shape)

    def _array(self, slot: int, buffers: list[Any]) -> Any:
        place, of = self._place[slot], self.slots[slot].type
        owner = buffers[place] if place < len(buffers) else self.device.arena
        return as_numpy(owner, self._table[place], of)

    # looking

    def describe(self) -> str:
        lines: list[str] = []
        for each in self.steps:
            if isinstance(each, HostCall):
                lines.append(f"host {each.function}: {each.inputs} -> {each.outputs}")
                continue
            how = "all threads" if each.parallel else "one thread"
            lines.append(
                f"launch {each.name}: slots {each.slots}, scalars {each.scalars}, "
                f"{each.items} items, {how}"
            )
        return "\n".join(lines)

    def serialize(self) -> bytes | None:
        from flambeau.device.cpu.serialize import pack

        return pack(self)
