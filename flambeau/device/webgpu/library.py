"""WGSL functions that kernels call: comparison, division, conversion (elementary.py: exp, sin …).

Drivers may round elementary functions coarsely, assume that there is no NaN and fold x * 0 to 0.
So NaN and infinity are told by their bits, constants of that kind come from a uniform's zero word
(`params.words[0].x`, unknown to every compiler), and what needs an exact order of operations hides
parts of it the same way.
"""

from __future__ import annotations

from collections.abc import Iterable

# name -> (functions that it calls, source)
FUNCTIONS: dict[str, tuple[tuple[str, ...], str]] = {}


def define(name: str, needs: str, source: str) -> None:
    """Add a function to the library; `needs` names the functions that it calls."""
    FUNCTIONS[name] = (tuple(needs.split()), source.strip())


define(
    "bits_f32",
    "",
    """
fn bits_f32(bits: u32) -> f32 {
  return bitcast<f32>(bits | params.words[0].x);
}
""",
)
define(
    "opaque",
    "",
    """
// x, of which no compiler knows where it comes from: keeps sums from being reassociated
fn opaque(x: f32) -> f32 {
  return bitcast<f32>(bitcast<u32>(x) | params.words[0].x);
}
""",
)
define(
    "is_nan",
    "",
    """
fn is_nan(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}
""",
)
define(
    "negate",
    "",
    """
fn negate(x: f32) -> f32 {
  return bitcast<f32>(bitcast<u32>(x) ^ 0x80000000u);
}
""",
)
define(
    "less",
    "is_nan",
    """
fn less(x: f32, y: f32) -> bool {
  return (x < y) && !is_nan(x) && !is_nan(y);
}
""",
)
define(
    "equal",
    "is_nan",
    """
fn equal(x: f32, y: f32) -> bool {
  return (x == y) && !is_nan(x) && !is_nan(y);
}
""",
)
define(
    "greater",
    "is_nan",
    """
fn greater(x: f32, y: f32) -> f32 {
  let most = select(y, x, x > y);
  return select(select(most, y, is_nan(y)), x, is_nan(x));
}
""",
)
define(
    "order_f32",
    "is_nan",
    """
// whole numbers in the order of floats: -0 as 0, NaN last
fn order_f32(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  if (is_nan(x)) { return 0xffffffffu; }
  if (bits == 0x80000000u) { return 0x80000000u; }
  return select(bits | 0x80000000u, ~bits, bits > 0x80000000u);
}
""",
)
define(
    "power_of_two",
    "",
    """
fn power_of_two(exponent: i32) -> f32 {
  return bitcast<f32>(u32(exponent + 127) << 23u);
}
""",
)
define(
    "residual",
    "opaque",
    """
// z - x * y, nearly exact, with or without a fused multiply-add: products of halves are exact
fn residual(x: f32, y: f32, z: f32) -> f32 {
  let a = bitcast<f32>(bitcast<u32>(x) & 0xfffff000u);
  let b = bitcast<f32>(bitcast<u32>(y) & 0xfffff000u);
  let c = x - a;
  let d = y - b;
  return opaque(opaque(opaque(z - a * b) - a * d) - c * b) - c * d;
}
""",
)
define(
    "divide",
    "residual power_of_two bits_f32",
    """
fn divide_refined(x: f32, y: f32) -> f32 {
  let quotient = opaque(x / y);
  return quotient + residual(quotient, y, x) / y;
}

fn divide_scaled(x: f32, y: f32) -> f32 {
  var a = bitcast<u32>(x) & 0x7fffffffu;
  var b = bitcast<u32>(y) & 0x7fffffffu;
  let sign = (bitcast<u32>(x) ^ bitcast<u32>(y)) & 0x80000000u;
  if (a > 0x7f800000u || b > 0x7f800000u) { return bits_f32(0x7fc00000u); }
  if (a == 0x7f800000u) { return bits_f32(select(sign | a, 0x7fc00000u, b == a)); }
  if (b == 0x7f800000u) { return bits_f32(sign); }
  if (b == 0u) { return bits_f32(select(sign | 0x7f800000u, 0x7fc00000u, a == 0u)); }
  if (a == 0u) { return bits_f32(sign); }
  var exponent = 0;
  if (a < 0x00800000u) { a = bitcast<u32>(f32(a)); exponent -= 149; }
  if (b < 0x00800000u) { b = bitcast<u32>(f32(b)); exponent += 149; }
  exponent += i32(a >> 23u) - i32(b >> 23u);
  let quotient = divide_refined(
    bitcast<f32>((a & 0x007fffffu) | 0x3f800000u), bitcast<f32>((b & 0x007fffffu) | 0x3f800000u));
  if (exponent > 128) { return bits_f32(sign | 0x7f800000u); }
  if (exponent < -151) { return bits_f32(sign); }
  let part = exponent / 2;
  let scaled = quotient * power_of_two(part) * power_of_two(exponent - part);
  return bitcast<f32>(bitcast<u32>(scaled) | sign);
}

fn divide(x: f32, y: f32) -> f32 {
  let a = (bitcast<u32>(x) >> 23u) & 255u;
  let b = (bitcast<u32>(y) >> 23u) & 255u;
  if (a - 32u < 190u && b - 32u < 190u && a + 100u > b && b + 100u > a) {
    return divide_refined(x, y);
  }
  return divide_scaled(x, y);
}
""",
)
define(
    "divide_i32",
    "",
    """
fn divide_i32(x: i32, y: i32) -> i32 {
  if (y == 0) { return 0; }
  if (y == -1) { return -x; }
  let quotient = x / y;
  let rest = x - quotient * y;
  return select(quotient, quotient - 1, rest != 0 && ((rest < 0) != (y < 0)));
}
""",
)
define(
    "modulo_i32",
    "divide_i32",
    """
fn modulo_i32(x: i32, y: i32) -> i32 {
  return select(x - divide_i32(x, y) * y, 0, y == 0);
}
""",
)
define(
    "divide_u32",
    "",
    """
fn divide_u32(x: u32, y: u32) -> u32 {
  return select(x / max(y, 1u), 0u, y == 0u);
}
""",
)
define(
    "modulo_u32",
    "",
    """
fn modulo_u32(x: u32, y: u32) -> u32 {
  return select(x % max(y, 1u), 0u, y == 0u);
}
""",
)
define(
    "to_u32",
    "",
    """
fn to_u32(x: f32) -> u32 {
  if (x < 0.0f) { return bitcast<u32>(i32(x)); }
  return u32(x);
}
""",
)
define(
    "round_half",
    "",
    """
fn round_half(x: f32) -> f32 {
  return f32(f16(x));
}
""",
)


def source(names: Iterable[str]) -> str:
    """The text of these functions and of all that they call, each once, callees first."""
    done: dict[str, str] = {}

    def visit(name: str) -> None:
        if name in done:
            return
        needs, text = FUNCTIONS[name]
        for each in needs:
            visit(each)
        done[name] = text

    for name in sorted(names):
        visit(name)
    return "\n\n".join(done.values())
