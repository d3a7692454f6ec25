"""Which launches may run at the same time as those before them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flambeau.kernel.program import HostCall, Launch, Slot

Place = tuple[int, int, int]
"""A range of bytes: a buffer's slot (-1: the arena), where it begins, where it ends."""


class _Touched:
    """Memory that some launches touch."""

    def __init__(self) -> None:
        self.ranges: dict[int, list[tuple[int, int, Any]]] = {}

    def add(self, places: Iterable[Place], owner: Any = None) -> None:
        for buffer, begin, end in places:
            self.ranges.setdefault(buffer, []).append((begin, end, owner))

    def meets(self, places: Iterable[Place], owner: Any = None) -> bool:
        """Whether any of `places` is touched, other than by `owner` itself."""
        return any(
            begin < other_end and other_begin < end and (owner is None or owner is not other)
            for buffer, begin, end in places
            for other_begin, other_end, other in self.ranges.get(buffer, ())
        )


def mark_independent(
    launches: Iterable[Launch | HostCall], slots: Sequence[Slot], owners: Iterable[Any]
) -> None:
    """Set `independent` where a launch shares no memory that it or the others write with those
    since the last launch that is not independent.

    `owners` has something for each launch: what is the same for launches that write different
    elements of the same buffers; None for others.
    """
    reads, writes = _Touched(), _Touched()
    first = True
    for launch, owner in zip(launches, owners, strict=True):
        if isinstance(launch, HostCall):
            reads, writes, first = _Touched(), _Touched(), True
            continue
        if any(axis.extent == 0 for axis in launch.kernel.domain):
            launch.independent = True  # it does nothing
            continue
        places = [_place(number, slots) for number in launch.slots]
        buffers = list(zip(places, launch.kernel.buffers, strict=True))
        written = [place for place, buffer in buffers if buffer.written]
        read = [place for place, buffer in buffers if not buffer.written]
        before = writes.meets(written, owner) or writes.meets(read)
        waits = first or before or reads.meets(written)
        if waits:
            reads, writes, first = _Touched(), _Touched(), False
        launch.independent = not waits
        reads.add(read)
        writes.add(written, owner)


def _place(number: int, slots: Sequence[Slot]) -> Place:
    slot = slots[number]
    while slot.alias is not None:
        number = slot.alias
        slot = slots[number]
    if slot.role == "temporary":
        return -1, slot.offset, slot.offset + slot.type.nbytes
    return number, 0, slot.type.nbytes
