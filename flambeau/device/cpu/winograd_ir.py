"""Writes the 3×3 convolutions that winograd.py found.

A work item is a panel of weights' rows on a block of tiles. A thread transforms a block's tiles
into its scratch memory when it comes to the block, [panel][place][channel][tile]; for each panel of
weights, [place][channel][row], it multiplies, transforms the products back and runs the kernel's
other statements on them. Blocks that several panels of weights meet again and again find the
weights transformed by a stage of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from flambeau.device.cpu import micro
from flambeau.device.cpu.elementwise import with_offsets
from flambeau.device.cpu.emit import INDEX, Emitter, Operand, Stage
from flambeau.device.cpu.values import Values
from flambeau.device.cpu.winograd import DEPTH, PLACES, Convolution, Cut, Window
from flambeau.device.cpu.winograd_weights import TURNED, WIDE, WeightTransform, lanes_before
from flambeau.kernel.ir import Statement
from flambeau.kernel.tile import Contraction

Names = Sequence[str]


@dataclass(frozen=True)
class _Piece:
    """Neighbouring tiles of one row that lie in one panel: names of values."""

    row: str  # of tiles: its number within a sample
    column: str  # the first tile's
    count: str
    within: str  # the first tile's place in the panel


class WinogradRenderer:
    """Writes the functions of one convolution; `statement` writes the epilogue's statements."""

    def __init__(
        self,
        emitter: Emitter,
        values: Values,
        contraction: Contraction,
        found: tuple[Convolution, Cut],
        statement: Callable[[Statement], None],
        buffers: int,
    ) -> None:
        self.emitter = emitter
        self.values = values
        self.contraction = contraction
        self.convolution, self.cut = found
        self.statement = statement
        self.weights_at = f"%b{buffers}"  # of the memory that stages share, behind the buffers
        cut, channels = self.cut, self.convolution.channel.extent
        # vectors are stored whole: over what is written later, or into the room behind
        self.place_size = channels * cut.rows + WIDE
        self.panel_size = channels * cut.width
        sizes = [
            cut.block * PLACES * self.panel_size,
            PLACES * self.place_size if cut.inside else 0,
            PLACES * cut.rows * cut.width + WIDE,
            2 * cut.piece + 2,
            TURNED,
        ]
        self.offsets: list[int] = []
        self.scratch = 0
        for size in sizes:
            self.offsets.append(self.scratch)
            self.scratch += -(-size * 4 // 64) * 64
        self.imports = {
            micro.micro_name("float", cut.rows, cut.vectors, cut.lanes, 1),
            *self._weight_transform("").imports,
        }

    @property
    def shared(self) -> int:
        """Bytes of weights that are transformed once for all."""
        cut = self.cut
        return 0 if cut.inside else cut.row_panels * PLACES * self.place_size * 4

    def stages(self, symbol: str) -> tuple[Stage, ...]:
        cut, channels = self.cut, self.convolution.channel.extent
        weights = cut.row_panels * cut.rows * channels
        items = cut.row_panels * cut.blocks
        cost = weights * cut.panels * cut.width * PLACES / 50.0
        # every range transforms the tiles of its first block
        main = Stage(symbol, items, cost, min(8, max(1, cut.blocks // 2)))
        if cut.inside:
            return (main,)
        return (Stage(f"{symbol}_weights", cut.row_panels, weights * 4.0), main)

    # stages

    def write(self) -> None:
        """The function's body, after its entry."""
        emitter, cut = self.emitter, self.cut
        places = [
            emitter.let(f"getelementptr i8, ptr %scratch, i64 {offset}") for offset in self.offsets
        ]
        self.tiles, self.weights, self.products, self.zeros, room = places
        transform = self._weight_transform(room)
        self._clear(self.zeros, 2 * cut.piece + 2)
        first = emitter.rest("%begin", cut.row_panels)
        end = emitter.rest(emitter.plus("%end", cut.row_panels - 1), cut.row_panels)
        some = emitter.let("icmp slt i64 %begin, %end")
        end = emitter.let(f"select i1 {some}, i64 {end}, i64 {first}")
        blocks = emitter.open_loop(first, end)
        start = emitter.times(blocks.index, cut.block)
        left = emitter.let(f"sub nsw i64 {cut.panels}, {start}")
        panels = emitter.least(left, cut.block)
        each = emitter.open_loop(0, panels)
        self._transform_tiles(emitter.plus(start, each.index), self._tiles_of(each.index))
        emitter.close_loop(each)
        past = emitter.times(blocks.index, cut.row_panels)
        low = self._most(emitter.minus("%begin", past), 0)
        high = emitter.least(emitter.minus("%end", past), cut.row_panels)
        rows = emitter.open_loop(low, high)
        weights = self.weights
        if cut.inside:
            transform.write(rows.index, weights)
        else:
            at = emitter.times(rows.index, PLACES * self.place_size)
            weights = emitter.element("float", self.weights_at, at)
        each = emitter.open_loop(0, panels)
        self._multiply(weights, self._tiles_of(each.index))
        self._finish(rows.index, emitter.plus(start, each.index))
        emitter.close_loop(each)
        emitter.close_loop(rows)
        emitter.close_loop(blocks)

    def write_weights(self) -> None:
        """The body of the stage that transforms the weights for all."""
        emitter = self.emitter
        room = emitter.let(f"getelementptr i8, ptr %scratch, i64 {self.offsets[-1]}")
        transform = self._weight_transform(room)
        loop = emitter.open_loop("%begin", "%end")
        at = emitter.times(loop.index, PLACES * self.place_size)
        transform.write(loop.index, emitter.element("float", self.weights_at, at))
        emitter.close_loop(loop)

    def _weight_transform(self, room: str) -> WeightTransform:
        return WeightTransform(
            self.emitter, self.values, self.convolution, self.cut.rows, self.place_size, room
        )

    def _tiles_of(self, panel: str) -> str:
        at = self.emitter.times(panel, PLACES * self.panel_size)
        return self.emitter.element("float", self.tiles, at)

    def _most(self, x: str, y: int) -> str:
        return self.emitter.call("llvm.smax.i64", "i64", [("i64", x), ("i64", str(y))])

    def _clear(self, place: str, count: int) -> None:
        emitter = self.emitter
        loop = emitter.open_loop(0, count)
        emitter.line(f"store float 0.0, ptr {emitter.element('float', place, loop.index)}")
        emitter.close_loop(loop)

    # arithmetic on vectors

    def _add(self, kind: str, x: str, y: str) -> str:
        return self.emitter.let(f"fadd {kind} {x}, {y}")

    def _subtract(self, kind: str, x: str, y: str) -> str:
        return self.emitter.let(f"fsub {kind} {x}, {y}")

    # pieces of rows of tiles

    @contextmanager
    def _pieces(self, panel: str) -> Iterator[_Piece]:
        """A loop over the pieces of a panel; binds the sample."""
        emitter, found, cut = self.emitter, self.convolution, self.cut
        across = found.x.tiles
        per_row = -(-across // cut.piece)
        low = emitter.times(panel, cut.width)
        high = emitter.least(emitter.plus(low, cut.width), found.tiles)

        def piece_of(tile: str) -> str:
            part = emitter.rest(emitter.part(tile, across), cut.piece)
            return emitter.plus(emitter.times(emitter.rest(tile, across), per_row), part)

        last = piece_of(emitter.minus(high, 1))
        loop = emitter.open_loop(piece_of(low), emitter.plus(last, 1))
        row, part = emitter.rest(loop.index, per_row), emitter.part(loop.index, per_row)
        begin = emitter.times(row, across)
        start = emitter.plus(begin, emitter.times(part, cut.piece))
        end = emitter.least(emitter.plus(start, cut.piece), emitter.plus(begin, across))
        end = emitter.least(end, high)
        start = emitter.call("llvm.smax.i64", "i64", [("i64", start), ("i64", low)])
        if found.sample is not None:
            self.values.bind(found.sample, Operand(emitter.rest(row, found.y.tiles), INDEX))
            row = emitter.part(row, found.y.tiles)
        yield _Piece(
            row,
            emitter.minus(start, begin),
            emitter.let(f"sub nsw i64 {end}, {start}"),
            emitter.minus(start, low),
        )
        emitter.close_loop(loop)

    def _mask(self, count: str, lanes: int, past: str | None = None) -> str:
        """The lanes before `count`, and from lane `past` on."""
        mask = lanes_before(self.emitter, count, lanes)
        if past is None:
            return mask
        before = lanes_before(self.emitter, past, lanes)
        out = self.emitter.let(f"xor <{lanes} x i1> {before}, splat (i1 true)")
        return self.emitter.let(f"and <{lanes} x i1> {mask}, {out}")

    # tiles

    def _transform_tiles(self, panel: str, target: str) -> None:
        """A panel of tiles, with a piece of a row in lanes, channel by channel."""
        emitter, values, found, cut = self.emitter, self.values, self.convolution, self.cut
        lanes = cut.piece
        with self._pieces(panel) as piece:
            x = emitter.plus(emitter.times(piece.column, 2), found.x.first)
            masks = [self._inside(found.x, emitter.plus(x, ahead), 2 * lanes) for ahead in (0, 2)]
            y = emitter.plus(emitter.times(piece.row, 2), found.y.first)
            lines = [self._line(found.y, emitter.plus(y, place), x) for place in range(4)]
            kept = self._mask(piece.count, lanes)
            loop = emitter.open_loop(0, found.channel.extent)
            values.bind(found.channel, Operand(loop.index, INDEX))
            base = str(found.constant)
            for atom, step in found.others:
                base = emitter.plus(base, emitter.times(values.value(atom).name, step))
            image = emitter.element("float", f"%b{found.buffer}", base)
            rows = [self._load_line(image, line, masks) for line in lines]
            at = emitter.plus(emitter.times(loop.index, cut.width), piece.within)
            self._transform_tile(rows, emitter.element("float", target, at), kept)
            emitter.close_loop(loop)

    def _inside(self, window: Window, start: str, lanes: int) -> str:
        """The lanes whose places, from `start` on, exist."""
        emitter = self.emitter
        past = emitter.let(f"sub nsw i64 {window.low}, {start}")
        return self._mask(emitter.plus(past, window.high - window.low + 1), lanes, past)

    def _line(self, window: Window, place: str, x: str) -> tuple[str, str]:
        """Where a row of the image lies, and whether it exists."""
        emitter = self.emitter
        past = emitter.let(f"sub nsw i64 {place}, {window.low}")
        exists = emitter.let(f"icmp ule i64 {past}, {window.high - window.low}")
        return emitter.plus(emitter.times(place, window.step), x), exists

    def _load_line(self, image: str, line: tuple[str, str], masks: Names) -> list[str]:
        """Every tile's four places of a row: a vector for each of them."""
        emitter, lanes = self.emitter, 2 * self.cut.piece
        place = emitter.element("float", image, line[0])
        place = emitter.let(f"select i1 {line[1]}, ptr {place}, ptr {self.zeros}")
        kind, half = f"<{lanes} x float>", self.cut.piece
        found: list[str] = []
        for ahead, mask in zip((0, 2), masks, strict=True):
            start = emitter.element("float", place, ahead)
            arguments = [("ptr", start), ("i32", "4"), (f"<{lanes} x i1>", mask)]
            name = f"llvm.masked.load.v{lanes}f32.p0"
            row = emitter.call(name, kind, [*arguments, (kind, "zeroinitializer")])
            for odd in (0, 1):
                order = ", ".join(f"i32 {2 * n + odd}" for n in range(half))
                found.append(
                    emitter.let(
                        f"shufflevector {kind} {row}, {kind} poison, <{half} x i32> <{order}>"
                    )
                )
        return found

    def _transform_tile(self, rows: Sequence[Names], target: str, kept: str) -> None:
        lanes, emitter = self.cut.piece, self.emitter
        kind = f"<{lanes} x float>"
        columns = [self._tile_line(kind, [row[x] for row in rows]) for x in range(4)]
        for y in range(4):
            line = self._tile_line(kind, [columns[x][y] for x in range(4)])
            for x in range(4):
                place = emitter.element("float", target, (4 * y + x) * self.panel_size)
                emitter.masked_store("float", lanes, line[x], place, kept, 4)

    def _tile_line(self, kind: str, d: Names) -> list[str]:
        return [
            self._subtract(kind, d[0], d[2]),
            self._add(kind, d[1], d[2]),
            self._subtract(kind, d[2], d[1]),
            self._subtract(kind, d[1], d[3]),
        ]

    # products

    def _multiply(self, weights: str, tiles: str) -> None:
        """The 16 products of a panel of weights and a panel of tiles."""
        emitter, cut, channels = self.emitter, self.cut, self.convolution.channel.extent
        each = emitter.open_loop(0, PLACES)
        a = emitter.element("float", weights, emitter.times(each.index, self.place_size))
        b = emitter.element("float", tiles, emitter.times(each.index, self.panel_size))
        c = emitter.element("float", self.products, emitter.times(each.index, cut.rows * cut.width))
        deep = emitter.open_loop(0, channels, DEPTH)
        left = emitter.let(f"sub nsw i64 {channels}, {deep.index}")
        depth = str(DEPTH) if channels % DEPTH == 0 else emitter.least(left, DEPTH)
        places = [
            emitter.element("float", a, emitter.times(deep.index, cut.rows)),
            emitter.element("float", b, emitter.times(deep.index, cut.width)),
        ]
        arguments = [("i64", depth), *[("ptr", place) for place in places], ("ptr", c)]
        arguments += [("i64", str(cut.width)), ("i64", deep.index)]
        name = micro.micro_name("float", cut.rows, cut.vectors, cut.lanes, 1)
        emitter.call(name, "void", arguments)
        emitter.close_loop(deep)
        emitter.close_loop(each)

    # results

    def _finish(self, row_panel: str, panel: str) -> None:
        """Transform the products back; the kernel's other statements."""
        emitter, found, cut = self.emitter, self.convolution, self.cut
        first = emitter.times(row_panel, cut.rows)
        left = emitter.let(f"sub nsw i64 {found.m.extent}, {first}")
        count = emitter.least(left, cut.rows)
        lanes = 2 * cut.piece
        with self._pieces(panel) as piece:
            x = emitter.times(piece.column, 2)
            ends = emitter.least(
                emitter.times(piece.count, 2),
                emitter.let(f"sub nsw i64 {found.x.axis.extent}, {x}"),
            )
            mask = self._mask(ends, lanes)
            y = emitter.times(piece.row, 2)
            loop = emitter.open_loop(0, count)
            self.values.bind(found.m, Operand(emitter.plus(first, loop.index), INDEX))
            at = emitter.plus(emitter.times(loop.index, cut.width), piece.within)
            source = emitter.element("float", self.products, at)
            for number, total in enumerate(self._results(source)):
                place = emitter.plus(y, number)
                exists = "true"
                if number and found.y.axis.extent % 2:
                    exists = emitter.let(f"icmp slt i64 {place}, {found.y.axis.extent}")
                with emitter.branch(exists):
                    self.values.bind(found.y.axis, Operand(place, INDEX))
                    emitter.push(lanes, mask)
                    self.values.bind(found.x.axis, with_offsets(x, range(lanes)))
                    fold = self.contraction.fold
                    self.values.bind(fold, Operand(total, fold.dtype, lanes))
                    for each in self.contraction.epilogue:
                        self.statement(each)
                    emitter.pop()
            emitter.close_loop(loop)

    def _results(self, source: str) -> list[str]:
        """Two rows of results of a piece's tiles."""
        emitter, cut = self.emitter, self.cut
        lanes = cut.piece
        kind = f"<{lanes} x float>"

        def product(y: int, x: int) -> str:
            place = emitter.element("float", source, (4 * y + x) * cut.rows * cut.width)
            return emitter.let(f"load {kind}, ptr {place}, align 4")

        columns = [self._result_line(kind, [product(y, x) for y in range(4)]) for x in range(4)]
        order = ", ".join(f"i32 {n // 2 + n % 2 * lanes}" for n in range(2 * lanes))
        found: list[str] = []
        for y in range(2):
            even, odd = self._result_line(kind, [columns[x][y] for x in range(4)])
            found.append(
                emitter.let(
                    f"shufflevector {kind} {even}, {kind} {odd}, <{2 * lanes} x i32> <{order}>"
                )
            )
        return found

    def _result_line(self, kind: str, m: Names) -> list[str]:
        middle = self._add(kind, m[1], m[2]), self._subtract(kind, m[1], m[2])
        return [self._add(kind, m[0], middle[0]), self._subtract(kind, middle[1], m[3])]
