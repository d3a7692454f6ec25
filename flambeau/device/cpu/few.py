"""Matrix products with few rows: the other operand is read once, where it lies.

Packing pays when what is packed is used often. With up to FEW rows a product takes as long as it
takes to read the columns' operand (a layer's weight), so that one is loaded straight into the
multiplications. There are two functions, compiled once and shared, as the micro-kernel is:

    void <how>_<type>_<rows>_<vectors>_<lanes>_<chains>(
        i64 k, i64 block, ptr a, ptr b, i64 step, ptr c, i64 stride, i64 count)

c[row, column] = Σ a[row, i] · b[column, i] for i < k and column < count, in the order of order.py
with blocks of `block` steps. c has `stride` elements from row to row, and room for whole vectors.

    across  columns lie side by side, `step` elements from one i to the next; a is packed [k][rows]
    along   the steps of k lie side by side, `step` elements from column to column; a is [rows][k].
            A vector's lanes are the chains of a few columns (where there is one chain: columns).
"""

from __future__ import annotations

from flambeau.device.cpu.choose import factor
from flambeau.device.cpu.emit import Emitter, OpenLoop, suffix_of, vector_type
from flambeau.device.cpu.micro import gathered, transposed, turned
from flambeau.device.cpu.order import CHAINS
from flambeau.device.cpu.values import Values
from flambeau.kernel.ir import Axis, Value
from flambeau.kernel.tile import Contraction

FEW = {"across": 8, "along": 4}
"""Up to so many rows are multiplied without packing; measured against tiles, see decisions.md."""

LEAST = 64
"""Fewer columns than this are left to tiles."""

SHORTEST = 16
"""Columns of fewer steps are not read along k: half of their vectors would be empty."""

SIDE_BY_SIDE = 8
"""So many columns are read along k at the same time. Where they lie a power of two apart, their
lines share one set of the nearest cache, which holds twelve or eight; with fewer, each
multiplication waits for the one before."""


def way(
    rows: int, value: Value, axes: tuple[Axis, ...], contraction: Contraction, values: Values
) -> str:
    """How to read the columns' operand where it lies; empty where it has to be packed."""
    wide, k = [axis for axis in axes if axis.extent > 1], contraction.k
    if len(wide) != 1 or wide[0].extent < LEAST or len(k) != 1:
        return ""
    if value.op != "load" or len(value.args) > 1 or value.dtype is not contraction.fold.dtype:
        return ""
    column, step = (factor(value.args[0], axis, values) for axis in (wide[0], k[0]))
    if column == 1 and step and rows <= FEW["across"]:
        return "across"
    if step == 1 and column and rows <= FEW["along"] and k[0].extent >= SHORTEST:
        return "along"
    return ""


def name_of(how: str, kind: str, rows: int, lanes: int, chained: int) -> str:
    """The function for so many rows; `lanes` are those of the widest vectors."""
    if how == "along":
        lanes = max(lanes, CHAINS)
        vectors = max(1, min(SIDE_BY_SIDE * chained // lanes, 8 if rows == 1 else 4))
        return f"along_{kind}_{rows}_{vectors}_{lanes}_{chained}"
    sums = 24 if lanes * (4 if kind == "float" else 8) == 64 else 12  # registers for sums
    vectors = min(16, 1 << (max(1, sums // rows).bit_length() - 1))
    return f"across_{kind}_{rows}_{vectors}_{lanes}_{chained}"


def module_text(name: str, fused: bool) -> str:
    """The module that defines the function of this name."""
    how, kind, *numbers = name.split("_")
    rows, vectors, lanes, chained = map(int, numbers)
    writer = _Across if how == "across" else _Along
    writing = writer(kind, rows, vectors, lanes, chained, fused)
    writing.write()
    lines = "\n".join(writing.emitter.scopes[0].lines)
    declarations = "\n".join(writing.emitter.declarations)
    arguments = "i64 %k, i64 %block, ptr noalias %a, ptr noalias %b, i64 %step"
    arguments += ", ptr noalias %c, i64 %stride, i64 %count"
    return f"define void @{name}({arguments}) {{\nentry:\n{lines}\nret void\n}}\n{declarations}\n"


class _Writer:
    """What both functions have in common."""

    def __init__(
        self, kind: str, rows: int, vectors: int, lanes: int, chains: int, fused: bool
    ) -> None:
        self.kind = kind
        self.rows = rows
        self.vectors = vectors
        self.lanes = lanes
        self.chains = chains
        self.emitter = Emitter(fused)
        self.type = vector_type(kind, lanes)
        self.zero = "zeroinitializer"
        self.align = 4 if kind == "float" else 8
        self.more = ""  # whether the block is not the first

    def write(self) -> None:
        """The function's body."""
        raise NotImplementedError

    def open_block(self) -> tuple[OpenLoop, str]:
        """Open the loop over blocks; returns it and the block's end."""
        emitter = self.emitter
        loop = emitter.open_loop("0", "%k", "%block")
        self.more = emitter.let(f"icmp ne i64 {loop.index}, 0")
        return loop, emitter.least(emitter.plus(loop.index, "%block"), "%k")

    def load(self, place: str, mask: str | None = None, other: str = "0.0") -> str:
        """A vector; `other` where the mask does not hold."""
        if mask is None:
            return self.emitter.let(f"load {self.type}, ptr {place}, align {self.align}")
        name = f"llvm.masked.load.{suffix_of(self.kind, self.lanes)}.p0"
        arguments = [("ptr", place), ("i32", str(self.align))]
        others = f"splat ({self.kind} {other})"
        arguments += [(f"<{self.lanes} x i1>", mask), (self.type, others)]
        return self.emitter.call(name, self.type, arguments)

    def store(self, total: str, place: str, lanes: int) -> None:
        """Write a block's sum in so many lanes, or add it to what is there."""
        emitter, whole = self.emitter, vector_type(self.kind, lanes)
        old = emitter.let(f"load {whole}, ptr {place}, align {self.align}")
        both = emitter.let(f"fadd {whole} {old}, {total}")
        chosen = emitter.let(f"select i1 {self.more}, {whole} {both}, {whole} {total}")
        emitter.line(f"store {whole} {chosen}, ptr {place}, align {self.align}")

    def at(self, base: str, *parts: str) -> str:
        """The address of an element that lies so many parts behind a base."""
        for part in parts:
            base = self.emitter.element(self.kind, base, part)
        return base

    def product(self, x: str, by: str | int) -> str:
        return self.emitter.let(f"mul nsw i64 {x}, {by}")


class _Across(_Writer):
    """Strips of columns in lanes; each step of k multiplies a strip by one element of each row."""

    def write(self) -> None:
        emitter = self.emitter
        size = self.rows * self.vectors
        emitter.line(f"%chains = alloca {self.type}, i64 {size}, align 64")
        done = "0"
        for power in range(self.vectors.bit_length() - 1, -1, -1):
            vectors, width = 1 << power, self.lanes << power
            left = emitter.minus("%count", done)
            whole = emitter.times(emitter.rest(left, width), width)
            end = emitter.plus(done, whole)
            loop = emitter.open_loop(done, end, width)
            self._strip(loop.index, vectors, None)
            emitter.close_loop(loop)
            done = end
        some = emitter.let(f"icmp slt i64 {done}, %count")
        with emitter.branch(some):
            left = emitter.let(f"trunc i64 {emitter.minus('%count', done)} to i32")
            numbers = ", ".join(f"i32 {lane}" for lane in range(self.lanes))
            whole = emitter.splat("i32", left, self.lanes)
            mask = emitter.let(f"icmp slt <{self.lanes} x i32> <{numbers}>, {whole}")
            self._strip(done, 1, mask)

    def _strip(self, start: str, vectors: int, mask: str | None) -> None:
        first = self.at("%b", start)
        block, end = self.open_block()
        if self.chains > 1 and vectors * self.chains <= self.vectors:
            sums = self._chains_together(block.index, end, first, vectors, mask)
            self._write_sums(sums, start, vectors)
        else:
            self._chains_in_turn(block.index, end, (first, start), vectors, mask)
        self.emitter.close_loop(block)

    def _chains_together(
        self, low: str, high: str, first: str, vectors: int, mask: str | None
    ) -> list[str]:
        """A block's sums with all chains in registers: a narrow strip is read in one go."""
        emitter, size = self.emitter, self.rows * vectors
        length = emitter.minus(high, low)
        rest = emitter.let(f"and i64 {length}, {self.chains - 1}")
        whole = emitter.minus(high, rest)
        zeros = [(self.type, self.zero)] * (size * self.chains)
        loop = emitter.open_loop(low, whole, self.chains, zeros)
        updated: list[str] = []
        for chain in range(self.chains):
            held = loop.carried[chain * size : (chain + 1) * size]
            updated += self._step(emitter.plus(loop.index, chain), first, held, mask)
        updated = emitter.close_loop(loop, updated)
        parts: list[list[str]] = []
        for chain in range(self.chains):  # the last steps, less than one of each chain
            held = updated[chain * size : (chain + 1) * size]
            start = emitter.plus(whole, chain)
            loop = emitter.open_loop(start, high, self.chains, [(self.type, x) for x in held])
            updated_last = self._step(loop.index, first, loop.carried, mask)
            parts.append(emitter.close_loop(loop, updated_last))
        total = parts[0]
        for part in parts[1:]:
            total = [
                emitter.let(f"fadd {self.type} {old}, {new}")
                for old, new in zip(total, part, strict=True)
            ]
        return total

    def _chains_in_turn(
        self, low: str, high: str, starts: tuple[str, str], vectors: int, mask: str | None
    ) -> None:
        emitter, tiles = self.emitter, self.rows * vectors
        first, start = starts
        chain = emitter.open_loop(0, self.chains)
        zeros = [(self.type, self.zero)] * tiles
        loop = emitter.open_loop(emitter.plus(low, chain.index), high, self.chains, zeros)
        sums = emitter.close_loop(loop, self._step(loop.index, first, loop.carried, mask))
        chains = [self.at("%chains", str(n * self.lanes)) for n in range(tiles)]
        last = emitter.let(f"icmp eq i64 {chain.index}, {self.chains - 1}")
        if self.chains > 1:
            later = emitter.let(f"icmp ne i64 {chain.index}, 0")
            read = [emitter.let(f"load {self.type}, ptr {each}") for each in chains]
            sums = [
                emitter.let(
                    f"select i1 {later}, {self.type} "
                    f"{emitter.let(f'fadd {self.type} {old}, {new}')}, {self.type} {new}"
                )
                for old, new in zip(read, sums, strict=True)
            ]
            for total, place in zip(sums, chains, strict=True):
                emitter.line(f"store {self.type} {total}, ptr {place}")
        with emitter.branch(last):
            self._write_sums(sums, start, vectors)
        emitter.close_loop(chain)

    def _step(self, index: str, first: str, sums: list[str], mask: str | None) -> list[str]:
        """One step of k: a strip's line by one element of each row."""
        emitter, vectors = self.emitter, len(sums) // self.rows
        line = self.at(first, self.product(index, "%step"))
        columns = [self.load(self.at(line, str(n * self.lanes)), mask) for n in range(vectors)]
        row_at = self.at("%a", self.product(index, self.rows))
        updated = []
        for row in range(self.rows):
            scalar = emitter.let(f"load {self.kind}, ptr {self.at(row_at, str(row))}")
            spread = emitter.splat(self.kind, scalar, self.lanes)
            for vector, column in enumerate(columns):
                old = sums[row * vectors + vector]
                updated.append(emitter.fma(self.kind, self.lanes, spread, column, old))
        return updated

    def _write_sums(self, sums: list[str], start: str, vectors: int) -> None:
        for number, total in enumerate(sums):
            row, vector = divmod(number, vectors)
            down = self.product("%stride", row)
            place = self.at("%c", down, start, str(vector * self.lanes))
            self.store(total, place, self.lanes)


class _Along(_Writer):
    """So many columns at once. A vector holds a few columns' chains, one beside the other; what is
    read are as many vectors along k, one of each column, which are then sorted by step."""

    def write(self) -> None:
        emitter, self.wide = self.emitter, self.lanes // self.chains
        number = self.wide * self.vectors
        # too few columns: one at a time, in all lanes
        enough = emitter.let(f"icmp sge i64 %count, {number}")
        step = emitter.let(f"select i1 {enough}, i64 %step, i64 0")
        hop = emitter.let(f"select i1 {enough}, i64 {number}, i64 1")
        last = emitter.minus("%count", hop)
        group = emitter.open_loop("0", "%count", hop)
        start = emitter.least(group.index, last)
        first = self.at("%b", self.product(start, "%step"))
        columns = [self.at(first, self.product(step, each)) for each in range(number)]
        block, end = self.open_block()
        length = emitter.minus(end, block.index)
        rest = emitter.let(f"and i64 {length}, {self.lanes - 1}")
        whole = emitter.minus(end, rest)
        sums = [self.zero] * (self.rows * self.vectors)
        sums = self._steps(block.index, whole, columns, sums, None)
        left = emitter.let(f"trunc i64 {rest} to i32")
        numbers = ", ".join(f"i32 {lane}" for lane in range(self.lanes))
        spread = emitter.splat("i32", left, self.lanes)
        mask = emitter.let(f"icmp slt <{self.lanes} x i32> <{numbers}>, {spread}")
        sums = self._steps(whole, end, columns, sums, mask)
        for row in range(self.rows):
            for part in range(0, self.vectors, self.chains):
                at = row * self.vectors + part
                some = sums[at : at + min(self.chains, self.vectors)]
                place = self.at("%c", self.product("%stride", row), start, str(part * self.wide))
                self.store(self._joined(some), place, len(some) * self.wide)
        emitter.close_loop(block)
        emitter.close_loop(group)

    def _steps(
        self, low: str, high: str, columns: list[str], sums: list[str], mask: str | None
    ) -> list[str]:
        """Go along k from low to high."""
        emitter, wide = self.emitter, self.wide
        loop = emitter.open_loop(low, high, self.lanes, [(self.type, each) for each in sums])
        updated = list(loop.carried)
        factors = [self._factors(row, loop.index, mask) for row in range(self.rows)]
        for vector in range(self.vectors):
            held = columns[vector * wide : (vector + 1) * wide]
            # -0: a product with it changes no sum, not even one that is -0
            lines = [self.load(self.at(each, loop.index), mask, "-0.0") for each in held]
            for step, line in enumerate(self._by_step(lines)):
                for row in range(self.rows):
                    at = row * self.vectors + vector
                    x = factors[row][step]
                    updated[at] = emitter.fma(self.kind, self.lanes, x, line, updated[at])
        return emitter.close_loop(loop, updated)

    def _factors(self, row: int, index: str, mask: str | None) -> list[str]:
        """What a row holds at each of the next steps of all chains, for every column of a
        vector."""
        place = self.at("%a", self.product("%k", row), index)
        line = self.load(place, mask)
        steps = range(0, self.lanes, self.chains)
        return [
            self._shuffled(line, line, [step + n % self.chains for n in range(self.lanes)])
            for step in steps
        ]

    def _by_step(self, lines: list[str]) -> list[str]:
        """Of one vector of each column: one vector of each step, with all columns' chains."""
        if self.chains == 1:
            return transposed(self.emitter, self.kind, lines)
        return gathered(self.emitter, self.kind, lines, self.lanes, self.chains)

    def _joined(self, sums: list[str]) -> str:
        """The sums of as many columns as there are lanes, or fewer: their chains added up in
        order."""
        if self.chains == 1:
            return sums[0]
        count = len(sums) * self.wide
        sums = (sums * self.chains)[: self.chains]
        total, *others = turned(self.emitter, self.kind, sums, self.wide)
        for each in others:
            total = self.emitter.let(f"fadd {self.type} {total}, {each}")
        order = [n % self.wide * self.chains + n // self.wide for n in range(count)]
        return self._shuffled(total, total, order)

    def _shuffled(self, x: str, y: str, order: list[int]) -> str:
        places = ", ".join(f"i32 {each}" for each in order)
        return self.emitter.let(
            f"shufflevector {self.type} {x}, {self.type} {y}, <{len(order)} x i32> <{places}>"
        )
