"""From a kernel's Values to operands: where each is computed, index arithmetic, loads and stores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from flambeau.device.cpu import convert, elementwise
from flambeau.device.cpu.emit import (
    INDEX,
    Emitter,
    Operand,
    literal,
    suffix_of,
    vector_type,
)
from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType
from flambeau.kernel import ir
from flambeau.kernel.ir import Axis, Fold, Kernel, Value

Bounds = tuple[int, int]
_ORDERED = "ordered"  # a dependence on the order of statements: a load from a written buffer
_NARROW = (-(2**31), 2**31 - 1)


class Address(NamedTuple):
    """element = base + step·lane + offsets[lane]; the offsets are a vector of i64, or None."""

    base: str
    step: int
    offsets: str | None
    lanes: int


def bounds(value: Value) -> Bounds | None:
    """The least and greatest value that an index can take; None where not known."""
    if value.op == "const":
        return (int(value.payload), int(value.payload))
    if value.op == "axis":
        return (0, max(value.payload.extent - 1, 0))
    if value.op == "ADD":
        first, second = bounds(value.args[0]), bounds(value.args[1])
        if first is None or second is None:
            return None
        return (first[0] + second[0], first[1] + second[1])
    if value.op in ("MUL", "IDIV", "MOD") and value.args[1].op == "const":
        by = int(value.args[1].payload)
        inner = bounds(value.args[0])
        if value.op == "MOD":
            return (0, by - 1) if by > 0 else None
        if inner is None or (value.op == "IDIV" and by <= 0):
            return None
        ends = [each * by if value.op == "MUL" else each // by for each in inner]
        return (min(ends), max(ends))
    return None


def linear_terms(index: Value) -> tuple[int, list[tuple[Value, int]]]:
    """index = constant + Σ factor · atom, where no atom is a sum."""
    constant = 0
    terms: dict[Value, int] = {}
    stack = [(index, 1)]
    while stack:
        value, factor = stack.pop()
        if value.op == "const":
            constant += factor * int(value.payload)
        elif value.op == "ADD":
            stack.extend((each, factor) for each in value.args)
        elif value.op == "MUL" and value.args[1].op == "const":
            stack.append((value.args[0], factor * int(value.args[1].payload)))
        elif value.op == "NEG":
            stack.append((value.args[0], -factor))
        else:
            terms[value] = terms.get(value, 0) + factor
    return constant, [(atom, factor) for atom, factor in terms.items() if factor]


class Values:
    """Computes a kernel's Values, each once in the outermost scope that it can be computed in."""

    def __init__(self, emitter: Emitter, kernel: Kernel) -> None:
        self.emitter = emitter
        self.kernel = kernel
        self.scalars: list[Operand] = []
        self._dependencies: dict[Value, frozenset[Any]] = {}
        self._terms: dict[Value, tuple[int, list[tuple[Value, int]]]] = {}

    # where

    def dependencies(self, value: Value) -> frozenset[Any]:
        """The axes and folds that a value is made of, and _ORDERED."""
        found = self._dependencies.get(value)
        if found is not None:
            return found
        stack = [value]
        while stack:
            current = stack[-1]
            missing = [each for each in current.args if each not in self._dependencies]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            own: set[Any] = set()
            if current.op in ("axis", "result"):
                own.add(current.payload)
            elif current.op == "load" and self.kernel.buffers[current.payload].written:
                own.add(_ORDERED)
            self._dependencies[current] = frozenset(own).union(
                *(self._dependencies[each] for each in current.args)
            )
        return self._dependencies[value]

    def level(self, value: Value) -> int:
        """The number of the outermost scope in which a value can be computed."""
        scopes = self.emitter.scopes
        needed = self.dependencies(value)
        if _ORDERED in needed:
            return len(scopes) - 1
        for number in range(len(scopes) - 1, 0, -1):
            if not needed.isdisjoint(scopes[number].defined):
                return number
        return 0

    def bind(self, what: Axis | Fold, operand: Operand) -> None:
        """Define an axis or a fold's result from here on, in the current scope."""
        self.emitter.scopes[-1].defined[what] = operand

    def decode(self, axes: Sequence[Axis], item: str) -> None:
        """Bind axes to the parts of a row-major position."""
        emitter = self.emitter
        wide = [axis for axis in axes if axis.extent > 1]
        for axis in axes:
            if axis.extent <= 1:
                self.bind(axis, Operand("0", INDEX))
        for axis in reversed(wide[1:]):
            rest = emitter.let(f"urem i64 {item}, {axis.extent}")
            self.bind(axis, Operand(rest, INDEX))
            item = emitter.let(f"udiv i64 {item}, {axis.extent}")
        if wide:
            self.bind(wide[0], Operand(item, INDEX))

    def varies(self, value: Value) -> bool:
        """Whether a value differs from lane to lane (axes not bound yet do not)."""
        for each in self.dependencies(value):
            operand = self._defined(each)
            if operand is not None and operand.lanes > 1:
                return True
        return False

    def _defined(self, what: Any) -> Operand | None:
        for scope in reversed(self.emitter.scopes):
            found = scope.defined.get(what)
            if found is not None:
                return found
        return None

    # values

    def _find(self, value: Value) -> Operand | None:
        if value.op == "const":
            return Operand(literal(value.payload, value.dtype), value.dtype)
        if value.op == "scalar":
            return self.scalars[value.payload]
        if value.op in ("axis", "result"):
            found = self._defined(value.payload)
            if found is None:
                raise AssertionError(f"{value.op} is used outside of its loop")
            return found
        for scope in reversed(self.emitter.scopes):
            operand = scope.memo.get(value)
            if operand is not None:
                return operand
        return None

    def value(self, value: Value) -> Operand:
        """The operand of a value, computed where that was not done yet."""
        found = self._find(value)
        if found is not None:
            return found
        stack = [value]
        while stack:
            current = stack[-1]
            if self._find(current) is not None:
                stack.pop()
                continue
            missing = [each for each in self._needed(current) if self._find(each) is None]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            level = self.level(current)
            with self.emitter.at(level):
                self.emitter.scopes[level].memo[current] = self._compute(current)
        found = self._find(value)
        assert found is not None
        return found

    def _needed(self, value: Value) -> list[Value]:
        if value.op != "load":
            return list(value.args)
        return [atom for atom, _ in self._linear(value.args[0])[1]] + list(value.args[1:])

    def _linear(self, index: Value) -> tuple[int, list[tuple[Value, int]]]:
        found = self._terms.get(index)
        if found is None:
            found = self._terms[index] = linear_terms(index)
        return found

    def _compute(self, value: Value) -> Operand:
        if value.op == "load":
            return self._load(value)
        args = [self._find(each) for each in value.args]
        operands = [each for each in args if each is not None]
        if value.op == "CAST":
            return convert.cast(self.emitter, operands[0], value.dtype)
        if value.op == "BITCAST":
            return convert.bitcast(self.emitter, operands[0], value.dtype)
        if value.op in ("IDIV", "MOD") and not value.dtype.is_floating_point:
            return self._integer_division(value, operands)
        if value.op in ("LT", "EQ"):
            return self._comparison(value, operands)
        return elementwise.apply(self.emitter, value.op, operands)

    # integers

    def _narrow(self, operand: Operand, lanes: int) -> str:
        """An int64 index that fits 32 bits, as a vector of i32."""
        if operand.constant:
            return f"splat (i32 {operand.name})"
        if operand.lanes > 1 and not operand.step:
            return self.emitter.let(f"trunc <{lanes} x i64> {operand.name} to <{lanes} x i32>")
        base = self.emitter.let(f"trunc i64 {operand.name} to i32")
        whole = self.emitter.splat("i32", base, lanes)
        if not operand.step:
            return whole
        steps = ", ".join(f"i32 {operand.step * lane}" for lane in range(lanes))
        return self.emitter.let(f"add <{lanes} x i32> {whole}, <{steps}>")

    def _fits(self, *values: Value) -> bool:
        for each in values:
            found = bounds(each)
            if found is None or found[0] < _NARROW[0] or found[1] > _NARROW[1]:
                return False
        return True

    def _comparison(self, value: Value, operands: list[Operand]) -> Operand:
        lanes = max(each.lanes for each in operands)
        index = operands[0].dtype is INDEX
        if lanes == 1 or not index or not self._fits(*value.args):
            return elementwise.apply(self.emitter, value.op, operands)
        x, y = (self._narrow(each, lanes) for each in operands)
        how = "slt" if value.op == "LT" else "eq"
        return Operand(
            self.emitter.let(f"icmp {how} <{lanes} x i32> {x}, {y}"), dtypes.bool_, lanes
        )

    def _integer_division(self, value: Value, operands: list[Operand]) -> Operand:
        """⌊x / y⌋ or x mod y; by zero records DIVISION_BY_ZERO and goes on with y = 1."""
        x, y = operands
        emitter = self.emitter
        lanes = max(x.lanes, y.lanes)
        quotient = value.op == "IDIV"
        dtype = value.dtype
        if y.constant and y.lanes == 1 and int(y.name) > 0:
            reach = bounds(value.args[0]) if dtype is INDEX else None
            if reach is not None and reach[0] >= 0:
                how = "udiv" if quotient else "urem"
                return self._unsigned(how, x, int(y.name), lanes, reach[1])
        v = elementwise.Lanes(emitter, dtype, lanes)
        first, second = emitter.spread(x, lanes), emitter.spread(y, lanes)
        if not (y.constant and y.lanes == 1 and int(y.name) != 0):
            zero = v.op("icmp eq", second, v.zero())
            self.record_error(Operand(zero, dtypes.bool_, lanes), ir.DIVISION_BY_ZERO, None)
            second = v.select(zero, v.of(1), second)
        return Operand(elementwise.floor_divide(v, first, second, quotient), dtype, lanes)

    def _unsigned(self, how: str, x: Operand, by: int, lanes: int, most: int) -> Operand:
        emitter = self.emitter
        if lanes > 1 and most <= _NARROW[1]:
            narrow = self._narrow(x, lanes)
            small = emitter.let(f"{how} <{lanes} x i32> {narrow}, splat (i32 {by})")
            return Operand(
                emitter.let(f"zext <{lanes} x i32> {small} to <{lanes} x i64>"), INDEX, lanes
            )
        name = emitter.spread(x, lanes)
        kind = vector_type("i64", lanes)
        factor = str(by) if lanes == 1 else f"splat (i64 {by})"
        return Operand(emitter.let(f"{how} {kind} {name}, {factor}"), INDEX, lanes)

    # errors

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

    def record_error(self, failed: Operand, code: int, detail: Operand | None) -> None:
        """Record the code, and the first failing lane's detail, where nothing is recorded yet."""
        emitter = self.emitter
        condition = self.active(emitter.spread(failed, failed.lanes), failed.lanes)
        with emitter.branch(self.any(condition, failed.lanes)):
            old = emitter.let("load i64, ptr %error")
            fresh = emitter.let(f"icmp eq i64 {old}, 0")
            with emitter.branch(fresh):
                emitter.line(f"store i64 {code}, ptr %error")
                name = "0" if detail is None else self._first(condition, failed.lanes, detail)
                place = emitter.let("getelementptr i64, ptr %error, i64 1")
                emitter.line(f"store i64 {name}, ptr {place}")

    def _first(self, condition: str, lanes: int, detail: Operand) -> str:
        if lanes == 1 or (detail.lanes == 1 and not detail.step):
            return detail.name
        emitter = self.emitter
        bits = emitter.let(f"bitcast <{lanes} x i1> {condition} to i{lanes}")
        lane = emitter.call(
            f"llvm.cttz.i{lanes}", f"i{lanes}", [(f"i{lanes}", bits), ("i1", "false")]
        )
        return emitter.let(
            f"extractelement <{lanes} x i64> {emitter.spread(detail, lanes)}, i{lanes} {lane}"
        )

    # addresses

    def address(self, index: Value) -> Address:
        """Where an index points, computed scope by scope so that each part is computed once."""
        constant, terms = self._linear(index)
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
        total = Address(str(constant), 0, None, 1)
        for level in sorted(levels):
            with self.emitter.at(level):
                total = self._add_terms(total, levels[level])
        scopes[top].addresses[index] = total
        return total

    def _add_terms(self, total: Address, terms: list[tuple[Operand, int]]) -> Address:
        emitter = self.emitter
        base, step, offsets, lanes = total
        for operand, factor in terms:
            lanes = max(lanes, operand.lanes)
            if operand.lanes == 1 or operand.step:
                part = operand.name
                if factor != 1:
                    part = emitter.let(f"mul nsw i64 {part}, {factor}")
                base = part if base == "0" else emitter.let(f"add nsw i64 {base}, {part}")
                step += operand.step * factor
            else:
                kind = f"<{lanes} x i64>"
                part = operand.name
                if factor != 1:
                    part = emitter.let(f"mul nsw {kind} {part}, splat (i64 {factor})")
                offsets = (
                    part if offsets is None else emitter.let(f"add nsw {kind} {offsets}, {part}")
                )
        return Address(base, step, offsets, lanes)

    def pointer(self, buffer: int, dtype: DType, base: str) -> str:
        kind = convert.access_type(dtype)
        return self.emitter.let(f"getelementptr {kind}, ptr %b{buffer}, i64 {base}")

    def pointers(self, buffer: int, dtype: DType, address: Address, lanes: int) -> str:
        """A vector of pointers, one a lane."""
        emitter = self.emitter
        first = self.pointer(buffer, dtype, address.base)
        kind = convert.access_type(dtype)
        offsets = address.offsets
        if address.step or offsets is None:
            steps = ", ".join(f"i64 {address.step * lane}" for lane in range(lanes))
            offsets = (
                f"<{steps}>"
                if offsets is None
                else emitter.let(f"add <{lanes} x i64> {offsets}, <{steps}>")
            )
        return emitter.let(f"getelementptr {kind}, ptr {first}, <{lanes} x i64> {offsets}")

    # loads

    def _load(self, value: Value) -> Operand:
        address = self.address(value.args[0])
        valid = self.value(value.args[1]) if len(value.args) > 1 else None
        if valid is not None and valid.name == "true":
            valid = None
        dtype, buffer = value.dtype, int(value.payload)
        lanes = max(address.lanes, 1 if valid is None else valid.lanes)
        if not address.step and address.offsets is None:
            return self._load_scalar(buffer, dtype, address.base, valid)
        mask = self._mask(valid, lanes)
        kind = convert.access_type(dtype)
        whole = f"<{lanes} x {kind}>"
        if address.step == 1 and address.offsets is None:
            raw = self._load_run(buffer, dtype, address.base, lanes, mask)
        elif address.step == -1 and address.offsets is None and mask is None:
            start = self.emitter.let(f"sub nsw i64 {address.base}, {lanes - 1}")
            run = self._load_run(buffer, dtype, start, lanes, None)
            order = ", ".join(f"i32 {lane}" for lane in reversed(range(lanes)))
            raw = self.emitter.let(
                f"shufflevector {whole} {run}, {whole} poison, <{lanes} x i32> <{order}>"
            )
        elif 2 <= address.step <= 4 and address.offsets is None and dtype.itemsize >= 4:
            raw = self._load_stepping(buffer, dtype, address, lanes, mask)
        else:
            raw = self._gather(buffer, dtype, address, lanes, mask)
        return Operand(convert.from_memory(self.emitter, raw, dtype, lanes), dtype, lanes)

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
        self, buffer: int, dtype: DType, address: Address, lanes: int, mask: str | None
    ) -> str:
        """Every second (third, fourth) element of a longer run, of which only those are touched."""
        emitter, step = self.emitter, address.step
        kind = convert.access_type(dtype)
        every = lanes * step
        if mask is None:
            bits = ", ".join("i1 false" if n % step else "i1 true" for n in range(every))
            mask = f"<{bits}>"
        else:
            order = ", ".join(f"i32 {lanes if n % step else n // step}" for n in range(every))
            mask = emitter.let(
                f"shufflevector <{lanes} x i1> {mask}, <{lanes} x i1> zeroinitializer, "
                f"<{every} x i32> <{order}>"
            )
        raw = self._load_run(buffer, dtype, address.base, every, mask)
        order = ", ".join(f"i32 {n * step}" for n in range(lanes))
        return emitter.let(
            f"shufflevector <{every} x {kind}> {raw}, <{every} x {kind}> poison, "
            f"<{lanes} x i32> <{order}>"
        )

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
        if not address.step and address.offsets is None:
            if lanes > 1:
                raise AssertionError("several lanes store into one element")
            self._store_scalar(buffer, dtype, address.base, operand, valid, combine)
            return
        emitter = self.emitter
        mask = self._mask(valid, lanes)
        name = emitter.spread(operand, lanes)
        run = address.step == 1 and address.offsets is None
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
            self._store_run(buffer, dtype, address.base, lanes, mask, raw)
        else:
            self._scatter(buffer, dtype, address, lanes, mask, raw)

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
        self, buffer: int, dtype: DType, base: str, lanes: int, mask: str | None, raw: str
    ) -> None:
        kind = convert.access_type(dtype)
        whole = f"<{lanes} x {kind}>"
        place = self.pointer(buffer, dtype, base)
        if mask is None:
            self.emitter.line(f"store {whole} {raw}, ptr {place}, align {dtype.itemsize}")
            return
        self.emitter.call(
            f"llvm.masked.store.v{lanes}{suffix_of(kind, 1)}.p0",
            "void",
            [
                (whole, raw),
                ("ptr", place),
                ("i32", str(dtype.itemsize)),
                (f"<{lanes} x i1>", mask),
            ],
        )

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

    def identity(self, kind: str, dtype: DType) -> str:
        """The scalar that leaves any other as it is, under add, mul or max."""
        if kind != "max":
            return literal(0 if kind == "add" else 1, dtype)
        return literal(least(dtype), dtype)


def least(dtype: DType) -> Any:
    """The least value of a dtype: what a max starts from."""
    if dtype.is_floating_point:
        return float("-inf")
    return -(1 << (8 * dtype.itemsize - 1)) if dtype.is_signed else 0
