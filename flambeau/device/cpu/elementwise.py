"""How each elementwise primitive is written: ONE table, scalars and vectors alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flambeau.device.cpu import circular, convert, math
from flambeau.device.cpu.emit import (
    REGISTER_TYPES,
    Emitter,
    Operand,
    float_literal,
    suffix_of,
    vector_type,
)
from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType

BOOL = dtypes.bool_


class Lanes:
    """The arguments of one operation at one width, and short ways to write instructions on them."""

    def __init__(self, emitter: Emitter, dtype: DType, lanes: int) -> None:
        self.emitter = emitter
        self.dtype = dtype
        self.lanes = lanes
        self.kind = REGISTER_TYPES[dtype.name]
        self.type = vector_type(self.kind, lanes)
        self.bools = vector_type("i1", lanes)

    def op(self, instruction: str, x: str, y: str) -> str:
        return self.emitter.let(f"{instruction} {self.type} {x}, {y}")

    def select(self, condition: str, x: str, y: str) -> str:
        return self.emitter.let(
            f"select {self.bools} {condition}, {self.type} {x}, {self.type} {y}"
        )

    def of(self, value: int) -> str:
        """An integer constant in every lane."""
        return str(value) if self.lanes == 1 else f"splat ({self.kind} {value})"

    def zero(self) -> str:
        text = float_literal(0.0) if self.dtype.is_floating_point else "0"
        text = "false" if self.dtype is BOOL else text
        return text if self.lanes == 1 else "zeroinitializer"

    def rounded(self, name: str) -> str:
        return convert.rounded(self.emitter, name, self.dtype, self.lanes)

    def intrinsic(self, name: str, *names: str) -> str:
        full = f"llvm.{name}.{suffix_of(self.kind, self.lanes)}"
        return self.emitter.call(full, self.type, [(self.type, each) for each in names])

    def not_(self, condition: str) -> str:
        every = "true" if self.lanes == 1 else "splat (i1 true)"
        return self.emitter.let(f"xor {self.bools} {condition}, {every}")


Rule = Callable[..., str]


def _arithmetic(floating: str, integer: str, boolean: str) -> Rule:
    def rule(v: Lanes, x: str, y: str) -> str:
        if v.dtype.is_floating_point:
            return v.rounded(v.op(floating, x, y))
        return v.op(boolean if v.dtype is BOOL else integer, x, y)

    return rule


def _bits(instruction: str) -> Rule:
    return lambda v, x, y: v.op(instruction, x, y)


def _negative(v: Lanes, x: str) -> str:
    if v.dtype.is_floating_point:
        return v.emitter.let(f"fneg {v.type} {x}")
    return v.op("sub", v.zero(), x)


def _unary(name: str) -> Rule:
    return lambda v, x: v.rounded(v.intrinsic(name, x))


def _function(function: Callable[[Emitter, str, int, str], str]) -> Rule:
    return lambda v, x: v.rounded(function(v.emitter, v.kind, v.lanes, x))


def _divide(v: Lanes, x: str, y: str) -> str:
    return v.rounded(v.op("fdiv", x, y))


def _fma(v: Lanes, x: str, y: str, z: str) -> str:
    return v.rounded(v.emitter.fma(v.kind, v.lanes, x, y, z))


def _less(v: Lanes, x: str, y: str) -> str:
    if v.dtype.is_floating_point:
        return v.op("fcmp olt", x, y)
    return v.op("icmp slt" if v.dtype.is_signed else "icmp ult", x, y)


def _equal(v: Lanes, x: str, y: str) -> str:
    return v.op("fcmp oeq" if v.dtype.is_floating_point else "icmp eq", x, y)


def maximum(v: Lanes, x: str, y: str) -> str:
    """The greater; NaN wins."""
    if v.dtype is BOOL:
        return v.op("or", x, y)
    if not v.dtype.is_floating_point:
        return v.intrinsic("smax" if v.dtype.is_signed else "umax", x, y)
    greater = v.select(v.op("fcmp ogt", x, y), x, y)
    return v.select(v.op("fcmp uno", x, x), x, greater)


def _shift(instruction: str) -> Rule:
    def rule(v: Lanes, x: str, y: str) -> str:
        bits = 8 * v.dtype.itemsize
        name = "ashr" if instruction == "lshr" and v.dtype.is_signed else instruction
        most = v.of(bits - 1)
        inside = v.op("icmp ule", y, most)
        shifted = v.op(name, x, v.select(inside, y, most))
        # as numpy does: all bits are shifted out
        return shifted if name == "ashr" else v.select(inside, shifted, v.zero())

    return rule


def _float_modulo(v: Lanes, x: str, y: str) -> str:
    rest = v.op("frem", x, y)
    nonzero = v.op("fcmp une", rest, v.zero())
    below = v.op("fcmp olt", rest, v.zero())
    negative = v.op("fcmp olt", y, v.zero())
    differ = v.emitter.let(f"xor {v.bools} {below}, {negative}")
    moved = v.select(differ, v.op("fadd", rest, y), rest)
    zero = v.intrinsic("copysign", v.zero(), y)
    bare = v.select(v.op("fcmp oeq", rest, v.zero()), zero, rest)  # NaN stays
    return v.rounded(v.select(nonzero, v.select(v.op("fcmp ord", rest, y), moved, bare), bare))


def floor_divide(v: Lanes, x: str, y: str, quotient: bool) -> str:
    """⌊x / y⌋ or x mod y for integers, y ≠ 0; the least integer by -1 wraps."""
    if not v.dtype.is_signed:
        return v.op("udiv" if quotient else "urem", x, y)
    minus = v.op("icmp eq", y, v.of(-1))
    safe = v.select(minus, v.of(1), y)
    rest = v.op("srem", x, safe)
    other = v.op("icmp slt", v.op("xor", rest, safe), v.zero())
    nonzero = v.op("icmp ne", rest, v.zero())
    adjust = v.emitter.let(f"and {v.bools} {other}, {nonzero}")
    if not quotient:
        result = v.select(adjust, v.op("add", rest, safe), rest)
        return v.select(minus, v.zero(), result)
    plain = v.op("sdiv", x, safe)
    result = v.select(adjust, v.op("sub", plain, v.of(1)), plain)
    return v.select(minus, v.op("sub", v.zero(), x), result)


RULES: dict[str, Rule] = {
    "NEG": _negative,
    "SQRT": _unary("sqrt"),
    "EXP": _function(math.exp),
    "LOG": _function(math.log),
    "SIN": _function(circular.sin),
    "COS": _function(circular.cos),
    "TAN": _function(circular.tan),
    "FLOOR": _unary("floor"),
    "ADD": _arithmetic("fadd", "add", "or"),
    "MUL": _arithmetic("fmul", "mul", "and"),
    "FMA": _fma,
    "DIV": _divide,
    "MAX": maximum,
    "LT": _less,
    "EQ": _equal,
    "AND": _bits("and"),
    "OR": _bits("or"),
    "XOR": _bits("xor"),
    "SHL": _shift("shl"),
    "SHR": _shift("lshr"),
}
"""Primitive → instructions on register values of the arguments' dtype. CAST and BITCAST are in
convert.py; WHERE, IDIV and MOD of integers, which need more than their arguments, in render.py."""


def apply(emitter: Emitter, op: str, args: list[Operand]) -> Operand:
    """One elementwise operation on operands; the result is as wide as the widest of them."""
    if op in ("ADD", "MUL", "NEG") and args[0].dtype is dtypes.int64:
        found = _linear(emitter, op, *args)
        if found is not None:
            return found
    lanes = max(each.lanes for each in args)
    dtype = args[-1].dtype
    names = [emitter.spread(each, lanes) for each in args]
    result = BOOL if op in ("LT", "EQ") else dtype
    v = Lanes(emitter, dtype, lanes)
    if op == "WHERE":
        return Operand(_where(emitter, v, args, names), dtype, lanes)
    if op == "MOD":
        return Operand(_float_modulo(v, *names), dtype, lanes)
    rule = RULES.get(op)
    if rule is None:
        raise NotImplementedError(f"the cpu device has no rule for {op} of {dtype.name}")
    return Operand(rule(v, *names), result, lanes)


def _where(emitter: Emitter, v: Lanes, args: list[Operand], names: list[str]) -> str:
    condition, bools = names[0], v.bools
    if args[0].lanes == 1:
        condition, bools = args[0].name, "i1"
    return emitter.let(f"select {bools} {condition}, {v.type} {names[1]}, {v.type} {names[2]}")


def _linear(emitter: Emitter, op: str, x: Operand, y: Operand | None = None) -> Operand | None:
    """Index arithmetic that stays a scalar and offsets of the lanes; None where it does not."""
    if op == "ADD":
        return None if y is None else _sum(emitter, x, y)
    if op == "NEG":
        x, y = x, Operand("-1", dtypes.int64)
    elif y is not None and y.offsets:
        x, y = y, x
    if y is None or not x.offsets or not y.constant or y.lanes != 1:
        return None
    return with_offsets(
        emitter.times(x.name, int(y.name)), [each * int(y.name) for each in x.offsets]
    )


def _sum(emitter: Emitter, x: Operand, y: Operand) -> Operand | None:
    plain = (x.lanes == 1 or x.offsets) and (y.lanes == 1 or y.offsets)
    if not plain or not (x.offsets or y.offsets):
        return None
    none = (0,) * max(x.lanes, y.lanes)
    pairs = zip(x.offsets or none, y.offsets or none, strict=True)
    return with_offsets(emitter.plus(x.name, y.name), [sum(each) for each in pairs])


def with_offsets(name: str, offsets: Sequence[int]) -> Operand:
    """An index with these offsets of the lanes; a scalar where there are none."""
    if not any(offsets):
        return Operand(name, dtypes.int64)
    return Operand(name, dtypes.int64, len(offsets), tuple(offsets))
