"""Matrix products and convolutions: operands packed through their index expressions, a register
tile, and the epilogue on each tile.

One work item computes a block of the result: for each block of k it packs its panels of both
operands into the thread's scratch memory, [panel][k][width], and calls the micro-kernel for every
pair of panels. After the last block the kernel's remaining statements run on the finished tile.
Where many items need the same rows and packing them takes time, a stage of its own packs them
(`Tiling.once`).
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from flambeau.device.cpu import few, micro
from flambeau.device.cpu.choose import factor
from flambeau.device.cpu.emit import INDEX, Emitter, Operand, Stage, vector_type
from flambeau.device.cpu.epilogue import Epilogue
from flambeau.device.cpu.packing import TOGETHER, Int
from flambeau.device.cpu.tiling import Side, Tiling
from flambeau.device.cpu.values import Values
from flambeau.kernel.ir import Statement
from flambeau.kernel.tile import Contraction

Ends = tuple[str, Int, str, Int]
"""First panel of rows, how many, first panel of columns, how many."""


class ContractionRenderer(Epilogue):
    """Writes the function of one contraction; `statement` writes the epilogue's statements."""

    def __init__(
        self,
        emitter: Emitter,
        values: Values,
        contraction: Contraction,
        tiling: Tiling,
        statement: Callable[[Statement], None],
        buffers: int,
    ) -> None:
        super().__init__(emitter, values, contraction, tiling, statement)
        self.buffers = buffers  # of the kernel; the shared memory's address comes behind them
        t = tiling
        # turning writes whole squares: up to so many steps past the end of a panel
        slack = t.lanes * max(t.rows.width, t.columns.width)
        self.row_size = self._row_panel() + slack * t.once
        down, across = self._kept()
        self.stride = across * t.columns.width
        self.tile_size = down * t.rows.width * self.stride
        sizes = [
            0 if t.once else t.rows.block * self.row_size,
            0 if t.direct else t.columns.block * t.columns.width * t.depth,
            self.tile_size,
            self.turned_size,
        ]
        if t.parts > 1 and not t.shared:
            sizes[2] *= 2  # the sum so far, and the part that is made
        self.imports.add(self.micro_name())
        self.offsets: list[int] = []
        total = 0
        for size in sizes:
            self.offsets.append(total)
            total += -(-size * t.itemsize // 64) * 64 + slack * t.itemsize + 64
        self.scratch = total
        self.part_size = self.tile_size * (self.tiles if t.shared else 1)

    def _kept(self) -> tuple[int, int]:
        """How many panels of rows and of columns have room for their sums at the same time."""
        t = self.tiling
        return (t.rows.block, t.columns.block) if t.blocks > 1 or t.direct else (1, 1)

    def _row_panel(self) -> int:
        """Elements of a packed panel of rows."""
        return self.tiling.rows.width * self.tiling.depth

    @property
    def pieces(self) -> int:
        """Into how many parts a block of the result is cut where partial sums are joined."""
        return self.tiling.rows.block

    @property
    def tiles(self) -> int:
        """Blocks of the result: work items, where k is not split as well."""
        total = self.tiling.rows.blocks * self.tiling.columns.blocks
        return total * prod(axis.extent for axis in self.contraction.batch)

    @property
    def shared(self) -> int:
        """Bytes of partial sums, or of the rows that are packed once."""
        t = self.tiling
        if t.once:
            batch = prod(axis.extent for axis in self.contraction.batch)
            return batch * t.blocks * t.rows.panels * self.row_size * t.itemsize
        return t.parts * self.part_size * t.itemsize if t.shared else 0

    def stages(self, symbol: str) -> tuple[Stage, ...]:
        c, t = self.contraction, self.tiling
        batch = prod(axis.extent for axis in c.batch)
        points = float(batch * prod(axis.extent for axis in (*c.m, *c.n)))
        steps = prod(axis.extent for axis in c.k)
        cost = points * steps / 50
        if t.direct:
            cost += points * steps / (t.rows.width * t.rows.panels) / 8
        first = Stage(symbol, self.tiles * (t.parts if t.shared else 1), cost)
        if t.once:
            items = batch * t.blocks * -(-t.rows.panels // TOGETHER)
            elements = batch * steps * t.rows.length * t.rows.outer
            return (Stage(f"{symbol}_rows", items, 1.0 * elements), first)
        if not t.shared:
            return (first,)
        second = Stage(f"{symbol}_finish", self.tiles * self.pieces, points * t.parts / 8)
        return (first, second)

    def micro_name(self) -> str:
        t = self.tiling
        if t.direct:
            return few.name_of(t.direct, t.kind, t.rows.width * t.rows.panels, t.lanes, t.chains)
        return micro.micro_name(t.kind, t.rows.width, t.vectors, t.lanes, t.chains)

    def write(self) -> None:
        """The function's body, after its entry. Where k is split it leaves partial sums."""
        emitter, t = self.emitter, self.tiling
        self._open_scratch()
        loop = emitter.open_loop("%begin", "%end")
        item, part, parts = loop.index, "0", None
        if t.shared:
            part = emitter.part(item, t.parts)
            item = emitter.rest(item, t.parts)
            self.tile = self._partial(emitter.plus(emitter.times(part, self.tiles), item))
        self._bind_tile(item)
        first_row, row_panels = self._range(t.rows, emitter.part(item, t.rows.blocks))
        ends = (first_row, row_panels, *self._column_range(item))
        if t.parts > 1 and not t.shared:
            parts = emitter.open_loop(0, t.parts)
            part = parts.index
        tile = self.tile
        if parts:
            later = emitter.let(f"icmp ne i64 {part}, 0")
            tile = emitter.let(f"select i1 {later}, i64 {self.tile_size}, i64 0")
            tile = emitter.element(t.kind, self.tile, tile)
        self._blocks(part, tile, ends)
        if parts:
            with emitter.branch(later):
                self._add_part(tile, ends)
            emitter.close_loop(parts)
            self._finish_all(self.tile, ends)
        emitter.close_loop(loop)

    def write_rows(self) -> None:
        """The body of the stage that packs rows. An item is some panels of a block of k."""
        emitter, t = self.emitter, self.tiling
        self._open_scratch()
        loop = emitter.open_loop("%begin", "%end")
        groups = -(-t.rows.panels // TOGETHER)
        first = emitter.times(emitter.part(loop.index, groups), TOGETHER)
        count = emitter.least(emitter.minus(str(t.rows.panels), first), TOGETHER)
        number = emitter.rest(loop.index, groups)  # of a block of k in a batch
        self.values.decode(self.contraction.batch, emitter.rest(number, t.blocks))
        low, high, _ = self._bind_block(emitter.part(number, t.blocks))
        self._pack(self.rows, self._packed_once(number, first), (first, count), low, high)
        emitter.close_loop(loop)

    def _packed_once(self, number: str, panel: str) -> str:
        """Where a panel lies of those that are packed once."""
        at = self.emitter.plus(self.emitter.times(number, self.tiling.rows.panels), panel)
        at = self.emitter.times(at, self.row_size)
        return self.emitter.element(self.tiling.kind, f"%b{self.buffers}", at)

    def _add_part(self, part: str, ends: Ends) -> None:
        """Add a partial sum to the tile's sum so far."""
        emitter, t = self.emitter, self.tiling
        rows = emitter.open_loop("0", emitter.times(ends[1], t.rows.width))
        line = emitter.times(rows.index, self.stride)
        columns = emitter.open_loop("0", emitter.times(ends[3], t.columns.width), t.lanes)
        at = emitter.plus(line, columns.index)
        whole = vector_type(t.kind, t.lanes)
        places = [emitter.element(t.kind, base, at) for base in (self.tile, part)]
        sums = [emitter.let(f"load {whole}, ptr {x}, align {t.itemsize}") for x in places]
        total = emitter.let(f"fadd {whole} {sums[0]}, {sums[1]}")
        emitter.line(f"store {whole} {total}, ptr {places[0]}, align {t.itemsize}")
        emitter.close_loop(columns)
        emitter.close_loop(rows)

    def _open_scratch(self) -> None:
        """Find the places in the thread's own memory."""
        base = [self.emitter.element("i8", "%scratch", offset) for offset in self.offsets]
        self.packed_rows, self.packed_columns, self.tile, self.square = base

    def _blocks(self, part: str, tile: str, ends: Ends) -> None:
        """Pack and multiply the blocks of k that one partial sum has."""
        emitter, t = self.emitter, self.tiling
        low_block: Int = 0
        high_block: Int = t.blocks
        if t.parts > 1:
            low_block = emitter.rest(emitter.times(part, t.blocks), t.parts)
            high_block = emitter.rest(emitter.times(emitter.plus(part, 1), t.blocks), t.parts)
        deep = emitter.open_loop(low_block, high_block)
        block = deep.index if t.blocks > 1 else "0"
        if t.once:
            number = emitter.plus(emitter.times(self.batch, t.blocks), block)
            self.packed_rows = self._packed_once(number, ends[0])
        low, high, depth = self._bind_block(block)
        if not t.direct:
            self._pack(self.columns, self.packed_columns, ends[2:], low, high)
        self._pack_rows(ends, low, high)
        more = block
        if t.parts > 1:
            again = emitter.let(f"icmp ne i64 {block}, {low_block}")
            more = emitter.let(f"zext i1 {again} to i64")
        if t.direct:
            self._multiply_in_place(tile, ends)
        else:
            self._multiply(block, more, depth, tile, ends)
        emitter.close_loop(deep)

    def _pack_rows(self, ends: Ends, low: Int, high: Int) -> None:
        if not self.tiling.once:
            self._pack(self.rows, self.packed_rows, ends[:2], low, high)

    def write_finish(self) -> None:
        """The body of the second stage: add the partial sums up; the epilogue. An item is one of
        the `pieces` of a block of the result."""
        emitter, t = self.emitter, self.tiling
        self._open_scratch()
        loop = emitter.open_loop("%begin", "%end")
        piece = self.emitter.part(loop.index, self.pieces)
        item = self.emitter.rest(loop.index, self.pieces)
        self._bind_tile(item)
        first_row, row_panels = self._range(t.rows, emitter.part(item, t.rows.blocks))
        ends = (first_row, row_panels, *self._column_range(item))
        there = emitter.let(f"icmp slt i64 {piece}, {self._pieces(ends)}")
        with emitter.branch(there):
            self._finish(self._partial(item), piece, ends)
        emitter.close_loop(loop)

    def _finish_all(self, tile: str, ends: Ends) -> None:
        loop = self.emitter.open_loop(0, self._pieces(ends))
        self._finish(tile, loop.index, ends)
        self.emitter.close_loop(loop)

    def _pieces(self, ends: Ends) -> Int:
        """How many of `pieces` there are in this block."""
        return ends[1]

    def _finish(self, tile: str, panel: str, ends: Ends) -> None:
        """The epilogue on a panel of rows whose partial sums are done."""
        emitter, t = self.emitter, self.tiling
        outer = emitter.open_loop(0, ends[3])
        down = emitter.times(panel, t.rows.width * self.stride)
        at = emitter.plus(down, emitter.times(outer.index, t.columns.width))
        place = emitter.element(t.kind, tile, at)
        self._epilogue(place, emitter.plus(ends[0], panel), emitter.plus(ends[2], outer.index))
        emitter.close_loop(outer)

    def _partial(self, number: str) -> str:
        """Where the partial sums of one item lie."""
        shared = f"%b{self.buffers}"
        at = self.emitter.times(number, self.tile_size)
        return self.emitter.element(self.tiling.kind, shared, at)

    def _bind_tile(self, item: str) -> None:
        t = self.tiling
        self.batch = self.emitter.rest(self.emitter.rest(item, t.rows.blocks), t.columns.blocks)
        self.values.decode(self.contraction.batch, self.batch)

    def _column_range(self, item: str) -> tuple[str, Int]:
        t = self.tiling
        block = self.emitter.part(self.emitter.rest(item, t.rows.blocks), t.columns.blocks)
        return self._range(t.columns, block)

    def _range(self, side: Side, block: str) -> tuple[str, Int]:
        """The first panel of a block, and how many it has."""
        if side.blocks == 1:
            return "0", side.panels
        first = self.emitter.times(block, side.block)
        if side.panels % side.block == 0:
            return first, side.block
        left = self.emitter.let(f"sub nsw i64 {side.panels}, {first}")
        return first, self.emitter.least(left, side.block)

    # blocks of k

    def _bind_block(self, block: str) -> tuple[Int, Int, Int]:
        """Bind the outer k axes; returns the split axis's range and the number of steps."""
        t, k = self.tiling, self.contraction.k
        inner = t.depth // t.chunk
        extent = k[t.split].extent
        outer = self.emitter.rest(block, t.chunks)
        self.values.decode(k[: t.split], outer)
        if t.chunks == 1:
            return 0, extent, extent * inner
        low = self.emitter.times(self.emitter.part(block, t.chunks), t.chunk)
        high = self.emitter.least(self.emitter.plus(low, t.chunk), extent)
        steps = self.emitter.let(f"sub nsw i64 {high}, {low}")
        return low, high, self.emitter.times(steps, inner)

    # multiplying

    def _multiply(self, block: str, more: str, depth: Int, tile: str, ends: Ends) -> None:
        emitter, t = self.emitter, self.tiling
        first_row, row_panels, first_column, column_panels = ends
        outer = emitter.open_loop(0, column_panels)
        start = emitter.times(outer.index, t.columns.width * t.depth)
        b = emitter.element(t.kind, self.packed_columns, start)
        inner = emitter.open_loop(0, row_panels)
        start = emitter.times(inner.index, self.row_size)
        a = emitter.element(t.kind, self.packed_rows, start)
        if t.blocks > 1:
            down = emitter.times(inner.index, t.rows.width * self.stride)
            across = emitter.times(outer.index, t.columns.width)
            tile = emitter.element(t.kind, tile, emitter.plus(down, across))
        arguments = [("i64", str(depth)), ("ptr", a), ("ptr", b), ("ptr", tile)]
        arguments += [("i64", str(self.stride)), ("i64", more)]
        emitter.call(self.micro_name(), "void", arguments)
        if t.parts == 1:
            last = "true"
            if t.blocks > 1:
                last = emitter.let(f"icmp eq i64 {block}, {t.blocks - 1}")
            with emitter.branch(last):
                row = emitter.plus(first_row, inner.index)
                self._epilogue(tile, row, emitter.plus(first_column, outer.index))
        emitter.close_loop(inner)
        emitter.close_loop(outer)

    def _multiply_in_place(self, tile: str, ends: Ends) -> None:
        """All columns of the item, from where they lie, and the epilogue."""
        emitter, t, values = self.emitter, self.tiling, self.values
        value, (k,) = t.columns.value, self.contraction.k
        column = next(axis for axis in t.columns.axes if axis.extent > 1)
        emitter.push()
        first = emitter.times(ends[2], t.columns.width)
        values.bind(column, Operand(first, INDEX))
        values.bind(k, Operand("0", INDEX))
        address = values.address(value.args[0])
        source = values.pointer(value.payload, value.dtype, address.base)
        step = factor(value.args[0], k if t.direct == "across" else column, values)
        count = emitter.times(ends[3], t.columns.width)
        count = emitter.least(count, emitter.minus(column.extent, first))
        arguments = [("i64", str(k.extent)), ("i64", str(t.inner)), ("ptr", self.packed_rows)]
        arguments += [("ptr", source), ("i64", str(step)), ("ptr", tile), ("i64", str(self.stride))]
        emitter.call(self.micro_name(), "void", [*arguments, ("i64", count)])
        emitter.pop()
        self._finish_all(tile, ends)
