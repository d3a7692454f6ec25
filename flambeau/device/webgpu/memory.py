"""GPU memory: buffers by size class, used again and never destroyed while work may refer to them.

A buffer returns to the pool when the array that it held is collected; the queue runs in order, so
it may be written by later work at once. What has not been used for long is dropped (a dropped
buffer lives on in wgpu until submitted work is done).
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from typing import Any

from flambeau.device.base import Buffer
from flambeau.device.webgpu.adapter import BROWSER_LIMITS
from flambeau.graph.node import TensorType

KEEP = 200  # runs for which an unused buffer is kept
_serials = itertools.count()


class Memory:
    """One GPU buffer. `serial` is never used twice, so that it can be a cache's key."""

    __slots__ = ("gpu", "serial", "size", "used")

    def __init__(self, gpu: Any, size: int) -> None:
        self.gpu = gpu
        self.size = size
        self.serial = next(_serials)
        self.used = 0


def size_class(nbytes: int) -> int:
    """The next of four sizes an octave, at least 256 bytes."""
    if nbytes <= 256:
        return 256
    step = 1 << max(6, (nbytes - 1).bit_length() - 3)
    return -(-nbytes // step) * step


class Pool:
    """Buffers that are free, by size. `create(size)` makes a new one."""

    def __init__(self, create: Callable[[int], Any], dropped: Callable[[], None]) -> None:
        self._create = create
        self._dropped = dropped
        self._free: dict[int, deque[Memory]] = {}
        # All of them, in use or free: an array that is collected as part of a cycle (a traceback's
        # frames) must not take its buffer along, which returns to the pool at that very moment.
        self._all: set[Memory] = set()
        self.runs = 0
        self.allocated = 0  # bytes, in use and free

    def acquire(self, nbytes: int) -> Memory:
        """A buffer of at least `nbytes` with any content.

        Raises RuntimeError where no binding may be so large or the memory is exhausted.
        """
        size = size_class(nbytes)
        free = self._free.get(size)
        while free:
            try:
                found = free.pop()
            except IndexError:  # another thread took it
                break
            found.used = self.runs
            return found
        return self._new(nbytes, size)

    def _new(self, nbytes: int, size: int) -> Memory:
        most = BROWSER_LIMITS["max-storage-buffer-binding-size"]
        if nbytes > most:
            raise RuntimeError(
                f"an array of {nbytes} bytes does not fit webgpu, which binds at most {most} bytes "
                "at a time: split the tensor, or use device cpu"
            )
        try:
            gpu = self._create(size)
        except RuntimeError as error:
            self.trim(0)
            try:
                gpu = self._create(size)
            except RuntimeError:
                raise RuntimeError(
                    f"webgpu out of memory: tried to allocate {size} bytes with "
                    f"{self.allocated} bytes allocated ({error}). Use smaller batches or device cpu"
                ) from error
        self.allocated += size
        memory = Memory(gpu, size)
        memory.used = self.runs
        self._all.add(memory)
        return memory

    def release(self, memory: Memory) -> None:
        """Give a buffer back; its content may be overwritten by the next submission."""
        self._free.setdefault(memory.size, deque()).append(memory)

    def tick(self) -> None:
        """Count a run; now and then drop what has long been unused."""
        self.runs += 1
        if self.runs % KEEP == 0:
            self.trim(self.runs - KEEP)

    def trim(self, before: int | None = None) -> None:
        """Drop free buffers last used before run `before` (None or 0: all of them)."""
        count = 0
        for size, free in list(self._free.items()):
            for _ in range(len(free)):
                memory = free.popleft()
                if before and memory.used >= before:
                    free.append(memory)
                else:
                    self._all.discard(memory)
                    self.allocated -= size
                    count += 1
        if count:
            self._dropped()


class WebGpuBuffer(Buffer):
    """One array on the GPU."""

    __slots__ = ("memory", "pool")

    def __init__(self, of: TensorType, memory: Memory, pool: Pool) -> None:
        super().__init__(of)
        self.memory = memory
        self.pool = pool

    def __del__(self) -> None:
        pool = getattr(self, "pool", None)
        if pool is not None:
            pool.release(self.memory)
