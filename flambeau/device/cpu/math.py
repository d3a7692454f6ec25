"""exp, log, sin and cos as polynomials, for scalars and vectors alike.

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
    curve = v.polynomial(r, (*_EXP[kind][3][::-1], 0.5))
    total = v.op("fadd", v.number(1.0), r)
    lost = v.op("fadd", v.op("fsub", v.number(1.0), total), r)
    if kind == "double":  # n is larger, and with it the tail
        curve = v.op("fmul", square, curve)
        rest = v.op("fadd", curve, v.fma(tail, v.op("fadd", total, curve), lost))
    else:
        share = v.fma(square, v.number(0.5), total)
        rest = v.fma(square, curve, v.fma(tail, share, lost))
    whole = v.op("fadd", total, rest)
    if v.emitter.scales and (scale := _SCALE.get((kind, lanes))):
        return _scaled_at_once(v, whole, n, scale)
    power = v.integer_op("sub", v.to_bits(rounded), v.to_bits(v.number(magic)))
    return _scaled(v, whole, power)


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
    half = v.op("fmul", v.op("fmul", f, f), v.number(0.5))
    inner = v.fma(s, v.op("fadd", half, r), v.op("fmul", k_float, v.number(low)))
    total = v.op("fsub", v.op("fsub", half, inner), f)
    result = v.op("fsub", v.op("fmul", k_float, v.number(high)), total)
    result = v.select(v.compare("oeq", x, v.number(math.inf)), x, result)
    result = v.select(v.compare("oeq", x, v.number(0.0)), v.number(-math.inf), result)
    result = v.select(v.compare("olt", x, v.number(0.0)), v.number(math.nan), result)
    return v.select(v.compare("uno", x, x), x, result)


_SIN = (
    1.58969099521155010221e-10,
    -2.50507602534068634195e-08,
    2.75573137070700676789e-06,
    -1.98412698298579493134e-04,
    8.33333333332248946124e-03,
    -1.66666666666666324348e-01,
)
_COS = (
    -1.13596475577881948265e-11,
    2.08757232129817482790e-09,
    -2.75573143513906633035e-07,
    2.48015872894767294178e-05,
    -1.38888888888741095749e-03,
    4.16666666666666019037e-02,
)
_HALF_PI = (
    1.57079632673412561417e00,
    6.07710050630396597660e-11,
    2.02226624871116645580e-21,
    8.47842766036889956997e-32,
)
"""π/2 in parts of 33 bits, so that small multiples are exact."""

LARGE_ANGLE = 1048576.0
"""Beyond this the C library's sine and cosine are called lane by lane: its reduction is exact."""


def sin(emitter: Emitter, kind: str, lanes: int, x: str) -> str:
    return _circular(emitter, kind, lanes, x, "sin")


def cos(emitter: Emitter, kind: str, lanes: int, x: str) -> str:
    return _circular(emitter, kind, lanes, x, "cos")


def _circular(emitter: Emitter, kind: str, lanes: int, x: str, name: str) -> str:
    """Reduced by multiples of π/2 and computed in double, for float too."""
    wide = x
    single = vector_type("float", lanes)
    double = vector_type("double", lanes)
    if kind == "float":
        wide = emitter.let(f"fpext {single} {x} to {double}")
    result = _circular_double(Vector(emitter, "double", lanes), wide, name, kind == "double")
    if kind == "float":
        result = emitter.let(f"fptrunc {double} {result} to {single}")
    return result


def _circular_double(v: Vector, x: str, name: str, precise: bool) -> str:
    """The sine, or the cosine, which is a quadrant ahead."""
    size = v.unary("fabs", x)
    small = v.compare("ole", size, v.number(LARGE_ANGLE))
    reduced = v.select(small, x, v.number(0.0))
    n = v.unary("rint", v.op("fmul", reduced, v.number(2 / math.pi)))
    quadrant = v.emitter.let(f"fptosi {v.type} {n} to {v.ints}")
    if name == "cos":
        quadrant = v.integer_op("add", quadrant, v.integer(1))
    sine, cosine = _series(v, *_reduced(v, reduced, n), precise)
    odd = v.integer_op("and", quadrant, v.integer(1))
    is_odd = v.emitter.let(f"icmp ne {v.ints} {odd}, {v.integer(0)}")
    result = v.select(is_odd, cosine, sine)
    flip = v.integer_op("shl", v.integer_op("and", quadrant, v.integer(2)), v.integer(62))
    result = v.from_bits(v.integer_op("xor", v.to_bits(result), flip))
    if name == "sin":  # sin(-0.0) is -0.0, which the reduction would lose
        result = v.select(v.compare("oeq", x, v.number(0.0)), x, result)
    return _large_angles(v, x, small, result, name)


def _series(v: Vector, r: str, low: str, precise: bool) -> tuple[str, str]:
    """sin(r + low) and cos(r + low); where it must be precise, what rounding loses is kept."""
    z = v.op("fmul", r, r)
    half = v.op("fmul", z, v.number(0.5))
    cube, square = v.op("fmul", r, z), v.op("fmul", z, z)
    one = v.number(1)
    near = v.op("fsub", one, half)
    if not precise:
        return (
            v.fma(cube, v.polynomial(z, _SIN), v.op("fadd", r, low)),
            v.fma(square, v.polynomial(z, _COS), near),
        )
    sine = v.op("fadd", v.fma(cube, v.polynomial(z, _SIN), v.op("fmul", low, near)), r)
    lost = v.op("fsub", v.op("fsub", one, near), half)
    rounding = v.fma(r, r, v.op("fsub", v.number(0.0), z))
    lost = v.fma(rounding, v.number(-0.5), lost)
    rest = v.fma(r, v.op("fsub", v.number(0.0), low), lost)
    return sine, v.op("fadd", v.fma(square, v.polynomial(z, _COS), rest), near)


def _reduced(v: Vector, x: str, n: str) -> tuple[str, str]:
    """x - n·π/2 as a number and what it lacks: what one part loses is added with the next ones."""
    first, second, *others = (v.number(-part) for part in _HALF_PI)
    start = v.fma(n, first, x)
    high = v.fma(n, second, start)
    low = v.fma(n, second, v.op("fsub", start, high))
    for part in others:
        low = v.fma(n, part, low)
    total = v.op("fadd", high, low)
    return total, v.op("fadd", v.op("fsub", high, total), low)


def _large_angles(v: Vector, x: str, small: str, result: str, name: str) -> str:
    """Replace the lanes whose angle is large, infinite or NaN."""
    emitter = v.emitter
    every = small
    if v.lanes > 1:
        reduce = f"llvm.vector.reduce.and.v{v.lanes}i1"
        every = emitter.call(reduce, "i1", [(v.bools, small)])
    label = emitter.number()
    emitter.line(f"br label %near{label}\nnear{label}:")
    emitter.line(f"br i1 {every}, label %done{label}, label %far{label}\nfar{label}:")
    patched = result
    for lane in range(v.lanes):
        angle, chosen, old = x, small, patched
        if v.lanes > 1:
            angle = emitter.let(f"extractelement {v.type} {x}, i64 {lane}")
            chosen = emitter.let(f"extractelement {v.bools} {small}, i64 {lane}")
            old = emitter.let(f"extractelement {v.type} {patched}, i64 {lane}")
        exact = emitter.call(name, "double", [("double", angle)])
        picked = emitter.let(f"select i1 {chosen}, double {old}, double {exact}")
        if v.lanes > 1:
            patched = emitter.let(f"insertelement {v.type} {patched}, double {picked}, i64 {lane}")
        else:
            patched = picked
    emitter.line(f"br label %back{label}\nback{label}:")
    emitter.line(f"br label %done{label}\ndone{label}:")
    return emitter.let(f"phi {v.type} [ {result}, %near{label} ], [ {patched}, %back{label} ]")
