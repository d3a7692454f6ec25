"""Panels of a matrix product's operands: which elements they hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flambeau.device.cpu.choose import Run, bind_run, factor
from flambeau.device.cpu.emit import INDEX, Emitter, Operand, vector_literal
from flambeau.device.cpu.tiling import Side
from flambeau.device.cpu.values import Values
from flambeau.kernel.ir import Axis

Int = str | int


@dataclass(frozen=True)
class Piece:
    """What a panel has of one run of the last axis, in lanes."""

    outer: str  # the run's point of the other axes
    start: str  # the first place of the last axis
    position: str  # where that lies in the panel
    mask: str


class Panels:
    """Binds one operand's axes of the result, panel by panel and segment by segment."""

    def __init__(self, emitter: Emitter, values: Values, side: Side, k: Axis) -> None:
        self.emitter = emitter
        self.values = values
        self.side = side
        self.step = self._step(k)
        self.side_by_side = self._side_by_side()

    def _step(self, k: Axis) -> int | None:
        """How far the elements of a panel lie apart, where they are loaded as they are, at equal
        distances, with k side by side."""
        side, value = self.side, self.side.value
        wide = [axis for axis in side.axes if axis.extent > 1]
        if not side.along_k or value.op != "load" or len(value.args) > 1 or len(side.axes) != 1:
            return None
        if not wide or not value.dtype.is_floating_point or value.dtype.itemsize < 4:
            return None
        index = value.args[0]
        found = factor(index, wide[0], self.values)
        return found if found and factor(index, k, self.values) == 1 else None

    def _side_by_side(self) -> bool:
        """Whether panels are loaded as they are and the next one lies behind each."""
        side, value = self.side, self.side.value
        if side.along_k or side.outer > 1 or side.per_panel > 1 or side.panels < 2:
            return False
        plain = value.op == "load" and len(value.args) == 1 and len(side.axes) == 1
        return plain and factor(value.args[0], side.axes[0], self.values) == 1

    def segments_of(self, panel: str) -> Int:
        """How many segments of a panel there are: fewer at the end."""
        side = self.side
        if side.segments % side.per_panel == 0:
            return side.per_panel
        past = self.emitter.times(panel, side.per_panel)
        left = self.emitter.let(f"sub nsw i64 {side.segments}, {past}")
        return self.emitter.least(left, side.per_panel)

    def open_lanes(
        self, panel: str, number: str, masked: bool = False, piece: Piece | None = None
    ) -> int:
        """Open two scopes for a segment, or a piece, with its elements in lanes; returns how many
        lanes.

        Where elements are missing, lanes are masked, or (segments through several axes, unless
        `masked`) hold the last element again.
        """
        side, emitter = self.side, self.emitter
        emitter.push()
        if piece is not None:
            self.values.decode(side.axes[:-1], piece.outer)
            emitter.push(side.pieces, piece.mask)
            bind_run(self.values, Run(side.axes[-1:], side.pieces, side.pieces), piece.start)
            return side.pieces
        start = self._open_segment(
            self.emitter.plus(self.emitter.times(panel, side.per_panel), number)
        )
        lanes = 1 << (side.segment - 1).bit_length()
        partial = side.length % side.segment != 0 or lanes != side.segment
        mask = None
        if partial and (masked or side.run):
            numbers = ", ".join(f"i32 {lane}" for lane in range(lanes))
            left = emitter.let(f"sub nsw i64 {side.length}, {start}")
            if masked and lanes != side.segment:
                left = emitter.least(left, side.segment)
            whole = emitter.splat("i32", emitter.let(f"trunc i64 {left} to i32"), lanes)
            mask = emitter.let(f"icmp slt <{lanes} x i32> <{numbers}>, {whole}")
        emitter.push(lanes, mask)
        if side.run and side.axes:
            self._bind_run(start, lanes)
        elif side.axes:
            self._decode_lanes(start, lanes, partial)
        return lanes

    @contextmanager
    def piece(self, panel: str) -> Iterator[Piece | None]:
        """Code for each of a panel's pieces; None where panels are not in pieces."""
        side, emitter = self.side, self.emitter
        if not side.pieces:
            yield None
            return
        place = emitter.times(panel, side.width)
        extent = side.axes[-1].extent
        first, outer = emitter.part(place, extent), emitter.rest(place, extent)
        end = str(side.width)
        if side.length % side.width:
            end = emitter.least(emitter.minus(str(side.length), place), side.width)
        runs = emitter.rest(emitter.plus(emitter.plus(first, end), extent - 1), extent)
        loop = emitter.open_loop("0", runs)
        begins = emitter.let(f"icmp eq i64 {loop.index}, 0")
        start = emitter.let(f"select i1 {begins}, i64 {first}, i64 0")
        past = emitter.minus(emitter.times(loop.index, extent), first)
        position = emitter.call("llvm.smax.i64", "i64", [("i64", past), ("i64", "0")])
        count = emitter.least(emitter.minus(str(extent), start), emitter.minus(end, position))
        kind, numbers = f"<{side.pieces} x i32>", range(side.pieces)
        most = emitter.splat("i32", emitter.let(f"trunc i64 {count} to i32"), side.pieces)
        mask = emitter.let(f"icmp slt {kind} {vector_literal('i32', numbers)}, {most}")
        yield Piece(emitter.plus(outer, loop.index), start, position, mask)
        emitter.close_loop(loop)

    def _open_segment(self, number: str) -> str:
        """Bind what a segment's elements have in common; returns where it starts in its run."""
        side, emitter = self.side, self.emitter
        if side.outer == 1:
            if side.run:
                self.values.decode(side.axes[: -side.joint], "0")
            return self.emitter.times(number, side.segment)
        part = "0"
        if side.per_run > 1:
            part = emitter.let(f"urem i64 {number}, {side.per_run}")
            number = emitter.let(f"udiv i64 {number}, {side.per_run}")
        self.values.decode(side.axes[: -side.joint], number)
        return self.emitter.times(part, side.segment)

    def _bind_run(self, start: str, lanes: int) -> None:
        """Bind the joint axes to a vector from `start` on."""
        run = Run(self.side.axes[-self.side.joint :], lanes, lanes)
        bind_run(self.values, run, self.emitter.rest(start, run.inner))

    def _decode_lanes(self, start: str, lanes: int, partial: bool) -> None:
        emitter, side = self.emitter, self.side
        kind = f"<{lanes} x i32>"
        base = emitter.splat("i32", emitter.let(f"trunc i64 {start} to i32"), lanes)
        numbers = ", ".join(f"i32 {lane}" for lane in range(lanes))
        rest = emitter.let(f"add {kind} {base}, <{numbers}>")
        if partial:
            most = f"splat (i32 {side.length - 1})"
            rest = emitter.call(f"llvm.smin.v{lanes}i32", kind, [(kind, rest), (kind, most)])
        for number in range(len(side.axes) - 1, -1, -1):
            axis = side.axes[number]
            part = rest
            if number:
                part = emitter.let(f"urem {kind} {rest}, splat (i32 {axis.extent})")
                rest = emitter.let(f"udiv {kind} {rest}, splat (i32 {axis.extent})")
            wide = emitter.let(f"zext {kind} {part} to <{lanes} x i64>")
            self.values.bind(axis, Operand(wide, INDEX, lanes))

    def count(self, panel: str) -> Int:
        """How many elements of a panel there are (segments as wide as panels)."""
        side = self.side
        if side.length % side.width == 0:
            return side.width
        left = self.emitter.let(
            f"sub nsw i64 {side.length}, {self.emitter.times(panel, side.width)}"
        )
        return self.emitter.least(left, side.width)

    def bind_one(self, panel: str, number: str) -> None:
        """Bind the axes to one element of a panel; to another one where it is missing."""
        side = self.side
        place = self.emitter.plus(self.emitter.times(panel, side.width), number)
        if side.outer == 1:
            if side.length % side.width:
                place = self.emitter.least(place, side.length - 1)
            axes = side.axes
            if side.run and axes:
                self.values.decode(axes[: -side.joint], "0")
                axes = axes[-side.joint :]
            self.values.decode(axes, place)
            return
        padded = side.per_run * side.segment
        place = self.emitter.least(place, side.outer * padded - 1)
        inner = self.emitter.let(f"urem i64 {place}, {padded}")
        outer = self.emitter.let(f"udiv i64 {place}, {padded}")
        if padded != side.length:
            inner = self.emitter.least(inner, side.length - 1)
        self.values.decode(side.axes[: -side.joint], outer)
        self.values.decode(side.axes[-side.joint :], inner)
