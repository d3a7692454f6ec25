"""How a block of k of an operand is packed: step by step across a panel, run by run, or in squares
that are turned."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from flambeau.device.cpu import micro
from flambeau.device.cpu.choose import Run, bind_run
from flambeau.device.cpu.emit import INDEX, Emitter, Operand, mask_literal, vector_type
from flambeau.device.cpu.pack import Panels, Piece
from flambeau.device.cpu.tiling import Tiling
from flambeau.device.cpu.values import Values
from flambeau.kernel.ir import Value
from flambeau.kernel.tile import Contraction, axes_of, reachable

Int = str | int

TOGETHER = 8
"""Panels that are packed at the same time, where they lie side by side."""


class Packing:
    """Writes the code that packs; ContractionRenderer (contraction.py) knows what and where."""

    def __init__(
        self, emitter: Emitter, values: Values, contraction: Contraction, tiling: Tiling
    ) -> None:
        self.emitter = emitter
        self.values = values
        self.contraction = contraction
        self.tiling = tiling
        self.imports: set[str] = set()
        self.square = ""  # scratch memory for one
        self.row_size = 0  # elements from one packed panel of rows to the next

    def _size(self, panels: Panels) -> int:
        """Elements from one packed panel to the next."""
        side = panels.side
        return self.row_size if side is self.tiling.rows else side.width * self.tiling.depth

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
        start = emitter.times(each.index, self._size(panels))
        place = emitter.element(t.kind, packed, start)
        self.pack(panels, number, place, low, high)
        emitter.close_loop(each)

    def pack(self, panels: Panels, panel: str, place: str, low: Int, high: Int) -> None:
        """Write a panel of an operand to `place`, for a block of k."""
        if panels.side.along_k:
            self._pack_along_k(panels, panel, place, low, high)
        else:
            self._pack_across(panels, panel, place, low, high)

    # steps of k

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
            start = emitter.times(each.index, self._size(panels))
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
