"""Panels of a matrix product's operands: which elements they hold, and transposition."""

from __future__ import annotations

from flambeau.device.cpu.emit import INDEX, Emitter, Operand
from flambeau.device.cpu.tiling import Side
from flambeau.device.cpu.values import Values

Int = str | int


class Panels:
    """Binds one operand's axes of the result, panel by panel."""

    def __init__(self, emitter: Emitter, values: Values, side: Side) -> None:
        self.emitter = emitter
        self.values = values
        self.side = side
        self.start: str = "0"

    def open(self, number: str) -> None:
        """Open a scope for a panel: what its elements have in common is bound there."""
        side, emitter = self.side, self.emitter
        emitter.push()
        if not side.run or side.outer == 1:
            if side.run:
                self.values.decode(side.axes[:-1], "0")
            self.start = emitter.let(f"mul nsw i64 {number}, {side.width}")
            return
        part = number
        outer = number
        if side.per_run > 1:
            part = emitter.let(f"urem i64 {number}, {side.per_run}")
            outer = emitter.let(f"udiv i64 {number}, {side.per_run}")
            self.start = emitter.let(f"mul nsw i64 {part}, {side.width}")
        else:
            self.start = "0"
        self.values.decode(side.axes[:-1], outer)

    def count(self) -> Int:
        """How many elements of the panel there are: fewer than its width at the end."""
        side = self.side
        if side.length % side.width == 0:
            return side.width
        left = self.emitter.let(f"sub nsw i64 {side.length}, {self.start}")
        return self.emitter.call("llvm.smin.i64", "i64", [("i64", left), ("i64", str(side.width))])

    def open_lanes(self, masked: bool = False) -> int:
        """Open a scope with the panel's elements in lanes; returns how many lanes.

        Where elements are missing, lanes are masked, or (panels through several axes, unless
        `masked`) hold the last element again.
        """
        side, emitter = self.side, self.emitter
        lanes = 1 << (side.width - 1).bit_length()
        partial = side.length % side.width != 0 or lanes != side.width
        mask = None
        if partial and (masked or side.run):
            numbers = ", ".join(f"i64 {lane}" for lane in range(lanes))
            left = emitter.let(f"sub nsw i64 {side.length}, {self.start}")
            whole = emitter.splat("i64", left, lanes)
            mask = emitter.let(f"icmp slt <{lanes} x i64> <{numbers}>, {whole}")
        emitter.push(lanes, mask)
        if side.run:
            self.values.bind(side.axes[-1], Operand(self.start, INDEX, lanes, 1))
        else:
            self._decode_lanes(lanes, partial)
        return lanes

    def _decode_lanes(self, lanes: int, partial: bool) -> None:
        emitter, side = self.emitter, self.side
        kind = f"<{lanes} x i32>"
        base = emitter.splat("i32", emitter.let(f"trunc i64 {self.start} to i32"), lanes)
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

    def bind_one(self, number: str) -> None:
        """Bind the axes to one element of the panel, the last one again where it has no more."""
        side, emitter = self.side, self.emitter
        place = emitter.let(f"add nsw i64 {self.start}, {number}")
        if side.length % side.width:
            place = emitter.call(
                "llvm.smin.i64", "i64", [("i64", place), ("i64", str(side.length - 1))]
            )
        if side.run:
            self.values.bind(side.axes[-1], Operand(place, INDEX))
        else:
            self.values.decode(side.axes, place)


def transpose(emitter: Emitter, kind: str, lanes: int, square: str, rows: int) -> list[str]:
    """Load a square of lanes × lanes elements (its first `rows` rows count) and turn it.

    log2(lanes) rounds; each interleaves row i with row i + lanes/2.
    """
    whole = f"<{lanes} x {kind}>"
    names = []
    for row in range(lanes):
        if row >= rows:
            names.append("poison")
            continue
        place = emitter.let(f"getelementptr {kind}, ptr {square}, i64 {row * lanes}")
        names.append(emitter.let(f"load {whole}, ptr {place}, align 64"))
    half = lanes // 2
    low = ", ".join(f"i32 {n // 2 + (lanes if n % 2 else 0)}" for n in range(lanes))
    high = ", ".join(f"i32 {n // 2 + half + (lanes if n % 2 else 0)}" for n in range(lanes))
    for _ in range(lanes.bit_length() - 1):
        after = []
        for row in range(half):
            for order in (low, high):
                after.append(
                    emitter.let(
                        f"shufflevector {whole} {names[row]}, {whole} {names[row + half]}, "
                        f"<{lanes} x i32> <{order}>"
                    )
                )
        names = after
    return names
