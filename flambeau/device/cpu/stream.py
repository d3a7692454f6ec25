"""Results too large for the caches are written past them.

A store into a line that is in no cache reads the line first. Where a kernel reads and writes more
than the caches hold, nothing of its result would still be there for the next one, so that its whole
lines are written to memory at once (LLVM: nontemporal): a third less traffic for a + b, half for
a copy. That needs addresses that are multiples of a line, which only the run knows: such a kernel's
code has two versions.
"""

from __future__ import annotations

from collections.abc import Iterable

from flambeau.device.cpu.access import LINE
from flambeau.device.cpu.choose import reachable
from flambeau.device.cpu.emit import ENTRY
from flambeau.kernel.ir import Fold, Kernel, Loop, Statement, Store

CACHED = 32 << 20
"""A kernel that reads and writes more bytes than this leaves nothing useful in the caches."""

METADATA = "!0 = !{i32 1}\n"
"""What the mark on a store refers to."""


def streamed(kernel: Kernel) -> frozenset[int]:
    """The buffers that are written past the caches: each only once, and read by nobody here."""
    if sum(each.size * each.dtype.itemsize for each in kernel.buffers) <= CACHED:
        return frozenset()
    loaded = {each.payload for each in reachable(kernel.body) if each.op == "load"}
    written = [each.buffer for each in _stores(kernel.body) if each.combine is None]
    return frozenset(each for each in written if written.count(each) == 1) - loaded


def _stores(body: Iterable[Statement]) -> list[Store]:
    found: list[Store] = []
    for each in body:
        if isinstance(each, Store):
            found.append(each)
        elif isinstance(each, Fold | Loop):
            found += _stores(each.body)
    return found


def choosing(name: str, streaming: str, plain: str, buffers: Iterable[int]) -> str:
    """The function `name`: `streaming` where these buffers begin with a line, else `plain`."""
    lines = []
    total = "0"
    for number in buffers:
        lines += [
            f"%place{number} = getelementptr ptr, ptr %buffers, i64 {number}",
            f"%address{number} = load i64, ptr %place{number}",
            f"%bits{number} = or i64 {total}, %address{number}",
        ]
        total = f"%bits{number}"
    given = ", ".join(ENTRY.split(", "))
    lines += [
        f"%rest = and i64 {total}, {LINE - 1}",
        "%whole = icmp eq i64 %rest, 0",
        "br i1 %whole, label %stream, label %plain",
        "stream:",
        f"call void @{streaming}({given})",
        "fence seq_cst",  # what was written past the caches comes before what other threads see
        "ret void",
        "plain:",
        f"call void @{plain}({given})",
        "ret void",
    ]
    body = "\n".join(lines)
    return f"define void @{name}({ENTRY}) {{\nentry:\n{body}\n}}\n{METADATA}"
