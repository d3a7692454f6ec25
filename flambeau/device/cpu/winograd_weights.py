"""Writes the transform of a panel of weights: G g Gᵀ for every pair of channels, see winograd.py.

The panel's rows are in lanes. In memory nine taps lie side by side, and so do a row's channels (a
forward convolution) or a channel's rows (the gradient of the input): either way squares of 16×16
elements are turned. Weights that lie otherwise are gathered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flambeau.device.cpu import micro
from flambeau.device.cpu.elementwise import with_offsets
from flambeau.device.cpu.emit import INDEX, Emitter, Operand, float_literal, mask_literal
from flambeau.device.cpu.values import Values
from flambeau.device.cpu.winograd import TAPS, Convolution
from flambeau.kernel.ir import linear_terms

WIDE = 16
"""Rows that are transformed at once: no register tile has more."""

TURNED = WIDE * TAPS * WIDE
"""Elements of room that a transform takes."""

KIND = f"<{WIDE} x float>"
HALF = f"splat (float {float_literal(0.5)})"


def lanes_before(emitter: Emitter, count: str, lanes: int) -> str:
    """The mask of the lanes before `count`."""
    kind = f"<{lanes} x i32>"
    numbers = "<" + ", ".join(f"i32 {lane}" for lane in range(lanes)) + ">"
    least = emitter.call("llvm.smax.i64", "i64", [("i64", count), ("i64", "0")])
    name = emitter.let(f"trunc i64 {emitter.least(least, lanes)} to i32")
    return emitter.let(f"icmp slt {kind} {numbers}, {emitter.splat('i32', name, lanes)}")


class WeightTransform:
    """`rows` are in a panel; the results of a place lie `place_size` elements behind those of the
    place before; `room` is memory for TURNED elements."""

    def __init__(
        self,
        emitter: Emitter,
        values: Values,
        found: Convolution,
        rows: int,
        place_size: int,
        room: str,
    ) -> None:
        self.emitter = emitter
        self.values = values
        self.found = found
        self.rows = rows
        self.place_size = place_size
        self.room = room
        terms = linear_terms(found.weight.args[0])[1]
        self.steps = {atom.payload: step for atom, step in terms if atom.op == "axis"}
        beside = self.steps.get(found.y.tap) == 3 and self.steps.get(found.x.tap) == 1
        plain = beside and len(found.weight.args) == 1
        channels = self.steps.get(found.channel)
        whole = found.channel.extent % WIDE == 0  # so squares end where a row does
        self.along_channels = plain and channels == TAPS and whole and found.m in self.steps
        self.along_rows = plain and self.steps.get(found.m) == TAPS and not self.along_channels
        self.fetch = micro.fetch_name("float", WIDE, rows)

    @property
    def imports(self) -> set[str]:
        return {self.fetch} if self.along_channels else set()

    def write(self, panel: str, target: str) -> None:
        """Transform a panel, channel by channel."""
        emitter, values, found = self.emitter, self.values, self.found
        first = emitter.times(panel, self.rows)
        left = emitter.let(f"sub nsw i64 {found.m.extent}, {first}")
        emitter.push()
        if self.along_channels:
            values.bind(found.m, Operand(first, INDEX))
            self._turn_channels(left, target)
        elif self.along_rows:
            values.bind(found.m, Operand(first, INDEX))
            self._channels(target, lambda: self._turn_rows(left))
        else:
            emitter.push(WIDE, lanes_before(emitter, left, WIDE))
            values.bind(found.m, with_offsets(first, range(WIDE)))
            self._channels(target, self._gather)
            emitter.pop()
        emitter.pop()

    def _channels(self, target: str, taps: Callable[[], list[str]]) -> None:
        """A loop over the channels; `taps` loads the nine of one, in memory's order."""
        emitter, found = self.emitter, self.found
        loop = emitter.open_loop(0, found.channel.extent, 1, (), emitter.lanes, emitter.mask)
        self.values.bind(found.channel, Operand(loop.index, INDEX))
        self._transform(taps(), target, loop.index)
        emitter.close_loop(loop)

    # nine taps of a channel, with rows in lanes

    def _start(self) -> str:
        """Where the first tap lies of the row and the channel that are bound."""
        weight = self.found.weight
        self.values.bind(self.found.y.tap, Operand("0", INDEX))
        self.values.bind(self.found.x.tap, Operand("0", INDEX))
        address = self.values.address(weight.args[0])
        return self.values.pointer(weight.payload, weight.dtype, address.base)

    def _turn_channels(self, left: str, target: str) -> None:
        """Sixteen channels at a time, whose taps follow each other in every row."""
        emitter, found = self.emitter, self.found
        loop = emitter.open_loop(0, found.channel.extent, WIDE)
        self.values.bind(found.channel, Operand(loop.index, INDEX))
        start, step = self._start(), str(self.steps[found.m])
        squares = emitter.open_loop(0, TAPS)
        source = emitter.element("float", start, emitter.times(squares.index, WIDE))
        place = emitter.element("float", self.room, emitter.times(squares.index, WIDE * WIDE))
        arguments = [("ptr", source), ("i64", step), ("i64", left), ("ptr", place)]
        emitter.call(self.fetch, "void", [*arguments, ("i64", str(WIDE))])
        emitter.close_loop(squares)
        each = emitter.open_loop(0, WIDE)
        source = emitter.element("float", self.room, emitter.times(each.index, TAPS * WIDE))
        places = [emitter.element("float", source, tap * WIDE) for tap in range(TAPS)]
        taps = [emitter.let(f"load {KIND}, ptr {place}, align 64") for place in places]
        self._transform(taps, target, emitter.plus(loop.index, each.index))
        emitter.close_loop(each)
        emitter.close_loop(loop)

    def _turn_rows(self, left: str) -> list[str]:
        """One channel's rows, of whose nine taps each row is one vector."""
        emitter, start = self.emitter, self._start()
        last = emitter.minus(left, 1)
        mask = mask_literal(lane < TAPS for lane in range(WIDE))
        names: list[str] = []
        for row in range(WIDE):
            if row >= self.rows:
                names.append("poison")
                continue
            place = emitter.element("float", start, emitter.times(emitter.least(row, last), TAPS))
            arguments = [("ptr", place), ("i32", "4"), (f"<{WIDE} x i1>", mask)]
            name = f"llvm.masked.load.v{WIDE}f32.p0"
            names.append(emitter.call(name, KIND, [*arguments, (KIND, "zeroinitializer")]))
        return micro.turned(emitter, "float", names)[:TAPS]

    def _gather(self) -> list[str]:
        emitter, found = self.emitter, self.found
        names: list[str] = []
        for tap in range(TAPS):
            emitter.push()
            self.values.bind(found.y.tap, Operand(str(tap // 3), INDEX))
            self.values.bind(found.x.tap, Operand(str(tap % 3), INDEX))
            names.append(emitter.spread(self.values.value(found.weight), WIDE))
            emitter.pop()
        return names

    # the transform

    def _transform(self, taps: Sequence[str], target: str, channel: str) -> None:
        emitter, found = self.emitter, self.found

        def tap(y: int, x: int) -> str:
            return taps[3 * found.y.tap_at(y) + found.x.tap_at(x)]

        columns = [self._line([tap(y, x) for y in range(3)]) for x in range(3)]
        at = emitter.times(channel, self.rows)
        for y in range(4):
            line = self._line([columns[x][y] for x in range(3)])
            for x in range(4):
                offset = emitter.plus(at, (4 * y + x) * self.place_size)
                place = emitter.element("float", target, offset)
                emitter.line(f"store {KIND} {line[x]}, ptr {place}, align 4")

    def _line(self, taps: Sequence[str]) -> list[str]:
        """g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2."""
        emitter = self.emitter
        ends = emitter.let(f"fadd {KIND} {taps[0]}, {taps[2]}")
        sums = [emitter.let(f"{how} {KIND} {ends}, {taps[1]}") for how in ("fadd", "fsub")]
        halves = [emitter.let(f"fmul {KIND} {each}, {HALF}") for each in sums]
        return [taps[0], *halves, taps[2]]
