"""Attend: two products and what lies between them, block by block, in registers and near caches.

A work item is some panels of lanes. Their side of the products is packed once. Then, for each block
of steps: the other side and the factors are packed; for each panel of lanes the micro-kernel writes
the products as a tile [step][lane], the tile's elements become weights where they are, and, since
that is how the micro-kernel wants its second operand, the next calls add them up with the factors.
A softmax's running greatest and total are vectors with a lane for each row; nothing is ever added
up across lanes. At the end the sums [width][lane] are turned and stored.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from flambeau.device.cpu import micro
from flambeau.device.cpu.attention_tiling import blocks_of
from flambeau.device.cpu.choose import Run
from flambeau.device.cpu.contraction import ContractionRenderer
from flambeau.device.cpu.emit import INDEX, Operand, Rendered, Stage, counting, vector_type
from flambeau.kernel import ir
from flambeau.kernel.ir import Attend, Fold, Loop, Store, Value

if TYPE_CHECKING:
    from flambeau.device.cpu.render import Renderer

Int = str | int


class AttendRenderer:
    """Writes the function of a kernel whose body is one Attend."""

    def __init__(self, renderer: Renderer, attend: Attend) -> None:
        self.renderer = renderer
        self.emitter = renderer.emitter
        self.values = renderer.values
        self.attend = attend
        self.domain = renderer.kernel.domain
        points = prod(axis.extent for axis in self.domain)
        self.blocks = b = blocks_of(attend, self.values, renderer.target, points)
        self.type = vector_type(b.kind, b.width)
        buffers = len(renderer.kernel.buffers)
        arguments = (renderer.statement, buffers)
        self.products = [
            ContractionRenderer(self.emitter, self.values, contraction, tiling, *arguments)
            for contraction, tiling in b.products
        ]
        self.sums = [
            ContractionRenderer(self.emitter, self.values, contraction, tiling, *arguments)
            for contraction, tiling in b.sums
        ]
        self.imports: set[str] = set()

    def render(self, name: str) -> Rendered:
        self.write()
        renderer, b = self.renderer, self.blocks
        text = renderer.function(name) + renderer.declarations(self.emitter)
        points = prod(axis.extent for axis in self.domain)
        area = points * self.attend.lanes.extent * self.attend.steps.extent
        depth = sum(each.tiling.depth for each in self.products)
        depth += sum(each.tiling.rows.length for each in self.sums)
        stage = Stage(name, points * b.lane_blocks, area * (depth / 50 + 2))
        imports = self.imports.union(*[each.imports for each in (*self.products, *self.sums)])
        return Rendered(text, (stage,), b.scratch, 0, tuple(sorted(imports)))

    def write(self) -> None:
        emitter, b = self.emitter, self.blocks
        self.place = {
            what: emitter.let(f"getelementptr i8, ptr %scratch, i64 {offset}")
            for what, offset in b.offsets.items()
        }
        for each in (*self.products, *self.sums):
            each.square = self.place["square"]
        loop = emitter.open_loop("%begin", "%end")
        number = emitter.part(loop.index, b.lane_blocks)
        self.values.decode(self.domain, emitter.rest(loop.index, b.lane_blocks))
        first = emitter.times(self._mixed(number), b.lane_block)
        count: Int = b.lane_block
        if b.lane_panels % b.lane_block:
            count = emitter.least(count, emitter.minus(b.lane_panels, first))
        self._begin(first, count)
        low, high = self._step_blocks(first, count)
        steps = emitter.open_loop(low, high)
        self._step_block(steps.index, first, count)
        emitter.close_loop(steps)
        panels = emitter.open_loop(0, count)
        self._finish(panels.index, self._first_lane(first, panels.index))
        emitter.close_loop(panels)
        emitter.close_loop(loop)

    def _mixed(self, number: str) -> str:
        """Where each lane has more steps than the one before, or fewer: the blocks of lanes in the
        order first, last, second, …, for threads that take neighbours to have as much to do."""
        emitter, count = self.emitter, self.blocks.lane_blocks
        if not self.attend.order or count < 3:
            return number
        half = emitter.rest(number, 2)
        last = emitter.minus(count - 1, half)
        odd = emitter.let(f"icmp ne i64 {emitter.part(number, 2)}, 0")
        return emitter.let(f"select i1 {odd}, i64 {last}, i64 {half}")

    def _first_lane(self, first: str, panel: str) -> str:
        return self.emitter.times(self.emitter.plus(first, panel), self.blocks.width)

    # beginning

    def _begin(self, first: str, count: Int) -> None:
        """Pack the lanes' side of the products; empty sums."""
        emitter, b = self.emitter, self.blocks
        panels = emitter.open_loop(0, count)
        for number, each in enumerate(self.products):
            start = emitter.times(panels.index, b.width * each.tiling.depth)
            place = emitter.element(b.kind, self.place[f"right {number}"], start)
            each.pack(each.columns, emitter.plus(first, panels.index), place, 0, each.tiling.depth)
        for number, rows in enumerate(b.sum_rows):
            start = emitter.times(panels.index, rows * b.width)
            self._fill(self._at(f"sums {number}", start), rows, "zeroinitializer")
        if self.attend.greatest is not None:
            at = emitter.times(panels.index, b.width)
            self._fill(self._at("greatest", at), 1, f"splat ({b.kind} 0xFFF0000000000000)")
            self._fill(self._at("total", at), 1, "zeroinitializer")
        emitter.close_loop(panels)

    def _fill(self, place: str, rows: int, value: str) -> None:
        emitter, b = self.emitter, self.blocks
        loop = emitter.open_loop(0, rows)
        at = emitter.element(b.kind, place, emitter.times(loop.index, b.width))
        self._put(value, at)
        emitter.close_loop(loop)

    def _at(self, what: str, index: Int) -> str:
        return self.emitter.element(self.blocks.kind, self.place[what], index)

    def _load(self, place: str) -> str:
        return self.emitter.let(f"load {self.type}, ptr {place}, align {self.blocks.itemsize}")

    def _put(self, name: str, place: str) -> None:
        self.emitter.line(f"store {self.type} {name}, ptr {place}, align {self.blocks.itemsize}")

    # blocks of steps

    def _step_blocks(self, first: str, count: Int) -> tuple[Int, Int]:
        """The blocks that some lane of the item has a weight for."""
        emitter, b, order = self.emitter, self.blocks, self.attend.order
        if order == "before":
            end = emitter.times(emitter.plus(first, count), b.width)
            end = emitter.plus(emitter.least(end, self.attend.steps.extent), b.steps - 1)
            return 0, emitter.rest(end, b.steps)
        if order == "after":
            return emitter.rest(emitter.times(first, b.width), b.steps), b.step_blocks
        return 0, b.step_blocks

    def _step_block(self, block: str, first: str, count: Int) -> None:
        emitter, b = self.emitter, self.blocks
        low: Int = 0
        steps: Int = self.attend.steps.extent
        if b.step_blocks > 1:
            low = emitter.times(block, b.steps)
            steps = emitter.least(b.steps, emitter.minus(steps, low))
        high = emitter.plus(low, steps)
        self._pack_steps(low, high, steps)
        panels = emitter.open_loop(0, count)
        lane = self._first_lane(first, panels.index)
        begin, end, wanted = self._wanted(lane, low, steps)
        if wanted is None:
            self._panel(panels.index, lane, low, begin, end)
        else:
            with emitter.branch(wanted):
                self._panel(panels.index, lane, low, begin, end)
        emitter.close_loop(panels)

    def _pack_steps(self, low: Int, high: Int, steps: Int) -> None:
        """The steps' side of the products, and the factors."""
        emitter, b = self.emitter, self.blocks
        first = emitter.rest(str(low), b.height)
        for number, each in enumerate(self.products):
            count = self._panels_of(steps)
            loop = emitter.open_loop(0, count)
            start = emitter.times(loop.index, b.height * each.tiling.depth)
            place = self._at(f"left {number}", start)
            each.pack(each.rows, emitter.plus(first, loop.index), place, 0, each.tiling.depth)
            emitter.close_loop(loop)
        for number, each in enumerate(self.sums):
            loop = emitter.open_loop(0, each.rows.side.panels)
            start = emitter.times(loop.index, each.rows.side.width * b.step_room)
            place = self._at(f"factor {number}", start)
            each.pack(each.rows, loop.index, place, low, high)
            emitter.close_loop(loop)

    def _panels_of(self, steps: Int) -> Int:
        height = self.blocks.height
        if isinstance(steps, int):
            return -(-steps // height)
        return self.emitter.rest(self.emitter.plus(steps, height - 1), height)

    def _wanted(self, lane: str, low: Int, steps: Int) -> tuple[Int, Int, str | None]:
        """Of the block's steps, those that the lanes of a panel have weights for; whether any."""
        emitter, b, order = self.emitter, self.blocks, self.attend.order
        if order == "before":
            end = emitter.minus(emitter.plus(lane, b.width), low)
            end = emitter.least(end, steps)
            return 0, end, emitter.let(f"icmp sgt i64 {end}, 0")
        if order == "after":
            begin = emitter.minus(lane, low)
            begin = emitter.call("llvm.smax.i64", "i64", [("i64", begin), ("i64", "0")])
            begin = emitter.times(emitter.rest(begin, b.height), b.height)
            return begin, steps, emitter.let(f"icmp slt i64 {begin}, {steps}")
        return 0, steps, None

    def _panel(self, panel: str, lane: str, low: Int, begin: Int, end: Int) -> None:
        """A block of steps with a panel of lanes."""
        emitter, b = self.emitter, self.blocks
        emitter.push()
        for number, each in enumerate(self.products):
            loop = emitter.open_loop(emitter.rest(str(begin), b.height), self._panels_of(end))
            depth = each.tiling.depth
            left = self._at(f"left {number}", emitter.times(loop.index, b.height * depth))
            right = self._at(f"right {number}", emitter.times(panel, b.width * depth))
            tile = self._at(f"tile {number}", emitter.times(loop.index, b.height * b.width))
            self._micro(b.height, depth, left, right, tile, more=0)
            emitter.close_loop(loop)
        self._open_lanes(lane)
        if self.attend.greatest is not None:
            self._soften(panel, low, end)
        else:
            self._weigh(low, begin, end)
        emitter.pop()
        for number, each in enumerate(self.sums):
            rows = each.rows.side.width
            loop = emitter.open_loop(0, each.rows.side.panels)
            past = emitter.times(begin, rows)
            start = emitter.plus(emitter.times(loop.index, rows * b.step_room), past)
            left = self._at(f"factor {number}", start)
            right = self._at(f"tile {number}", emitter.times(begin, b.width))
            down = emitter.times(panel, b.sum_rows[number])
            down = emitter.plus(down, emitter.times(loop.index, rows))
            place = self._at(f"sums {number}", emitter.times(down, b.width))
            self._micro(rows, emitter.minus(end, begin), left, right, place, more=1)
            emitter.close_loop(loop)
        emitter.pop()

    def _micro(self, rows: int, depth: Int, a: str, b: str, c: str, more: int) -> None:
        blocks = self.blocks
        name = micro.micro_name(blocks.kind, rows, blocks.vectors, blocks.lanes, 1)
        self.imports.add(name)
        arguments = [("i64", str(depth)), ("ptr", a), ("ptr", b), ("ptr", c)]
        arguments += [("i64", str(blocks.width)), ("i64", str(more))]
        self.emitter.call(name, "void", arguments)

    def _open_lanes(self, lane: str) -> None:
        """Open a scope with a panel's lanes."""
        emitter, b = self.emitter, self.blocks
        mask, extent = None, self.attend.lanes.extent
        if extent % b.width:
            numbers = ", ".join(f"i32 {each}" for each in range(b.width))
            left = emitter.let(f"trunc i64 {emitter.minus(extent, lane)} to i32")
            whole = emitter.splat("i32", left, b.width)
            mask = emitter.let(f"icmp slt <{b.width} x i32> <{numbers}>, {whole}")
        emitter.push(b.width, mask)
        self.values.bind(self.attend.lanes, counting(lane, b.width))

    # weights

    def _open_step(self, step: str, low: Int) -> list[str]:
        """Bind a step and the products' results at it; the places that hold these."""
        places = []
        self.values.bind(self.attend.steps, Operand(self.emitter.plus(low, step), INDEX))
        for number, fold in enumerate(self.attend.products):
            at = self.emitter.times(step, self.blocks.width)
            places.append(self._at(f"tile {number}", at))
            self._bind(fold, self._load(places[-1]))
        return places

    def _bind(self, fold: Fold, name: str, lanes: int | None = None) -> None:
        self.values.bind(fold, Operand(name, fold.dtype, lanes or self.blocks.width))

    def _spread(self, value: Value) -> str:
        return self.emitter.spread(self.values.value(value), self.blocks.width)

    def _weigh(self, low: Int, begin: Int, end: Int) -> None:
        """The tiles' elements become weights."""
        loop = self.emitter.open_loop(begin, end)
        places = self._open_step(loop.index, low)
        names = [self._spread(fold.value.args[0]) for fold in self.attend.sums]
        for name, place in zip(names, places, strict=False):
            self._put(name, place)
        self.emitter.close_loop(loop)

    def _soften(self, panel: str, low: Int, end: Int) -> None:
        """The tile's elements become exp(score - greatest); what was summed before is scaled."""
        emitter, b, attend = self.emitter, self.blocks, self.attend
        assert attend.greatest is not None
        assert attend.total is not None
        at = emitter.times(panel, b.width)
        peaks, totals = self._at("greatest", at), self._at("total", at)
        before = self._load(peaks)
        score, weight = attend.greatest.value, attend.total.value
        peak = self._peak(score, before, low, end)
        self._put(peak, peaks)
        self._bind(attend.greatest, peak)
        loop = emitter.open_loop(0, end, 1, [(self.type, "zeroinitializer")])
        (place,) = self._open_step(loop.index, low)
        if score.op != "result":  # it lies in the tile
            emitter.scopes[-1].memo[score] = Operand(self._load(place), score.dtype, b.width)
        name = self._spread(weight)
        self._put(name, place)
        added = emitter.let(f"fadd {self.type} {loop.carried[0]}, {name}")
        (sum_of_block,) = emitter.close_loop(loop, [added])
        factor = self._rescaling(attend.greatest, before)
        old = emitter.let(f"fmul {self.type} {self._load(totals)}, {factor}")
        self._put(emitter.let(f"fadd {self.type} {old}, {sum_of_block}"), totals)
        for number, rows in enumerate(b.sum_rows):
            rescale = emitter.open_loop(0, rows)
            row = emitter.plus(emitter.times(panel, rows), rescale.index)
            place = self._at(f"sums {number}", emitter.times(row, b.width))
            self._put(emitter.let(f"fmul {self.type} {self._load(place)}, {factor}"), place)
            emitter.close_loop(rescale)

    def _peak(self, score: Value, before: str, low: Int, end: Int) -> str:
        """The greatest score so far; NaN is left to the weights. Scores are put into the tile."""
        emitter = self.emitter
        loop = emitter.open_loop(0, end, 1, [(self.type, before)])
        (place,) = self._open_step(loop.index, low)
        name = self._spread(score)
        if score.op != "result":
            self._put(name, place)
        more = emitter.let(f"fcmp ogt {self.type} {name}, {loop.carried[0]}")
        bits = f"<{self.blocks.width} x i1> {more}"
        old = loop.carried[0]
        peak = emitter.let(f"select {bits}, {self.type} {name}, {self.type} {old}")
        return emitter.close_loop(loop, [peak])[0]

    def _rescaling(self, greatest: Fold, before: str) -> str:
        """exp(greatest before - greatest now); 0 where there was nothing before."""
        dtype = greatest.dtype
        past = Fold((), "max", greatest.value, dtype)
        self._bind(past, before)
        old, now = ir.result(past), ir.result(greatest)
        least, zero = ir.const(float("-inf"), dtype), ir.const(0.0, dtype)
        none = ir.apply("EQ", old, least)
        grown = ir.apply("EXP", ir.apply("ADD", old, ir.apply("NEG", now)))
        return self._spread(ir.apply("WHERE", none, zero, grown))

    # the end

    def _finish(self, panel: str, lane: str) -> None:
        emitter, b = self.emitter, self.blocks
        at = emitter.times(panel, b.width)
        plain = [each for each in self.attend.body if isinstance(each, Store)]
        if plain:
            self._open_lanes(lane)
            for fold, what in self._rows():
                self._bind(fold, self._load(self._at(what, at)))
            for each in plain:
                self.renderer.statement(each)
            emitter.pop()
        loops = [each for each in self.attend.body if isinstance(each, Loop)]
        for loop in loops:
            (store,) = loop.body
            assert isinstance(store, Store)
            needed = self.values.dependencies(store.value)
            number = next(n for n, fold in enumerate(self.attend.sums) if fold in needed)
            self._turn(number, panel)
            self._store_rows(number, loop, lane, at)

    def _rows(self) -> list[tuple[Fold, str]]:
        folds = ((self.attend.greatest, "greatest"), (self.attend.total, "total"))
        return [(fold, what) for fold, what in folds if fold is not None]

    def _turn(self, number: int, panel: str) -> None:
        """A panel's sums, [width][lane], as [lane][width]."""
        emitter, b = self.emitter, self.blocks
        extent = self.sums[number].rows.side.length
        name = micro.fetch_name(b.kind, b.lanes, b.lanes)
        self.imports.add(name)
        loop = emitter.open_loop(0, -(-extent // b.lanes))
        along = emitter.times(loop.index, b.lanes)
        down = emitter.plus(emitter.times(panel, b.sum_rows[number]), along)
        for part in range(b.vectors):
            at = emitter.plus(emitter.times(down, b.width), part * b.lanes)
            target = emitter.plus(along, part * b.lanes * b.turned)
            arguments = [("ptr", self._at(f"sums {number}", at)), ("i64", str(b.width))]
            arguments += [("i64", emitter.minus(extent, along))]
            arguments += [("ptr", self._at("turned", target)), ("i64", str(b.turned))]
            emitter.call(name, "void", arguments)
        emitter.close_loop(loop)

    def _store_rows(self, number: int, loop: Loop, lane: str, at: str) -> None:
        """The results, lane by lane, with their width in vectors."""
        emitter, b, attend = self.emitter, self.blocks, self.attend
        count: Int = b.width
        if attend.lanes.extent % b.width:
            count = emitter.least(count, emitter.minus(attend.lanes.extent, lane))
        rows = emitter.open_loop(0, count)
        self.values.bind(attend.lanes, Operand(emitter.plus(lane, rows.index), INDEX))
        for fold, what in self._rows():
            place = self._at(what, emitter.plus(at, rows.index))
            name = emitter.let(f"load {b.kind}, ptr {place}, align {b.itemsize}")
            self._bind(fold, name, 1)
        start = emitter.times(rows.index, b.turned)
        (along,) = loop.axes

        def body(carried: list[str]) -> list[str]:
            column = self.values.value(Value("axis", (), INDEX, along)).name
            place = self._at("turned", emitter.plus(start, column))
            kind = vector_type(b.kind, emitter.lanes)
            name = emitter.let(f"load {kind}, ptr {place}, align {b.itemsize}")
            self._bind(attend.sums[number], name, emitter.lanes)
            for each in loop.body:
                self.renderer.statement(each)
            return carried

        if along.extent > 1:
            self.renderer.vectors(Run((along,), b.lanes, b.lanes), [], body)
        else:
            self.renderer.nest([along], [], body)
        emitter.close_loop(rows)
