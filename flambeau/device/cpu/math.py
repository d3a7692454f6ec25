"""exp and log as polynomials, for scalars and vectors alike; sin, cos and tan are in circular.py.

Each function takes the emitter, the register type ("float" or "double"), the number of lanes and
the name of the argument, and returns the name of the result. They follow the reductions of
FreeBSD's msun (Sun Microsystems, 1993) and Cephes (Moshier, 1992), written anew for vectors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from flambeau.device.cpu.emit import Emitter, float_literal, suffix_of, vector_type
from flambeau.graph.exponential import EXP_REST, LN2


class Vector:
    """Writes instructions on one floating type at one width."""

    def __init__(self, emitter: Emitter, kind: str, lanes: int) -> None:
        self.emitter = emitter
        self.kind = kind
        self.lanes = lanes
        self.type = vector_type(kind, lanes)
        self.bits = "i32" if kind == "float" else "i64"
        self.ints = vector_type(self.bits, lanes)
        self.bools = vector_type("i1", lanes)

    def number(self, value: float) -> str:
        if self.kind == "float":
            import numpy

            value = float(numpy.float32(value))
        text = float_literal(value)
        return text if self.lanes == 1 else f"splat ({self.kind} {text})"

    def integer(self, value: int) -> str:
        return str(value) if self.lanes == 1 else f"splat ({self.bits} {value})"

    def op(self, name: str, x: str, y: str) -> str:
        return self.emitter.let(f"{name} {self.type} {x}, {y}")

    def integer_op(self, name: str, x: str, y: str) -> str:
        return self.emitter.let(f"{name} {self.ints} {x}, {y}")

    def fma(self, x: str, y: str, z: str) -> str:
        return self.emitter.fma(self.kind, self.lanes, x, y, z)

    def compare(self, how: str, x: str, y: str) -> str:
        return self.emitter.let(f"fcmp {how} {self.type} {x}, {y}")

    def select(self, condition: str, x: str, y: str) -> str:
        return self.emitter.let(
            f"select {self.bools} {condition}, {self.type} {x}, {self.type} {y}"
        )

    def to_bits(self, x: str) -> str:
        return self.emitter.let(f"bitcast {self.type} {x} to {self.ints}")

    def from_bits(self, x: str) -> str:
        return self.emitter.let(f"bitcast {self.ints} {x} to {self.type}")

    def to_float(self, x: str) -> str:
        return self.emitter.let(f"sitofp {self.ints} {x} to {self.type}")

    def unary(self, intrinsic: str, x: str) -> str:
        name = f"llvm.{intrinsic}.{suffix_of(self.kind, self.lanes)}"
        return self.emitter.call(name, self.type, [(self.type, x)])

    def polynomial(self, x: str, coefficients: Sequence[float]) -> str:
        """Horner's scheme; the highest power's coefficient comes first."""
        total = self.number(coefficients[0])
        for each in coefficients[1:]:
            total = self.fma(total, x, self.number(each))
        return total


_EXP = {
    # kind: least and greatest argument that matter, magic rounder, mantissa bits, exponent bias,
    # ln 2 as the nearest number and what that lacks, in a short part and the rest,
    # (eʳ - 1 - r - r²/2) / r³ in r
    "float": (
        (-104.0, 89.0, 12582912.0, 23, 127),
        (0.6931471824645996, -1.904654299957768e-09),
        LN2[0],
        EXP_REST[0],
    ),
    "double": (
        (-746.0, 710.0, 6755399441055744.0, 52, 1023),
        (0.6931471805599453, 2.3190468138462996e-17),
        LN2[1],
        EXP_REST[1],
    ),
}


def exp(emitter: Emitter, kind: str, lanes: int, x: str) -> str:
    """eˣ = 2ⁿ · eʳ, |r| ≤ ln(2)/2. What 1 + r loses, and what r lacks (the tail), is added with
    the rest of the series, so that hardly more than one rounding counts."""
    v = Vector(emitter, kind, lanes)
    (least, most, magic, _, _), *_ = _EXP[kind]
    x = v.select(v.compare("ogt", x, v.number(most)), v.number(most), x)
    x = v.select(v.compare("olt", x, v.number(least)), v.number(least), x)
    rounded = v.fma(x, v.number(1 / math.log(2)), v.number(magic))
    n = v.op("fsub", rounded, v.number(magic))
    r, tail = _exponent_taken(v, x, n)
    square = v.op("fmul", r, r)
    total = v.op("fadd", v.number(1.0), r)
    lost = v.op("fadd", v.op("fsub", v.number(1.0), total), r)
    cube = v.op("fmul", square, r)
    bend = v.polynomial(r, _EXP[kind][3][::-1])
    whole = v.fma(square, v.number(0.5), total)
    if kind == "double":  # the rest of 1 + r + r²/2, too
        exact = v.fma(r, r, v.op("fsub", v.number(0.0), square))
        less = v.fma(square, v.number(0.5), v.op("fsub", total, whole))
        lost = v.op("fadd", lost, v.fma(exact, v.number(0.5), less))
        bend = v.fma(cube, bend, lost)
        rest = v.fma(tail, v.op("fadd", whole, bend), bend)
        total = whole
    else:
        bend = v.fma(cube, bend, lost)
        rest = v.fma(square, v.number(0.5), v.fma(tail, v.op("fadd", whole, bend), bend))
    result = v.op("fadd", total, rest)
    if v.emitter.scales and (scale := _SCALE.get((kind, lanes))):
        return _scaled_at_once(v, result, n, scale)
    power = v.integer_op("sub", v.to_bits(rounded), v.to_bits(v.number(magic)))
    return _scaled(v, result, power)


def _exponent_taken(v: Vector, x: str, n: str) -> tuple[str, str]:
    """x - n log 2 as a number and what it lacks. One fused operation is exact; without it n times
    a short part of log 2 is, and the other part's rounding is kept."""
    _, nearest, short, _ = _EXP[v.kind]
    if v.emitter.fused:
        return v.fma(n, v.number(-nearest[0]), x), v.op("fmul", n, v.number(-nearest[1]))
    start = v.fma(n, v.number(-short[0]), x)
    rest = v.op("fmul", n, v.number(-short[1]))
    r = v.op("fadd", start, rest)
    return r, v.op("fadd", v.op("fsub", start, r), rest)


_SCALE = {
    ("float", 16): ("ps.512", "i16"),
    ("float", 8): ("ps.256", "i8"),
    ("float", 4): ("ps.128", "i8"),
    ("double", 8): ("pd.512", "i8"),
    ("double", 4): ("pd.256", "i8"),
    ("double", 2): ("pd.128", "i8"),
}
"""(register type, lanes) → the processor's instruction x · 2 to the power ⌊n⌋, and its mask."""


def _scaled_at_once(v: Vector, x: str, n: str, scale: tuple[str, str]) -> str:
    """x · 2ⁿ for an n that is a floating number: LLVM's own ldexp takes an integer, and converts
    what was converted before."""
    suffix, mask = scale
    arguments = [(v.type, x), (v.type, n), (v.type, "zeroinitializer"), (mask, "-1")]
    if suffix.endswith("512"):
        arguments.append(("i32", "4"))  # rounds as it is set
    return v.emitter.call(f"llvm.x86.avx512.mask.scalef.{suffix}", v.type, arguments)


def _scaled(v: Vector, x: str, power: str) -> str:
    """x · 2 to the power, rounded once, for ½ < x < 2: by one instruction where there is one, else
    by two factors, the first of which is exact. Denormal results come out right either way."""
    if v.emitter.scales:
        few = vector_type("i32", v.lanes)
        if v.kind == "double":
            power = v.emitter.let(f"trunc {v.ints} {power} to {few}")
        name = f"llvm.ldexp.{suffix_of(v.kind, v.lanes)}.{suffix_of('i32', v.lanes)}"
        return v.emitter.call(name, v.type, [(v.type, x), (few, power)])
    (*_, mantissa, bias), *_ = _EXP[v.kind]
    half = v.integer_op("ashr", power, v.integer(1))
    for part in (half, v.integer_op("sub", power, half)):
        biased = v.integer_op("add", part, v.integer(bias))
        x = v.op("fmul", x, v.from_bits(v.integer_op("shl", biased, v.integer(mantissa))))
    return x


_LOG = {
    # kind: mantissa bits, bits of sqrt(1/2), least normal, ln 2 in two parts, polynomial in s²
    "float": (
        23,
        0x3F3504F3,
        2.0**-126,
        6.9313812256e-01,
        9.0580006145e-06,
        (0.24279078841, 0.28498786688, 0.40000972152, 0.66666662693),
    ),
    "double": (
        52,
        0x3FE6A09E667F3BCD,
        2.0**-1022,
        6.93147180369123816490e-01,
        1.90821492927058770002e-10,
        (
            1.479819860511658591e-01,
            1.531383769920937332e-01,
            1.818357216161805012e-01,
            2.222219843214978396e-01,
            2.857142874366239149e-01,
            3.999999999940941908e-01,
            6.666666666666735130e-01,
        ),
    ),
}


def log(emitter: Emitter, kind: str, lanes: int, x: str) -> str:
    """x = 2ᵏ·m, sqrt(1/2) ≤ m < sqrt(2); log m = 2 atanh(s), s = (m - 1)/(m + 1)."""
    v = Vector(emitter, kind, lanes)
    mantissa, root, least, high, low, coefficients = _LOG[kind]
    tiny = v.compare("olt", x, v.number(least))
    scaled = v.select(tiny, v.op("fmul", x, v.number(2.0**mantissa)), x)
    bits = v.to_bits(scaled)
    k = v.integer_op("ashr", v.integer_op("sub", bits, v.integer(root)), v.integer(mantissa))
    m = v.from_bits(v.integer_op("sub", bits, v.integer_op("shl", k, v.integer(mantissa))))
    k_float = v.to_float(k)
    k_float = v.select(tiny, v.op("fsub", k_float, v.number(float(mantissa))), k_float)
    f = v.op("fsub", m, v.number(1.0))
    s = v.op("fdiv", f, v.op("fadd", f, v.number(2.0)))
    z = v.op("fmul", s, s)
    r = v.op("fmul", z, v.polynomial(z, coefficients))
    square = v.op("fmul", f, f)
    half = v.op("fmul", square, v.number(0.5))
    inner = v.fma(s, v.op("fadd", half, r), v.op("fmul", k_float, v.number(low)))
    start = v.op("fmul", k_float, v.number(high))  # exact; what start + f loses is added below
    total = v.op("fadd", start, f)
    lost = v.op("fadd", v.op("fsub", start, total), f)
    if kind == "double":  # and what f² and its half's difference lose
        against = v.op("fsub", v.number(0.0), half)
        less = v.fma(v.fma(f, f, v.op("fsub", v.number(0.0), square)), v.number(-0.5), lost)
        start, total = total, v.op("fsub", total, half)
        lost = v.op("fadd", v.op("fadd", v.op("fsub", start, total), against), less)
        result = v.op("fadd", total, v.op("fadd", lost, inner))
    else:
        result = v.op("fadd", total, v.op("fsub", lost, v.op("fsub", half, inner)))
    result = v.select(v.compare("oeq", x, v.number(math.inf)), x, result)
    result = v.select(v.compare("oeq", x, v.number(0.0)), v.number(-math.inf), result)
    result = v.select(v.compare("olt", x, v.number(0.0)), v.number(math.nan), result)
    return v.select(v.compare("uno", x, x), x, result)
