"""How a kernel's domain is cut into work items and run: point by point, in vectors, in squares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flambeau.device.cpu import micro
from flambeau.device.cpu.choose import Choice, Run
from flambeau.device.cpu.convert import access_type
from flambeau.device.cpu.emit import INDEX, Operand, counting
from flambeau.kernel.ir import Axis, Check, Loop, Statement, Store, Value

if TYPE_CHECKING:
    from flambeau.device.cpu.render import Renderer

CHUNK = 8192.0
"""Estimated work of one item: enough that its overhead does not count."""


SWEPT = 32
"""Elements of a row that an item of a sweep takes, at least, where there are several items."""


def write(renderer: Renderer, choice: Choice) -> int:
    """Write the loops over the domain; returns the number of work items."""
    if choice.run is None:
        return _points(renderer, choice)
    if choice.turned:
        return _squares(renderer, choice, choice.run.axes[0])
    loop = _swept(renderer.kernel.body)
    if loop is not None:
        return _sweep(renderer, choice, choice.run, loop)
    return _vectors(renderer, choice, choice.run)


class Ranges:
    """Items of several rows: points of axes, the last of which is cut into ranges.

    After `open` the axes are bound; `part` numbers the item's other dimension (0 … parts - 1).
    """

    def __init__(self, renderer: Renderer, axes: list[Axis], parts: int, cost: float) -> None:
        """`cost` is that of one point."""
        self.emitter = renderer.emitter
        self.values = renderer.values
        self.axes = [axis for axis in axes if axis.extent > 1]
        self.parts = parts
        self.cost = cost
        self.part = "0"
        for axis in axes:
            if axis.extent == 1:
                self.values.bind(axis, Operand("0", INDEX))

    def open(self) -> int:
        """Open the loops; returns the number of items."""
        emitter = self.emitter
        self.items = emitter.open_loop("%begin", "%end")
        self.part = emitter.part(self.items.index, self.parts)
        item = emitter.rest(self.items.index, self.parts)
        count = self.parts
        for axis in self.axes[:-1]:
            count *= axis.extent
        if not self.axes:
            return count
        last = self.axes[-1]
        length = max(1, min(last.extent, int(CHUNK / max(self.cost, 0.1))))
        ranges = -(-last.extent // length)
        length = -(-last.extent // ranges)
        number = emitter.part(item, ranges)
        self.values.decode(self.axes[:-1], emitter.rest(item, ranges))
        low = emitter.times(number, length)
        high: str | int = last.extent
        if ranges > 1:
            high = emitter.least(emitter.plus(low, length), last.extent)
        self.rows = emitter.open_loop(low if ranges > 1 else 0, high)
        self.values.bind(last, Operand(self.rows.index, INDEX))
        return count * ranges

    def close(self) -> None:
        if self.axes:
            self.emitter.close_loop(self.rows)
        self.emitter.close_loop(self.items)


def _points(renderer: Renderer, choice: Choice) -> int:
    points = 1
    for axis in renderer.kernel.domain:
        points *= axis.extent
    rows = Ranges(renderer, list(renderer.kernel.domain), 1, choice.cost / points)
    items = rows.open()
    renderer.statements(renderer.kernel.body)
    rows.close()
    return items


def _vectors(renderer: Renderer, choice: Choice, run: Run) -> int:
    """Axes in lanes; where the first of them is long, items are ranges of it."""
    emitter = renderer.emitter
    outer = [each for each in renderer.kernel.domain if each not in run.axes]
    points = 1
    for each in outer:
        points *= each.extent
    full = run.extent // run.count
    row = choice.cost / points
    each_vector = row / max(1, -(-run.extent // run.count))
    vectors = max(1, min(int(CHUNK / max(each_vector, 0.1)), full))
    chunks = max(1, -(-full // vectors))
    rows = Ranges(renderer, outer, chunks, row / chunks)
    items = rows.open()
    low: str | int = 0
    high: str | int = full * run.count
    last = "true"
    if chunks > 1:
        low = emitter.times(rows.part, vectors * run.count)
        last = emitter.let(f"icmp eq i64 {rows.part}, {chunks - 1}")
        end = emitter.plus(low, vectors * run.count)
        high = emitter.let(f"select i1 {last}, i64 {full * run.count}, i64 {end}")

    def body(carried: list[str]) -> list[str]:
        renderer.statements(renderer.kernel.body)
        return []

    if full:
        renderer.vector_loop(run, low, high, [], body)
    if run.extent % run.count and chunks > 1:
        with emitter.branch(last):
            renderer.vector_tail(run, [], body)
    elif run.extent % run.count:
        renderer.vector_tail(run, [], body)
    rows.close()
    return items


def _swept(body: Sequence[Statement]) -> Loop | None:
    """The Loop that is all of a body, where its steps carry nothing from one to the next but what
    they store: as in a scatter of rows."""
    if len(body) != 1 or not isinstance(body[0], Loop):
        return None
    simple = all(isinstance(each, Store | Check) for each in body[0].body)
    return body[0] if simple and all(axis.extent for axis in body[0].axes) else None


def _sweep(renderer: Renderer, choice: Choice, run: Run, loop: Loop) -> int:
    """Step by step of a Loop, each step along a stretch of what is in lanes.

    Memory is walked row by row, and what a step looks up (an index) it looks up once for the
    stretch. Every point of the domain still sees the steps in their order.
    """
    emitter = renderer.emitter
    outer = [each for each in renderer.kernel.domain if each not in run.axes]
    points = 1
    for each in outer:
        points *= each.extent
    full = run.extent // run.count
    parts = max(1, min(full, run.extent * run.inner // SWEPT, 8))
    vectors = -(-full // parts)
    parts = max(1, -(-full // max(vectors, 1)))
    rows = Ranges(renderer, outer, parts, choice.cost / points / parts)
    items = rows.open()
    low = emitter.times(rows.part, vectors * run.count)
    high: str | int = full * run.count
    last = "true"
    if parts > 1:
        last = emitter.let(f"icmp eq i64 {rows.part}, {parts - 1}")
        high = emitter.least(emitter.plus(low, vectors * run.count), high)

    def body(carried: list[str]) -> list[str]:
        renderer.statements(loop.body)
        return []

    def step(carried: list[str]) -> list[str]:
        if full:
            renderer.vector_loop(run, 0 if parts == 1 else low, high, [], body)
        if run.extent % run.count and parts > 1:
            with emitter.branch(last):
                renderer.vector_tail(run, [], body)
        elif run.extent % run.count:
            renderer.vector_tail(run, [], body)
        return carried

    renderer.nest(loop.axes, [], step)
    rows.close()
    return items


def _squares(renderer: Renderer, choice: Choice, across: Axis) -> int:
    """Squares of two axes: loads that run along the other axis (`choice.down`) than the stores are
    turned, a square at a time."""
    emitter, values = renderer.emitter, renderer.values
    down = choice.down
    assert down is not None
    itemsize = choice.turned[0].dtype.itemsize
    lanes = 64 // itemsize
    kind = "float" if itemsize == 4 else "double"
    outer = [each for each in renderer.kernel.domain if each is not across and each is not down]
    parts = -(-down.extent // lanes)
    points = parts
    for each in outer:
        points *= each.extent
    rows = Ranges(renderer, outer, parts, choice.cost / points)
    items = rows.open()
    area = lanes * lanes * itemsize
    renderer.scratch = area * (1 + len(choice.turned))
    targets = [
        emitter.element("i8", "%scratch", area * (1 + number))
        for number in range(len(choice.turned))
    ]
    y = emitter.times(rows.part, lanes)
    tiles = emitter.open_loop(0, across.extent, lanes)
    x = tiles.index
    turn = micro.turn_name(kind, lanes, lanes)
    renderer.imports.add(turn)
    for load, target in zip(choice.turned, targets, strict=True):
        _read_square(renderer, load, (across, x), (down, y), lanes)
        arguments = [("ptr", "%scratch"), ("ptr", target), ("i64", str(lanes))]
        emitter.call(turn, "void", arguments)
    height: str | int = lanes
    if down.extent % lanes:
        height = emitter.least(emitter.minus(down.extent, y), lanes)
    mask = edge_mask(renderer, across, x, lanes)
    emitter.push(lanes, mask)
    values.bind(across, counting(x, lanes))
    lines = emitter.open_loop(0, height)
    values.bind(down, Operand(emitter.plus(y, lines.index), INDEX))
    for load, target in zip(choice.turned, targets, strict=True):
        raw = access_type(load.dtype)
        place = emitter.element(raw, target, emitter.times(lines.index, lanes))
        name = emitter.let(f"load <{lanes} x {raw}>, ptr {place}, align {itemsize}")
        emitter.scopes[-1].memo[load] = Operand(name, load.dtype, lanes)
    renderer.statements(renderer.kernel.body)
    emitter.close_loop(lines)
    emitter.pop()
    emitter.close_loop(tiles)
    rows.close()
    return items


def edge_mask(renderer: Renderer, axis: Axis, start: str, lanes: int) -> str | None:
    """The lanes from `start` on that lie within an axis; None where all do."""
    if axis.extent % lanes == 0:
        return None
    emitter = renderer.emitter
    left = emitter.let(f"trunc i64 {emitter.minus(axis.extent, start)} to i32")
    numbers = ", ".join(f"i32 {lane}" for lane in range(lanes))
    whole = emitter.splat("i32", left, lanes)
    return emitter.let(f"icmp slt <{lanes} x i32> <{numbers}>, {whole}")


def _read_square(
    renderer: Renderer, load: Value, across: tuple[Axis, str], down: tuple[Axis, str], lanes: int
) -> None:
    """Read a square line by line along `down` into the scratch memory."""
    emitter, values = renderer.emitter, renderer.values
    emitter.push(lanes, edge_mask(renderer, down[0], down[1], lanes))
    values.bind(down[0], counting(down[1], lanes))
    loop = emitter.open_loop(0, lanes)
    place = emitter.plus(across[1], loop.index)
    if across[0].extent % lanes:
        place = emitter.least(place, across[0].extent - 1)
    values.bind(across[0], Operand(place, INDEX))
    name = emitter.spread(values.value(load), lanes)
    raw = access_type(load.dtype)
    spot = emitter.element(raw, "%scratch", emitter.times(loop.index, lanes))
    emitter.line(f"store <{lanes} x {raw}> {name}, ptr {spot}, align {load.dtype.itemsize}")
    emitter.close_loop(loop)
    emitter.pop()
