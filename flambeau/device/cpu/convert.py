"""Between how an element lies in memory and how it is computed with; CAST and BITCAST."""

from __future__ import annotations

from flambeau.device.cpu.emit import (
    MEMORY_TYPES,
    REGISTER_TYPES,
    Emitter,
    Operand,
    suffix_of,
    vector_type,
)
from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType


def _constant(kind: str, value: str, lanes: int) -> str:
    return value if lanes == 1 else f"splat ({kind} {value})"


class _Bits:
    """Writes integer instructions of one type at one width."""

    def __init__(self, emitter: Emitter, kind: str, lanes: int) -> None:
        self.emitter = emitter
        self.kind = kind
        self.lanes = lanes
        self.type = vector_type(kind, lanes)

    def of(self, value: int) -> str:
        return _constant(self.kind, str(value), self.lanes)

    def op(self, name: str, x: str, y: str | int) -> str:
        y = self.of(y) if isinstance(y, int) else y
        return self.emitter.let(f"{name} {self.type} {x}, {y}")

    def test(self, how: str, x: str, y: int) -> str:
        return self.emitter.let(f"icmp {how} {self.type} {x}, {self.of(y)}")

    def select(self, condition: str, x: str | int, y: str | int) -> str:
        x = self.of(x) if isinstance(x, int) else x
        y = self.of(y) if isinstance(y, int) else y
        bools = vector_type("i1", self.lanes)
        return self.emitter.let(f"select {bools} {condition}, {self.type} {x}, {self.type} {y}")

    def to(self, how: str, x: str, kind: str) -> str:
        return self.emitter.let(f"{how} {self.type} {x} to {vector_type(kind, self.lanes)}")


def from_bits(emitter: Emitter, name: str, dtype: DType, lanes: int) -> str:
    """16 bits of memory (i16) as the float that they mean."""
    narrow, wide = _Bits(emitter, "i16", lanes), _Bits(emitter, "i32", lanes)
    if dtype is dtypes.bfloat16:
        return wide.to("bitcast", wide.op("shl", narrow.to("zext", name, "i32"), 16), "float")
    if emitter.native_half:
        half = narrow.to("bitcast", name, "half")
        kinds = vector_type("half", lanes), vector_type("float", lanes)
        return emitter.let(f"fpext {kinds[0]} {half} to {kinds[1]}")
    whole = narrow.to("zext", name, "i32")
    magnitude = wide.op("shl", wide.op("and", whole, 0x7FFF), 13)
    scale = _constant("float", f"0x{(1023 + 112) << 52:016X}", lanes)
    kind = vector_type("float", lanes)
    scaled = emitter.let(f"fmul {kind} {wide.to('bitcast', magnitude, 'float')}, {scale}")
    finite = emitter.let(f"bitcast {kind} {scaled} to {wide.type}")
    special = wide.test("uge", magnitude, 0x7C00 << 13)
    bits = wide.select(special, wide.op("or", magnitude, 0x7F800000), finite)
    sign = wide.op("shl", wide.op("and", whole, 0x8000), 16)
    return wide.to("bitcast", wide.op("or", bits, sign), "float")


def to_bits(emitter: Emitter, name: str, dtype: DType, lanes: int) -> str:
    """A float rounded to nearest even, as the 16 bits (i16) that lie in memory."""
    wide = _Bits(emitter, "i32", lanes)
    kind = vector_type("float", lanes)
    if dtype is dtypes.bfloat16:
        bits = emitter.let(f"bitcast {kind} {name} to {wide.type}")
        odd = wide.op("and", wide.op("lshr", bits, 16), 1)
        rounded = wide.op("add", wide.op("add", bits, 0x7FFF), odd)
        nan = emitter.let(f"fcmp uno {kind} {name}, {name}")
        quiet = wide.op("or", bits, 0x400000)
        return wide.to("trunc", wide.op("lshr", wide.select(nan, quiet, rounded), 16), "i16")
    if emitter.native_half:
        half = emitter.let(f"fptrunc {kind} {name} to {vector_type('half', lanes)}")
        return emitter.let(
            f"bitcast {vector_type('half', lanes)} {half} to {vector_type('i16', lanes)}"
        )
    return _half_bits(emitter, wide, kind, name)


def _half_bits(emitter: Emitter, wide: _Bits, kind: str, name: str) -> str:
    whole = emitter.let(f"bitcast {kind} {name} to {wide.type}")
    sign = wide.op("and", whole, -0x80000000)
    bits = wide.op("xor", whole, sign)
    odd = wide.op("and", wide.op("lshr", bits, 13), 1)
    normal = wide.op("add", wide.op("add", bits, -0x38000000 + 0xFFF), odd)
    normal = wide.op("lshr", normal, 13)
    magic = _constant("float", "0x3FE0000000000000", wide.lanes)  # 0.5 lines up the mantissa
    small = emitter.let(f"fadd {kind} {wide.to('bitcast', bits, 'float')}, {magic}")
    small = wide.op("sub", emitter.let(f"bitcast {kind} {small} to {wide.type}"), 0x3F000000)
    result = wide.select(wide.test("ult", bits, 0x38800000), small, normal)
    special = wide.select(wide.test("ugt", bits, 0x7F800000), 0x7E00, 0x7C00)
    result = wide.select(wide.test("uge", bits, 0x47800000), special, result)
    result = wide.op("or", result, wide.op("lshr", sign, 16))
    return wide.to("trunc", result, "i16")


def rounded(emitter: Emitter, name: str, dtype: DType, lanes: int) -> str:
    """A float rounded to the precision of its 16-bit dtype; other dtypes as they are."""
    if dtype.itemsize != 2 or not dtype.is_floating_point:
        return name
    return from_bits(emitter, to_bits(emitter, name, dtype, lanes), dtype, lanes)


def access_type(dtype: DType) -> str:
    """The integer or float type that loads and stores of a dtype use."""
    kind = MEMORY_TYPES[dtype.name]
    return "i16" if kind == "half" else kind


def from_memory(emitter: Emitter, name: str, dtype: DType, lanes: int) -> str:
    """What a load gave, as a register value."""
    if dtype is dtypes.bool_:
        bits = _Bits(emitter, "i8", lanes)
        return bits.test("ne", name, 0)
    if dtype.itemsize == 2 and dtype.is_floating_point:
        return from_bits(emitter, name, dtype, lanes)
    return name


def to_memory(emitter: Emitter, name: str, dtype: DType, lanes: int) -> str:
    """A register value, as a store takes it."""
    if dtype is dtypes.bool_:
        kinds = vector_type("i1", lanes), vector_type("i8", lanes)
        return emitter.let(f"zext {kinds[0]} {name} to {kinds[1]}")
    if dtype.itemsize == 2 and dtype.is_floating_point:
        return to_bits(emitter, name, dtype, lanes)
    return name


def cast(emitter: Emitter, x: Operand, to: DType) -> Operand:
    """CAST; float to integer saturates at 64 (or 32) bits and then wraps, NaN gives 0."""
    source = x.dtype
    lanes = x.lanes
    name = emitter.spread(x, lanes)
    if source is to:
        return x
    kind = vector_type(REGISTER_TYPES[source.name], lanes)
    target = vector_type(REGISTER_TYPES[to.name], lanes)
    if to is dtypes.bool_:
        zero = _constant(REGISTER_TYPES[source.name], "0x0000000000000000", lanes)
        if source.is_floating_point:
            return Operand(emitter.let(f"fcmp une {kind} {name}, {zero}"), to, lanes)
        zero = _constant(REGISTER_TYPES[source.name], "0", lanes)
        return Operand(emitter.let(f"icmp ne {kind} {name}, {zero}"), to, lanes)
    if source.is_floating_point and to.is_floating_point:
        return Operand(_float_to_float(emitter, name, source, to, lanes), to, lanes)
    if source.is_floating_point:
        return Operand(_float_to_integer(emitter, name, source, to, lanes), to, lanes)
    signed = source.is_signed
    if to.is_floating_point:
        how = "sitofp" if signed else "uitofp"
        result = emitter.let(f"{how} {kind} {name} to {target}")
        return Operand(rounded(emitter, result, to, lanes), to, lanes)
    before = 1 if source is dtypes.bool_ else 8 * source.itemsize
    after = 8 * to.itemsize
    if before == after:
        return Operand(name, to, lanes)
    how = "trunc" if before > after else "sext" if signed else "zext"
    return Operand(emitter.let(f"{how} {kind} {name} to {target}"), to, lanes)


def _float_to_float(emitter: Emitter, name: str, source: DType, to: DType, lanes: int) -> str:
    single, double = vector_type("float", lanes), vector_type("double", lanes)
    if source is dtypes.float64:
        if to.itemsize == 2:
            name = _round_to_odd(emitter, name, lanes)
        else:
            name = emitter.let(f"fptrunc {double} {name} to {single}")
    elif to is dtypes.float64:
        return emitter.let(f"fpext {single} {name} to {double}")
    return rounded(emitter, name, to, lanes)


def _round_to_odd(emitter: Emitter, name: str, lanes: int) -> str:
    """A double as a float that rounds to 16 bits as the double itself would."""
    single, double = vector_type("float", lanes), vector_type("double", lanes)
    bits = _Bits(emitter, "i32", lanes)
    short = emitter.let(f"fptrunc {double} {name} to {single}")
    back = emitter.let(f"fpext {single} {short} to {double}")
    exact = emitter.let(f"fcmp ueq {double} {back}, {name}")
    size = emitter.call(f"llvm.fabs.{suffix_of('double', lanes)}", double, [(double, name)])
    taken = emitter.call(f"llvm.fabs.{suffix_of('double', lanes)}", double, [(double, back)])
    above = emitter.let(f"fcmp ogt {double} {taken}, {size}")
    whole = emitter.let(f"bitcast {single} {short} to {bits.type}")
    down = bits.op("sub", whole, bits.select(above, 1, 0))
    odd = bits.select(exact, whole, bits.op("or", down, 1))
    return emitter.let(f"bitcast {bits.type} {odd} to {single}")


def _float_to_integer(emitter: Emitter, name: str, source: DType, to: DType, lanes: int) -> str:
    kind = REGISTER_TYPES[source.name]
    middle = "i64" if to.itemsize == 8 or to is dtypes.uint32 else "i32"
    whole = vector_type(middle, lanes)
    function = f"llvm.fptosi.sat.{suffix_of(middle, lanes)}.{suffix_of(kind, lanes)}"
    result = emitter.call(function, whole, [(vector_type(kind, lanes), name)])
    target = REGISTER_TYPES[to.name]
    if target == middle:
        return result
    return emitter.let(f"trunc {whole} {result} to {vector_type(target, lanes)}")


def bitcast(emitter: Emitter, x: Operand, to: DType) -> Operand:
    """BITCAST, through the type that lies in memory."""
    if x.dtype is to:
        return x
    name = to_memory(emitter, emitter.spread(x, x.lanes), x.dtype, x.lanes)
    source, target = access_type(x.dtype), access_type(to)
    if source != target:
        name = emitter.let(
            f"bitcast {vector_type(source, x.lanes)} {name} to {vector_type(target, x.lanes)}"
        )
    return Operand(from_memory(emitter, name, to, x.lanes), to, x.lanes)
