"""What happens to a tile whose sums are done: the kernel's other statements, line by line, with the
columns in lanes; or, where the result lies in memory along its rows, the rows, once the tile is
turned."""

from __future__ import annotations

from collections.abc import Callable

from flambeau.device.cpu import micro
from flambeau.device.cpu.emit import Emitter, Operand, vector_type
from flambeau.device.cpu.pack import Panels
from flambeau.device.cpu.packing import Int, Packing
from flambeau.device.cpu.tiling import Side, Tiling
from flambeau.device.cpu.values import Values
from flambeau.kernel.ir import Statement
from flambeau.kernel.tile import Contraction


class Epilogue(Packing):
    """Writes the end of a tile; ContractionRenderer (contraction.py) knows when and where."""

    def __init__(
        self,
        emitter: Emitter,
        values: Values,
        contraction: Contraction,
        tiling: Tiling,
        statement: Callable[[Statement], None],
    ) -> None:
        super().__init__(emitter, values, contraction, tiling)
        self.statement = statement
        self.rows = Panels(emitter, values, tiling.rows, contraction.k[-1])
        self.columns = Panels(emitter, values, tiling.columns, contraction.k[-1])
        self.stride = 0  # elements from one row of a tile to the next
        self.part_size = 0  # from one partial sum of a tile to the next

    @property
    def joined(self) -> int:
        """How many partial sums the epilogue adds up: those of other work items."""
        return self.tiling.parts if self.tiling.shared else 1

    @property
    def turned_size(self) -> int:
        """Elements of a square that is turned while packing, or of a turned tile."""
        t = self.tiling
        return t.columns.width * _pitch(t.rows) if t.turned else t.lanes * t.lanes

    def _epilogue(self, tile: str, row_panel: str, column_panel: str) -> None:
        """The kernel's other statements on a tile: line by line, with the columns in lanes, or the
        rows where it is turned."""
        across, down, stride = self.columns, self.rows, self.stride
        across_panel, down_panel, parts = column_panel, row_panel, self.joined
        if self.tiling.turned:
            if parts > 1:
                self._join(tile, self.tiling.rows.width)
            self._turn(tile)
            across, down, stride, parts = self.rows, self.columns, _pitch(self.tiling.rows), 1
            across_panel, down_panel, tile = row_panel, column_panel, self.square
        segments = self.emitter.open_loop(0, across.segments_of(across_panel))
        with across.piece(across_panel) as piece:
            lanes = across.open_lanes(across_panel, segments.index, masked=True, piece=piece)
            past = piece.position if piece else None
            past = past or self.emitter.times(segments.index, across.side.segment)
            self._lines(down, down_panel, (tile, past, stride, parts), lanes)
            self.emitter.pop()
            self.emitter.pop()
        self.emitter.close_loop(segments)

    def _lines(
        self, down: Panels, panel: str, place: tuple[str, str, int, int], lanes: int
    ) -> None:
        """The statements on each line of a tile, from `past` on in its lanes."""
        emitter, t, fold = self.emitter, self.tiling, self.contraction.fold
        tile, past, stride, parts = place
        loop = emitter.open_loop(0, down.count(panel))
        down.bind_one(panel, loop.index)
        at = emitter.plus(emitter.times(loop.index, stride), past)
        start = emitter.element(t.kind, tile, at)
        whole = f"<{lanes} x {t.kind}>"
        total = emitter.let(f"load {whole}, ptr {start}, align {t.itemsize}")
        for part in range(1, parts):
            other = emitter.element(t.kind, start, part * self.part_size)
            addend = emitter.let(f"load {whole}, ptr {other}, align {t.itemsize}")
            total = emitter.let(f"fadd {whole} {total}, {addend}")
        self.values.bind(fold, Operand(total, fold.dtype, lanes))
        for each in self.contraction.epilogue:
            self.statement(each)
        emitter.close_loop(loop)

    def _turn(self, tile: str) -> None:
        """Turn a tile of registers into `square`: a line for each column, with the rows in it."""
        emitter, t = self.emitter, self.tiling
        pitch, height = _pitch(t.rows), t.rows.width
        for row in range(0, height, t.lanes):
            count = min(t.lanes, height - row)
            name = micro.fetch_name(t.kind, t.lanes, count)
            self.imports.add(name)
            for column in range(0, t.columns.width, t.lanes):
                source = emitter.element(t.kind, tile, row * self.stride + column)
                target = emitter.element(t.kind, self.square, column * pitch + row)
                arguments = [("ptr", source), ("i64", str(self.stride)), ("i64", str(count))]
                emitter.call(name, "void", [*arguments, ("ptr", target), ("i64", str(pitch))])

    def _join(self, tile: str, rows: Int) -> None:
        """Add the partial sums of a panel of columns up, in the first one's place."""
        emitter, t = self.emitter, self.tiling
        whole = vector_type(t.kind, t.lanes)
        loop = emitter.open_loop("0", rows)
        line = emitter.element(t.kind, tile, emitter.times(loop.index, self.stride))
        for vector in range(t.vectors):
            place = emitter.element(t.kind, line, vector * t.lanes)
            total = emitter.let(f"load {whole}, ptr {place}, align {t.itemsize}")
            for part in range(1, t.parts):
                other = emitter.element(t.kind, place, part * self.part_size)
                addend = emitter.let(f"load {whole}, ptr {other}, align {t.itemsize}")
                total = emitter.let(f"fadd {whole} {total}, {addend}")
            emitter.line(f"store {whole} {total}, ptr {place}, align {t.itemsize}")
        emitter.close_loop(loop)


def _pitch(rows: Side) -> int:
    """Elements from one line of a turned tile to the next."""
    return 1 << (rows.width - 1).bit_length()
