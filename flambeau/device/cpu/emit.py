"""LLVM IR as text, written in nested scopes.

A Scope is a stretch of code that is still open: while a loop's body is being written, the scopes
around it can still take lines, and those come before the loop. So whatever does not change in a
loop is written where it belongs at once, and no pass has to move it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType

INDEX = dtypes.int64

REGISTER_TYPES = {
    "bool": "i1",
    "uint8": "i8",
    "int8": "i8",
    "int16": "i16",
    "int32": "i32",
    "uint32": "i32",
    "int64": "i64",
    "float16": "float",
    "bfloat16": "float",
    "float32": "float",
    "float64": "double",
}
"""How a value of a dtype is held while it is computed with: 16-bit floats are held as float."""

MEMORY_TYPES = {**REGISTER_TYPES, "bool": "i8", "float16": "half", "bfloat16": "i16"}
"""How an element of a dtype lies in memory."""


class Operand:
    """A computed value: `lanes` is 1 (the same for all lanes) or the width of the vector scope.

    With `offsets` the value is an int64, in each lane the scalar `name` and that lane's offset;
    otherwise `name` is a scalar or a vector, as `lanes` says.
    """

    __slots__ = ("dtype", "lanes", "name", "offsets")

    def __init__(
        self, name: str, dtype: DType, lanes: int = 1, offsets: tuple[int, ...] | None = None
    ) -> None:
        self.name = name
        self.dtype = dtype
        self.lanes = lanes
        self.offsets = offsets

    @property
    def constant(self) -> bool:
        return not self.name.startswith("%") and self.offsets is None


def counting(name: str, lanes: int) -> Operand:
    """An index that counts from lane to lane."""
    return Operand(name, INDEX, lanes, tuple(range(lanes)))


def vector_literal(kind: str, values: Iterable[int]) -> str:
    """A vector of integers, as LLVM writes it."""
    return "<" + ", ".join(f"{kind} {each}" for each in values) + ">"


def mask_literal(lanes: Iterable[bool]) -> str:
    """A mask that is known: one bit for each lane."""
    return "<" + ", ".join("i1 true" if each else "i1 false" for each in lanes) + ">"


def known_lanes(mask: str | None, lanes: int) -> list[bool] | None:
    """Which lanes a mask leaves; None where that is not known."""
    if mask is None:
        return [True] * lanes
    if not mask.startswith("<"):
        return None
    return [each.endswith("true") for each in mask.strip("<>").split(", ")]


class Scope:
    """Code that is still being written, what is defined in it, and what it has computed."""

    __slots__ = ("addresses", "defined", "lanes", "lines", "mask", "memo")

    def __init__(self, lanes: int, mask: str | None) -> None:
        self.lines: list[str] = []
        self.defined: dict[Any, Operand] = {}
        self.memo: dict[Any, Operand] = {}
        self.addresses: dict[Any, Any] = {}
        self.lanes = lanes
        self.mask = mask


class OpenLoop:
    """A loop whose body is being written."""

    __slots__ = ("carried", "high", "index", "inits", "label", "low", "scope", "step", "types")

    def __init__(self, label: str, low: str | int, high: str | int, step: str | int) -> None:
        self.label = label
        self.low = low
        self.high = high
        self.step = step
        self.index = f"%i{label}"
        self.types: list[str] = []
        self.inits: list[str] = []
        self.carried: list[str] = []


def vector_type(scalar: str, lanes: int) -> str:
    return scalar if lanes == 1 else f"<{lanes} x {scalar}>"


def literal(value: Any, dtype: DType) -> str:
    """A constant of a dtype's register type, as LLVM writes it."""
    kind = REGISTER_TYPES[dtype.name]
    if kind == "i1":
        return "true" if value else "false"
    if kind == "float":
        return float_literal(round_to(float(value), dtype))
    if kind == "double":
        return float_literal(float(value))
    bits = 8 * dtype.itemsize
    wrapped = int(value) & ((1 << bits) - 1)
    return str(wrapped - (1 << bits) if wrapped >> (bits - 1) else wrapped)


def round_to(value: float, dtype: DType) -> float:
    """`value` rounded to a floating dtype, with overflow to infinity."""
    import numpy

    with numpy.errstate(over="ignore"):
        return float(numpy.asarray(value).astype(dtype.numpy))


def float_literal(value: float) -> str:
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


class Emitter:
    """Writes one function: numbering, scopes, loops, branches, declarations."""

    def __init__(self, fused: bool, native_half: bool = True, scales: bool = False) -> None:
        self.fused = fused  # these are as in target.py
        self.native_half = native_half
        self.scales = scales
        self.scopes: list[Scope] = [Scope(1, None)]
        self.declarations: dict[str, None] = {}
        self._count = 0

    # names and lines

    def fresh(self) -> str:
        self._count += 1
        return f"%v{self._count}"

    def number(self) -> str:
        self._count += 1
        return str(self._count)

    def line(self, text: str) -> None:
        self.scopes[-1].lines.append(text)

    def let(self, text: str) -> str:
        """Write `%new = text`; returns the new name."""
        name = self.fresh()
        self.scopes[-1].lines.append(f"{name} = {text}")
        return name

    def call(self, function: str, result: str, arguments: Sequence[tuple[str, str]]) -> str:
        """Call an intrinsic or an external function, declaring it."""
        kinds = ", ".join(kind for kind, _ in arguments)
        self.declarations[f"declare {result} @{function}({kinds})"] = None
        given = ", ".join(f"{kind} {name}" for kind, name in arguments)
        if result == "void":
            self.line(f"call void @{function}({given})")
            return ""
        return self.let(f"call {result} @{function}({given})")

    @property
    def lanes(self) -> int:
        return self.scopes[-1].lanes

    @property
    def mask(self) -> str | None:
        return self.scopes[-1].mask

    # index arithmetic on names and numbers

    def plus(self, x: str | int, y: str | int) -> str:
        if x in ("0", 0):
            return str(y)
        if y in ("0", 0):
            return str(x)
        if not str(x).startswith("%") and not str(y).startswith("%"):
            return str(int(x) + int(y))
        return self.let(f"add nsw i64 {x}, {y}")

    def minus(self, x: str | int, y: str | int) -> str:
        return str(x) if y in ("0", 0) else self.let(f"sub nsw i64 {x}, {y}")

    def times(self, x: str | int, by: int) -> str:
        if x in ("0", 0) or by == 1:
            return str(x)
        if not str(x).startswith("%"):
            return str(int(x) * by)
        return self.let(f"mul nsw i64 {x}, {by}")

    def part(self, x: str, count: int) -> str:
        """x modulo count, for x ≥ 0."""
        return "0" if count == 1 or x == "0" else self.let(f"urem i64 {x}, {count}")

    def rest(self, x: str, count: int) -> str:
        """x divided by count, for x ≥ 0."""
        return x if count == 1 or x == "0" else self.let(f"udiv i64 {x}, {count}")

    def least(self, x: str | int, y: str | int) -> str:
        return self.call("llvm.smin.i64", "i64", [("i64", str(x)), ("i64", str(y))])

    def element(self, kind: str, base: str, at: str | int) -> str:
        """The address of an element of an array."""
        return self.let(f"getelementptr {kind}, ptr {base}, i64 {at}")

    def masked_store(
        self, kind: str, lanes: int, name: str, place: str, mask: str, alignment: int
    ) -> None:
        """Store the lanes of a vector for which `mask` holds."""
        arguments = [(f"<{lanes} x {kind}>", name), ("ptr", place), ("i32", str(alignment))]
        name = f"llvm.masked.store.v{lanes}{suffix_of(kind, 1)}.p0"
        self.call(name, "void", [*arguments, (f"<{lanes} x i1>", mask)])

    # scopes

    @contextmanager
    def at(self, level: int) -> Iterator[None]:
        """Write into an outer scope for a while."""
        whole = self.scopes
        if level == len(whole) - 1:
            yield
            return
        self.scopes = whole[: level + 1]
        try:
            yield
        finally:
            self.scopes = whole

    def push(self, lanes: int | None = None, mask: str | None = None) -> Scope:
        """Open a scope; without `lanes` it is as wide, and masked as, the scope around it."""
        if lanes is None:
            lanes, mask = self.lanes, self.mask
        scope = Scope(lanes, mask)
        self.scopes.append(scope)
        return scope

    def pop(self) -> None:
        """Close a scope that is no loop: its lines follow those of the scope around it."""
        scope = self.scopes.pop()
        self.scopes[-1].lines.extend(scope.lines)

    def open_loop(
        self,
        low: str | int,
        high: str | int,
        step: str | int = 1,
        carried: Sequence[tuple[str, str]] = (),
        lanes: int | None = None,
        mask: str | None = None,
    ) -> OpenLoop:
        """A loop from low to high; `carried` are (type, first value). Between two ints the caller
        knows that there is something to do."""
        loop = OpenLoop(self.number(), low, high, step)
        for kind, init in carried:
            loop.types.append(kind)
            loop.inits.append(init)
            loop.carried.append(self.fresh())
        self.push(lanes, mask)
        return loop

    def close_loop(self, loop: OpenLoop, updated: Sequence[str] = ()) -> list[str]:
        """End a loop's body; returns the names of what it carried, as they are after it."""
        body = self.scopes.pop().lines
        label = loop.label
        guarded = not (isinstance(loop.low, int) and isinstance(loop.high, int))
        out = self.scopes[-1].lines
        if guarded:
            test = f"%g{label}"
            out.append(f"{test} = icmp slt i64 {loop.low}, {loop.high}")
            out.append(f"br label %before{label}\nbefore{label}:")
            out.append(f"br i1 {test}, label %loop{label}, label %exit{label}")
        else:
            out.append(f"br label %before{label}\nbefore{label}:\nbr label %loop{label}")
        out.append(f"loop{label}:")
        head = f"%before{label}"
        latch = f"%latch{label}"
        out.append(f"{loop.index} = phi i64 [ {loop.low}, {head} ], [ %n{label}, {latch} ]")
        for kind, init, name, after in zip(
            loop.types, loop.inits, loop.carried, updated, strict=True
        ):
            out.append(f"{name} = phi {kind} [ {init}, {head} ], [ {after}, {latch} ]")
        out.extend(body)
        out.append(f"br label {latch}\nlatch{label}:")
        out.append(f"%n{label} = add nsw i64 {loop.index}, {loop.step}")
        out.append(f"%c{label} = icmp slt i64 %n{label}, {loop.high}")
        out.append(f"br i1 %c{label}, label %loop{label}, label %exit{label}\nexit{label}:")
        if not guarded:
            return list(updated)
        results = []
        for kind, init, after in zip(loop.types, loop.inits, updated, strict=True):
            results.append(self.let(f"phi {kind} [ {init}, {head} ], [ {after}, {latch} ]"))
        return results

    @contextmanager
    def branch(self, condition: str) -> Iterator[None]:
        """Code that runs where the scalar `condition` holds."""
        label = self.number()
        self.push()
        yield
        body = self.scopes.pop().lines
        out = self.scopes[-1].lines
        out.append(f"br i1 {condition}, label %then{label}, label %end{label}\nthen{label}:")
        out.extend(body)
        out.append(f"br label %end{label}\nend{label}:")

    # operands

    def typed(self, x: Operand) -> str:
        """The LLVM type of an operand's name."""
        return vector_type(REGISTER_TYPES[x.dtype.name], 1 if x.offsets else x.lanes)

    def spread(self, x: Operand, lanes: int) -> str:
        """The operand as a vector of `lanes` (as a scalar where lanes is 1)."""
        kind = REGISTER_TYPES[x.dtype.name]
        if lanes == 1 or (x.lanes == lanes and x.offsets is None):
            return x.name
        return self.splat(kind, x.name, lanes) if x.offsets is None else self.laid_out(x, "i64")

    def laid_out(self, x: Operand, kind: str, name: str | None = None) -> str:
        """An operand with offsets as a vector; `name` is its scalar as a value of type `kind`."""
        assert x.offsets is not None
        name = x.name if name is None else name
        if not name.startswith("%"):
            return vector_literal(kind, [int(name) + each for each in x.offsets])
        base = self.splat(kind, name, x.lanes)
        return self.let(f"add <{x.lanes} x {kind}> {base}, {vector_literal(kind, x.offsets)}")

    def splat(self, kind: str, name: str, lanes: int) -> str:
        """A scalar in every lane."""
        if lanes == 1:
            return name
        if not name.startswith("%"):
            return f"splat ({kind} {name})"
        whole = f"<{lanes} x {kind}>"
        first = self.let(f"insertelement {whole} poison, {kind} {name}, i64 0")
        return self.let(
            f"shufflevector {whole} {first}, {whole} poison, <{lanes} x i32> zeroinitializer"
        )

    def fma(self, kind: str, lanes: int, x: str, y: str, z: str) -> str:
        """x·y + z: fused where the target can, else rounded twice."""
        whole = vector_type(kind, lanes)
        if not self.fused:
            product = self.let(f"fmul {whole} {x}, {y}")
            return self.let(f"fadd {whole} {product}, {z}")
        suffix = (
            ("f32" if kind == "float" else "f64")
            if lanes == 1
            else (f"v{lanes}f32" if kind == "float" else f"v{lanes}f64")
        )
        return self.call(f"llvm.fma.{suffix}", whole, [(whole, x), (whole, y), (whole, z)])


def suffix_of(kind: str, lanes: int) -> str:
    """How an intrinsic's name ends for a type: f32, v16f32, i64, …"""
    short = {"float": "f32", "double": "f64", "half": "f16"}.get(kind, kind)
    return short if lanes == 1 else f"v{lanes}{short}"


ENTRY = "ptr %buffers, ptr %scalars, i64 %begin, i64 %end, ptr %error, ptr %scratch"
"""The arguments of every kernel's function."""


@dataclass(frozen=True)
class Stage:
    """One function of a kernel's code: all of its items are done before the next stage starts."""

    symbol: str
    items: int
    cost: float  # estimated, of all items, in vector instructions
    pieces: int = 8  # that a thread's range is cut into, at most: some ranges begin with more work


@dataclass(frozen=True)
class Rendered:
    """One kernel's code and how to run it."""

    text: str
    stages: tuple[Stage, ...]
    scratch: int = 0  # bytes for each thread
    shared: int = 0  # bytes for all threads; their address comes behind the buffers'
    imports: tuple[str, ...] = ()  # functions of micro.py that it calls
