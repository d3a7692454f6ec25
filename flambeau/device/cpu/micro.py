"""What matrix products call: compiled once and shared by all kernels.

The micro-kernel: one tile of registers, operands packed.

    void micro_<type>_<rows>_<vectors>_<lanes>_<chains>(
        i64 k, ptr a, ptr b, ptr c, i64 stride, i64 more)

computes tile = Σ a[i, row] · b[i, column] for i < k, chain by chain (order.CHAINS), with a packed
as [k][rows] and b as [k][vectors · lanes], and writes it to c (`stride` elements from row to row),
or adds it to what is there where `more` is not 0.

Turning: a square of lanes × lanes elements, of whose rows the first `rows` count, transposed.

    void turn_<type>_<lanes>_<rows>(ptr square, ptr target, i64 stride)

The same with rows that lie `step` elements apart, of which there are `count`; the last of them
stands for those that are missing.

    void fetch_<type>_<lanes>_<rows>(ptr rows, i64 step, i64 count, ptr target, i64 stride)
"""

from __future__ import annotations

from flambeau.device.cpu.emit import Emitter, mask_literal, vector_type


def micro_name(kind: str, rows: int, vectors: int, lanes: int, chains: int) -> str:
    return f"micro_{kind}_{rows}_{vectors}_{lanes}_{chains}"


def turn_name(kind: str, lanes: int, rows: int) -> str:
    return f"turn_{kind}_{lanes}_{rows}"


def fetch_name(kind: str, lanes: int, rows: int) -> str:
    return f"fetch_{kind}_{lanes}_{rows}"


def module_text(name: str, fused: bool) -> str:
    """The module that defines the function of this name."""
    what, kind, *numbers = name.split("_")
    if what != "micro":
        lanes, count = map(int, numbers)
        return _turn(name, kind, lanes, count, fetched=what == "fetch")
    rows, vectors, lanes, chains = map(int, numbers)
    return _Micro(kind, rows, vectors, lanes, chains, fused).text(name)


class _Micro:
    def __init__(
        self, kind: str, rows: int, vectors: int, lanes: int, chains: int, fused: bool
    ) -> None:
        self.kind = kind
        self.rows = rows
        self.vectors = vectors
        self.lanes = lanes
        self.chains = chains
        self.type = vector_type(kind, lanes)
        self.bytes = 4 if kind == "float" else 8
        self.emitter = Emitter(fused)

    def text(self, name: str) -> str:
        emitter = self.emitter
        zero = "zeroinitializer" if self.lanes > 1 else "0.0"
        tiles = self.rows * self.vectors
        more = emitter.let("icmp ne i64 %more, 0")
        place, stride = "%c", "%stride"
        if self.chains > 1:  # where more is wanted, the block's sum is made elsewhere
            own = emitter.let(f"alloca {self.type}, i64 {tiles}, align 64")
            place = emitter.let(f"select i1 {more}, ptr {own}, ptr %c")
            width = self.vectors * self.lanes
            stride = emitter.let(f"select i1 {more}, i64 {width}, i64 %stride")
        chain = emitter.open_loop(0, self.chains)
        steps = [(self.type, zero)] * tiles
        loop = emitter.open_loop(chain.index, "%k", self.chains, steps)
        sums = emitter.close_loop(loop, self._step(loop.index, loop.carried))
        later = more
        if self.chains > 1:
            later = emitter.let(f"icmp ne i64 {chain.index}, 0")
        with emitter.branch(later):
            self._write(sums, place, stride, add=True)
        with emitter.branch(emitter.let(f"xor i1 {later}, true")):
            self._write(sums, place, stride, add=False)
        emitter.close_loop(chain)
        if self.chains > 1:
            with emitter.branch(more):
                self._write(self._read(place, stride), "%c", "%stride", add=True)
        lines = "\n".join(emitter.scopes[0].lines)
        arguments = "i64 %k, ptr noalias %a, ptr noalias %b, ptr noalias %c, i64 %stride, i64 %more"
        declarations = "\n".join(emitter.declarations)
        return (
            f"define void @{name}({arguments}) {{\nentry:\n{lines}\nret void\n}}\n{declarations}\n"
        )

    def _step(self, index: str, sums: list[str]) -> list[str]:
        emitter, kind = self.emitter, self.kind
        a_at = emitter.let(f"mul nsw i64 {index}, {self.rows}")
        a = emitter.let(f"getelementptr {kind}, ptr %a, i64 {a_at}")
        b_at = emitter.let(f"mul nsw i64 {index}, {self.vectors * self.lanes}")
        b = emitter.let(f"getelementptr {kind}, ptr %b, i64 {b_at}")
        columns = []
        for vector in range(self.vectors):
            place = emitter.let(f"getelementptr {kind}, ptr {b}, i64 {vector * self.lanes}")
            align = self.bytes * self.lanes
            columns.append(emitter.let(f"load {self.type}, ptr {place}, align {align}"))
        result = []
        for row in range(self.rows):
            place = emitter.let(f"getelementptr {kind}, ptr {a}, i64 {row}")
            scalar = emitter.let(f"load {kind}, ptr {place}, align {self.bytes}")
            spread = emitter.splat(kind, scalar, self.lanes)
            for vector in range(self.vectors):
                old = sums[row * self.vectors + vector]
                result.append(emitter.fma(kind, self.lanes, spread, columns[vector], old))
        return result

    def _places(self, base: str, stride: str) -> list[str]:
        """Where the vectors of a tile lie, row by row."""
        emitter, found = self.emitter, []
        for row in range(self.rows):
            start = emitter.let(f"mul nsw i64 {stride}, {row}")
            line = emitter.let(f"getelementptr {self.kind}, ptr {base}, i64 {start}")
            steps = range(0, self.vectors * self.lanes, self.lanes)
            found += [emitter.element(self.kind, line, step) for step in steps]
        return found

    def _read(self, base: str, stride: str) -> list[str]:
        read = f"load {self.type}, ptr %s, align {self.bytes}"
        return [self.emitter.let(read % place) for place in self._places(base, stride)]

    def _write(self, sums: list[str], base: str, stride: str, add: bool) -> None:
        emitter = self.emitter
        for total, place in zip(sums, self._places(base, stride), strict=True):
            if add:
                old = emitter.let(f"load {self.type}, ptr {place}, align {self.bytes}")
                total = emitter.let(f"fadd {self.type} {old}, {total}")
            emitter.line(f"store {self.type} {total}, ptr {place}, align {self.bytes}")


def _turn(name: str, kind: str, lanes: int, rows: int, fetched: bool) -> str:
    emitter = Emitter(fused=False)
    turned = transpose(emitter, kind, lanes, rows, fetched)
    kept = ", ".join(f"i32 {lane}" for lane in range(rows))
    whole = f"<{lanes} x {kind}>"
    size = 4 if kind == "float" else 8
    masked = lanes * size == 64  # such registers have masks; others store piece by piece
    for step, row in enumerate(turned):
        at = emitter.let(f"mul nsw i64 %stride, {step}")
        place = emitter.let(f"getelementptr {kind}, ptr %target, i64 {at}")
        if rows < lanes and masked:
            mask = mask_literal(lane < rows for lane in range(lanes))
            emitter.masked_store(kind, lanes, row, place, mask, size)
            continue
        if rows < lanes:
            row = emitter.let(
                f"shufflevector {whole} {row}, {whole} poison, <{rows} x i32> <{kept}>"
            )
        emitter.line(f"store <{rows} x {kind}> {row}, ptr {place}, align 4")
    lines = "\n".join(emitter.scopes[0].lines)
    declarations = "\n".join(emitter.declarations)
    source = "ptr noalias %square" + (", i64 %step, i64 %count" if fetched else "")
    arguments = f"{source}, ptr noalias %target, i64 %stride"
    return f"define void @{name}({arguments}) {{\nentry:\n{lines}\nret void\n}}\n{declarations}\n"


def transpose(emitter: Emitter, kind: str, lanes: int, rows: int, fetched: bool) -> list[str]:
    """Load a square of lanes × lanes elements (its first `rows` rows count) and turn it."""
    whole = f"<{lanes} x {kind}>"
    names = []
    for row in range(lanes):
        if row >= rows:
            names.append("poison")
            continue
        at, align = str(row * lanes), 64
        if fetched:
            last = emitter.minus("%count", 1)
            at = emitter.let(f"mul nsw i64 {emitter.least(row, last)}, %step")
            align = 4
        place = emitter.let(f"getelementptr {kind}, ptr %square, i64 {at}")
        names.append(emitter.let(f"load {whole}, ptr {place}, align {align}"))
    return transposed(emitter, kind, names)


def transposed(emitter: Emitter, kind: str, names: list[str]) -> list[str]:
    """A square of vectors, transposed: at first small squares within 16 bytes, whose rounds are one
    instruction each, then these."""
    lanes, size = len(names), 16 // (4 if kind == "float" else 8)
    if lanes <= size:
        return turned(emitter, kind, names)
    parts = range(0, lanes, size)
    small = [turned(emitter, kind, names[n : n + size], lanes // size) for n in parts]
    columns = [
        gathered(emitter, kind, list(each), lanes, size) for each in zip(*small, strict=True)
    ]
    return [each for together in zip(*columns, strict=True) for each in together]


def gathered(emitter: Emitter, kind: str, names: list[str], lanes: int, size: int) -> list[str]:
    """As many vectors as one has stretches of `size` elements: the first stretches of all, one
    beside the other, then the second ones …"""
    if len(names) == 1:
        return names
    evens = [n for n in range(2 * lanes) if n // size % 2 == 0]
    orders = [", ".join(f"i32 {n + more}" for n in evens) for more in (0, size)]
    whole = f"<{lanes} x {kind}>"
    halves = [
        [
            emitter.let(f"shufflevector {whole} {x}, {whole} {y}, <{lanes} x i32> <{order}>")
            for x, y in zip(names[::2], names[1::2], strict=True)
        ]
        for order in orders
    ]
    even, odd = [gathered(emitter, kind, each, lanes, size) for each in halves]
    return [each for both in zip(even, odd, strict=True) for each in both]


def turned(emitter: Emitter, kind: str, names: list[str], blocks: int = 1) -> list[str]:
    """A square of vectors, transposed: log2(side) rounds, of which each interleaves row i with
    row i + side/2. With more blocks each vector holds so many rows, of as many squares."""
    side = len(names)
    lanes, half = side * blocks, side // 2
    whole = f"<{lanes} x {kind}>"
    low = [n // side * side + n % side // 2 + (lanes if n % 2 else 0) for n in range(lanes)]
    orders = [", ".join(f"i32 {n + more}" for n in low) for more in (0, half)]
    for _ in range(side.bit_length() - 1):
        names = [
            emitter.let(
                f"shufflevector {whole} {names[row]}, {whole} {names[row + half]}, "
                f"<{lanes} x i32> <{order}>"
            )
            for row in range(half)
            for order in orders
        ]
    return names
