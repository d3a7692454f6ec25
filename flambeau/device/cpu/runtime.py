"""Native threads and the native plan runner, seen from Python."""

from __future__ import annotations

import atexit
import ctypes
import os
import platform
import threading
from typing import TYPE_CHECKING, Any

from flambeau import config
from flambeau.device.cpu import worker_ir
from flambeau.device.cpu.memory import Block, new_block

if TYPE_CHECKING:
    from flambeau.device.cpu.compile import Compiler

THREADED = os.name == "posix"


def available_threads() -> int:
    """FLAMBEAU_THREADS, else one for each core that this process may use."""
    if config.THREADS > 0:
        wanted = config.THREADS
    elif hasattr(os, "sched_getaffinity"):
        wanted = len(os.sched_getaffinity(0))
    else:
        wanted = os.cpu_count() or 1
    return max(1, min(wanted, worker_ir.MOST_THREADS if THREADED else 1))


class Runtime:
    """Runs jobs (see worker_ir.py). One job at a time: callers hold `lock`."""

    def __init__(self, compiler: Compiler) -> None:
        text = worker_ir.runner_text(platform.machine().lower(), THREADED)
        symbols = ["run_alone"]
        if THREADED:
            symbols += ["run_together", "start_workers", "stop_workers"]
        addresses = compiler.functions(text, symbols)
        integer, pointer = ctypes.c_int64, ctypes.c_void_p
        self.alone = addresses["run_alone"]  # called with a job
        self.together = 0  # called with a job and the workers' state
        if THREADED:
            self.together = addresses["run_together"]
            self._start = ctypes.CFUNCTYPE(integer, pointer, integer)(addresses["start_workers"])
            self._stop = ctypes.CFUNCTYPE(None, pointer)(addresses["stop_workers"])
            os.register_at_fork(after_in_child=self._forked)
            atexit.register(self.stop)
        self.lock = threading.RLock()
        self.threads = available_threads()
        self.records = 0  # address of the thread records
        self.state = 0  # address of the workers' state; 0: there are none
        self._scratch = -1
        self._room = 0
        self._kept: list[Block] = []
        self._state_block: Block | None = None
        self.retired: list[tuple[int, list[Any]]] = []  # jobs that are gone, and their memory

    def set_threads(self, wanted: int) -> None:
        """Use this many threads from the next run on. Raises RuntimeError below 1."""
        if wanted < 1:
            raise RuntimeError(f"set_num_threads expects a positive integer, got {wanted}")
        with self.lock:
            self.stop()
            self.threads = min(wanted, worker_ir.MOST_THREADS) if THREADED else 1
            self._scratch = -1

    def start(self) -> int:
        """The workers' state, with workers running; 0 where one thread is all there is."""
        if self.state or self.threads == 1:
            return self.state
        size = worker_ir.state_bytes(self.threads)
        block = new_block(size)
        ctypes.memset(block[0], 0, size)
        started = int(self._start(block[0], self.threads))
        self._state_block = block
        if started == 1:
            self.threads = 1
            return 0
        self.threads = started
        self.state = block[0]
        return self.state

    def stop(self) -> None:
        """End the workers; the next run starts them anew."""
        with self.lock:
            if self.state:
                self._stop(self.state)
                self.state = 0
                self.retired.clear()

    def bury(self) -> None:
        """Free the memory of jobs that are gone, but for those that a late worker may still be
        reading. No job runs: nobody begins to read one."""
        reading = {
            ctypes.c_int64.from_address(self.state + worker_ir.READING + 64 * number).value
            for number in range(self.threads)
            if self.state
        }
        self.retired[:] = [each for each in self.retired if each[0] in reading]

    def _forked(self) -> None:
        """A child process has no workers, and nobody who holds the lock."""
        self.lock = threading.RLock()
        self.state = 0
        self._state_block = None

    def reserve(self, scratch: int, room: int) -> None:
        """Give every thread `scratch` bytes, and room for the numbers of buffers and scalars."""
        if scratch <= self._scratch and room <= self._room:
            return
        self._scratch = scratch = max(scratch, self._scratch, 0)
        self._room = room = max(room, self._room, 64)
        scratch = -(-scratch // 4096) * 4096 + 4096
        count = self.threads
        self._kept.clear()
        records = new_block(count * worker_ir.RECORD_BYTES)
        self._kept.append(records)
        self.records = records[0]
        ctypes.memset(self.records, 0, count * worker_ir.RECORD_BYTES)
        for number in range(count):
            own = new_block(scratch + 16 * room)
            self._kept.append(own)
            fields = (ctypes.c_uint64 * 3).from_address(
                self.records + number * worker_ir.RECORD_BYTES + 24
            )
            fields[:] = [own[0], own[0] + scratch, own[0] + scratch + 8 * room]

    def first_error(self, threads: int) -> tuple[int, int, int]:
        """(launch, code, detail) of the first error of a run that reported one."""
        found: list[tuple[int, int, int]] = []
        for number in range(threads):
            code, detail, place = (ctypes.c_int64 * 3).from_address(
                self.records + number * worker_ir.RECORD_BYTES
            )
            if code:
                found.append((place, code, detail))
        place, code, detail = min(found)
        return place >> 40, code, detail
