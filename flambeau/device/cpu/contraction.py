"""Matrix products and convolutions: operands packed through their index expressions, a register
tile, and the epilogue on each tile.

One work item computes a block of the result: for each block of k it packs its panels of both
operands into the thread's scratch memory, [panel][k][width], and calls the micro-kernel for every
pair of panels. After the last block the kernel's remaining statements run on the finished tile.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from flambeau.device.cpu import few, micro
from flambeau.device.cpu.choose import Run, bind_run, factor
from flambeau.device.cpu.emit import (
    INDEX,
    Emitter,
    Operand,
    Stage,
    mask_literal,
    vector_type,
)
from flambeau.device.cpu.pack import Panels, Piece
from flambeau.device.cpu.tiling import Side, Tiling
from flambeau.device.cpu.values import Values
from flambeau.kernel.ir import Statement, Value
from flambeau.kernel.tile import Contraction, axes_of, reachable

Int = str | int

TOGETHER = 8
"""Panels that are packed at the same time, where they lie side by side."""

Ends = tuple[str, Int, str, Int]
"""First panel of rows, how many, first panel of columns, how many."""


class ContractionRenderer:
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
        self.emitter = emitter
        self.values = values
        self.contraction = contraction
        self.tiling = tiling
        self.statement = statement
        self.buffers = buffers  # of the kernel; the shared memory's address comes behind them
        t = tiling
        self.rows = Panels(emitter, values, t.rows, contraction.k[-1])
        self.columns = Panels(emitter, values, t.columns, contraction.k[-1])
        down, across = self._kept()
        self.stride = across * t.columns.width
        self.tile_size = down * t.rows.width * self.stride
        sizes = [
            t.rows.block * self._row_panel(),
            0 if t.direct else t.columns.block * t.columns.width * t.depth,
            self.tile_size,
            t.lanes * t.lanes,
        ]
        if t.parts > 1 and not t.shared:
            sizes[2] *= 2  # the sum so far, and the part that is made
        self.imports = {self.micro_name()}
        self.offsets: list[int] = []
        total = 0
        # turning writes whole squares: up to so many steps past the end of a panel
        slack = t.lanes * max(t.rows.width, t.columns.width) * t.itemsize + 64
        for size in sizes:
            self.offsets.append(total)
            total += -(-size * t.itemsize // 64) * 64 + slack
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
        for axis in self.contraction.batch:
            total *= axis.extent
        return total

    @property
    def shared(self) -> int:
        """Bytes of partial sums."""
        t = self.tiling
        return t.parts * self.part_size * t.itemsize if t.shared else 0

    def stages(self, symbol: str) -> tuple[Stage, ...]:
        c, t = self.contraction, self.tiling
        points = 1.0
        for axis in (*c.batch, *c.m, *c.n):
            points *= axis.extent
        steps = 1.0
        for axis in c.k:
            steps *= axis.extent
        cost = points * steps / 50
        if t.direct:
            cost += points * steps / (t.rows.width * t.rows.panels) / 8
        first = Stage(symbol, self.tiles * (t.parts if t.shared else 1), cost)
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

    @property
    def joined(self) -> int:
        """How many partial sums the epilogue adds up: those of other work items."""
        return self.tiling.parts if self.tiling.shared else 1

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
        self._pack(self.rows, self.packed_rows, ends[:2], low, high)

    def _pack(
        self, panels: Panels, packed: str, which: tuple[str, Int], low: Int, high: Int
    ) -> None:
        emitter, t = self.emitter, self.tiling
        first, count = which
        if panels.side_by_side:
            self._pack_together(panels, packed, which, low, high)
            return
        each = emitter.open_loop(0, count)
        number = emitter.plus(first, each.index)
        start = emitter.times(each.index, panels.side.width * t.depth)
        place = emitter.element(t.kind, packed, start)
        self.pack(panels, number, place, low, high)
        emitter.close_loop(each)

    def pack(self, panels: Panels, panel: str, place: str, low: Int, high: Int) -> None:
        """Write a panel of an operand to `place`, for a block of k."""
        if panels.side.along_k:
            self._pack_along_k(panels, panel, place, low, high)
        else:
            self._pack_across(panels, panel, place, low, high)

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
        item = self.emitter.rest(self.emitter.rest(item, t.rows.blocks), t.columns.blocks)
        self.values.decode(self.contraction.batch, item)

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

    def _k_nest(self, low: Int, high: Int, lanes: int, body: Callable[[str, int], None]) -> None:
        """Run body(position in the block, how many steps) over a block of k; with lanes > 1 the
        last axis runs in lanes."""
        self._k_level(self.tiling.split, "0", low, high, lanes, body)

    def _edges_first(self, value: Value) -> list[int]:
        """The axes of k within a block: those that decide where a value is inside its edges are
        the outer loops, so that masks are made before the others begin."""
        conditions = [
            condition
            for each in reachable([value])
            for condition in (each.args[1:] if each.op == "load" else each.args[:1])
            if condition.dtype.name == "bool"
        ]
        known = axes_of(conditions)
        numbers = range(self.tiling.split, len(self.contraction.k))
        return sorted(numbers, key=lambda number: self.contraction.k[number] not in known)

    def _k_places(
        self,
        numbers: list[int],
        position: str,
        low: Int,
        high: Int,
        body: Callable[[str, int], None],
    ) -> None:
        """Run body(position in the block, 1) with axes of k in this order."""
        if not numbers:
            body(position, 1)
            return
        emitter, k = self.emitter, self.contraction.k
        number, *rest = numbers
        first, last = (low, high) if number == self.tiling.split else (0, k[number].extent)
        loop = emitter.open_loop(first, last)
        self.values.bind(k[number], Operand(loop.index, INDEX))
        past = emitter.times(
            emitter.minus(loop.index, first), prod(x.extent for x in k[number + 1 :])
        )
        self._k_places(rest, emitter.plus(position, past), low, high, body)
        emitter.close_loop(loop)

    def _k_level(
        self,
        number: int,
        position: str,
        low: Int,
        high: Int,
        lanes: int,
        body: Callable[[str, int], None],
    ) -> None:
        emitter, k = self.emitter, self.contraction.k
        if number == len(k):
            body(position, 1)
            return
        axis = k[number]
        stride = 1
        for each in k[number + 1 :]:
            stride *= each.extent
        if number != self.tiling.split:
            low, high = 0, axis.extent
        if lanes > 1 and number == len(k) - self.tiling.joint_k:
            run = Run(k[number:], lanes, lanes)
            self._k_lanes(
                run, position, emitter.times(low, stride), emitter.times(high, stride), body
            )
            return
        loop = emitter.open_loop(low, high)
        self.values.bind(axis, Operand(loop.index, INDEX))
        past = emitter.minus(loop.index, low)
        inner = self.emitter.plus(position, self.emitter.times(past, stride))
        self._k_level(number + 1, inner, low, high, lanes, body)
        emitter.close_loop(loop)

    def _k_lanes(
        self, run: Run, position: str, low: Int, high: Int, body: Callable[[str, int], None]
    ) -> None:
        """The last axes of k in vectors: whole ones, then what is left at their end."""
        emitter, lanes = self.emitter, run.lanes
        extent = run.extent * run.inner
        low, high = (int(each) if str(each).isdigit() else each for each in (low, high))
        whole = extent // lanes * lanes
        rest = extent - whole
        if whole:
            top: Int = whole if high == extent else self.emitter.least(high, whole)
            loop = emitter.open_loop(low, top, lanes, (), lanes, None)
            bind_run(self.values, run, emitter.rest(loop.index, run.inner))
            past = emitter.minus(loop.index, low)
            body(self.emitter.plus(position, past), lanes)
            emitter.close_loop(loop)
        if not rest:
            return
        last = "true"
        if high != extent:
            last = emitter.let(f"icmp eq i64 {high}, {extent}")
        with emitter.branch(last):
            emitter.push(lanes, mask_literal(lane < rest for lane in range(lanes)))
            bind_run(self.values, run, str(whole // run.inner))
            past = emitter.minus(whole, low)
            body(self.emitter.plus(position, past), rest)
            emitter.pop()

    # packing

    def _pack_across(self, panels: Panels, panel: str, place: str, low: Int, high: Int) -> None:
        """Step by step of k, with a segment's rows or columns in lanes."""
        emitter = self.emitter
        loop = emitter.open_loop(0, panels.segments_of(panel))
        with panels.piece(panel) as piece:
            lanes = panels.open_lanes(panel, loop.index, piece=piece)
            at = emitter.times(loop.index, panels.side.segment)
            spot = emitter.element(self.tiling.kind, place, piece.position if piece else at)
            self._pack_segment(panels, spot, lanes, piece, (low, high))
            emitter.pop()
            emitter.pop()
        emitter.close_loop(loop)

    def _pack_segment(
        self, panels: Panels, spot: str, lanes: int, piece: Piece | None, ends: tuple[Int, Int]
    ) -> None:
        emitter, side = self.emitter, panels.side
        mask = piece.mask if piece else None

        def body(position: str, _: int) -> None:
            name = emitter.spread(self.values.value(side.value), lanes)
            self._put(name, lanes, spot, emitter.times(position, side.width), mask)

        if piece or lanes == side.segment:
            numbers = self._edges_first(side.value)
        else:  # lanes past the panel are stored over the next step, which must come later
            numbers = list(range(self.tiling.split, len(self.contraction.k)))
        self._k_places(numbers, "0", *ends, body)

    def _pack_together(
        self, panels: Panels, packed: str, which: tuple[str, Int], low: Int, high: Int
    ) -> None:
        """As _pack_across, some neighbouring panels at each step: what they read shares pages."""
        emitter, side = self.emitter, panels.side
        first, count = which
        group = emitter.open_loop(0, count, TOGETHER)
        end = emitter.least(emitter.plus(group.index, TOGETHER), count)

        def body(position: str, _: int) -> None:
            each = emitter.open_loop(group.index, end)
            lanes = panels.open_lanes(emitter.plus(first, each.index), "0")
            name = emitter.spread(self.values.value(side.value), lanes)
            start = emitter.times(each.index, side.width * self.tiling.depth)
            place = emitter.element(self.tiling.kind, packed, start)
            mask = mask_literal(lane < side.width for lane in range(lanes))
            whole = lanes == side.width  # else the next panel is there already
            at = emitter.times(position, side.width)
            self._put(name, lanes, place, at, None if whole else mask)
            emitter.pop()
            emitter.pop()
            emitter.close_loop(each)

        numbers = list(range(self.tiling.split, len(self.contraction.k)))
        self._k_places(numbers, "0", low, high, body)
        emitter.close_loop(group)

    def _pack_along_k(self, panels: Panels, panel: str, place: str, low: Int, high: Int) -> None:
        """Rows or columns one by one, with k in lanes, and each square block transposed."""
        emitter, t, width = self.emitter, self.tiling, panels.side.width
        if panels.side.lined and panels.step is not None and width > 1:
            self._pack_lines(panels, panel, place, low, high)
            return

        def body(position: str, _: int) -> None:
            if width == 1:
                panels.bind_one(panel, "0")
                name = emitter.spread(self.values.value(panels.side.value), t.lanes)
                self._put(name, t.lanes, place, position)
                return
            for start in range(0, width, t.lanes):
                wide = min(t.lanes, width - start)
                if emitter.mask is None and panels.step is not None:
                    self._fetch(panels, panel, (start, wide), place, position)
                    continue
                loop = emitter.open_loop(0, wide)
                panels.bind_one(panel, self.emitter.plus(loop.index, start))
                name = emitter.spread(self.values.value(panels.side.value), t.lanes)
                at = self.emitter.times(loop.index, t.lanes)
                spot = emitter.element(t.kind, self.square, at)
                emitter.line(f"store <{t.lanes} x {t.kind}> {name}, ptr {spot}, align 4")
                emitter.close_loop(loop)
                at = self.emitter.plus(self.emitter.times(position, width), start)
                spot = emitter.element(t.kind, place, at)
                turn = micro.turn_name(t.kind, t.lanes, wide)
                self.imports.add(turn)
                arguments = [("ptr", self.square), ("ptr", spot), ("i64", str(width))]
                emitter.call(turn, "void", arguments)

        self._k_nest(low, high, t.lanes, body)

    def _pack_lines(self, panels: Panels, panel: str, place: str, low: Int, high: Int) -> None:
        """Squares of neighbouring steps; where fewer are left, the last ones again."""
        emitter, t, width = self.emitter, self.tiling, panels.side.width
        first, *others = self.contraction.k[t.split :]
        emitter.push()
        self.values.bind(first, Operand(str(low), INDEX))
        for each in others:
            self.values.bind(each, Operand("0", INDEX))
        steps = emitter.times(emitter.minus(high, low), prod(each.extent for each in others))
        loop = emitter.open_loop(0, steps, t.lanes)
        position = emitter.least(loop.index, emitter.minus(steps, t.lanes))
        for start in range(0, width, t.lanes):
            part = start, min(t.lanes, width - start)
            self._fetch(panels, panel, part, place, position, position)
        emitter.close_loop(loop)
        emitter.pop()

    def _fetch(
        self,
        panels: Panels,
        panel: str,
        part: tuple[int, int],
        place: str,
        position: str,
        past: Int = 0,
    ) -> None:
        """Turn a square where it lies: rows or columns at equal distances, nothing to compute;
        `past` steps behind the one that k is bound to."""
        emitter, t, side = self.emitter, self.tiling, panels.side
        start, wide = part
        emitter.push()
        first = emitter.plus(emitter.times(panel, side.width), start)
        first = emitter.least(first, side.length - 1)
        self.values.bind(side.axes[-1], Operand(first, INDEX))
        address = self.values.address(side.value.args[0])
        source = self.values.pointer(side.value.payload, side.value.dtype, address.base)
        source = emitter.element(t.kind, source, past)
        at = emitter.plus(emitter.times(position, side.width), start)
        spot = emitter.element(t.kind, place, at)
        name = micro.fetch_name(t.kind, t.lanes, wide)
        self.imports.add(name)
        arguments = [("ptr", source), ("i64", str(panels.step))]
        arguments += [("i64", emitter.minus(side.length, first)), ("ptr", spot)]
        emitter.call(name, "void", [*arguments, ("i64", str(side.width))])
        emitter.pop()

    def _put(self, name: str, lanes: int, place: str, at: str, mask: str | None = None) -> None:
        """Store a segment of a panel. Lanes beyond it are stored, too: over what comes next, which
        is written later, or into the room behind the last panel."""
        emitter, kind = self.emitter, self.tiling.kind
        spot = emitter.let(f"getelementptr {kind}, ptr {place}, i64 {at}")
        if mask is not None:
            emitter.masked_store(kind, lanes, name, spot, mask, 4)
            return
        emitter.line(f"store {vector_type(kind, lanes)} {name}, ptr {spot}, align 4")

    # multiplying

    def _multiply(self, block: str, more: str, depth: Int, tile: str, ends: Ends) -> None:
        emitter, t = self.emitter, self.tiling
        first_row, row_panels, first_column, column_panels = ends
        outer = emitter.open_loop(0, column_panels)
        start = emitter.times(outer.index, t.columns.width * t.depth)
        b = emitter.element(t.kind, self.packed_columns, start)
        inner = emitter.open_loop(0, row_panels)
        start = emitter.times(inner.index, t.rows.width * t.depth)
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

    def _epilogue(self, tile: str, row_panel: str, column_panel: str) -> None:
        """The kernel's other statements on a tile: row by row, with the columns in lanes."""
        segments = self.emitter.open_loop(0, self.columns.segments_of(column_panel))
        with self.columns.piece(column_panel) as piece:
            self._epilogue_of(tile, row_panel, (column_panel, segments.index), piece)
        self.emitter.close_loop(segments)

    def _epilogue_of(
        self, tile: str, row_panel: str, segment: tuple[str, str], piece: Piece | None
    ) -> None:
        emitter, t, fold = self.emitter, self.tiling, self.contraction.fold
        side = t.columns
        lanes = self.columns.open_lanes(*segment, masked=True, piece=piece)
        loop = emitter.open_loop(0, self.rows.count(row_panel))
        self.rows.bind_one(row_panel, loop.index)
        at = self.emitter.times(loop.index, self.stride)
        past = piece.position if piece else emitter.times(segment[1], side.segment)
        at = emitter.plus(at, past)
        place = emitter.element(t.kind, tile, at)
        whole = f"<{lanes} x {t.kind}>"
        total = emitter.let(f"load {whole}, ptr {place}, align {t.itemsize}")
        for part in range(1, self.joined):
            offset = part * self.part_size
            other = emitter.element(t.kind, place, offset)
            addend = emitter.let(f"load {whole}, ptr {other}, align {t.itemsize}")
            total = emitter.let(f"fadd {whole} {total}, {addend}")
        self.values.bind(fold, Operand(total, fold.dtype, lanes))
        for each in self.contraction.epilogue:
            self.statement(each)
        emitter.close_loop(loop)
        emitter.pop()
        emitter.pop()
