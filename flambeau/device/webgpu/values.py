"""One table: elementwise operation → WGSL expression, by the kind of its operands."""

from __future__ import annotations

import math
from typing import Any

import numpy

from flambeau.device.webgpu import elementary
from flambeau.device.webgpu.carrier import INT32_LEAST, carrier, check_int64
from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType
from flambeau.kernel.ir import Value

_REGISTERED = (elementary,)  # importing it registers its functions

ZERO_WORD = "params.words[0].x"
"""A zero that no compiler knows: keeps constants from being folded."""


class Expressions:
    """Renders values as WGSL.

    `functions` collects the library functions that they call, `constants` the constants that no
    compiler may know (expression → name): they are declared before all else.
    """

    def __init__(self) -> None:
        self.functions: set[str] = set()
        self.constants: dict[str, str] = {}
        self._known_bounds: dict[Value, tuple[float, float]] = {}

    def call(self, function: str, *args: str) -> str:
        self.functions.add(function)
        return f"{function}({', '.join(args)})"

    # constants ------------------------------------------------------------------------------

    def constant(self, payload: Any, dtype: DType) -> str:
        """A literal, or an expression where WGSL has none (NaN, infinity)."""
        kind = carrier(dtype).register
        if kind == "bool":
            return "true" if payload else "false"
        if kind == "f32":
            return self._float(payload, dtype)
        number = int(payload)
        if dtype is dtypes.int64:
            check_int64(number, "the int64 constant")
        elif not dtype_range(dtype)[0] <= number <= dtype_range(dtype)[1]:
            number = int(numpy.asarray(number).astype(dtype.numpy))
        if kind == "u32":
            return f"{number}u"
        if number == INT32_LEAST:
            return "i32(-2147483647 - 1)"
        return f"{number}i" if number >= 0 else f"({number}i)"

    def _float(self, payload: Any, dtype: DType) -> str:
        with numpy.errstate(over="ignore"):
            number = numpy.float32(numpy.asarray(payload).astype(dtype.numpy))
        if not numpy.isfinite(number) or (number != 0 and abs(number) < 1.2e-38):
            return self.call("bits_f32", f"{int(number.view(numpy.uint32)):#010x}u")
        if number == 0 and numpy.signbit(number):
            return self.call("bits_f32", "0x80000000u")
        return f"{number!s}f" if number >= 0 else f"({number!s}f)"

    def hidden(self, literal: str, dtype: DType) -> str:
        """A literal that no compiler can fold."""
        kind = carrier(dtype).register
        if kind == "bool":
            return literal
        rendered = self.call("opaque", literal) if kind == "f32" else f"{literal} | {ZERO_WORD}"
        if kind == "i32":
            rendered = f"{literal} | i32({ZERO_WORD})"
        return self.constants.setdefault(rendered, f"k{len(self.constants)}")

    # operations -----------------------------------------------------------------------------

    def render(self, value: Value, args: list[str]) -> str:
        """The expression of an elementwise value, its arguments being rendered already."""
        fixed = [each.op == "const" for each in value.args]
        for number, each in enumerate(value.args):
            # (x + c) - c must not become x, nor x * 0 become 0
            exact = fixed[number] and each.dtype.is_floating_point and value.op in ("ADD", "MUL")
            if exact or (number == 0 and all(fixed)):
                args = [*args]
                args[number] = self.hidden(args[number], each.dtype)
        if value.op == "CAST":
            return self.cast(args[0], value.args[0].dtype, value.dtype)
        if value.op == "BITCAST":
            return self._bitcast(args[0], value.args[0].dtype, value.dtype)
        if value.op == "WHERE":
            return f"select({args[2]}, {args[1]}, {args[0]})"
        if value.op in ("IDIV", "MOD") and self._is_index(value):
            sign = "/" if value.op == "IDIV" else "%"
            return f"i32(u32({args[0]}) {sign} {value.args[1].payload}u)"
        operand = value.args[0].dtype
        kind = carrier(operand).register
        table = {"f32": self._float_op, "bool": self._bool_op}
        rendered = table.get(kind, self._integer_op)(value.op, operand, args)
        if value.op in ("LT", "EQ"):
            return rendered
        return self.wrap(rendered, value.dtype, value.op)

    def _is_index(self, value: Value) -> bool:
        """Whether the dividend is known not to be negative and the divisor is a constant."""
        divisor = value.args[1]
        return (
            value.dtype is dtypes.int64
            and divisor.op == "const"
            and divisor.payload > 0
            and self.least(value.args[0]) >= 0
        )

    def least(self, index: Value) -> float:
        """A lower bound of an index."""
        return self._bounds(index)[0]

    def _bounds(self, index: Value) -> tuple[float, float]:
        """The least and the greatest number that an index can be."""
        found = self._known_bounds.get(index)
        if found is None:
            found = self._known_bounds[index] = self._find_bounds(index)
        return found

    def _find_bounds(self, index: Value) -> tuple[float, float]:
        if index.op == "const":
            return index.payload, index.payload
        if index.op == "axis":
            return 0, index.payload.extent - 1
        if index.op == "ADD":
            left, right = (self._bounds(each) for each in index.args)
            return left[0] + right[0], left[1] + right[1]
        if index.op in ("MUL", "IDIV", "MOD") and index.args[1].op == "const":
            low, high = self._bounds(index.args[0])
            factor = index.args[1].payload
            if index.op == "MUL" and factor:
                return min(low * factor, high * factor), max(low * factor, high * factor)
            if index.op == "MOD" and factor > 0:
                return 0, (min(high, factor - 1) if low >= 0 else factor - 1)
            if index.op == "IDIV" and factor > 0:
                return low // factor, high // factor
        return -math.inf, math.inf

    def wrap(self, rendered: str, dtype: DType, op: str) -> str:
        """The result of `op` brought back into a dtype narrower than its register."""
        if op in ("AND", "OR", "XOR", "MAX", "WHERE", "SHR", "MOD"):
            return rendered
        if dtype is dtypes.float16:
            return rendered if op in ("NEG", "FLOOR") else self.call("round_half", rendered)
        if dtype is dtypes.uint8:
            return f"(({rendered}) & 255u)"
        if dtype in (dtypes.int8, dtypes.int16):
            shift = 32 - 8 * dtype.itemsize
            return f"((({rendered}) << {shift}u) >> {shift}u)"
        return rendered

    def _float_op(self, op: str, dtype: DType, args: list[str]) -> str:
        signs = {"ADD": "+", "MUL": "*"}
        functions = {
            "NEG": "negate",
            "SQRT": "root",
            "EXP": "exponential",
            "LOG": "logarithm",
            "SIN": "sine",
            "COS": "cosine",
            "TAN": "tangent",
            "DIV": "divide",
            "MOD": "modulo_f32",
            "MAX": "greater",
            "LT": "less",
            "EQ": "equal",
        }
        if op in signs:
            return f"{args[0]} {signs[op]} {args[1]}"
        if op in ("FLOOR", "FMA"):
            return f"{op.lower()}({', '.join(args)})"
        return self.call(functions[op], *args)

    def _bool_op(self, op: str, dtype: DType, args: list[str]) -> str:
        signs = {"ADD": "|", "OR": "|", "MAX": "|", "MUL": "&", "AND": "&", "XOR": "!=", "EQ": "=="}
        if op in signs:
            return f"{args[0]} {signs[op]} {args[1]}"
        if op == "LT":
            return f"(!{args[0]}) & {args[1]}"
        raise NotImplementedError(f"{op} of torch.bool is not available on webgpu: cast it first")

    def _integer_op(self, op: str, dtype: DType, args: list[str]) -> str:
        kind = carrier(dtype).register
        signs = {"ADD": "+", "MUL": "*", "AND": "&", "OR": "|", "XOR": "^", "LT": "<", "EQ": "=="}
        if op in signs:
            return f"{args[0]} {signs[op]} {args[1]}"
        if op == "NEG":
            return f"-{args[0]}" if kind == "i32" else f"(0u - {args[0]})"
        if op == "MAX":
            return f"max({args[0]}, {args[1]})"
        if op in ("SHL", "SHR"):
            sign = "<<" if op == "SHL" else ">>"
            return f"({args[0]} {sign} (u32({args[1]}) & 31u))"
        name = {"IDIV": "divide", "MOD": "modulo"}.get(op)
        if name is None:
            raise NotImplementedError(f"{op} of {dtype!r} is not available on webgpu")
        return self.call(f"{name}_{kind}", *args)

    def combine(self, kind: str, dtype: DType, left: str, right: str) -> str:
        """One step of a fold, a scan or a combining store."""
        op = {"add": "ADD", "mul": "MUL", "max": "MAX"}[kind]
        table = {"f32": self._float_op, "bool": self._bool_op}
        rendered = table.get(carrier(dtype).register, self._integer_op)(op, dtype, [left, right])
        return self.wrap(rendered, dtype, op)

    def identity(self, kind: str, dtype: DType) -> str:
        """What a fold starts with."""
        if kind == "max":
            if dtype.is_floating_point:
                return self.constant(float("-inf"), dtype)
            return self.constant(dtype_range(dtype)[0], dtype)
        return self.constant(1 if kind == "mul" else 0, dtype)

    # conversions ----------------------------------------------------------------------------

    def cast(self, x: str, source: DType, target: DType) -> str:
        before, after = carrier(source).register, carrier(target).register
        if source is target:
            return x
        if before == "bool":
            one, zero = ("1.0f", "0.0f") if after == "f32" else (f"{after}(1)", f"{after}(0)")
            return f"select({zero}, {one}, {x})"
        if after == "bool":
            if before == "f32":
                return f"((bitcast<u32>({x}) & 0x7fffffffu) != 0u)"
            return f"({x} != {before}(0))"
        if after == "f32":
            rendered = x if before == "f32" else f"f32({x})"
        elif before == "f32":
            signed = after == "i32" or target.itemsize < 4
            rendered = f"i32({x})" if signed else self.call("to_u32", x)
            rendered = rendered if signed == (after == "i32") else f"u32({rendered})"
        else:
            rendered = x if before == after else f"bitcast<{after}>({x})"
        return self.wrap(rendered, target, "CAST")

    def _bitcast(self, x: str, source: DType, target: DType) -> str:
        before, after = carrier(source).register, carrier(target).register
        if source is target:
            return x
        if source is dtypes.float16:
            x, before = f"pack2x16float(vec2<f32>({x}, 0.0f))", "u32"
        elif target is dtypes.float16:
            return f"unpack2x16float(bitcast<u32>({x}) & 0xffffu).x"
        if before == "bool" or after == "bool":
            return self.cast(x, source, target)
        rendered = x if before == after else f"bitcast<{after}>({x})"
        return self.wrap(rendered, target, "BITCAST")

    # memory ---------------------------------------------------------------------------------

    def loaded(self, element: str, dtype: DType) -> str:
        """A buffer's element as a value."""
        if dtype.kind == "bool":
            return f"({element} != 0u)"
        return f"f32({element})" if dtype is dtypes.float16 else element

    def stored(self, value: str, dtype: DType) -> str:
        """A value as a buffer's element."""
        if dtype.kind == "bool":
            return f"select(0u, 1u, {value})"
        return f"f16({value})" if dtype is dtypes.float16 else value


def dtype_range(dtype: DType) -> tuple[int, int]:
    """Least and greatest whole number that the device's values of an integer dtype take."""
    if dtype.kind == "bool":
        return 0, 1
    bits = 8 * min(dtype.itemsize, 4)
    if dtype.kind == "uint":
        return 0, 2**bits - 1
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
