"""How a matrix product is cut into tiles: decided from shapes and from the target's registers.

The order of the sums is no concern of this file: see order.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod

from flambeau.device.cpu import few
from flambeau.device.cpu.choose import factor
from flambeau.device.cpu.order import FEW_PARTS, MOST_PARTS, chains, cut
from flambeau.device.cpu.target import Target
from flambeau.device.cpu.values import Values
from flambeau.kernel.ir import Axis, Store, Value
from flambeau.kernel.tile import Contraction, reachable

Operand = tuple[Value, tuple[Axis, ...]]

AREA = 40000
"""Elements of the result that one work item computes, at most."""

ONCE = 100_000
"""Cycles of packing the same rows again that are worth a stage of its own."""

DEAR = 0.4
"""Cycles to pack an element, from which on that is worth it; neighbours in memory are cheaper."""

MOST_ONCE = 3_000_000
"""Elements that are packed so, at most: about as many as the cache behind all threads holds."""

READING = 0.15
"""Cycles to read one element that was packed by another stage."""

TURNING, WORTH_TURNING = 0.5, 0.97
"""Cycles to turn an element of the result; sides are exchanged where this share of time is left."""

SHORT = 4
"""Shorter runs are loaded element by element."""

SMALL = 4096
"""Products of fewer multiplications are left to the plain loops."""


@dataclass(frozen=True, eq=False)
class Side:
    """One operand: its value, the result's axes that it brings in, how they are cut and packed.

    The axes' points lie on a line of segments. With `run`, a segment lies within the last `joint`
    axes (`length` points), of which memory knows only one, at one point of the others (`outer`
    points), and may be longer than what is left of them; else segments run through all axes as one
    (outer = 1). A panel is so many segments.
    """

    value: Value
    axes: tuple[Axis, ...]
    run: bool
    joint: int
    length: int
    outer: int
    width: int  # rows or columns of a panel
    segment: int  # of a segment
    along_k: bool  # packed from vectors along k, transposed
    block: int  # panels in a work item
    effort: float = 0.0  # cycles to pack one element, where that is known
    lined: bool = False  # along_k, and all steps of a block of k lie side by side
    pieces: int = 0  # lanes of a run of the last axis, where segments through all axes are made so

    @property
    def per_run(self) -> int:
        """Segments that cover the last axis once."""
        return -(-self.length // self.segment)

    @property
    def segments(self) -> int:
        return self.outer * self.per_run

    @property
    def per_panel(self) -> int:
        return self.width // self.segment

    @property
    def panels(self) -> int:
        return -(-self.segments // self.per_panel)

    @property
    def blocks(self) -> int:
        return -(-self.panels // self.block)


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
    parts: int  # partial sums of one result, each over some blocks of k
    shared: bool  # whether work items of their own compute them
    joint_k: int  # so many of the last axes of k run in lanes together, where they do
    chains: int  # of a block's sum
    direct: str = ""  # "across", "along": the columns are read where they lie, see few.py
    once: bool = False  # rows are packed by a stage of their own, for all work items
    inner: int = 0  # order.cut's chunk: few.py makes its blocks within one of this tiling's
    turned: bool = False  # the result lies in memory along its rows: tiles are turned at the end


def tiling(contraction: Contraction, values: Values, target: Target) -> Tiling | None:
    """How to compute a contraction; None where plain loops do as well."""
    c = contraction
    m, n, k = (prod(axis.extent for axis in axes) for axes in (c.m, c.n, c.k))
    split, chunk, chunks, depth, blocks = cut([axis.extent for axis in c.k])
    if blocks == 1 and (m * n * k < SMALL or (k < 4 and m * n < 65536)):
        return None
    double = c.fold.dtype.itemsize == 8
    lanes = max(2, target.vector_bytes // (8 if double else 4))
    if not c.n or (c.m and _columns_are_m(c, values)):
        rows, columns = (c.b, c.n), (c.a, c.m)
    else:
        rows, columns = (c.a, c.m), (c.b, c.n)
    how = ""
    if blocks <= MOST_PARTS:
        how = few.way(prod(axis.extent for axis in rows[1]), *columns, c, values)
    if not how and not rows[1] and side_of(columns, True, lanes, c, values, lanes).along_k is False:
        return None  # a vector times a matrix, which lies as it is read best
    batch = prod(axis.extent for axis in c.batch)
    parts, shared = _parts(batch * m * n, k, blocks)
    inner, once, turned = chunk, False, False
    if how:  # few.py cuts k into blocks
        chunk, chunks, depth, blocks, parts, shared = k, 1, k, 1, 1, False
        sides = _read_in_place(how, rows, columns, c, values, lanes)
    else:
        sides, turned = _turned_or_not(rows, columns, c, values, lanes, target.registers)
        sides = in_blocks(*sides, batch, (parts, shared), lanes)
        once = not shared and _again(*sides, batch * k)
        if once:
            light = replace(sides[0], effort=READING)
            sides = in_blocks(light, sides[1], batch, (parts, shared), lanes)
    return Tiling(
        "double" if double else "float",
        8 if double else 4,
        lanes,
        sides[1].width // lanes,
        *sides,
        split,
        chunk,
        chunks,
        depth,
        blocks,
        parts,
        shared,
        joint_k(c, (c.a, c.b), split, lanes, values),
        chains([axis.extent for axis in c.k]),
        how,
        once,
        inner,
        turned,
    )


def _again(rows: Side, columns: Side, steps: int) -> bool:
    """Whether packing rows for each block of columns takes long enough for a stage of its own."""
    elements, effort = rows.length * rows.outer * steps, _packing(rows)
    cycles = (columns.blocks - 1) * effort * elements
    return effort >= DEAR and cycles > ONCE and elements < MOST_ONCE


def _read_in_place(
    how: str, rows: Operand, columns: Operand, c: Contraction, values: Values, lanes: int
) -> tuple[Side, Side]:
    """The sides where only the rows are packed. An even number of work items, eight at most, since
    the rows are packed for each; none narrower than memory likes."""
    count = prod(axis.extent for axis in rows[1])
    alone = how == "along" or count == 1
    left = side_of(rows, len(rows[1]) <= 1, 1 if alone else count, c, values, lanes)
    if alone:
        loads = [each for each in reachable([rows[0]]) if each.op == "load"]
        side_by_side = all(factor(x.args[0], c.k[-1], values) in (0, 1) for x in loads)
        left = replace(left, along_k=side_by_side)
    right = side_of(columns, True, 2 * lanes, c, values, lanes)
    items = min(8, -(-right.panels * right.width // (256 if how == "across" else 64)))
    items += items > 1 and items % 2
    return replace(left, block=left.panels), replace(right, block=-(-right.panels // items))


def joint_k(
    c: Contraction, packed: tuple[Value, ...], split: int, lanes: int, values: Values
) -> int:
    """How many of the last axes of k, behind the one that is cut, lie in memory as one."""
    loads = [each for each in reachable(packed) if each.op == "load"]
    return joined(c.k[min(split + 1, len(c.k) - 1) :], lanes, loads, values)


def _turned_or_not(
    rows: Operand, columns: Operand, c: Contraction, values: Values, lanes: int, registers: int
) -> tuple[tuple[Side, Side], bool]:
    """The sides; whether they are exchanged, so that the result lies in memory along rows.

    Columns come in whole vectors, rows one by one: 49 columns cost as much as 64, 49 rows as 49."""
    plain, sides = _best(rows, columns, c, values, lanes, registers)
    if not rows[1]:
        return sides, False
    other, (left, right) = _best(columns, rows, c, values, lanes, registers)
    steps = prod(axis.extent for axis in c.k)
    other += TURNING * left.length * left.outer * right.length / steps
    lines = (left.run or left.pieces) and right.outer == right.per_panel == 1
    if lines and other < WORTH_TURNING * plain:
        return (left, right), True
    return sides, False


def _best(
    rows: Operand, columns: Operand, c: Contraction, values: Values, lanes: int, registers: int
) -> tuple[float, tuple[Side, Side]]:
    """The cheapest register tile and way to pack the columns, and its cycles for a step of k."""
    best, chosen = None, None
    for height, vectors in register_tiles(lanes, registers):
        left = side_of(rows, len(rows[1]) <= 1, height, c, values, lanes)
        left = _in_line(left, c, values, lanes)
        for run in (True, False) if len(columns[1]) > 1 else (True,):
            right = side_of(columns, run, vectors * lanes, c, values, lanes)
            right = _in_line(right, c, values, lanes)
            tiles = left.panels * right.panels
            multiply = multiplying(height, vectors)
            if vectors * lanes > 32:
                multiply *= 1.1  # the panel of columns does not stay in the nearest cache
            cost = tiles * multiply + right.panels * right.width * _packing(right)
            if best is None or cost < best:
                best, chosen = cost, (left, right)
    assert best is not None
    assert chosen is not None
    left = chosen[0]
    return best + left.length * left.outer * _packing(left), chosen


def _in_line(side: Side, c: Contraction, values: Values, lanes: int) -> Side:
    """The side packed in squares of neighbouring steps, where all steps of a block of k lie side by
    side at equal distances from one row or column to the next (the weights of a convolution)."""
    value, k = side.value, c.k
    if value.op != "load" or len(value.args) > 1 or len(side.axes) != 1:
        return side
    if not value.dtype.is_floating_point or value.dtype.itemsize < 4:
        return side
    split, chunk, chunks, _, _ = cut([axis.extent for axis in k])
    inner = prod(axis.extent for axis in k[split + 1 :])
    last = (k[split].extent - (chunks - 1) * chunk) * inner
    step = 1
    for axis in reversed(k[split:]):
        if factor(value.args[0], axis, values) != step:
            return side
        step *= axis.extent
    if last < lanes or (factor(value.args[0], side.axes[0], values) or 0) < lanes:
        return side
    return replace(side, along_k=True, lined=True, effort=0.0)


def multiplying(height: int, vectors: int) -> float:
    """Cycles of one step of k in the micro-kernel."""
    return max(height * vectors / 2 + (height + vectors) / 4 + 1.0, 4.0)


def _packing(side: Side) -> float:
    """Cycles to pack one element."""
    if side.effort:
        return side.effort
    if side.along_k:
        return 0.5
    if side.run:
        return 0.2 + 0.5 / min(side.segment, 16)
    return 1.4


def _parts(results: int, k: int, blocks: int) -> tuple[int, bool]:
    """How many partial sums, and whether items of their own compute them.

    The blocks' sums are added up one after the other, up to MOST_PARTS of them: whether items of
    their own compute them, which depends on the number of results, makes no difference to the
    bits. More blocks are first joined to FEW_PARTS partial sums, always.
    """
    shared = results <= 65536 and results * k >= 2_000_000 and blocks >= 4
    if blocks > MOST_PARTS:
        return FEW_PARTS, shared
    return (blocks if shared else 1), shared


def in_blocks(
    rows: Side, columns: Side, batch: int, parts: tuple[int, bool], lanes: int
) -> tuple[Side, Side]:
    """The sides cut into work items."""
    count, shared = parts
    items = batch * (count if shared else 1)
    return _shared_out(*_blocked(rows, columns, AREA), items, lanes)


def _blocked(rows: Side, columns: Side, most: int) -> tuple[Side, Side]:
    """Work items of about so many elements, longer along the side that is cheaper to pack."""
    height, width = rows.panels * rows.width, columns.panels * columns.width
    area = most if height * width > 8 * most else most // 2
    ratio = _packing(columns) / _packing(rows)
    tall = min(height, max(rows.width, (area * ratio) ** 0.5))
    wide = min(width, area / tall)
    tall = min(height, area / wide)
    return _with_block(rows, tall), _with_block(columns, wide)


def _shared_out(rows: Side, columns: Side, others: int, lanes: int) -> tuple[Side, Side]:
    """Somewhat more or fewer work items, where that lets 2 or 4 threads end at the same time or
    saves packing; there are `others` times as many items as blocks."""
    if others * rows.blocks * columns.blocks >= 16:
        return rows, columns
    best, chosen = None, (rows, columns)
    multiply = multiplying(rows.width, columns.width // lanes)
    for down in range(-(-rows.blocks // 2), min(rows.blocks + 2, rows.panels) + 1):
        left = replace(rows, block=-(-rows.panels // down))
        for across in range(-(-columns.blocks // 2), min(columns.blocks + 6, columns.panels) + 1):
            right = replace(columns, block=-(-columns.panels // across))
            if left.block * left.width * right.block * right.width > 2 * AREA:
                continue
            item = left.block * right.block * multiply
            for side in (left, right):
                item += side.block * side.width * _packing(side) * 2
            items = others * left.blocks * right.blocks
            cost = sum(
                weight * threads * -(-items // threads) * item
                for threads, weight in ((1, 6), (2, 6), (4, 1))
            )
            if best is None or cost < best:
                best, chosen = cost, (left, right)
    return chosen


def _with_block(side: Side, size: float) -> Side:
    blocks = max(1, round(side.panels * side.width / size))
    return replace(side, block=-(-side.panels // blocks))


def _columns_are_m(c: Contraction, values: Values) -> bool:
    """Whether the axis along which the result lies in memory is one of m, and not a short one."""
    for each in c.epilogue:
        if isinstance(each, Store):
            for axis in reversed(c.n):
                if factor(each.index, axis, values) == 1:
                    return False
            along = [axis for axis in c.m if factor(each.index, axis, values) == 1]
            return any(axis.extent >= SHORT for axis in along)
    return False


@lru_cache(maxsize=8)
def register_tiles(lanes: int, registers: int) -> list[tuple[int, int]]:
    """(rows, vectors) of register tiles that leave room for operands."""
    found = []
    for vectors in (1, 2, 4):
        most = min((registers - vectors - 1) // vectors, 16)
        found += [(rows, vectors) for rows in range(1, most + 1)]
    return found


def side_of(
    operand: Operand, run: bool, width: int, c: Contraction, values: Values, lanes: int
) -> Side:
    value, axes = operand
    total = prod(axis.extent for axis in axes)
    loads = [each for each in reachable([value]) if each.op == "load"]
    joint = joined(axes, width, loads, values) if run and axes else 1
    length = prod(axis.extent for axis in axes[-joint:]) if run and axes else total
    segment = width
    if run and len(axes) > 1:
        segment = min(width, 1 << (length - 1).bit_length())
    steps = [factor(x.args[0], axis, values) for x in loads for axis in axes[-1:]]
    along_free = run and all(step in (0, 1, 2, 3, 4) for step in steps)
    along_k = all(factor(x.args[0], c.k[-1], values) in (0, 1, 2, 3, 4) for x in loads)
    transposed = not along_free and along_k and c.k[-1].extent >= min(lanes, 8) // 2
    side = Side(value, axes, run, joint, length, total // length, width, segment, transposed, 1)
    if transposed or not axes or not loads:
        return side
    if run and not along_free:
        return replace(side, effort=1.4)  # element by element
    most = max(step or 1 for step in steps)
    if run:
        return side if most == 1 else replace(side, effort=_load(segment, most, lanes) / segment)
    extent = axes[-1].extent
    if extent < SHORT or width < SHORT or any(step not in (1, 2, 3, 4) for step in steps):
        return side
    pieces = min(1 << (width - 1).bit_length(), 1 << (extent - 1).bit_length())
    runs = 1 + (width - 1) / extent  # that a panel meets
    return replace(side, pieces=pieces, effort=runs * _load(pieces, most, lanes) / width)


def _load(points: int, step: int, lanes: int) -> float:
    """Cycles to load and store so many elements, `step` apart in memory."""
    return 2.5 + 1.5 * points / lanes * (1 + step)


def joined(axes: Sequence[Axis], width: int, loads: Sequence[Value], values: Values) -> int:
    """How many of the last axes lie in memory as one, until they have `width` points. All but the
    first of them have a power of two of points, so that vectors start where rows do."""
    count, points = 1, axes[-1].extent
    while count < len(axes) and points < width and points & (points - 1) == 0:
        outer, inner = axes[-count - 1], axes[-1]
        for each in loads:
            steps = factor(each.args[0], inner, values), factor(each.args[0], outer, values)
            if steps[0] is None or steps[1] is None or steps[1] != points * steps[0]:
                return count
        points *= outer.extent
        count += 1
    return count
