"""The micro-kernel of matrix products: one tile of registers, operands packed.

    void micro_<type>_<rows>_<vectors>_<lanes>(i64 k, ptr a, ptr b, ptr c, i64 stride, i64 more)

computes tile = Σ a[i, row] · b[i, column] for i < k, in order, with a packed as [k][rows] and b as
[k][vectors · lanes], and writes it to c (`stride` elements from row to row), or adds it to what
is there where `more` is not 0. It is compiled once and shared by all kernels.
"""

from __future__ import annotations

from flambeau.device.cpu.emit import Emitter, vector_type


def micro_name(kind: str, rows: int, vectors: int, lanes: int) -> str:
    return f"micro_{kind}_{rows}_{vectors}_{lanes}"


def micro_text(name: str, fused: bool) -> str:
    """The module that defines the micro-kernel of this name."""
    _, kind, *numbers = name.split("_")
    rows, vectors, lanes = map(int, numbers)
    return _Micro(kind, rows, vectors, lanes, fused).text(name)


class _Micro:
    def __init__(self, kind: str, rows: int, vectors: int, lanes: int, fused: bool) -> None:
        self.kind = kind
        self.rows = rows
        self.vectors = vectors
        self.lanes = lanes
        self.type = vector_type(kind, lanes)
        self.bytes = 4 if kind == "float" else 8
        self.emitter = Emitter(fused)

    def text(self, name: str) -> str:
        emitter = self.emitter
        zero = "zeroinitializer" if self.lanes > 1 else "0.0"
        tiles = self.rows * self.vectors
        loop = emitter.open_loop("0", "%k", 1, [(self.type, zero)] * tiles)
        sums = emitter.close_loop(loop, self._step(loop.index, loop.carried))
        more = emitter.let("icmp ne i64 %more, 0")
        with emitter.branch(more):
            self._write(sums, add=True)
            emitter.line("ret void\n" + f"dead{emitter.number()}:")
        self._write(sums, add=False)
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

    def _write(self, sums: list[str], add: bool) -> None:
        emitter = self.emitter
        for row in range(self.rows):
            start = emitter.let(f"mul nsw i64 %stride, {row}")
            line = emitter.let(f"getelementptr {self.kind}, ptr %c, i64 {start}")
            for vector in range(self.vectors):
                place = emitter.let(
                    f"getelementptr {self.kind}, ptr {line}, i64 {vector * self.lanes}"
                )
                total = sums[row * self.vectors + vector]
                if add:
                    old = emitter.let(f"load {self.type}, ptr {place}, align {self.bytes}")
                    total = emitter.let(f"fadd {self.type} {old}, {total}")
                emitter.line(f"store {self.type} {total}, ptr {place}, align {self.bytes}")
