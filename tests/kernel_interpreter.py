"""A slow, obviously correct interpreter of programs of the kernel language, on numpy arrays.

Every value is computed anew at every point, with the numpy reference of graph/op.py; nothing is
cached, vectorised or reordered. It also checks what the kernel language promises: loads and stores
lie inside their buffers, and points of the domain do not write the same element.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from flambeau.graph import op
from flambeau.kernel.ir import (
    Attend,
    Axis,
    Check,
    Fold,
    Kernel,
    Loop,
    Sort,
    Statement,
    Store,
    Value,
)
from flambeau.kernel.program import HostCall, Launch, Program

EXCEPTIONS: dict[str, type[Exception]] = {"IndexError": IndexError, "RuntimeError": RuntimeError}
COMBINE = {"add": op.ADD, "mul": op.MUL, "max": op.MAX}


def run(
    program: Program,
    inputs: Sequence[Any],
    scalars: Sequence[Any] = (),
    functions: dict[str, Callable[..., Any]] | None = None,
) -> list[Any]:
    """The outputs of a program; inputs that it overwrites are overwritten."""
    arena = np.full(program.arena + 64, 0xAA, np.uint8)  # garbage: nothing may be read unwritten
    memory: list[Any] = []
    given = dict(zip(program.inputs, inputs, strict=True))
    for number, slot in enumerate(program.slots):
        count, dtype = slot.type.size, slot.type.dtype.numpy
        if slot.role == "input":
            array = given[number]
            assert array.flags.c_contiguous and array.size == count and array.dtype == dtype
            memory.append(array.reshape(-1))
        elif slot.role == "output" and slot.alias is None:
            memory.append(np.frombuffer(b"\xaa" * (count * dtype.itemsize), dtype).copy())
        elif slot.role == "output":
            memory.append(memory[slot.alias])
        else:
            assert slot.offset % 64 == 0
            assert slot.offset + slot.type.nbytes <= program.arena
            part = arena[slot.offset : slot.offset + count * dtype.itemsize]
            memory.append(part.view(dtype))
    for launch in _upset(program.launches):
        if isinstance(launch, HostCall):
            assert functions is not None
            arrays = [memory[n].reshape(program.slots[n].type.shape) for n in launch.inputs]
            results = functions[launch.function](*launch.attrs, *arrays)
            for number, result in zip(launch.outputs, results, strict=True):
                memory[number][...] = np.asarray(result).reshape(-1)
        else:
            _check_launch(launch)
            Interpreter(launch, memory, scalars).run()
    return [memory[n].reshape(program.slots[n].type.shape) for n in program.outputs]


def _upset(launches: Sequence[Launch | HostCall]) -> Iterator[Launch | HostCall]:
    """The launches, those that may run at the same time the other way round."""
    batch: list[Launch | HostCall] = []
    for launch in launches:
        if isinstance(launch, HostCall) or not launch.independent:
            yield from reversed(batch)
            batch = []
        batch.append(launch)
    yield from reversed(batch)


def _check_launch(launch: Launch) -> None:
    kernel = launch.kernel
    assert len(launch.slots) == len(kernel.buffers)
    assert len(set(launch.slots)) == len(launch.slots), "one slot is bound twice"
    assert len(launch.scalars) == len(kernel.scalars)


class Interpreter:
    """Runs one launch."""

    def __init__(self, launch: Launch, memory: list[Any], scalars: Sequence[Any]) -> None:
        self.launch = launch
        self.kernel: Kernel = launch.kernel
        self.buffers = [memory[number] for number in launch.slots]
        for buffer, parameter in zip(self.buffers, self.kernel.buffers, strict=True):
            assert buffer.size == parameter.size
            assert buffer.dtype == parameter.dtype.numpy
        self.scalars = [
            np.asarray(scalars[number]).astype(dtype.numpy)
            for number, dtype in zip(launch.scalars, self.kernel.scalars, strict=True)
        ]
        self.axes: dict[Axis, int] = {}
        self.results: dict[Fold, Any] = {}
        self.written: dict[tuple[int, int], Any] = {}
        self.point: Any = None
        self.lazy: set[Fold] = set()

    def run(self) -> None:
        for point in self.points(self.kernel.domain):
            self.point = point
            self.results.clear()
            self.body(self.kernel.body)

    def points(self, axes: Sequence[Axis]) -> Any:
        for position in itertools.product(*[range(each.extent) for each in axes]):
            self.axes.update(zip(axes, position, strict=True))
            yield position
        for each in axes:  # out of scope
            self.axes.pop(each, None)

    def body(self, statements: Sequence[Statement]) -> None:
        for statement in statements:
            with np.errstate(all="ignore"):
                getattr(self, type(statement).__name__.lower())(statement)

    def fold(self, fold: Fold) -> None:
        total: Any = None
        for _ in self.points(fold.axes):
            value = self.value(fold.value)
            assert value.dtype == fold.dtype.numpy
            total = value if total is None else self.combine(fold.kind, total, value)
            if fold.body:
                self.results[fold] = total
                self.body(fold.body)
        if total is None:
            total = np.asarray(1 if fold.kind == "mul" else 0, fold.dtype.numpy)
        self.results[fold] = total

    def loop(self, loop: Loop) -> None:
        for _ in self.points(loop.axes):
            self.body(loop.body)

    def attend(self, attend: Attend) -> None:
        for _ in self.points((attend.lanes,)):
            self.lazy = set(attend.folds)
            self.body(attend.body)
            self.lazy = set()

    def combine(self, kind: str, x: Any, y: Any) -> Any:
        return COMBINE[kind].reference((), (), x, y)

    def store(self, store: Store) -> None:
        if store.valid is not None and not self.value(store.valid):
            return
        index, value = int(self.value(store.index)), self.value(store.value)
        buffer = self.buffers[store.buffer]
        parameter = self.kernel.buffers[store.buffer]
        assert parameter.written and value.dtype == parameter.dtype.numpy
        assert 0 <= index < buffer.size
        before = self.written.setdefault((store.buffer, index), self.point)
        assert before == self.point, "two points of the domain write one element"
        if store.combine:
            value = self.combine(store.combine, buffer[index], value)
        buffer[index] = value

    def check(self, check: Check) -> None:
        if not self.value(check.condition):
            kind, text, _ = self.launch.errors[check.code]
            raise EXCEPTIONS[kind](text.format(detail=int(self.value(check.detail))))

    def sort(self, sort: Sort) -> None:
        row = np.array([self.value(sort.source) for _ in self.points((sort.axis,))])
        attrs = (0, sort.descending, sort.first, sort.count)
        values, order = op.SORT.reference(attrs, (), row)
        base, stride = int(self.value(sort.base)), int(self.value(sort.stride))
        scratch = int(self.value(sort.scratch_base))
        assert 0 <= scratch <= self.buffers[sort.scratch].size - 2 * sort.axis.extent
        for number, result in ((sort.values, values), (sort.indices, order)):
            if number is not None:
                assert self.kernel.buffers[number].written
                for rank, each in enumerate(result):
                    self.buffers[number][base + rank * stride] = each

    def value(self, value: Value) -> Any:
        match value.op:
            case "const":
                return np.asarray(value.payload).astype(value.dtype.numpy)
            case "scalar":
                assert self.kernel.scalars[value.payload] is value.dtype
                return self.scalars[value.payload]
            case "axis":
                return np.asarray(self.axes[value.payload], np.int64)
            case "result" if value.payload in self.lazy:
                around = dict(self.axes)
                self.fold(value.payload)  # at this point of the axes that it uses
                self.axes.update(around)
                return self.results.pop(value.payload)
            case "result":
                return self.results[value.payload]
            case "load":
                return self.load(value)
            case _:
                args = [self.value(each) for each in value.args]
                attrs = (value.dtype,) if value.op in ("CAST", "BITCAST") else ()
                result = op.PRIMITIVES[value.op].reference(attrs, (), *args)
                assert result.dtype == value.dtype.numpy, (value, result.dtype)
                return result

    def load(self, value: Value) -> Any:
        buffer = self.buffers[value.payload]
        assert self.kernel.buffers[value.payload].dtype is value.dtype
        if len(value.args) > 1 and not self.value(value.args[1]):
            return np.zeros((), value.dtype.numpy)
        index = int(self.value(value.args[0]))
        assert 0 <= index < buffer.size, f"index {index} of {buffer.size}"
        return np.asarray(buffer[index])
