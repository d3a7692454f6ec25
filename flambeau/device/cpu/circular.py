"""sin, cos and tan: a reduction by multiples of π/2 and two polynomials, as math.py's functions.

The reduction is that of FreeBSD's msun (Sun Microsystems, 1993). Of float64 what each greater term
loses to rounding is kept, so that a result errs by hardly more than its own.
"""

from __future__ import annotations

import math

from flambeau.device.cpu.emit import Emitter, vector_type
from flambeau.device.cpu.math import Vector

Pair = tuple[str, str]

_SIN = {
    False: (
        2.718121352738287e-06,
        -0.00019839312239033574,
        0.008333329304744182,
        -0.1666666664079623,
    ),
    True: (
        -7.396509404055685e-13,
        1.60544555553031e-10,
        -2.5052072033107012e-08,
        2.755731907794795e-06,
        -0.00019841269840968834,
        0.008333333333333045,
        -0.16666666666666666,
    ),
}
"""(sin r / r - 1) / r² in r², |r| ≤ π/4: minimax, relative to sin r 2⁻³⁷ for float32, 2⁻⁶³ for
float64 (True). The highest power comes first."""

_COS = {
    False: (
        -2.7205752244665215e-07,
        2.479946012981685e-05,
        -0.0013888883499980377,
        0.0416666666194903,
    ),
    True: (
        4.6612786227684316e-14,
        -1.1468303540296541e-11,
        2.0876733660030587e-09,
        -2.7557319105518696e-07,
        2.480158730126194e-05,
        -0.0013888888888888443,
        0.041666666666666664,
    ),
}
"""(cos r - 1 + r²/2) / r⁴ in r²: 2⁻⁴³ and 2⁻⁶⁸."""

_HALF_PI = (
    1.57079632673412561417e00,
    6.07710050630396597660e-11,
    2.02226624871116645580e-21,
    8.47842766036889956997e-32,
)
"""π/2 in parts of 33 bits, so that small multiples are exact."""

LARGE_ANGLE = 1048576.0
"""Beyond this the C library's functions are called lane by lane: its reduction is exact."""


def sin(emitter: Emitter, kind: str, lanes: int, x: str) -> str:
    return _circular(emitter, kind, lanes, x, "sin")


def cos(emitter: Emitter, kind: str, lanes: int, x: str) -> str:
    return _circular(emitter, kind, lanes, x, "cos")


def tan(emitter: Emitter, kind: str, lanes: int, x: str) -> str:
    return _circular(emitter, kind, lanes, x, "tan")


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
    """The sine; the cosine, which is a quadrant ahead; or the first by the second."""
    size = v.unary("fabs", x)
    small = v.compare("ole", size, v.number(LARGE_ANGLE))
    angle = v.select(small, x, v.number(0.0))
    n = v.unary("rint", v.op("fmul", angle, v.number(2 / math.pi)))
    quadrant = v.emitter.let(f"fptosi {v.type} {n} to {v.ints}")
    if name == "cos":
        quadrant = v.integer_op("add", quadrant, v.integer(1))
    reduced = _reduced(v, angle, n)
    sine, cosine = _precise_series(v, *reduced) if precise else _series(v, *reduced)
    odd = v.integer_op("and", quadrant, v.integer(1))
    is_odd = v.emitter.let(f"icmp ne {v.ints} {odd}, {v.integer(0)}")
    parts = [v.select(is_odd, *both) for both in zip(cosine, sine, strict=True)]
    if name == "tan":
        others = [v.select(is_odd, *both) for both in zip(sine, cosine, strict=True)]
        result = _quotient(v, parts, others) if precise else v.op("fdiv", parts[0], others[0])
        flip = v.integer_op("shl", odd, v.integer(63))
    else:
        result = v.op("fadd", *parts) if precise else parts[0]
        flip = v.integer_op("shl", v.integer_op("and", quadrant, v.integer(2)), v.integer(62))
    result = v.from_bits(v.integer_op("xor", v.to_bits(result), flip))
    if name != "cos":  # sin(-0.0) is -0.0, which the reduction would lose
        result = v.select(v.compare("oeq", x, v.number(0.0)), x, result)
    return _large_angles(v, x, small, result, name)


def _series(v: Vector, r: str, low: str) -> tuple[tuple[str], tuple[str]]:
    """sin(r + low) and cos(r + low)."""
    z = v.op("fmul", r, r)
    near = v.fma(z, v.number(-0.5), v.number(1.0))
    sine = v.fma(v.op("fmul", r, z), v.polynomial(z, _SIN[False]), v.op("fadd", r, low))
    return (sine,), (v.fma(v.op("fmul", z, z), v.polynomial(z, _COS[False]), near),)


def _precise_series(v: Vector, r: str, low: str) -> tuple[Pair, Pair]:
    """sin(r + low) and cos(r + low) as sums of two, of which the first is the number rounded."""
    z, z_low = _product(v, r, r)
    z_low = v.fma(v.op("fadd", r, r), low, z_low)
    half = v.op("fmul", z, v.number(0.5))
    near, near_low = _sum(v, v.number(1.0), _minus(v, half))
    # 1 - z/2 + z² · (1/24 - …)
    first = v.number(_COS[True][-1])
    square, square_low = _product(v, z, z)
    square_low = v.fma(v.op("fadd", z, z), z_low, square_low)
    fourth = v.fma(v.op("fmul", square, z), v.polynomial(z, _COS[True][:-1]), near_low)
    fourth = v.fma(z_low, v.number(-0.5), v.fma(square_low, first, fourth))
    cosine = _sum(v, near, v.fma(square, first, fourth))
    # r + r · z · (-1/6 + …)
    slope, slope_low = _sum(
        v, v.number(_SIN[True][-1]), v.op("fmul", z, v.polynomial(z, _SIN[True][:-1]))
    )
    bend, bend_low = _product(v, z, slope)
    bend_low = v.op("fadd", bend_low, v.fma(z, slope_low, v.op("fmul", z_low, slope)))
    third, third_low = _product(v, r, bend)
    third_low = v.fma(low, v.op("fadd", bend, v.number(1.0)), v.fma(r, bend_low, third_low))
    high, lost = _sum(v, r, third)
    return _sum(v, high, v.op("fadd", lost, third_low)), cosine


def _minus(v: Vector, x: str) -> str:
    return v.emitter.let(f"fneg {v.type} {x}")


def _sum(v: Vector, x: str, y: str) -> Pair:
    """x + y, and what its rounding lost, where |x| ≥ |y| or x is 0."""
    total = v.op("fadd", x, y)
    return total, v.op("fadd", v.op("fsub", x, total), y)


def _product(v: Vector, x: str, y: str) -> Pair:
    """x · y, and what its rounding lost (nothing, without fused operations)."""
    product = v.op("fmul", x, y)
    return product, v.fma(x, y, _minus(v, product))


def _quotient(v: Vector, x: list[str], y: list[str]) -> str:
    """One sum of two by another, rounded about once: each has a part that is small."""
    inverse = v.op("fdiv", v.number(1.0), y[0])
    high = v.op("fmul", x[0], inverse)
    against = _minus(v, high)
    rest = v.op("fadd", v.fma(against, y[0], x[0]), v.fma(against, y[1], x[1]))
    return v.fma(rest, inverse, high)


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
