"""The code of a correlation of many rows: see shifted.py.

Its micro-kernel: a register tile whose rows are what lines hold at taps.

    void shift_<type>_<channels>_<taps>_<vectors>_<lanes>_<step>_<apart>(i64 runs, i64 length,
        ptr starts, ptr lines, i64 line, ptr b, ptr c, i64 between, i64 stride, i64 more)

A row is a channel's line, `line` elements from the channel before, read `apart` elements further
for each tap. k runs through `runs` stretches of `length` places, each from an element of `starts`
on in steps of `step`. c has `between` elements from channel to channel and `stride` from tap to
tap; where `more` is not 0 the sums are added to what is there.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flambeau.device.cpu import micro
from flambeau.device.cpu.contraction import ContractionRenderer, Ends
from flambeau.device.cpu.elementwise import with_offsets
from flambeau.device.cpu.emit import INDEX, Emitter, Operand, vector_type
from flambeau.device.cpu.packing import Int
from flambeau.device.cpu.shifted import Dimension, Lines
from flambeau.device.cpu.values import Values
from flambeau.kernel import ir
from flambeau.kernel.ir import Axis, Statement
from flambeau.kernel.tile import Contraction

SHIFT = "shift"
STARTS = "@starts"
"""The table of where runs of k begin in a line, in a kernel's module."""


class ShiftedRenderer(ContractionRenderer):
    """Writes the function of one correlation. Rows are channels and taps, in the order of the
    result's memory; at the end a work item's sums are turned, so that rows lie in lanes."""

    def __init__(
        self,
        emitter: Emitter,
        values: Values,
        contraction: Contraction,
        lines: Lines,
        statement: Callable[[Statement], None],
        buffers: int,
    ) -> None:
        self.lines = lines
        super().__init__(emitter, values, contraction, lines.tiling, statement, buffers)
        lanes = self.tiling.lanes
        self.fetch = micro.fetch_name(self.tiling.kind, lanes, lanes)
        self.imports.add(self.fetch)
        starts = lines.starts(contraction.k)
        numbers = ", ".join(f"i64 {each}" for each in starts)
        text = f"{STARTS} = private constant [{len(starts)} x i64] [{numbers}]"
        emitter.declarations[text] = None

    def _kept(self) -> tuple[int, int]:
        return self.tiling.rows.block, self.tiling.columns.block

    def _row_panel(self) -> int:
        return self.lines.group * self.lines.length

    @property
    def pieces(self) -> int:
        return self.tiling.columns.block

    def _pieces(self, ends: Ends) -> Int:
        return ends[3]

    def micro_name(self) -> str:
        t, lines = self.tiling, self.lines
        k, inner = self.contraction.k, lines.inner
        last = lines.dimensions[-1]
        numbers = (
            lines.group,
            inner.tap.extent,
            t.vectors,
            t.lanes,
            last.stride * last.step,
            inner.dilation * lines.step(inner.along, k),
        )
        return "_".join(map(str, (SHIFT, t.kind, *numbers)))

    # packing

    def _pack_rows(self, ends: Ends, low: Int, high: Int) -> None:
        """The lines of all channels that the item has."""
        emitter, lines = self.emitter, self.lines
        first = emitter.times(ends[0], lines.group)
        channels = emitter.open_loop(0, emitter.times(ends[1], lines.group))
        channel = emitter.plus(first, channels.index)
        count = 1
        for axis in lines.channels:
            count *= axis.extent
        if count % lines.group:
            channel = emitter.least(channel, count - 1)
        self.values.decode(lines.channels, channel)
        start = emitter.times(channels.index, lines.length)
        place = emitter.element(self.tiling.kind, self.packed_rows, start)
        self._pack_line(list(lines.dimensions), place, low, high)
        emitter.close_loop(channels)

    def _pack_line(self, dimensions: list[Dimension], place: str, low: Int, high: Int) -> None:
        emitter, t = self.emitter, self.tiling
        dimension, *rest = dimensions
        first, count = self._reach(dimension, low, high)
        axis = self.contraction.k[dimension.number]
        bound = self.lines.places.get(axis, axis)
        if rest:
            loop = emitter.open_loop(0, count)
            self.values.bind(bound, Operand(emitter.plus(first, loop.index), INDEX))
            at = emitter.times(loop.index, dimension.step)
            self._pack_line(rest, emitter.element(t.kind, place, at), low, high)
            emitter.close_loop(loop)
            return
        lanes = t.lanes
        loop = emitter.open_loop(0, count, lanes)
        left = emitter.minus(count, loop.index)
        mask = _first_lanes(emitter, left, lanes)
        emitter.push(lanes, mask)
        start = emitter.plus(first, loop.index)
        self.values.bind(bound, with_offsets(start, tuple(range(lanes))))
        name = emitter.spread(self.values.value(self.lines.value), lanes)
        self._put(name, lanes, place, loop.index)
        emitter.pop()
        emitter.close_loop(loop)

    def _reach(self, dimension: Dimension, low: Int, high: Int) -> tuple[str, Int]:
        """First place of a dimension that a block of k needs, and how many."""
        emitter, split = self.emitter, self.tiling.split
        first, count, size = "0", None, dimension.size
        if dimension.number < split:
            axis = self.contraction.k[dimension.number]
            first = self.values.value(ir.axis(axis)).name
        elif dimension.number == split:
            first, count = str(low), high
        first = emitter.times(first, dimension.stride)
        if count is None or not str(count).startswith("%"):
            return first, size
        positions = emitter.minus(count, low)
        missing = emitter.let(f"sub nsw i64 {dimension.count}, {positions}")
        return first, emitter.minus(str(size), emitter.times(missing, dimension.stride))

    # multiplying

    def _multiply(self, block: str, more: str, depth: Int, tile: str, ends: Ends) -> None:
        emitter, t, lines = self.emitter, self.tiling, self.lines
        k = self.contraction.k
        length: Int = k[-1].extent
        runs = "1"
        if t.split == len(k) - 1:
            length = depth
        elif isinstance(depth, int) or not depth.startswith("%"):
            runs = str(int(depth) // k[-1].extent)
        else:
            runs = emitter.rest(depth, k[-1].extent)
        outer = emitter.open_loop(0, ends[3])
        b = self._panel(self.packed_columns, outer.index, t.columns.width * t.depth)
        inner = emitter.open_loop(0, ends[1])
        a = self._panel(self.packed_rows, inner.index, self._row_panel())
        down = emitter.times(inner.index, t.rows.width * self.stride)
        across = emitter.times(outer.index, t.columns.width)
        c = emitter.element(t.kind, tile, emitter.plus(down, across))
        for number, shift in enumerate(self._shifts()):
            line = emitter.element(t.kind, a, shift)
            row = number * lines.inner.tap.extent
            place = emitter.element(t.kind, c, row * self.stride)
            arguments = [("i64", runs), ("i64", str(length)), ("ptr", STARTS), ("ptr", line)]
            arguments += [("i64", str(lines.length)), ("ptr", b), ("ptr", place)]
            arguments += [("i64", str(lines.taps * self.stride)), ("i64", str(self.stride))]
            emitter.call(self.micro_name(), "void", [*arguments, ("i64", more)])
        emitter.close_loop(inner)
        emitter.close_loop(outer)
        if t.parts == 1:
            last = "true"
            if t.blocks > 1:
                last = emitter.let(f"icmp eq i64 {block}, {t.blocks - 1}")
            with emitter.branch(last):
                self._finish_all(tile, ends)

    def _panel(self, base: str, number: str, size: int) -> str:
        return self.emitter.element(self.tiling.kind, base, self.emitter.times(number, size))

    def _shifts(self) -> list[int]:
        """Where the taps of each call of the micro-kernel begin in a line."""
        lines, k = self.lines, self.contraction.k
        steps = [pair.dilation * lines.step(pair.along, k) for pair in lines.outer]
        points = itertools.product(*(range(pair.tap.extent) for pair in lines.outer))
        return [sum(n * step for n, step in zip(point, steps, strict=True)) for point in points]

    # the end

    def _finish(self, tile: str, piece: str, ends: Ends) -> None:
        """The epilogue on a panel of columns: squares are turned, then rows lie in lanes."""
        emitter, t, lanes = self.emitter, self.tiling, self.tiling.lanes
        column = emitter.plus(ends[2], piece)
        first = emitter.times(ends[0], t.rows.width)
        rows = emitter.least(
            emitter.times(ends[1], t.rows.width), emitter.minus(str(t.rows.length), first)
        )
        tile = self._panel(tile, piece, t.columns.width)
        if self.joined > 1:
            self._join(tile, rows)
        count = self.columns.count(column)
        squares = emitter.open_loop(0, rows, lanes)
        left = emitter.minus(rows, squares.index)
        line = emitter.element(t.kind, tile, emitter.times(squares.index, self.stride))
        groups = emitter.open_loop("0", count, lanes)
        arguments = [("ptr", emitter.element(t.kind, line, groups.index))]
        arguments += [("i64", str(self.stride)), ("i64", left), ("ptr", self.square)]
        emitter.call(self.fetch, "void", [*arguments, ("i64", str(lanes))])
        here = emitter.least(emitter.minus(count, groups.index), lanes)
        columns = emitter.open_loop("0", here)
        self.columns.bind_one(column, emitter.plus(groups.index, columns.index))
        with self._rows_in_lanes(emitter.plus(first, squares.index), left):
            self._statements(columns.index)
        for each in (columns, groups, squares):
            emitter.close_loop(each)

    def _statements(self, column: str) -> None:
        """The kernel's other statements, on a row of the square."""
        emitter, t, fold = self.emitter, self.tiling, self.contraction.fold
        place = self._panel(self.square, column, t.lanes)
        whole = vector_type(t.kind, t.lanes)
        total = emitter.let(f"load {whole}, ptr {place}, align {t.itemsize}")
        self.values.bind(fold, Operand(total, fold.dtype, t.lanes))
        for each in self.contraction.epilogue:
            self.statement(each)

    @contextmanager
    def _rows_in_lanes(self, start: str, left: str) -> Iterator[None]:
        """Bind the rows' axes to vectors; addresses know that they lie in memory as one."""
        emitter, values, lanes = self.emitter, self.values, self.tiling.lanes
        mask = _first_lanes(emitter, left, lanes)
        emitter.push(lanes, mask)
        whole = Axis(self.tiling.rows.length)
        values.bind(whole, with_offsets(start, tuple(range(lanes))))
        rest = with_offsets(start, tuple(range(lanes)))
        name = emitter.laid_out(rest, "i64")
        last = f"splat (i64 {whole.extent - 1})"
        kind = f"<{lanes} x i64>"
        name = emitter.call(f"llvm.smin.v{lanes}i64", kind, [(kind, name), (kind, last)])
        axes = [axis for axis in self.contraction.n if axis.extent > 1]
        for number in range(len(axes) - 1, -1, -1):
            part, by = name, f"splat (i64 {axes[number].extent})"
            if number:
                part = emitter.let(f"urem {kind} {name}, {by}")
                name = emitter.let(f"udiv {kind} {name}, {by}")
            values.bind(axes[number], Operand(part, INDEX, lanes))
        with values.flat(self.contraction.n, whole):
            yield
        emitter.pop()


def _first_lanes(emitter: Emitter, count: str, lanes: int) -> str:
    """A mask of so many lanes."""
    if not count.startswith("%"):
        count = emitter.let(f"add i64 {count}, 0")
    kind = f"<{lanes} x i64>"
    numbers = ", ".join(f"i64 {lane}" for lane in range(lanes))
    return emitter.let(f"icmp slt {kind} <{numbers}>, {emitter.splat('i64', count, lanes)}")


# the micro-kernel


def module_text(name: str, fused: bool) -> str:
    """The module that defines the function of this name."""
    _, kind, *numbers = name.split("_")
    return _Shift(kind, fused, *map(int, numbers)).text(name)


class _Shift:
    def __init__(
        self,
        kind: str,
        fused: bool,
        channels: int,
        taps: int,
        vectors: int,
        lanes: int,
        step: int,
        apart: int,
    ) -> None:
        self.kind = kind
        self.channels = channels
        self.taps = taps
        self.vectors = vectors
        self.lanes = lanes
        self.step = step
        self.apart = apart
        self.type = vector_type(kind, lanes)
        self.bytes = 4 if kind == "float" else 8
        self.emitter = Emitter(fused)

    def text(self, name: str) -> str:
        emitter, kind = self.emitter, self.kind
        zeros = [(self.type, "zeroinitializer")] * (self.channels * self.taps * self.vectors)
        runs = emitter.open_loop("0", "%runs", 1, zeros)
        start = emitter.let(f"load i64, ptr {emitter.element('i64', '%starts', runs.index)}")
        lines = [emitter.element(kind, "%lines", start)]
        for _ in range(1, self.channels):
            lines.append(emitter.element(kind, lines[-1], "%line"))
        past = emitter.let(f"mul nsw i64 {runs.index}, %length")
        b = emitter.element(kind, "%b", emitter.times(past, self.vectors * self.lanes))
        now = [(self.type, each) for each in runs.carried]
        loop = emitter.open_loop("0", "%length", 1, now)
        sums = emitter.close_loop(loop, self._step(loop.index, lines, b, loop.carried))
        sums = emitter.close_loop(runs, sums)
        more = emitter.let("icmp ne i64 %more, 0")
        with emitter.branch(more):
            self._write(sums, add=True)
        with emitter.branch(emitter.let(f"xor i1 {more}, true")):
            self._write(sums, add=False)
        body = "\n".join(emitter.scopes[0].lines)
        arguments = (
            "i64 %runs, i64 %length, ptr noalias %starts, ptr noalias %lines, i64 %line, "
            "ptr noalias %b, ptr noalias %c, i64 %between, i64 %stride, i64 %more"
        )
        rest = "\n".join(emitter.declarations)
        return f"define void @{name}({arguments}) {{\nentry:\n{body}\nret void\n}}\n{rest}\n"

    def _step(self, index: str, lines: list[str], b: str, sums: list[str]) -> list[str]:
        """One position: every row's element times the vectors of a row of b."""
        emitter, kind = self.emitter, self.kind
        row = emitter.element(kind, b, emitter.times(index, self.vectors * self.lanes))
        columns = []
        for vector in range(self.vectors):
            place = emitter.element(kind, row, vector * self.lanes)
            align = self.bytes * self.lanes
            columns.append(emitter.let(f"load {self.type}, ptr {place}, align {align}"))
        at = emitter.times(index, self.step)
        result: list[str] = []
        for line in lines:
            first = emitter.element(kind, line, at)
            for tap in range(self.taps):
                place = emitter.element(kind, first, tap * self.apart)
                scalar = emitter.let(f"load {kind}, ptr {place}, align {self.bytes}")
                spread = emitter.splat(kind, scalar, self.lanes)
                for column in columns:
                    old = sums[len(result)]
                    result.append(emitter.fma(kind, self.lanes, spread, column, old))
        return result

    def _write(self, sums: list[str], add: bool) -> None:
        emitter = self.emitter
        for number, total in enumerate(sums):
            row, vector = divmod(number, self.vectors)
            channel, tap = divmod(row, self.taps)
            first = emitter.let(f"mul nsw i64 %between, {channel}")
            past = emitter.let(f"mul nsw i64 %stride, {tap}")
            place = emitter.element(self.kind, "%c", emitter.plus(first, past))
            place = emitter.element(self.kind, place, vector * self.lanes)
            if add:
                old = emitter.let(f"load {self.type}, ptr {place}, align {self.bytes}")
                total = emitter.let(f"fadd {self.type} {old}, {total}")
            emitter.line(f"store {self.type} {total}, ptr {place}, align {self.bytes}")
