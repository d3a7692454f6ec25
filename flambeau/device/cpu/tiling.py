"""How a matrix product is cut into tiles: decided from shapes and from the target's registers.

The sum over k is cut into blocks by shape alone. So an element's bits depend neither on threads
nor on where in the result it lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from flambeau.device.cpu.choose import factor, reachable_values
from flambeau.device.cpu.target import Target
from flambeau.device.cpu.values import Values
from flambeau.kernel.ir import Axis, Store, Value
from flambeau.kernel.tile import Contraction

DEPTH = 256
"""Steps of k that are packed and multiplied at once."""

ROWS, COLUMNS = 168, 256
"""About the largest tile of the result that one work item computes."""

SMALL = 4096
"""Products of fewer multiplications are left to the plain loops."""


@dataclass(frozen=True, eq=False)
class Side:
    """One operand: its value, the result's axes that it brings in, how they are cut and packed.

    With `run`, a panel lies within the last axis (extent `length`) at one point of the others
    (`outer` points); else panels run through all axes as one (outer = 1).
    """

    value: Value
    axes: tuple[Axis, ...]
    run: bool
    length: int
    outer: int
    width: int  # rows or columns of a panel
    along_k: bool  # packed from vectors along k, transposed
    panels: int  # in all
    block: int  # panels in a work item
    blocks: int

    @property
    def per_run(self) -> int:
        return -(-self.length // self.width)


@dataclass(frozen=True, eq=False)
class Tiling:
    """All that the contraction template decides before it writes code."""

    kind: str  # register type of the sum
    itemsize: int
    lanes: int
    vectors: int
    rows: Side
    columns: Side
    split: int  # number of the k axis that is cut into blocks; those before it take one value each
    chunk: int  # of that axis
    chunks: int
    depth: int  # steps of k in a block, at most
    blocks: int


def tiling(contraction: Contraction, values: Values, target: Target) -> Tiling | None:
    """How to compute a contraction; None where plain loops do as well."""
    c = contraction
    m, n, k = (prod(axis.extent for axis in axes) for axes in (c.m, c.n, c.k))
    if m * n * k < SMALL or (k < 4 and m * n < 65536):
        return None
    double = c.fold.dtype.itemsize == 8
    lanes = max(2, target.vector_bytes // (8 if double else 4))
    if _columns_are_m(c, values):
        rows, columns = (c.b, c.n), (c.a, c.m)
    else:
        rows, columns = (c.a, c.m), (c.b, c.n)
    row_count, column_count = (prod(x.extent for x in axes) for _, axes in (rows, columns))
    last = columns[1][-1].extent
    shapes = _shapes(lanes, target.registers)
    best = min(
        (
            _cost(row_count, column_count // run * -(-run // (v * lanes)), r, v)
            * (1.0 if run == last else 1.1),
            -v,
            r,
            v,
            run,
        )
        for r, v in shapes
        for run in {last, column_count}
    )
    _, _, height, vectors, run = best
    split, chunk, chunks, depth, blocks = _cut([axis.extent for axis in c.k])
    in_runs = run == last or len(columns[1]) == 1
    return Tiling(
        "double" if double else "float",
        8 if double else 4,
        lanes,
        vectors,
        _side(rows, len(rows[1]) == 1, height, ROWS, c, values, lanes),
        _side(columns, in_runs, vectors * lanes, COLUMNS, c, values, lanes),
        split,
        chunk,
        chunks,
        depth,
        blocks,
    )


def _columns_are_m(c: Contraction, values: Values) -> bool:
    """Whether the axis along which the result lies in memory is one of m."""
    for each in c.epilogue:
        if isinstance(each, Store):
            for axis in reversed(c.n):
                if factor(each.index, axis, values) == 1:
                    return False
            return any(factor(each.index, axis, values) == 1 for axis in c.m)
    return False


@lru_cache(maxsize=8)
def _shapes(lanes: int, registers: int) -> list[tuple[int, int]]:
    """(rows, vectors) of register tiles that leave room for operands."""
    found = []
    for vectors in (1, 2, 4):
        most = min((registers - vectors - 1) // vectors, 16)
        found += [(rows, vectors) for rows in range(2, most + 1)]
    return found


def _cost(rows: int, panels: int, height: int, vectors: int) -> float:
    """Cycles a step of k, for a machine with two multiply-adds and two loads a cycle."""
    tiles = -(-rows // height) * panels
    return tiles * max(height * vectors / 2, (height + vectors) / 2, 4.0)


def _cut(extents: Sequence[int]) -> tuple[int, int, int, int, int]:
    """(axis, chunk, chunks, depth, blocks): blocks of about DEPTH steps of k."""
    split = 0
    while prod(extents[split + 1 :]) > DEPTH:
        split += 1
    inner = prod(extents[split + 1 :])
    most = max(1, DEPTH // inner)
    count = -(-extents[split] // most)
    chunk = -(-extents[split] // count)
    if count > 1 and split == len(extents) - 1:
        chunk = -(-chunk // 16) * 16
    chunks = -(-extents[split] // chunk)
    return split, chunk, chunks, chunk * inner, prod(extents[:split]) * chunks


def _side(
    operand: tuple[Value, tuple[Axis, ...]],
    run: bool,
    width: int,
    most: int,
    c: Contraction,
    values: Values,
    lanes: int,
) -> Side:
    value, axes = operand
    total = prod(axis.extent for axis in axes)
    length = axes[-1].extent if run else total
    outer = total // length
    panels = outer * -(-length // width)
    blocks = max(1, -(-panels * width // most))
    block = -(-panels // blocks)
    loads = [each for each in reachable_values([value]) if each.op == "load"]
    along_free = run and all(factor(x.args[0], axes[-1], values) in (0, 1) for x in loads)
    along_k = all(factor(x.args[0], c.k[-1], values) in (0, 1) for x in loads)
    transposed = not along_free and along_k and c.k[-1].extent >= min(lanes, 8) // 2
    return Side(
        value, axes, run, length, outer, width, transposed, panels, block, -(-panels // block)
    )
