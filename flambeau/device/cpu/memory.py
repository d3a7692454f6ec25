"""Memory of the cpu device: buffers, the pool that they come from, the arena of temporaries."""

from __future__ import annotations

from typing import Any

import numpy

from flambeau.device.buffer import Buffer
from flambeau.graph.node import TensorType

ALIGNMENT = 64
KEPT = 64 << 20
"""Free memory that the pool keeps in any case; beyond, as much as was in use at most."""

Block = tuple[int, Any]
"""An address and the object that owns the memory."""


def rounded_size(nbytes: int) -> int:
    """The size class: at most an eighth more than asked for."""
    if nbytes <= ALIGNMENT:
        return ALIGNMENT
    grain = max(ALIGNMENT, 1 << ((nbytes - 1).bit_length() - 4))
    return -(-nbytes // grain) * grain


def new_block(nbytes: int) -> Block:
    """Fresh memory, aligned to 64 bytes."""
    owner = numpy.empty(nbytes + ALIGNMENT, numpy.uint8)
    address = int(owner.__array_interface__["data"][0])
    return (address + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT, owner


class FreeList:
    """Free blocks of one size."""

    __slots__ = ("blocks", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.blocks: list[Block] = []


class Pool:
    """Hands out blocks and takes them back; what is free is kept for the next of its size."""

    def __init__(self) -> None:
        self._by_bytes: dict[int, FreeList] = {}
        self._by_size: dict[int, FreeList] = {}
        self.used = 0
        self.most_used = 0
        self.free = 0
        self.kept = KEPT  # here, for buffers that die when the module has gone

    def allocate(self, of: TensorType) -> CpuBuffer:
        """A buffer with undefined content. Raises MemoryError where there is no memory."""
        nbytes = of.nbytes
        found = self._by_bytes.get(nbytes)
        if found is None:
            size = rounded_size(nbytes)
            found = self._by_size.setdefault(size, FreeList(size))
            self._by_bytes[nbytes] = found
        size = found.size
        try:
            block = found.blocks.pop()
            self.free -= size
        except IndexError:
            block = self._fresh(size)
        self.used += size
        if self.used > self.most_used:
            self.most_used = self.used
        return CpuBuffer(of, block, self, found)

    def _fresh(self, size: int) -> Block:
        try:
            return new_block(size)
        except MemoryError:
            self.trim()
            return new_block(size)

    def release(self, home: FreeList, block: Block) -> None:
        """Take a block back."""
        size = home.size
        self.used -= size
        if self.free + size <= self.kept or self.free + size <= self.most_used:
            self.free += size
            home.blocks.append(block)

    def trim(self) -> None:
        """Give all free blocks back to the system."""
        for each in self._by_size.values():
            each.blocks.clear()
        self.free = 0


class CpuBuffer(Buffer):
    """An array's memory: from the pool (and back when nobody holds the buffer), or numpy's own."""

    __slots__ = ("address", "block", "home", "pool")

    def __init__(
        self, of: TensorType, block: Block, pool: Pool | None, home: FreeList | None
    ) -> None:
        self.type = of
        self.block = block
        self.address = block[0]
        self.pool = pool
        self.home = home

    def __del__(self) -> None:
        pool, home = self.pool, self.home
        if pool is not None and home is not None:
            pool.release(home, self.block)


class Shared:
    """Lets numpy see memory and keeps its owner alive."""

    __slots__ = ("__array_interface__", "owner")

    def __init__(self, owner: Any, address: int, of: TensorType) -> None:
        self.owner = owner
        self.__array_interface__ = {
            "version": 3,
            "shape": of.shape,
            "typestr": of.dtype.numpy.str,
            "data": (address, False),
        }


def as_numpy(owner: Any, address: int, of: TensorType) -> numpy.ndarray[Any, Any]:
    """The array of this type at an address, sharing the memory; `owner` lives as long as it."""
    if not of.size:
        return numpy.empty(of.shape, of.dtype.numpy)
    array = numpy.asarray(Shared(owner, address, of))
    wanted = of.dtype.numpy
    return array if array.dtype == wanted else array.view(wanted)


class Arena:
    """The memory of all programs' temporaries: one program runs at a time."""

    def __init__(self) -> None:
        self.base = 0
        self.size = -1
        self._block: Block | None = None

    def reserve(self, nbytes: int) -> None:
        """Make sure that there is room; `base` changes where it grows."""
        if nbytes > self.size:
            self._block = None  # the old memory goes first
            self._block = new_block(nbytes + 2 * ALIGNMENT)
            self.base = self._block[0]
            self.size = nbytes
