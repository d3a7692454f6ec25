"""Where a step's time goes: every launch of its biggest plan, timed alone, beside its floor.

    FLAMBEAU_THREADS=1 python benchmarks/launch_times.py step.py
    python benchmarks/launch_times.py step.py --text conv    (the kernels of this name, as text)

The file defines `step()`, a function without arguments that does some work and flushes it, as a
training step does. A launch's floor is what this machine takes at best for its bytes (each array
once, at the speed at which numpy adds arrays of this size in all) or for its multiplications (at
the speed of the micro-kernel), whichever is more; "of floor" is floor / time: 100 % is perfect. The
floors are those of one thread. Launches that gather or compute exp and the like have higher ones.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import os
import runpy
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from flambeau.device.cpu.executable import CpuExecutable
    from flambeau.kernel.ir import Kernel
    from flambeau.kernel.program import Program

SIZES = (1 << 15, 1 << 17, 1 << 19, 1 << 21, 1 << 23, 1 << 25, 1 << 27)


class Row(NamedTuple):
    """One launch: its kernel and its best time in seconds."""

    kernel: Kernel
    items: int
    best: float


def best_of(repeat: int, work: Callable[[], Any]) -> float:
    """The shortest time that `work` took, in seconds."""
    best = math.inf
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


class Ceilings:
    """What this machine can do at best, on one thread."""

    def __init__(self, compiler: Any) -> None:
        self._bandwidth: dict[int, float] = {}
        self.flops: float = self._micro_kernel(compiler)

    def bandwidth(self, nbytes: int) -> float:
        """Bytes a second where so many are touched in all."""
        import numpy

        size = next((each for each in SIZES if each >= nbytes), SIZES[-1])
        if size not in self._bandwidth:
            x, y, z = (numpy.ones(size // 12, numpy.float32) for _ in range(3))
            best = best_of(200 if size < 1 << 23 else 20, lambda: numpy.add(x, y, out=z))
            self._bandwidth[size] = size / max(best - 3e-7, 1e-9)  # less numpy's own call
        return self._bandwidth[size]

    def _micro_kernel(self, compiler: Any) -> float:
        """Operations a second of the largest register tile, its operands in the nearest cache."""
        import numpy

        from flambeau.device.cpu.micro import micro_name

        lanes = compiler.target.vector_bytes // 4
        rows, depth = (14 if compiler.target.registers == 32 else 6), 256
        address = compiler._micro(micro_name("float", rows, 2, lanes))
        integer, pointer = ctypes.c_int64, ctypes.c_void_p
        call = ctypes.CFUNCTYPE(None, integer, pointer, pointer, pointer, integer, integer)(address)
        memory = numpy.ones(64 * depth * lanes, numpy.float32)
        base = -(-memory.ctypes.data // 64) * 64
        b, c = base + 4 * depth * 16, base + 4 * depth * (16 + 2 * lanes)
        arguments = (base, b, c, 2 * lanes, 0)
        short = best_of(2000, lambda: call(depth // 4, *arguments))
        long = best_of(2000, lambda: call(depth, *arguments))
        return 2.0 * rows * 2 * lanes * (depth - depth // 4) / (long - short)

    def floor(self, kernel: Kernel) -> float:
        """Seconds below which the launch cannot come."""
        return max(
            nbytes_of(kernel) / self.bandwidth(nbytes_of(kernel)), flops_of(kernel) / self.flops
        )


def nbytes_of(kernel: Kernel) -> int:
    """The bytes of a kernel's arrays, each once."""
    return sum(each.size * each.dtype.itemsize for each in kernel.buffers)


def flops_of(kernel: Kernel) -> int:
    """Multiplications and additions of a matrix product or convolution; 0 for others."""
    from flambeau.kernel.tile import contraction_of

    contraction = contraction_of(kernel)
    if contraction is None:
        return 0
    steps = math.prod(axis.extent for axis in contraction.fold.axes)
    return 2 * steps * math.prod(axis.extent for axis in kernel.domain)


def recorded() -> list[tuple[Program, CpuExecutable]]:
    """A list to which every program is added, from now on, as it is compiled."""
    from flambeau.device.cpu.device import CpuDevice

    found: list[tuple[Program, CpuExecutable]] = []
    whole = CpuDevice.compile

    def compile_and_record(self: CpuDevice, program: Program) -> CpuExecutable:
        executable = whole(self, program)
        found.append((program, executable))
        return executable

    CpuDevice.compile = compile_and_record  # type: ignore[method-assign]  # watched while measuring
    return found


def launch_times(executable: CpuExecutable, step: Callable[[], Any], repeat: int) -> list[float]:
    """The best time of every launch that has items, when each is run as a segment of its own."""
    from flambeau.device.cpu.executable import CpuLaunch, Segment

    tables = (executable._shared, ctypes.addressof(executable._table))
    whole = executable._segments
    parts: list[Any] = []
    for each in executable.steps:
        if not isinstance(each, CpuLaunch):
            parts.append(each)
        elif each.items:
            scalars = ctypes.addressof(executable._numbers)
            parts.append(Segment([each], executable._place, *tables, scalars))
    best = {part: math.inf for part in parts if isinstance(part, Segment)}
    run = executable._run_segment

    def timed(segment: Segment) -> Any:
        start = time.perf_counter()
        failure = run(segment)
        best[segment] = min(best[segment], time.perf_counter() - start)
        return failure

    executable._segments = parts
    executable._run_segment = timed  # type: ignore[method-assign]  # watched while measuring
    try:
        for _ in range(repeat):
            step()
    finally:
        executable._segments = whole
        del executable._run_segment
    return list(best.values())


def biggest(
    programs: list[tuple[Program, CpuExecutable]], step: Callable[[], Any]
) -> tuple[Program, CpuExecutable]:
    """Of the programs that a step runs, the one with most launches."""
    from flambeau.device.cpu.executable import CpuExecutable

    ran: set[int] = set()
    whole = CpuExecutable.run

    def run(self: CpuExecutable, inputs: Any, scalars: Any) -> Any:
        ran.add(id(self))
        return whole(self, inputs, scalars)

    CpuExecutable.run = run  # type: ignore[method-assign]  # watched while measuring
    step()
    CpuExecutable.run = whole  # type: ignore[method-assign]  # watched while measuring
    found = [each for each in programs if id(each[1]) in ran]
    return max(found, key=lambda each: len(each[0].launches))


def rows_of(
    program: Program, executable: CpuExecutable, step: Callable[[], Any], repeat: int
) -> list[Row]:
    from flambeau.device.cpu.executable import CpuLaunch
    from flambeau.kernel.program import HostCall

    times = iter(launch_times(executable, step, repeat))
    rows = []
    for launch, compiled in zip(program.launches, executable.steps, strict=True):
        if isinstance(launch, HostCall) or not isinstance(compiled, CpuLaunch):
            continue
        if compiled.items:
            rows.append(Row(launch.kernel, compiled.items, next(times)))
    return rows


def arrays_of(kernel: Kernel) -> str:
    """The kernel's largest arrays, by their number of elements; `*` marks what is written."""
    largest = sorted(kernel.buffers, key=lambda each: -each.size)[:5]
    texts = [f"{each.dtype.name}[{each.size}]{'*' * each.written}" for each in largest]
    return " ".join(texts) + (" …" if len(kernel.buffers) > 5 else "")


def report(rows: list[Row], ceilings: Ceilings, top: int) -> None:
    total = sum(row.best for row in rows)
    floors = {row: ceilings.floor(row.kernel) for row in rows}
    print(f"{'µs':>9} {'floor':>8} {'of floor':>8} {'GB/s':>6} {'GF/s':>6} {'items':>6}  kernel")
    for row in sorted(rows, key=lambda each: -each.best)[:top]:
        flops, nbytes = flops_of(row.kernel), nbytes_of(row.kernel)
        rate = f"{flops / row.best / 1e9:6.1f}" if flops else " " * 6
        print(
            f"{row.best * 1e6:9.1f} {floors[row] * 1e6:8.1f} {floors[row] / row.best:8.0%} "
            f"{nbytes / row.best / 1e9:6.1f} {rate} {row.items:6}  {row.kernel.name}"
            f"  {arrays_of(row.kernel)}"
        )
    print(
        f"{len(rows)} launches: {total * 1e3:.3f} ms, floors {sum(floors.values()) * 1e3:.3f} ms; "
        f"micro-kernel {ceilings.flops / 1e9:.0f} GF/s, "
        f"memory {ceilings.bandwidth(SIZES[-1]) / 1e9:.1f} GB/s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Time every launch of a step's biggest plan.")
    parser.add_argument("program", type=Path, help="a Python file that defines step()")
    parser.add_argument("--repeat", type=int, default=60, help="steps to take the best of")
    parser.add_argument("--top", type=int, default=25, help="launches to show")
    parser.add_argument("--text", help="also print the kernels of this name, slowest first")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["FLAMBEAU_CACHE"] = cache  # plans from the disk would come without their kernels
        programs = recorded()
        step = runpy.run_path(str(options.program))["step"]
        step()
        warm_until = time.perf_counter() + 1.0
        while time.perf_counter() < warm_until:
            step()
        program, executable = biggest(programs, step)
        whole = best_of(options.repeat, step)
        rows = rows_of(program, executable, step, options.repeat)
        print(f"the whole step: {whole * 1e3:.3f} ms")
        report(rows, Ceilings(executable.device.compiler), options.top)
        for row in sorted(rows, key=lambda each: -each.best):
            if options.text and options.text in row.kernel.name:
                print(row.kernel.text)


if __name__ == "__main__":
    main()
