"""Loads and stores: addresses computed scope by scope, and the best instructions for each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from math import gcd
from typing import NamedTuple

from flambeau.device.cpu import convert, elementwise
from flambeau.device.cpu.emit import (
    INDEX,
    Emitter,
    Operand,
    known_lanes,
    mask_literal,
    suffix_of,
    vector_literal,
)
from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType
from flambeau.kernel.ir import Axis, Value, linear_terms

LINE = 64
"""Bytes of a cache line."""

NEAR = 4
"""How many times as many elements as there are lanes are read at once, at most."""


class Address(NamedTuple):
    """element = base + offsets[lane] + others[lane]: `offsets` are known (None: all 0), `others` a
    vector of i64, or None."""

    base: str
    offsets: tuple[int, ...] | None
    others: str | None
    lanes: int

    @property
    def scalar(self) -> bool:
        """Whether all lanes are at one element."""
        return self.offsets is None and self.others is None

    def step(self, mask: str | None) -> int | None:
        """By how much the address grows from lane to lane, of those that a mask leaves; None where
        not by equal steps."""
        if self.others is not None or self.offsets is None:
            return None
        known = known_lanes(mask, self.lanes) or [True] * self.lanes
        first = self.offsets[1] - self.offsets[0]
        lanes = zip(self.offsets, known, strict=True)
        even = all(
            each == first * lane for lane, (each, counts) in enumerate(lanes) if counts or lane < 2
        )
        return first if even else None


Terms = tuple[int, list[tuple[Value, int]]]


def flattened(
    terms: list[tuple[Value, int]], axes: tuple[Axis, ...], whole: Value
) -> list[tuple[Value, int]]:
    """Terms with `whole` in the place of axes that they have in its proportions."""
    factors = {atom.payload: factor for atom, factor in terms if atom.op == "axis"}
    step = inner = factors.get(axes[-1], 0)
    for axis in reversed(axes):
        if axis.extent > 1 and factors.get(axis) != inner:
            return terms
        inner *= axis.extent
    if not step:
        return terms
    rest = [each for each in terms if each[0].op != "axis" or each[0].payload not in axes]
    return [*rest, (whole, step)]


class Access(ABC):
    """Reads and writes buffers; Values (values.py) computes what is read and written."""

    def __init__(self, emitter: Emitter) -> None:
        self.emitter = emitter
        self._terms: dict[Value, Terms] = {}
        self._flat: tuple[tuple[Axis, ...], Value] | None = None
        self.streamed: frozenset[int] = frozenset()  # buffers to write past the caches
        self.streams = False  # whether a store did
        self.multiples: dict[Axis, int] = {}  # what an axis in lanes starts at is a multiple of

    @abstractmethod
    def value(self, value: Value) -> Operand:
        """The operand of a value."""

    @abstractmethod
    def level(self, value: Value) -> int:
        """The number of the outermost scope in which a value can be computed."""

    def terms(self, index: Value) -> Terms:
        """See linear_terms."""
        found = self._terms.get(index)
        if found is None:
            found = linear_terms(index)
            if self._flat is not None:
                found = found[0], flattened(found[1], *self._flat)
            self._terms[index] = found
        return found

    @contextmanager
    def flat(self, axes: tuple[Axis, ...], whole: Axis) -> Iterator[None]:
        """While this is open, addresses know axes that lie in memory as one by `whole`, their
        row-major position."""
        self._flat, before = (axes, Value("axis", (), INDEX, whole)), self._terms
        self._terms = {}
        yield
        self._flat, self._terms = None, before

    # lanes

    def active(self, condition: str, lanes: int) -> str:
        """A vector condition, in the lanes that count; a scalar one as it is."""
        mask = self.emitter.mask
        if lanes == 1 or mask is None:
            return condition
        return self.emitter.let(f"and <{lanes} x i1> {condition}, {mask}")

    def any(self, condition: str, lanes: int) -> str:
        if lanes == 1:
            return condition
        return self.emitter.call(
            f"llvm.vector.reduce.or.v{lanes}i1", "i1", [(f"<{lanes} x i1>", condition)]
        )

    # addresses

    def address(self, index: Value) -> Address:
        """Where an index points, computed scope by scope so that each part is computed once."""
        constant, terms = self.terms(index)
        for atom, _ in terms:
            self.value(atom)
        levels: dict[int, list[tuple[Operand, int]]] = {}
        top = 0
        for atom, factor in terms:
            operand = self.value(atom)
            level = self.level(atom)
            top = max(top, level)
            levels.setdefault(level, []).append((operand, factor))
        scopes = self.emitter.scopes
        found = scopes[top].addresses.get(index)
        if found is not None:
            return found
        total = Address(str(constant), None, None, 1)
        for level in sorted(levels):
            with self.emitter.at(level):
                total = self._add_terms(total, levels[level])
        scopes[top].addresses[index] = total
        return total

    def _add_terms(self, total: Address, terms: list[tuple[Operand, int]]) -> Address:
        emitter = self.emitter
        base, offsets, others, lanes = total
        for operand, factor in terms:
            lanes = max(lanes, operand.lanes)
            if operand.lanes == 1 or operand.offsets:
                base = emitter.plus(base, emitter.times(operand.name, factor))
                if operand.offsets:
                    before = offsets or (0,) * lanes
                    pairs = zip(before, operand.offsets, strict=True)
                    offsets = tuple([first + each * factor for first, each in pairs])
            else:
                kind = f"<{lanes} x i64>"
                part = operand.name
                if factor != 1:
                    part = emitter.let(f"mul nsw {kind} {part}, splat (i64 {factor})")
                if others is not None:
                    part = emitter.let(f"add nsw {kind} {others}, {part}")
                others = part
        return Address(base, offsets if any(offsets or ()) else None, others, lanes)

    def pointer(self, buffer: int, dtype: DType, base: str) -> str:
        kind = convert.access_type(dtype)
        return self.emitter.let(f"getelementptr {kind}, ptr %b{buffer}, i64 {base}")

    def pointers(self, buffer: int, dtype: DType, address: Address, lanes: int) -> str:
        """A vector of pointers, one a lane."""
        emitter = self.emitter
        first = self.pointer(buffer, dtype, address.base)
        kind = convert.access_type(dtype)
        places = address.others
        if address.offsets is not None:
            known = vector_literal("i64", address.offsets)
            places = (
                known if places is None else emitter.let(f"add <{lanes} x i64> {places}, {known}")
            )
        return emitter.let(f"getelementptr {kind}, ptr {first}, <{lanes} x i64> {places}")

    # loads

    def load(self, value: Value) -> Operand:
        address = self.address(value.args[0])
        valid = self.value(value.args[1]) if len(value.args) > 1 else None
        if valid is not None and valid.name == "true":
            valid = None
        dtype, buffer = value.dtype, int(value.payload)
        lanes = max(address.lanes, 1 if valid is None else valid.lanes)
        if address.scalar:
            return self._load_scalar(buffer, dtype, address.base, valid)
        step = address.step(self.emitter.mask)
        stepping = step in (2, 3, 4) and dtype.itemsize >= 4
        mask = self._inside(value, valid, lanes, step if stepping and step else 1)
        if step == 1:
            raw = self._load_run(buffer, dtype, address.base, lanes, mask)
        elif stepping and step:
            raw = self._load_stepping(buffer, dtype, address.base, step, lanes, mask)
        else:
            near = self._load_near(buffer, dtype, address, lanes, mask)
            raw = near or self._gathered(buffer, dtype, address, lanes, mask)
        return Operand(convert.from_memory(self.emitter, raw, dtype, lanes), dtype, lanes)

    def _inside(self, value: Value, valid: Operand | None, lanes: int, step: int) -> str | None:
        """The lanes in which a load reads, of a run that is `step` times as long. Made once, in the
        outermost scope in which its condition and the scope's mask are known."""
        if valid is None and self.emitter.mask is None:
            return None
        scopes = self.emitter.scopes
        level = self._masked()
        condition = None
        if valid is not None:
            condition = value.args[1]
            level = max(level, self.level(condition))
        key = ("inside", condition, lanes, step)
        found = scopes[level].memo.get(key)
        if found is None:
            with self.emitter.at(level):
                mask = self._mask(valid, lanes)
                assert mask is not None
                found = Operand(self._stretched(mask, lanes, step), dtypes.bool_, lanes * step)
            scopes[level].memo[key] = found
        return found.name

    def _stretched(self, mask: str, lanes: int, step: int) -> str:
        """A mask with `step` bits for each of its own, of which the first may count."""
        if step == 1:
            return mask
        known = known_lanes(mask, lanes)
        every = range(lanes * step)
        if known is not None:
            return mask_literal(n % step == 0 and known[n // step] for n in every)
        order = ", ".join(f"i32 {lanes if n % step else n // step}" for n in every)
        return self.emitter.let(
            f"shufflevector <{lanes} x i1> {mask}, <{lanes} x i1> zeroinitializer, "
            f"<{lanes * step} x i32> <{order}>"
        )

    def _masked(self) -> int:
        """The outermost scope that has the mask of the current one."""
        scopes = self.emitter.scopes
        level = len(scopes) - 1
        while level and scopes[level - 1].mask == scopes[level].mask:
            level -= 1
        return level

    def _mask(self, valid: Operand | None, lanes: int) -> str | None:
        """The lanes to touch: those of the scope's mask where `valid` holds."""
        if valid is None:
            return self.emitter.mask
        return self.active(self.emitter.spread(valid, lanes), lanes)

    def _load_scalar(self, buffer: int, dtype: DType, base: str, valid: Operand | None) -> Operand:
        """One element for all lanes. Where it is not valid, element 0 is read instead: every
        buffer has one, also an empty one."""
        emitter = self.emitter
        kind = convert.access_type(dtype)
        if valid is not None:
            test = self.any(self.active(valid.name, valid.lanes), valid.lanes)
            base = emitter.let(f"select i1 {test}, i64 {base}, i64 0")
        raw = emitter.let(f"load {kind}, ptr {self.pointer(buffer, dtype, base)}")
        name = convert.from_memory(emitter, raw, dtype, 1)
        if valid is None:
            return Operand(name, dtype)
        lanes = valid.lanes
        v = elementwise.Lanes(emitter, dtype, lanes)
        return Operand(
            v.select(valid.name, emitter.splat(v.kind, name, lanes), v.zero()), dtype, lanes
        )

    def _load_run(self, buffer: int, dtype: DType, base: str, lanes: int, mask: str | None) -> str:
        kind = convert.access_type(dtype)
        whole = f"<{lanes} x {kind}>"
        place = self.pointer(buffer, dtype, base)
        if mask is None:
            return self.emitter.let(f"load {whole}, ptr {place}, align {dtype.itemsize}")
        return self.emitter.call(
            f"llvm.masked.load.v{lanes}{suffix_of(kind, 1)}.p0",
            whole,
            [
                ("ptr", place),
                ("i32", str(dtype.itemsize)),
                (f"<{lanes} x i1>", mask),
                (whole, "zeroinitializer"),
            ],
        )

    def _load_stepping(
        self, buffer: int, dtype: DType, base: str, step: int, lanes: int, mask: str | None
    ) -> str:
        """Every second (third, fourth) element of a longer run, of which only those are touched;
        `mask` is that of the longer run."""
        emitter = self.emitter
        kind = convert.access_type(dtype)
        every = lanes * step
        if mask is None:
            mask = mask_literal(n % step == 0 for n in range(every))
        raw = self._load_run(buffer, dtype, base, every, mask)
        order = ", ".join(f"i32 {n * step}" for n in range(lanes))
        return emitter.let(
            f"shufflevector <{every} x {kind}> {raw}, <{every} x {kind}> poison, "
            f"<{lanes} x i32> <{order}>"
        )

    def _load_near(
        self, buffer: int, dtype: DType, address: Address, lanes: int, mask: str | None
    ) -> str | None:
        """Lanes at known places near each other: what lies between them is read and shuffled.

        None where the places are not known, are far apart, or it is not known which lanes count.
        """
        known = known_lanes(mask, lanes)
        if address.offsets is None or address.others is not None or known is None:
            return None
        offsets = [each for each, counts in zip(address.offsets, known, strict=True) if counts]
        low, span = min(offsets), max(offsets) - min(offsets) + 1
        if span > NEAR * lanes:
            return None
        emitter = self.emitter
        wide = max(2, 1 << (span - 1).bit_length())
        bits = None if span == wide else mask_literal(n < span for n in range(wide))
        base = emitter.plus(address.base, low)
        raw = self._load_run(buffer, dtype, base, wide, bits)
        whole = f"<{wide} x {convert.access_type(dtype)}>"
        pairs = zip(address.offsets, known, strict=True)
        places = [str(each - low) if counts else "poison" for each, counts in pairs]
        order = ", ".join(f"i32 {each}" for each in places)
        return emitter.let(
            f"shufflevector {whole} {raw}, {whole} poison, <{lanes} x i32> <{order}>"
        )

    def _gathered(
        self, buffer: int, dtype: DType, address: Address, lanes: int, mask: str | None
    ) -> str:
        """As _gather; where it is likely that no lane counts, that is looked at first."""
        emitter = self.emitter
        if mask is None or known_lanes(mask, lanes) is not None:
            return self._gather(buffer, dtype, address, lanes, mask)
        whole = f"<{lanes} x {convert.access_type(dtype)}>"
        some, label = self.any(mask, lanes), emitter.number()
        emitter.line(f"br label %before{label}\nbefore{label}:")
        emitter.line(f"br i1 {some}, label %then{label}, label %end{label}\nthen{label}:")
        found = self._gather(buffer, dtype, address, lanes, mask)
        emitter.line(f"br label %after{label}\nafter{label}:")
        emitter.line(f"br label %end{label}\nend{label}:")
        pairs = f"[ {found}, %after{label} ], [ zeroinitializer, %before{label} ]"
        return emitter.let(f"phi {whole} {pairs}")

    def _gather(
        self, buffer: int, dtype: DType, address: Address, lanes: int, mask: str | None
    ) -> str:
        kind = convert.access_type(dtype)
        whole = f"<{lanes} x {kind}>"
        places = self.pointers(buffer, dtype, address, lanes)
        return self.emitter.call(
            f"llvm.masked.gather.v{lanes}{suffix_of(kind, 1)}.v{lanes}p0",
            whole,
            [
                (f"<{lanes} x ptr>", places),
                ("i32", str(dtype.itemsize)),
                (f"<{lanes} x i1>", mask or "splat (i1 true)"),
                (whole, "zeroinitializer"),
            ],
        )

    # stores

    def store(
        self,
        buffer: int,
        index: Value,
        operand: Operand,
        valid: Operand | None,
        combine: str | None,
    ) -> None:
        """Write an element, or one a lane, or combine it into what is there."""
        address = self.address(index)
        dtype = operand.dtype
        lanes = max(address.lanes, operand.lanes, 1 if valid is None else valid.lanes)
        if valid is not None and valid.name == "true":
            valid = None
        if address.scalar:
            if lanes > 1:
                raise AssertionError("several lanes store into one element")
            self._store_scalar(buffer, dtype, address.base, operand, valid, combine)
            return
        past = buffer in self.streamed and self._whole_lines(index, dtype)
        if valid is not None and valid.lanes == 1:
            with self.emitter.branch(valid.name):
                self._store_lanes(buffer, address, operand, None, lanes, combine, past)
            return
        self._store_lanes(buffer, address, operand, valid, lanes, combine, past)

    def _store_lanes(
        self,
        buffer: int,
        address: Address,
        operand: Operand,
        valid: Operand | None,
        lanes: int,
        combine: str | None,
        past: bool,
    ) -> None:
        emitter, dtype = self.emitter, operand.dtype
        mask = self._mask(valid, lanes)
        name = emitter.spread(operand, lanes)
        step = address.step(emitter.mask)
        run = step == 1
        if combine is not None:
            raw = (
                self._load_run(buffer, dtype, address.base, lanes, mask)
                if run
                else self._gather(buffer, dtype, address, lanes, mask)
            )
            old = convert.from_memory(emitter, raw, dtype, lanes)
            name = self.combined(combine, dtype, lanes, old, name)
        raw = convert.to_memory(emitter, name, dtype, lanes)
        if run:
            self._store_run(buffer, dtype, address.base, lanes, mask, raw, past)
        elif step in (2, 3, 4) and dtype.itemsize >= 4:
            self._store_stepping(buffer, dtype, address.base, step, lanes, mask, raw)
        else:
            self._scatter(buffer, dtype, address, lanes, mask, raw)

    def _whole_lines(self, index: Value, dtype: DType) -> bool:
        """Whether a vector's store begins with a cache line, if the buffer does."""
        constant, terms = self.terms(index)
        apart = [constant]
        for atom, times in terms:
            apart.append(times * (self.multiples.get(atom.payload, 1) if atom.op == "axis" else 1))
        return gcd(*apart) * dtype.itemsize % LINE == 0

    def combined(self, kind: str, dtype: DType, lanes: int, x: str, y: str) -> str:
        """x `kind` y on register values; kind is add, mul or max."""
        rule = elementwise.RULES[{"add": "ADD", "mul": "MUL", "max": "MAX"}[kind]]
        return rule(elementwise.Lanes(self.emitter, dtype, lanes), x, y)

    def store_at(self, buffer: int, place: str, operand: Operand) -> None:
        """Write one element at a position that is computed already."""
        self._store_scalar(buffer, operand.dtype, place, operand, None, None)

    def _store_scalar(
        self,
        buffer: int,
        dtype: DType,
        base: str,
        operand: Operand,
        valid: Operand | None,
        combine: str | None,
    ) -> None:
        emitter = self.emitter
        if valid is not None:
            with emitter.branch(valid.name):
                self._store_scalar(buffer, dtype, base, operand, None, combine)
            return
        kind = convert.access_type(dtype)
        place = self.pointer(buffer, dtype, base)
        name = operand.name
        if combine is not None:
            raw = emitter.let(f"load {kind}, ptr {place}")
            old = convert.from_memory(emitter, raw, dtype, 1)
            name = self.combined(combine, dtype, 1, old, name)
        emitter.line(f"store {kind} {convert.to_memory(emitter, name, dtype, 1)}, ptr {place}")

    def _store_run(
        self,
        buffer: int,
        dtype: DType,
        base: str,
        lanes: int,
        mask: str | None,
        raw: str,
        past: bool,
    ) -> None:
        """Neighbouring elements; `past` the caches, where they are whole lines."""
        kind = convert.access_type(dtype)
        whole = f"<{lanes} x {kind}>"
        place = self.pointer(buffer, dtype, base)
        if mask is None and past and lanes * dtype.itemsize % LINE == 0:
            self.streams = True
            how = f"align {LINE}, !nontemporal !0"
            self.emitter.line(f"store {whole} {raw}, ptr {place}, {how}")
            return
        if mask is None:
            self.emitter.line(f"store {whole} {raw}, ptr {place}, align {dtype.itemsize}")
            return
        self.emitter.masked_store(kind, lanes, raw, place, mask, dtype.itemsize)

    def _store_stepping(
        self,
        buffer: int,
        dtype: DType,
        base: str,
        step: int,
        lanes: int,
        mask: str | None,
        raw: str,
    ) -> None:
        """Every second (third, fourth) element of a longer run; the others are not touched."""
        kind = convert.access_type(dtype)
        every = lanes * step
        order = ", ".join(f"i32 {n // step if n % step == 0 else lanes}" for n in range(every))
        apart = self.emitter.let(
            f"shufflevector <{lanes} x {kind}> {raw}, <{lanes} x {kind}> zeroinitializer, "
            f"<{every} x i32> <{order}>"
        )
        if mask is None:
            mask = mask_literal(n % step == 0 for n in range(every))
        else:
            mask = self._stretched(mask, lanes, step)
        self._store_run(buffer, dtype, base, every, mask, apart, False)

    def _scatter(
        self,
        buffer: int,
        dtype: DType,
        address: Address,
        lanes: int,
        mask: str | None,
        raw: str,
    ) -> None:
        kind = convert.access_type(dtype)
        places = self.pointers(buffer, dtype, address, lanes)
        self.emitter.call(
            f"llvm.masked.scatter.v{lanes}{suffix_of(kind, 1)}.v{lanes}p0",
            "void",
            [
                (f"<{lanes} x {kind}>", raw),
                (f"<{lanes} x ptr>", places),
                ("i32", str(dtype.itemsize)),
                (f"<{lanes} x i1>", mask or "splat (i1 true)"),
            ],
        )
