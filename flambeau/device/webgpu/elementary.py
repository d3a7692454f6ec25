"""Elementary functions in WGSL, accurate to a few units in the last place on every driver.

exp, log and sin are polynomials of our own (minimax coefficients as in S. L. Moshier's Cephes
library, single precision), since drivers may be off by much more near 0 and 1.
"""

from flambeau.device.webgpu.library import define

define(
    "root",
    "residual bits_f32",
    """
fn root(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u || bits > 0x80000000u) { return bits_f32(0x7fc00000u); }
  if (bits == 0u || bits == 0x80000000u || bits == 0x7f800000u) { return x; }
  var y = x;
  var scale = 1.0f;
  if (bits < 0x10000000u) {
    // 2^-150 below: as a whole number times 2^-149, made an even power, where it is subnormal
    if (bits < 0x00800000u) {
      y = f32(bits) * 2.0f;
      scale = bitcast<f32>(0x1a000000u);
    } else {
      y = x * 1.8446744e19f;
      scale = 2.3283064e-10f;
    }
  }
  let first = opaque(sqrt(y));
  return (first + 0.5f * residual(first, first, y) / first) * scale;
}
""",
)
define(
    "exponential",
    "is_nan bits_f32 power_of_two opaque",
    """
fn exponential(x: f32) -> f32 {
  let bounded = clamp(x, -105.0f, 89.0f);
  let whole = round(bounded * 1.44269504f);
  let rest = opaque(fma(whole, -0.693145751953125f, bounded));
  var tail = whole * -1.4286068203094172e-6f;
  var p = fma(2.0022309036e-4f, rest, 1.3935060706e-3f);
  p = fma(p, rest, 8.3331326023e-3f);
  p = fma(p, rest, 4.1666466743e-2f);
  p = fma(p, rest, 1.6666667163e-1f);
  tail = fma(0.5f * tail, tail, tail);
  let square = rest * rest;
  let total = opaque(1.0f + rest);
  p = fma(square * rest, p, opaque(opaque(1.0f - total) + rest));
  p = fma(tail, fma(square, 0.5f, total) + p, p);
  p = total + fma(square, 0.5f, p);
  let exponent = i32(whole);
  let part = exponent / 2;
  var y = p * power_of_two(part) * power_of_two(exponent - part);
  y = select(y, bits_f32(0x7f800000u), x > 88.72284f);
  y = select(y, 0.0f, x < -103.972084f);
  return select(y, bits_f32(0x7fc00000u), is_nan(x));
}
""",
)
define(
    "logarithm",
    "bits_f32 opaque",
    """
fn logarithm(x: f32) -> f32 {
  var bits = bitcast<u32>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return bits_f32(0x7fc00000u); }
  if ((bits & 0x7fffffffu) == 0u) { return bits_f32(0xff800000u); }
  if (bits > 0x80000000u) { return bits_f32(0x7fc00000u); }
  if (bits == 0x7f800000u) { return bits_f32(0x7f800000u); }
  var exponent = -127;
  if (bits < 0x00800000u) {
    bits = bitcast<u32>(f32(bits));
    exponent = -127 - 149;
  }
  exponent += i32(bits >> 23u);
  var mantissa = (bits & 0x007fffffu) | 0x3f800000u;
  if (mantissa > 0x3fb504f3u) {
    mantissa -= 0x00800000u;
    exponent += 1;
  }
  let f = bitcast<f32>(mantissa) - 1.0f;
  let square = f * f;
  let e = f32(exponent);
  var p = fma(7.0376836292e-2f, f, -1.1514610310e-1f);
  p = fma(p, f, 1.1676998740e-1f);
  p = fma(p, f, -1.2420140846e-1f);
  p = fma(p, f, 1.4249322787e-1f);
  p = fma(p, f, -1.6668057665e-1f);
  p = fma(p, f, 2.0000714765e-1f);
  p = fma(p, f, -2.4999993993e-1f);
  p = fma(p, f, 3.3333331174e-1f);
  p = p * f * square;
  p = opaque(fma(e, -2.12194440e-4f, p));
  p = opaque(fma(-0.5f, square, p));
  return fma(e, 0.693359375f, opaque(f + p));
}
""",
)
define(
    "circular",
    "opaque bits_f32 power_of_two",
    """
fn multiply_wide(x: u32, y: u32) -> vec2<u32> {
  let low = (x & 0xffffu) * (y & 0xffffu);
  let first = (x >> 16u) * (y & 0xffffu) + (low >> 16u);
  let second = (x & 0xffffu) * (y >> 16u) + (first & 0xffffu);
  return vec2<u32>((second << 16u) | (low & 0xffffu),
                   (x >> 16u) * (y >> 16u) + (first >> 16u) + (second >> 16u));
}

// |x| modulo pi/2 by the method of Payne and Hanek: x * 2/pi with the bits that matter
// (returns the rest; the quadrant goes through the pointer)
fn reduce_far(bits: u32, quadrant: ptr<function, u32>) -> f32 {
  var table = array<u32, 8>(0u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u,
                            0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu);
  let mantissa = (bits & 0x007fffffu) | 0x00800000u;
  let start = (bits >> 23u) - 120u;
  let word = start >> 5u;
  let left = start & 31u;
  let right = 31u - left;
  let w0 = (table[word] << left) | ((table[word + 1u] >> 1u) >> right);
  let w1 = (table[word + 1u] << left) | ((table[word + 2u] >> 1u) >> right);
  let w2 = (table[word + 2u] << left) | ((table[word + 3u] >> 1u) >> right);
  let p2 = multiply_wide(mantissa, w2);
  let p1 = multiply_wide(mantissa, w1);
  let middle = p1.x + p2.y;
  let top = mantissa * w0 + p1.y + select(0u, 1u, middle < p1.x);
  var turns = top >> 30u;
  var high = (top << 2u) | (middle >> 30u);
  var low = (middle << 2u) | (p2.x >> 30u);
  let negative = high >= 0x80000000u;
  if (negative) {
    turns += 1u;
    low = ~low + 1u;
    high = ~high + select(0u, 1u, low == 0u);
  }
  *quadrant = turns & 3u;
  if (high == 0u) {
    high = low;
    low = 0u;
    if (high == 0u) { return 0.0f; }
    let far = countLeadingZeros(high);
    let tiny = f32(high << far) * power_of_two(-64 - i32(far)) * 1.57079637f;
    return select(tiny, -tiny, negative);
  }
  let zeros = countLeadingZeros(high);
  let fraction = (high << zeros) | ((low >> 1u) >> (31u - zeros));
  let rest = f32(fraction) * power_of_two(-32 - i32(zeros)) * 1.57079637f;
  return select(rest, -rest, negative);
}

// |x|, given as bits, modulo pi/2
fn reduce(bits: u32, quadrant: ptr<function, u32>) -> f32 {
  if (bits >= 0x43800000u) { return reduce_far(bits, quadrant); }
  let size = bitcast<f32>(bits);
  let turns = round(size * 0.636619772f);
  *quadrant = u32(turns) & 3u;
  var rest = opaque(fma(turns, -1.5706787109375f, size));
  rest = opaque(fma(turns, -0.00011761486530303955078125f, rest));
  rest = opaque(fma(turns, -9.92031345958821475505828857421875e-10f, rest));
  return fma(turns, -6.2233719699e-14f, rest);
}

// (sin x / x - 1) / x^2 and (cos x - 1 + x^2/2) / x^4, of x^2
fn sine_bend(square: f32) -> f32 {
  let s = fma(-1.9515295891e-4f, square, 8.3321608736e-3f);
  return fma(s, square, -1.6666654611e-1f);
}
fn cosine_bend(square: f32) -> f32 {
  let c = fma(2.443315711809948e-5f, square, -1.388731625493765e-3f);
  return fma(c, square, 4.166664568298827e-2f);
}

// sin(x + ahead * pi/2)
fn circular(x: f32, ahead: u32) -> f32 {
  let bits = bitcast<u32>(x) & 0x7fffffffu;
  if (bits >= 0x7f800000u) { return bits_f32(0x7fc00000u); }
  if (bits < 0x39000000u) { return select(x, 1.0f, ahead == 1u); }
  var quadrant = 0u;
  let rest = reduce(bits, &quadrant);
  let square = rest * rest;
  let s = fma(sine_bend(square) * square, rest, rest);
  let c = fma(cosine_bend(square), square * square, fma(-0.5f, square, 1.0f));
  quadrant += ahead;
  let y = select(s, c, (quadrant & 1u) == 1u);
  let sign = select(bitcast<u32>(x) & 0x80000000u, 0u, ahead == 1u);
  return bitcast<f32>(bitcast<u32>(y) ^ ((quadrant & 2u) << 30u) ^ sign);
}
""",
)
define("sine", "circular", "fn sine(x: f32) -> f32 { return circular(x, 0u); }")
define("cosine", "circular", "fn cosine(x: f32) -> f32 { return circular(x, 1u); }")
define(
    "tangent",
    "circular residual opaque bits_f32",
    """
// sine and cosine as sums of two, and their quotient, rounded about once
fn tangent(x: f32) -> f32 {
  let bits = bitcast<u32>(x) & 0x7fffffffu;
  if (bits >= 0x7f800000u) { return bits_f32(0x7fc00000u); }
  if (bits < 0x39000000u) { return x; }
  var quadrant = 0u;
  let rest = reduce(bits, &quadrant);
  let square = rest * rest;
  let third = sine_bend(square) * square * rest;
  let sine = opaque(rest + third);
  let sine_low = opaque(rest - sine) + third;
  let half = 0.5f * square;
  let near = opaque(1.0f - half);
  let fourth = fma(cosine_bend(square), square * square, opaque(1.0f - near) - half);
  let cosine = opaque(near + fourth);
  let cosine_low = opaque(near - cosine) + fourth;
  let odd = (quadrant & 1u) == 1u;
  let above = select(sine, cosine, odd);
  let below = select(cosine, sine, odd);
  let ratio = opaque(above / below);
  let less = select(sine_low, cosine_low, odd) - ratio * select(cosine_low, sine_low, odd);
  let y = ratio + (residual(ratio, below, above) + less) / below;
  return bitcast<f32>(bitcast<u32>(y) ^ (quadrant << 31u) ^ (bitcast<u32>(x) & 0x80000000u));
}
""",
)
define(
    "modulo_f32",
    "bits_f32",
    """
fn modulo_f32(x: f32, y: f32) -> f32 {
  let a = bitcast<u32>(x) & 0x7fffffffu;
  let b = bitcast<u32>(y) & 0x7fffffffu;
  if (a >= 0x7f800000u || b > 0x7f800000u || b == 0u) { return bits_f32(0x7fc00000u); }
  let sign = bitcast<u32>(x) & 0x80000000u;
  let opposite = ((bitcast<u32>(x) ^ bitcast<u32>(y)) & 0x80000000u) != 0u;
  if (a == 0u) { return bits_f32(bitcast<u32>(y) & 0x80000000u); }
  if (b == 0x7f800000u) { return select(x, y, opposite); }
  // whole numbers times powers of two
  var m = (a & 0x007fffffu) | select(0u, 0x00800000u, a >= 0x00800000u);
  let n = (b & 0x007fffffu) | select(0u, 0x00800000u, b >= 0x00800000u);
  let p = max(i32(a >> 23u), 1);
  let q = max(i32(b >> 23u), 1);
  var rest = x;
  if (p >= q) {
    var left = p - q;
    m = m % n;
    while (left > 0 && m != 0u) {
      let step = min(left, 8);
      m = (m << u32(step)) % n;
      left -= step;
    }
    // m * 2^(q - 150), exact
    if (m == 0u) { return bits_f32(bitcast<u32>(y) & 0x80000000u); }
    let shift = i32(countLeadingZeros(m)) - 8;
    if (q - shift >= 1) {
      rest = bitcast<f32>((((m << u32(shift)) & 0x007fffffu) | (u32(q - shift) << 23u)) | sign);
    } else {
      rest = bitcast<f32>((m << u32(q - 1)) | sign);
    }
  }
  return select(rest, rest + y, opposite);
}
""",
)
