"""Sources and elementwise primitives as ONNX operators.

A rule is `rule(writer, step)` and gives a Value. What ONNX, or the runtimes, have for wide dtypes
only is computed in these by the table (see table.py), so rules see dtypes that they can use.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from flambeau.deploy.onnx.extents import Dim, Mixed
from flambeau.deploy.onnx.library import element_type
from flambeau.deploy.onnx.steps import Step, number_of
from flambeau.deploy.onnx.writer import Value, Writer
from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import bool_, int64

Rule = Callable[[Writer, Step], Any]


def plain(kind: str, **attributes: Any) -> Rule:
    """The operator of this name on the step's inputs."""

    def rule(w: Writer, s: Step) -> Value:
        return w.emit(kind, s.inputs, s.dtype, s.shape, **attributes)

    return rule


def by_kind(floats: Rule, bools: Rule) -> Rule:
    """One rule for numbers, one for truth values (of the inputs)."""

    def rule(w: Writer, s: Step) -> Any:
        return (bools if s.inputs[-1].dtype is bool_ else floats)(w, s)

    return rule


# sources ----------------------------------------------------------------------------------------


def const(w: Writer, s: Step) -> Value:
    """A number that depends on extents: itself, or one over it (means)."""
    value = number_of(s.attrs[1] if len(s.attrs) > 1 else s.scalars[0])
    numbers = value.values if isinstance(value, Dim | Mixed) else (value,)
    if all(float(each).is_integer() for each in numbers):
        return w.scalar_of(Dim(tuple([int(each) for each in numbers])), s.dtype)
    if all(each and _whole(1 / each) is not None for each in numbers):
        below = w.scalar_of(Dim(tuple([_whole(1 / each) or 0 for each in numbers])), s.dtype)
        return w.emit("Reciprocal", [below], s.dtype, ())
    raise s.refuse(f"the number {numbers} depends on the size of a dynamic axis")


def _whole(value: float) -> int | None:
    found = round(value)
    return found if found and abs(value - found) < 1e-9 * found else None


def iota(w: Writer, s: Step) -> Value:
    length, dtype = s.attrs
    bounds = [w.constant(0), w.scalar_of(length, int64), w.constant(1)]
    return w.cast(w.emit("Range", bounds, int64, (length,)), dtype)


def tangent(w: Writer, s: Step) -> Value:
    """Of float64 a quotient: runtimes have Tan for float32 only."""
    if s.dtype is not dtypes.float64:
        return w.emit("Tan", s.inputs, s.dtype, s.shape)
    parts = [w.emit(kind, s.inputs, s.dtype, s.shape) for kind in ("Sin", "Cos")]
    return w.emit("Div", parts, s.dtype, s.shape)


# arithmetic -------------------------------------------------------------------------------------


def multiply_add(w: Writer, s: Step) -> Value:
    """x · y + z; of float32 in float64, where the product is exact."""
    wide = dtypes.float64 if s.dtype is dtypes.float32 else s.dtype
    x, y, z = [w.cast(each, wide) for each in s.inputs]
    total = w.emit("Add", [w.emit("Mul", [x, y], wide), z], wide, s.shape)
    return w.cast(total, s.dtype)


def less_of_bools(w: Writer, s: Step) -> Value:
    return w.emit("And", [w.not_(s.inputs[0]), s.inputs[1]], bool_, s.shape)


def remainder(w: Writer, s: Step) -> Value:
    """With the sign of the divisor; ONNX has that of integers only."""
    x, y = s.inputs
    if not s.dtype.is_floating_point:
        return w.emit("Mod", [x, y], s.dtype, s.shape, fmod=0)
    rest = w.emit("Mod", [x, y], s.dtype, s.shape, fmod=1)
    zero = w.constant(0, s.dtype)
    signs = [w.emit("Less", [each, zero], bool_) for each in (rest, y)]
    other = w.emit("Xor", signs, bool_)
    other = w.emit("And", [other, w.not_(w.emit("Equal", [rest, zero], bool_))], bool_)
    return w.emit("Where", [other, w.emit("Add", [rest, y], s.dtype), rest], s.dtype, s.shape)


def floor_divide(w: Writer, s: Step) -> Value:
    """(x - x mod y) / y, which is exact: ONNX's Div goes towards 0."""
    x, y = s.inputs
    rest = w.emit("Mod", [x, y], s.dtype, s.shape, fmod=0)
    return w.emit("Div", [w.emit("Sub", [x, rest], s.dtype), y], s.dtype, s.shape)


def where_of_bools(w: Writer, s: Step) -> Value:
    condition, x, y = s.inputs
    either = [w.emit("And", [condition, x], bool_), w.emit("And", [w.not_(condition), y], bool_)]
    return w.emit("Or", either, bool_, s.shape)


def cast(w: Writer, s: Step) -> Value:
    """To small integers by way of int64, so that what does not fit wraps."""
    (x,) = s.inputs
    small = s.dtype.kind in ("int", "uint") and s.dtype.itemsize < 8
    if x.dtype.is_floating_point and small:
        x = w.cast(x, int64)
    made = w.cast(x, s.dtype)
    return made


def bitcast(w: Writer, s: Step) -> Value:
    return w.emit("BitCast", s.inputs, s.dtype, s.shape, to=element_type(s.dtype))


# bits -------------------------------------------------------------------------------------------

_UNSIGNED = 13  # TensorProto.UINT64


def _shifted(w: Writer, x: Value, y: Value, direction: str) -> Value:
    """A shift of int64 as one of uint64, which is what ONNX has."""
    both = [w.emit("Cast", [each], int64, to=_UNSIGNED) for each in (x, y)]
    moved = w.emit("BitShift", both, int64, direction=direction)
    return w.emit("Cast", [moved], int64, to=element_type(int64))


def shift_left(w: Writer, s: Step) -> Value:
    x, y = [w.cast(each, int64) for each in s.inputs]
    return w.cast(_shifted(w, x, y, "LEFT"), s.dtype)


def shift_right(w: Writer, s: Step) -> Value:
    """⌊x / 2ʸ⌋: of a negative number the complement is shifted."""
    x, y = [w.cast(each, int64) for each in s.inputs]
    low = w.emit("Less", [x, w.constant(0)], bool_)
    ones = w.constant(-1)
    turned = w.emit("Where", [low, w.emit("Sub", [ones, x], int64), x], int64)
    moved = _shifted(w, turned, y, "RIGHT")
    back = w.emit("Where", [low, w.emit("Sub", [ones, moved], int64), moved], int64, s.shape)
    return w.cast(back, s.dtype)


# composites -------------------------------------------------------------------------------------


def floats_only(kind: str, **attributes: Any) -> Rule:
    """The operator of this name where inputs are floating; else the expansion."""

    def rule(w: Writer, s: Step) -> Value | None:
        if not all(each.dtype.is_floating_point for each in s.inputs):
            return None
        return w.emit(kind, s.inputs, s.dtype, s.shape, **attributes)

    return rule


def number(value: Value) -> float | None:
    """The number that a 0-d constant is, else None."""
    if value.array is None or value.array.size != 1:
        return None
    return float(value.array.reshape(()))


def leaky_relu(w: Writer, s: Step) -> Value | None:
    x, slope = s.inputs
    alpha = number(slope)
    if alpha is None or not s.dtype.is_floating_point:
        return None
    return w.emit("LeakyRelu", [x], s.dtype, s.shape, alpha=alpha)


def elu(w: Writer, s: Step) -> Value | None:
    """elu, selu and celu are one formula."""
    below, above, within = s.attrs
    if within != 1.0:
        return None
    if above == 1.0:
        return w.emit("Elu", s.inputs, s.dtype, s.shape, alpha=below)
    return w.emit("Selu", s.inputs, s.dtype, s.shape, alpha=below / above, gamma=above)


def silu(w: Writer, s: Step) -> Value:
    (x,) = s.inputs
    return w.emit("Mul", [x, w.emit("Sigmoid", [x], s.dtype)], s.dtype, s.shape)


def softplus(w: Writer, s: Step) -> Value | None:
    x, beta, threshold = s.inputs
    if number(beta) != 1.0 or (number(threshold) or 0.0) < 20.0:
        return None
    return w.emit("Softplus", [x], s.dtype, s.shape)


def gelu(w: Writer, s: Step) -> Value:
    """An operator of its own since opset 20; before, what runtimes fuse to one."""
    (x,) = s.inputs
    (approximate,) = s.attrs
    if w.opset >= 20:
        return w.emit("Gelu", [x], s.dtype, s.shape, approximate=approximate)

    def binary(kind: str, left: Value, right: Value | float) -> Value:
        other = right if isinstance(right, Value) else w.constant(right, s.dtype)
        return w.emit(kind, [left, other], s.dtype, s.shape)

    if approximate == "none":
        curve = w.emit("Erf", [binary("Div", x, math.sqrt(2.0))], s.dtype)
    else:
        cube = binary("Mul", binary("Mul", binary("Mul", x, x), x), 0.044715)
        inner = binary("Mul", binary("Add", x, cube), math.sqrt(2.0 / math.pi))
        curve = w.emit("Tanh", [inner], s.dtype)
    return binary("Mul", binary("Mul", x, binary("Add", curve, 1.0)), 0.5)


def exp2(w: Writer, s: Step) -> Value:
    return w.emit("Pow", [w.constant(2, s.dtype), *s.inputs], s.dtype, s.shape)


def log2(w: Writer, s: Step) -> Value:
    factor = w.constant(1 / math.log(2), s.dtype)
    return w.emit("Mul", [w.emit("Log", s.inputs, s.dtype), factor], s.dtype, s.shape)


def log10(w: Writer, s: Step) -> Value:
    factor = w.constant(1 / math.log(10), s.dtype)
    return w.emit("Mul", [w.emit("Log", s.inputs, s.dtype), factor], s.dtype, s.shape)


def expm1(w: Writer, s: Step) -> Value:
    """eˣ - 1 above 1, else 2 t / (1 - t) with t = tanh(x / 2), which is exact near 0."""
    (x,) = s.inputs
    one, two = (w.constant(each, s.dtype) for each in (1, 2))
    t = w.emit("Tanh", [w.emit("Div", [x, two], s.dtype)], s.dtype)
    near = w.emit(
        "Div", [w.emit("Mul", [t, two], s.dtype), w.emit("Sub", [one, t], s.dtype)], s.dtype
    )
    far = w.emit("Sub", [w.emit("Exp", [x], s.dtype), one], s.dtype)
    return w.emit("Where", [w.emit("Greater", [x, one], bool_), far, near], s.dtype, s.shape)


def log1p(w: Writer, s: Step) -> Value:
    return _log1p(w, s, s.inputs[0])


def _log1p(w: Writer, s: Step, x: Value) -> Value:
    """2 atanh(x / (x + 2)) near 0, where it is exact, else log(1 + x)."""
    one, two, half = (w.constant(each, s.dtype) for each in (1, 2, 0.5))
    ratio = w.emit("Div", [x, w.emit("Add", [x, two], s.dtype)], s.dtype)
    near = w.emit("Mul", [w.emit("Atanh", [ratio], s.dtype), two], s.dtype)
    far = w.emit("Log", [w.emit("Add", [x, one], s.dtype)], s.dtype)
    small = w.emit("Less", [w.emit("Abs", [x], s.dtype), half], bool_)
    return w.emit("Where", [small, near, far], s.dtype, s.shape)


def logaddexp(w: Writer, s: Step) -> Value:
    """The greater and log(1 + exp(-|x - y|)); of equal numbers, which may be infinite, log 2."""
    x, y = s.inputs
    apart = w.emit("Abs", [w.emit("Sub", [x, y], s.dtype, s.shape)], s.dtype, s.shape)
    small = w.emit("Exp", [w.emit("Neg", [apart], s.dtype, s.shape)], s.dtype, s.shape)
    rest = w.emit("Where", [w.emit("Equal", [x, y], bool_), w.constant(1, s.dtype), small], s.dtype)
    greater = w.emit("Max", [x, y], s.dtype, s.shape)
    return w.emit("Add", [greater, _log1p(w, s, rest)], s.dtype, s.shape)


def atan2(w: Writer, s: Step) -> Value:
    """The angle of the slope, turned by half a circle where the second number is negative."""
    y, x = s.inputs
    zero, pi = w.constant(0, s.dtype), w.constant(math.pi, s.dtype)
    slope = w.emit("Div", [y, x], s.dtype)
    level = w.emit("Equal", [y, zero], bool_)
    angle = w.emit("Atan", [w.emit("Where", [level, y, slope], s.dtype)], s.dtype)
    turned = w.emit("Where", [_negative(w, y), w.emit("Neg", [pi], s.dtype), pi], s.dtype)
    angle = w.emit("Where", [level, zero, angle], s.dtype)
    turned = w.emit("Add", [angle, turned], s.dtype)
    return w.emit("Where", [_negative(w, x), turned, angle], s.dtype, s.shape)


def _negative(w: Writer, x: Value, *shape: Any) -> Value:
    """x < 0; of zeros the sign of their reciprocal."""
    zero = w.constant(0, x.dtype)
    is_zero = w.emit("Equal", [x, zero], bool_)
    seen = w.emit("Where", [is_zero, w.emit("Reciprocal", [x], x.dtype), x], x.dtype)
    return w.emit("Less", [seen, zero], bool_, *shape)


def erfc(w: Writer, s: Step) -> Value:
    """1 - erf, as PyTorch's exporter has it: small values lose their relative precision."""
    both = [w.constant(1, s.dtype), w.emit("Erf", s.inputs, s.dtype)]
    return w.emit("Sub", both, s.dtype, s.shape)


def signbit(w: Writer, s: Step) -> Value | None:
    """x < 0; of zeros the sign of their reciprocal."""
    (x,) = s.inputs
    return _negative(w, x, s.shape) if x.dtype.is_floating_point else None


def clip(w: Writer, x: Value, low: Value | None, high: Value | None, s: Step) -> Value:
    """Clip takes numbers; arrays go through Max and Min."""
    scalars = all(each is None or each.rank == 0 for each in (low, high))
    if scalars:
        return w.emit("Clip", [x, low, high], s.dtype, s.shape)
    if low is not None:
        x = w.emit("Max", [x, low], s.dtype, s.shape)
    return x if high is None else w.emit("Min", [x, high], s.dtype, s.shape)


def hardtanh(w: Writer, s: Step) -> Value:
    x, low, high = s.inputs
    return clip(w, x, low, high, s)


def clamp(w: Writer, s: Step) -> Value:
    has_low, has_high = s.attrs[-2:]
    bounds = s.inputs[1:]
    return clip(w, s.inputs[0], bounds[0] if has_low else None, bounds[-1] if has_high else None, s)


def infinite(w: Writer, s: Step) -> Value | None:
    (x,) = s.inputs
    if x.dtype not in (dtypes.float32, dtypes.float64):
        return None
    return w.emit("IsInf", [x], bool_, s.shape)


def unequal(w: Writer, s: Step) -> Value:
    return w.not_(w.emit("Equal", s.inputs, bool_, s.shape))


def dropout(w: Writer, s: Step) -> Value | None:
    """Random in the file, too, where it was exported in training mode."""
    x, _, _, _, p = s.inputs
    if s.attrs[0]:
        raise s.refuse("dropout of whole channels in training mode has no operator")
    inputs = [x, w.cast(p, dtypes.float32), w.constant(True, bool_)]
    return w.several("Dropout", inputs, [s.dtype], [s.shape], fresh=True)[0]
