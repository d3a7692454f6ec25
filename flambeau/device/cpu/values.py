"""From a kernel's Values to operands: each is computed once, in the outermost scope it can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.device.cpu import convert, elementwise
from flambeau.device.cpu.access import Access
from flambeau.device.cpu.emit import (
    INDEX,
    Emitter,
    Operand,
    literal,
    vector_type,
)
from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType
from flambeau.kernel import ir
from flambeau.kernel.ir import Axis, Fold, Kernel, Value

Bounds = tuple[int, int]
_ORDERED = "ordered"  # a dependence on the order of statements: a load from a written buffer
_NARROW = (-(2**31), 2**31 - 1)


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


def _limit(value: Value) -> int | None:
    """For -1 < index and index < limit: the limit."""
    first, second = value.args
    if first.op != "LT" or second.op != "LT" or first.args[1] is not second.args[0]:
        return None
    low, high = first.args[0], second.args[1]
    if low.op != "const" or high.op != "const" or low.payload != -1 or low.dtype is not INDEX:
        return None
    return int(high.payload) if 0 <= high.payload <= _NARROW[1] else None


class Values(Access):
    """Computes a kernel's Values, each once in the outermost scope that it can be computed in."""

    def __init__(self, emitter: Emitter, kernel: Kernel) -> None:
        super().__init__(emitter)
        self.kernel = kernel
        self.scalars: list[Operand] = []
        self._dependencies: dict[Value, frozenset[Any]] = {}

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

    def start(self, axis: Axis) -> str:
        """Where an axis that is bound is, in the first lane."""
        found = self._defined(axis)
        assert found is not None
        return found.name

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
        if value.op == "AND" and _limit(value) is not None:
            index = value.args[1].args[0]
            return [index] if self._find(index) is None else []
        if value.op != "load":
            return list(value.args)
        return [atom for atom, _ in self.terms(value.args[0])[1]] + list(value.args[1:])

    def _compute(self, value: Value) -> Operand:
        if value.op == "load":
            return self.load(value)
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
        if value.op == "AND" and (limit := _limit(value)) is not None:
            return self._within(value.args[1].args[0], limit)
        return elementwise.apply(self.emitter, value.op, operands)

    # integers

    def _narrow(self, operand: Operand, lanes: int) -> str:
        """An int64 index that fits 32 bits, as a vector of i32."""
        if operand.constant:
            return f"splat (i32 {operand.name})"
        if operand.lanes > 1 and operand.offsets is None:
            return self.emitter.let(f"trunc <{lanes} x i64> {operand.name} to <{lanes} x i32>")
        base = operand.name
        if base.startswith("%"):
            base = self.emitter.let(f"trunc i64 {base} to i32")
        if operand.offsets is None:
            return self.emitter.splat("i32", base, lanes)
        return self.emitter.laid_out(operand, "i32", base)

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

    def _within(self, index: Value, limit: int) -> Operand:
        """0 ≤ index < limit by one comparison: of unsigned numbers, narrow ones where it fits."""
        operand = self._find(index)
        assert operand is not None
        lanes = operand.lanes
        if lanes > 1 and self._fits(index):
            kind, name = "i32", self._narrow(operand, lanes)
        else:
            kind, name = "i64", self.emitter.spread(operand, lanes)
        most = str(limit) if lanes == 1 else f"splat ({kind} {limit})"
        test = self.emitter.let(f"icmp ult {vector_type(kind, lanes)} {name}, {most}")
        return Operand(test, dtypes.bool_, lanes)

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
        if lanes == 1 or detail.lanes == 1:
            return detail.name
        emitter = self.emitter
        bits = emitter.let(f"bitcast <{lanes} x i1> {condition} to i{lanes}")
        lane = emitter.call(
            f"llvm.cttz.i{lanes}", f"i{lanes}", [(f"i{lanes}", bits), ("i1", "false")]
        )
        return emitter.let(
            f"extractelement <{lanes} x i64> {emitter.spread(detail, lanes)}, i{lanes} {lane}"
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
