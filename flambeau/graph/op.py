"""The table of primitives: everything that Flambeau computes is made of these.

`python -m flambeau.graph` prints the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

from flambeau.graph import numpy_reference as reference
from flambeau.graph import shapes
from flambeau.graph.dtype import DType, int64
from flambeau.graph.node import Shape, TensorType, TupleType, tensor_type, tuple_type

Attrs = tuple[Any, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Primitive:
    """One primitive: its rules, its numpy reference and what it means."""

    name: str
    group: str
    arity: int | None  # None: any number of inputs
    attrs: tuple[str, ...]
    shape: Callable[[Attrs, list[Shape]], Shape]
    dtype: Callable[[Attrs, list[DType]], DType]
    reference: Callable[..., Any]
    doc: str

    def infer(self, attrs: Attrs, types: tuple[Any, ...]) -> TensorType | TupleType:
        if self.arity is not None and len(types) != self.arity:
            raise TypeError(f"{self.name} takes {self.arity} inputs, got {len(types)}")
        if self.name not in COMPLEX or not _KINDS.isdisjoint(attrs[:2]):
            self._refuse_complex(types)
        if self.name == "PICK":
            return types[0].items[attrs[0]]
        if self.name == "CALL":
            return tuple_type(attrs[-1])
        if self.name == "FUNCTION":
            return tuple_type(types[: attrs[0]])
        if self.name in ("ATTENTION", "ATTENTION_BACKWARD"):
            return tuple_type(shapes.attention_results(self.name, attrs, types))
        shape = self.shape(attrs, [each.shape for each in types])
        result = tensor_type(shape, self.dtype(attrs, [each.dtype for each in types]))
        if self.name == "SORT":
            return tuple_type((result, tensor_type(shape, int64)))
        return result

    def _refuse_complex(self, types: tuple[Any, ...]) -> None:
        for each in types:
            if getattr(each, "dtype", None) is not None and each.dtype.is_complex:
                raise NotImplementedError(
                    f'"{self.name.lower()}" is not there for {each.dtype!r}: take the parts with '
                    "torch.view_as_real, .real, .imag or .abs()"
                )

    def __repr__(self) -> str:
        return self.name


_KINDS = frozenset({"mul", "max", "min"})
"""Reductions and scatters that complex numbers do not have."""

COMPLEX = frozenset(
    (
        *("REAL", "IMAG", "COMPLEX", "NEG", "ADD", "MUL", "DIV", "EQ", "WHERE", "CAST"),
        *("REDUCE", "SCAN", "MATMUL", "RESHAPE", "PERMUTE", "EXPAND", "PAD", "SLICE", "WINDOW"),
        *("CAT", "GATHER", "SCATTER", "MATERIALIZE", "COPY", "ASSIGN", "CALL", "DETACH"),
        *("FUNCTION", "GRAFT", "PICK"),
    )
)
"""Primitives that take complex arrays; plans have their parts, see schedule/complex_parts.py."""

PRIMITIVES: dict[str, Primitive] = {}


def _add(
    name: str,
    group: str,
    arity: int | None,
    attrs: str,
    shape: Callable[..., Any],
    dtype: Callable[..., Any],
    run: Callable[..., Any],
    doc: str,
) -> Primitive:
    primitive = Primitive(name, group, arity, tuple(attrs.split()), shape, dtype, run, doc)
    PRIMITIVES[name] = primitive
    return primitive


def _no_reference(*_: Any) -> Any:
    raise RuntimeError("a source, a copy or a host call is run by the plan, not by the reference")


np = numpy
_unary = reference.unary
_binary = reference.binary
_compare = reference.compare

# sources
BUFFER = _add(
    "BUFFER",
    "source",
    0,
    "shape dtype",
    shapes.buffer,
    shapes.second_attr,
    _no_reference,
    "An array that is there already: a plan's input.",
)
CONST = _add(
    "CONST",
    "source",
    0,
    "dtype [value]",
    shapes.scalar,
    shapes.first_attr,
    reference.const,
    "A 0-d number: fixed where attrs has its key, else a runtime scalar (scalars[0]).",
)
IOTA = _add(
    "IOTA",
    "source",
    0,
    "length dtype",
    shapes.iota,
    shapes.second_attr,
    reference.iota,
    "0, 1, …, length - 1.",
)
# elementwise
NEG = _add(
    "NEG",
    "elementwise",
    1,
    "",
    shapes.elementwise,
    shapes.uniform,
    _unary(np.negative),
    "-x",
)
SQRT = _add(
    "SQRT",
    "elementwise",
    1,
    "",
    shapes.elementwise,
    shapes.floating,
    _unary(np.sqrt),
    "√x",
)
EXP = _add(
    "EXP",
    "elementwise",
    1,
    "",
    shapes.elementwise,
    shapes.floating,
    _unary(np.exp),
    "eˣ",
)
LOG = _add(
    "LOG",
    "elementwise",
    1,
    "",
    shapes.elementwise,
    shapes.floating,
    _unary(np.log),
    "natural logarithm",
)
SIN = _add(
    "SIN",
    "elementwise",
    1,
    "",
    shapes.elementwise,
    shapes.floating,
    _unary(np.sin),
    "sine of an angle in radians",
)
COS = _add(
    "COS",
    "elementwise",
    1,
    "",
    shapes.elementwise,
    shapes.floating,
    _unary(np.cos),
    "cosine of an angle in radians",
)
TAN = _add(
    "TAN",
    "elementwise",
    1,
    "",
    shapes.elementwise,
    shapes.floating,
    _unary(np.tan),
    "tangent of an angle in radians",
)
FLOOR = _add(
    "FLOOR",
    "elementwise",
    1,
    "",
    shapes.elementwise,
    shapes.floating,
    _unary(np.floor),
    "⌊x⌋",
)
CAST = _add(
    "CAST",
    "elementwise",
    1,
    "dtype",
    shapes.elementwise,
    shapes.first_attr,
    reference.cast,
    "x as dtype, as C converts; to bool: x != 0.",
)
BITCAST = _add(
    "BITCAST",
    "elementwise",
    1,
    "dtype",
    shapes.elementwise,
    shapes.bitcast,
    reference.bitcast,
    "the bits of x read as dtype of the same size",
)
ADD = _add(
    "ADD",
    "elementwise",
    2,
    "",
    shapes.elementwise,
    shapes.uniform,
    _binary(np.add),
    "x + y",
)
MUL = _add(
    "MUL",
    "elementwise",
    2,
    "",
    shapes.elementwise,
    shapes.uniform,
    _binary(np.multiply),
    "x · y",
)
FMA = _add(
    "FMA",
    "elementwise",
    3,
    "",
    shapes.elementwise,
    shapes.floating,
    reference.fma,
    "x · y + z, rounded once where the processor can",
)
DIV = _add(
    "DIV",
    "elementwise",
    2,
    "",
    shapes.elementwise,
    shapes.field,
    _binary(np.divide),
    "x / y, correctly rounded",
)
IDIV = _add(
    "IDIV",
    "elementwise",
    2,
    "",
    shapes.elementwise,
    shapes.bits,
    reference.idiv,
    "⌊x / y⌋ of integers; y = 0 raises RuntimeError (ZeroDivisionError)",
)
MOD = _add(
    "MOD",
    "elementwise",
    2,
    "",
    shapes.elementwise,
    shapes.uniform,
    reference.mod,
    "x - y·⌊x / y⌋, with the sign of y; integers: y = 0 raises RuntimeError (ZeroDivisionError)",
)
MAX = _add(
    "MAX",
    "elementwise",
    2,
    "",
    shapes.elementwise,
    shapes.uniform,
    _binary(np.maximum),
    "the greater; NaN where either is NaN",
)
LT = _add(
    "LT",
    "elementwise",
    2,
    "",
    shapes.elementwise,
    shapes.boolean,
    _compare(np.less),
    "x < y",
)
EQ = _add(
    "EQ",
    "elementwise",
    2,
    "",
    shapes.elementwise,
    shapes.boolean,
    _compare(np.equal),
    "x = y",
)
AND = _add(
    "AND",
    "elementwise",
    2,
    "",
    shapes.elementwise,
    shapes.bits,
    _binary(np.bitwise_and),
    "x & y, bit by bit",
)
OR = _add(
    "OR",
    "elementwise",
    2,
    "",
    shapes.elementwise,
    shapes.bits,
    _binary(np.bitwise_or),
    "x | y, bit by bit",
)
XOR = _add(
    "XOR",
    "elementwise",
    2,
    "",
    shapes.elementwise,
    shapes.bits,
    _binary(np.bitwise_xor),
    "x ^ y, bit by bit",
)
SHL = _add(
    "SHL",
    "elementwise",
    2,
    "",
    shapes.elementwise,
    shapes.bits,
    _binary(np.left_shift),
    "x · 2ʸ, 0 ≤ y < bits",
)
SHR = _add(
    "SHR",
    "elementwise",
    2,
    "",
    shapes.elementwise,
    shapes.bits,
    _binary(np.right_shift),
    "⌊x / 2ʸ⌋, 0 ≤ y < bits (arithmetic for signed types)",
)
WHERE = _add(
    "WHERE",
    "elementwise",
    3,
    "",
    shapes.elementwise,
    shapes.where,
    reference.where,
    "x where the condition holds, else y",
)
# complex: none of these is in a plan, see schedule/complex_parts.py
REAL = _add(
    "REAL",
    "complex",
    1,
    "",
    shapes.elementwise,
    shapes.real,
    reference.part(np.real),
    "the real part",
)
IMAG = _add(
    "IMAG",
    "complex",
    1,
    "",
    shapes.elementwise,
    shapes.real,
    reference.part(np.imag),
    "the imaginary part",
)
COMPLEX_OF = _add(
    "COMPLEX",
    "complex",
    2,
    "",
    shapes.elementwise,
    shapes.complex_,
    reference.complex_of,
    "x + y·i",
)
# contraction
REDUCE = _add(
    "REDUCE",
    "contraction",
    1,
    "kind axes",
    shapes.reduce,
    shapes.uniform,
    reference.reduce,
    "add, mul or max over axes, which stay as 1; 16-bit floats accumulate in float32",
)
SCAN = _add(
    "SCAN",
    "contraction",
    1,
    "kind axis",
    shapes.same,
    shapes.uniform,
    reference.scan,
    "running add, mul or max along axis, inclusive",
)
SORT = _add(
    "SORT",
    "contraction",
    1,
    "axis descending [first count]",
    shapes.sort,
    shapes.uniform,
    reference.sort,
    "(values, indices) along axis, stable; NaN is the greatest; all places, or `count` of them "
    "from `first` on",
)
MATMUL = _add(
    "MATMUL",
    "contraction",
    2,
    "",
    shapes.matmul,
    shapes.uniform,
    reference.matmul,
    "(…, m, k) × (…, k, n) → (…, m, n), leading axes broadcast",
)
CONV = _add(
    "CONV",
    "contraction",
    2,
    "mode stride padding dilation groups spatial",
    shapes.conv,
    shapes.floating,
    reference.conv,
    "cross-correlation; mode forward: (input, weight) → output; input: (gradient, weight) → input "
    "of extents spatial; weight: (input, gradient) → weight of extents spatial",
)
ATTENTION = _add(
    "ATTENTION",
    "contraction",
    None,
    "causal scale",
    shapes.attention,
    shapes.uniform,
    reference.attention,
    "query, key, value[, bias]: (softmax(query keyᵀ · scale + bias) value, log Σ exp of each row "
    "of scores); causal: key ≤ query; a row that looks at nothing gives 0 and inf; leading axes "
    "broadcast",
)
ATTENTION_BACKWARD = _add(
    "ATTENTION_BACKWARD",
    "contraction",
    None,
    "causal scale of",
    shapes.attention,
    shapes.uniform,
    reference.attention_backward,
    "query, key, value, g, ATTENTION's second result, row sums of g · output[, bias]: the gradient "
    'of the query (of "query") or of key and value (of "keys"), not summed over what was broadcast',
)
# movement
RESHAPE = _add(
    "RESHAPE",
    "movement",
    1,
    "shape",
    shapes.reshape,
    shapes.uniform,
    reference.reshape,
    "the same elements in row-major order, in another shape",
)
PERMUTE = _add(
    "PERMUTE",
    "movement",
    1,
    "axes",
    shapes.permute,
    shapes.uniform,
    reference.permute,
    "result axis i is input axis axes[i]",
)
EXPAND = _add(
    "EXPAND",
    "movement",
    1,
    "shape",
    shapes.expand,
    shapes.uniform,
    reference.expand,
    "repeated along axes of extent 1 and new leading axes",
)
PAD = _add(
    "PAD",
    "movement",
    1,
    "shape steps fill",
    shapes.pad,
    shapes.uniform,
    reference.pad,
    "an array of shape filled with fill, x laid into it at scalars (starts) with steps: SLICE's "
    "adjoint",
)
SLICE = _add(
    "SLICE",
    "movement",
    1,
    "sizes steps",
    shapes.slice_,
    shapes.uniform,
    reference.slice_,
    "sizes elements an axis from scalars (starts) with steps; a negative step walks back",
)
WINDOW = _add(
    "WINDOW",
    "movement",
    1,
    "axes sizes strides dilations",
    shapes.window,
    shapes.uniform,
    reference.window,
    "sliding windows over axes; the windows' own axes come last",
)
CAT = _add(
    "CAT",
    "movement",
    None,
    "axis",
    shapes.cat,
    shapes.uniform,
    reference.cat,
    "one behind the other along axis",
)
# indexing
GATHER = _add(
    "GATHER",
    "indexing",
    2,
    "axis [message [along]]",
    shapes.gather,
    shapes.gathered,
    reference.gather,
    "x[…, index, …] along axis: index's axes take its place; with along=True index has the "
    "result's shape, and the other coordinates are its own; out of range raises IndexError, which "
    "says `message` where that is not None",
)
SCATTER = _add(
    "SCATTER",
    "indexing",
    3,
    "axis mode [along]",
    shapes.scatter,
    shapes.scattered,
    reference.scatter,
    "(target, index, value): target with value set, added, multiplied or maxed in at index along "
    "axis, in the order of index; with along=True index has value's shape, and the other "
    "coordinates are its own; out of range raises IndexError",
)
# effects
MATERIALIZE = _add(
    "MATERIALIZE",
    "effect",
    1,
    "",
    shapes.same,
    shapes.uniform,
    reference.identity,
    "x, computed and stored before it is used",
)
COPY = _add(
    "COPY",
    "effect",
    1,
    "device",
    shapes.same,
    shapes.uniform,
    _no_reference,
    "x on another device",
)
ASSIGN = _add(
    "ASSIGN",
    "effect",
    2,
    "view",
    shapes.assign,
    shapes.uniform,
    reference.assign,
    "(base, value): base with value written through a view: a chain of (SLICE, sizes, steps), "
    "(RESHAPE, shape), (PERMUTE, axes) steps; scalars holds the slices' starts in order",
)
CALL = _add(
    "CALL",
    "effect",
    None,
    "function results",
    shapes.same,
    shapes.uniform,
    _no_reference,
    "several results of a registered function that runs on the host, on numpy arrays",
)
DETACH = _add(
    "DETACH",
    "effect",
    1,
    "",
    shapes.same,
    shapes.uniform,
    reference.identity,
    "x, with no gradient",
)
FUNCTION = _add(
    "FUNCTION",
    "effect",
    None,
    "results",
    shapes.same,
    shapes.uniform,
    reference.several,
    "(*values, *inputs): the values, as the results of a user's Function of the inputs",
)
GRAFT = _add(
    "GRAFT",
    "effect",
    2,
    "",
    shapes.same,
    shapes.uniform,
    reference.first_of_two,
    "(value, history): value; its gradient goes to history alone",
)
PICK = _add(
    "PICK",
    "effect",
    1,
    "number",
    shapes.same,
    shapes.uniform,
    reference.pick,
    "one result of an operation with several",
)

ELEMENTWISE = frozenset(each for each in PRIMITIVES.values() if each.group == "elementwise")
MOVEMENT = frozenset(each for each in PRIMITIVES.values() if each.group == "movement")


def encode_constant(value: Any, dtype: DType) -> Any:
    """A fixed CONST's key: exact, and telling 0.0 from -0.0 and NaN from itself."""
    if dtype.is_complex:
        return float(value.real).hex(), float(value.imag).hex()
    if dtype.is_floating_point:
        return float(value).hex()
    return bool(value) if dtype.kind == "bool" else int(value)


def table() -> str:
    """The primitives as a table of text."""
    rows = [("primitive", "group", "inputs", "attributes", "meaning")]
    for each in PRIMITIVES.values():
        arity = "any" if each.arity is None else str(each.arity)
        rows.append((each.name, each.group, arity, " ".join(each.attrs), each.doc))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append("  ".join([*cells, row[4]]).rstrip())
    return "\n".join(lines)
