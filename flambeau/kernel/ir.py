"""The kernel language: what one launch does, the same for every device.

A Kernel has a domain of parallel axes and a body that is run once at every point of the domain:

    Fold   reduce a value over inner axes, in order; its result is a value from there on; its body,
           where it has one, runs after each step and sees the running result (a scan)
    Loop   run a body over inner axes
    Store  write one element, or combine it into what is there (add, mul, max)
    Check  record an error code where a condition does not hold
    Sort   sort one row of a buffer
    Attend sums weighted by what other sums give, block by block, with no weight in memory

Values form a DAG and are shared by identity. Buffers are flat; an index is an int64 value made of
axes, constants and scalars. Elementwise values have the names and the meaning of graph/op.py.
Everything that a renderer needs is in this file's classes; nothing depends on a device.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType

MAXIMUM_RANK = 16

DIVISION_BY_ZERO = -1
"""The error code of an integer division by zero that no Check guards: a RuntimeError."""


class Axis:
    """A loop's variable: counts 0, 1, …, extent - 1. Compared by identity."""

    __slots__ = ("extent",)

    def __init__(self, extent: int) -> None:
        self.extent = extent


class Value:
    """One value: an operation on other values.

    op is an elementwise primitive's name, or
        "const"   payload: the Python number
        "scalar"  payload: number of the kernel's runtime scalar
        "axis"    payload: Axis; int64
        "result"  payload: Fold; the fold's (in its body: running) result
        "load"    payload: number of the kernel's buffer; args: (index,) or (index, valid): where
                  valid does not hold nothing is read and the value is zero
    """

    __slots__ = ("args", "dtype", "op", "payload")

    def __init__(self, op: str, args: tuple[Value, ...], dtype: DType, payload: Any = None) -> None:
        self.op = op
        self.args = args
        self.dtype = dtype
        self.payload = payload

    def __repr__(self) -> str:
        return f"Value({self.op}, {self.dtype.name}, {self.payload!r})"


class Statement:
    """Base of the statements of a kernel's body."""

    __slots__ = ()


@dataclass(eq=False, slots=True)
class Fold(Statement):
    """result = kind over `value` at every point of `axes` (row-major order).

    kind is "add", "mul" or "max" (NaN wins). `dtype` is the accumulator's and the result's; `value`
    has the same. The order of accumulation is the renderer's, but fixed: it depends on extents
    only, never on threads. With a `body` (a scan) the order is strictly that of the axes.

    `product` marks the sum of a MATMUL or CONV: `value` is a MUL of its operands' elements. Such
    sums may have an order of their own, and have the same one whatever the domain is.
    """

    axes: tuple[Axis, ...]
    kind: str
    value: Value
    dtype: DType
    body: tuple[Statement, ...] = ()
    product: bool = False


@dataclass(eq=False, slots=True)
class Loop(Statement):
    """Run `body` at every point of `axes`, in row-major order where it matters (`combine`)."""

    axes: tuple[Axis, ...]
    body: tuple[Statement, ...]


@dataclass(eq=False, slots=True)
class Store(Statement):
    """buffer[index] = value; or buffer[index] = combine(buffer[index], value).

    Where `valid` is given and does not hold, nothing is written. Points of the parallel domain
    never write the same element; points of an inner Loop may (last wins, combine in order).
    """

    buffer: int
    index: Value
    value: Value
    valid: Value | None = None
    combine: str | None = None


@dataclass(eq=False, slots=True)
class Check(Statement):
    """Where `condition` does not hold: record `code` and `detail` (an int64 value), go on."""

    condition: Value
    code: int
    detail: Value


@dataclass(eq=False, slots=True)
class Sort(Statement):
    """Stable sort of the row `source(axis)`; places first … first + count - 1 of what comes out go
    to values[base + i·stride] and indices (as values), i from 0.

    `source` is a value of `axis`. Either output may be None. NaN is the greatest. `scratch` is a
    buffer of int64, with 2·axis.extent elements for every point of the domain, from `scratch_base`.
    """

    axis: Axis
    source: Value
    descending: bool
    first: int
    count: int
    values: int | None
    indices: int | None
    base: Value
    stride: Value
    scratch: int
    scratch_base: Value


@dataclass(eq=False, slots=True)
class Attend(Statement):
    """Run `body` for every point of `lanes`; what its values use, block by block of `steps`.

    `products` are sums of MUL(of a step, of a lane) over axes of their own. `greatest` and `total`,
    where given, are the max and the sum over `steps` of the score and of exp(score - result of
    greatest, 0 for -inf); `sums` add up MUL(weight, factor) over `steps`: a weight is made of the
    products' results (and of greatest), a factor is of a step and of an axis of the body. So each
    result is a function of the axes that its Fold uses.

    order says which steps count, the others' weights being 0: "" all, "before": step ≤ lane,
    "after": step ≥ lane.
    """

    lanes: Axis
    steps: Axis
    order: str
    products: tuple[Fold, ...]
    greatest: Fold | None
    total: Fold | None
    sums: tuple[Fold, ...]
    body: tuple[Statement, ...]

    @property
    def folds(self) -> tuple[Fold, ...]:
        """All of them, each after those whose results it uses."""
        rows = [each for each in (self.greatest, self.total) if each is not None]
        return (*self.products, *rows, *self.sums)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A buffer of a kernel: element type, number of elements, whether it is written."""

    dtype: DType
    size: int
    written: bool


@dataclass(eq=False)
class Kernel:
    """One launch: domain, body and what they refer to.

    `contraction`, where set by kernel/tile.py, says that the body's first statement is a product
    summed over its axes and which domain axes belong to which operand; a renderer may use it.
    """

    name: str
    domain: tuple[Axis, ...]
    body: tuple[Statement, ...]
    buffers: tuple[Parameter, ...]
    scalars: tuple[DType, ...] = ()
    contraction: Any = field(default=None)

    @cached_property
    def text(self) -> str:
        """The whole kernel as text: canonical, so that equal text means an equal kernel."""
        from flambeau.kernel.printer import kernel_text

        return kernel_text(self)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the text, the name left out: kernels that do the same are one."""
        text = self.text.removeprefix(f"kernel {self.name} ")
        return hashlib.sha256(text.encode()).hexdigest()


# building values ---------------------------------------------------------------------------------


def const(value: Any, dtype: DType = dtypes.int64) -> Value:
    return Value("const", (), dtype, value)


def axis(of: Axis) -> Value:
    return const(0) if of.extent == 1 else Value("axis", (), dtypes.int64, of)


def scalar(number: int, dtype: DType) -> Value:
    return Value("scalar", (), dtype, number)


def load(buffer: int, dtype: DType, index: Value, valid: Value | None = None) -> Value:
    args = (index,) if valid is None else (index, valid)
    return Value("load", args, dtype, buffer)


def result(fold: Fold) -> Value:
    return Value("result", (), fold.dtype, fold)


_BOOLEAN = frozenset({"LT", "EQ"})


def apply(op: str, *args: Value, dtype: DType | None = None) -> Value:
    """An elementwise value. `dtype` is needed for CAST and BITCAST only."""
    if dtype is None:
        dtype = dtypes.bool_ if op in _BOOLEAN else args[-1].dtype
    return Value(op, args, dtype)


# integer index arithmetic, simplified as it is built ---------------------------------------------


def upper(value: Value) -> int | None:
    """The greatest value that a non-negative index can take; None where not known."""
    if value.op == "const":
        return value.payload if value.payload >= 0 else None
    if value.op == "axis":
        return value.payload.extent - 1
    if value.op in ("ADD", "MUL"):
        left, right = upper(value.args[0]), upper(value.args[1])
        if left is None or right is None:
            return None
        return left + right if value.op == "ADD" else left * right
    if value.op == "IDIV" and value.args[1].op == "const":
        left = upper(value.args[0])
        return None if left is None else left // value.args[1].payload
    if value.op == "MOD" and value.args[1].op == "const":
        left = upper(value.args[0])
        most = value.args[1].payload - 1
        return most if left is None else min(left, most)
    return None


def index_add(x: Value, y: Value) -> Value:
    if x.op == "const":
        x, y = y, x
    if y.op == "const":
        if y.payload == 0:
            return x
        if x.op == "const":
            return const(x.payload + y.payload)
        if x.op == "ADD" and x.args[1].op == "const":
            return index_add(x.args[0], const(x.args[1].payload + y.payload))
    elif x.op == "ADD" and x.args[1].op == "const":
        return index_add(index_add(x.args[0], y), x.args[1])
    elif y.op == "ADD" and y.args[1].op == "const":
        return index_add(index_add(x, y.args[0]), y.args[1])
    return Value("ADD", (x, y), dtypes.int64)


def index_multiply(x: Value, factor: int) -> Value:
    if factor == 0:
        return const(0)
    if factor == 1:
        return x
    if x.op == "const":
        return const(x.payload * factor)
    if x.op == "MUL" and x.args[1].op == "const":
        return index_multiply(x.args[0], x.args[1].payload * factor)
    if x.op == "ADD":
        return index_add(*(index_multiply(each, factor) for each in x.args))
    return Value("MUL", (x, const(factor)), dtypes.int64)


def _terms(x: Value) -> list[Value]:
    if x.op == "ADD":
        return _terms(x.args[0]) + _terms(x.args[1])
    return [x]


def _split(x: Value, divisor: int) -> tuple[Value, Value]:
    """x = multiple + rest, where the multiple's terms are divisible by divisor."""
    multiple, rest = const(0), const(0)
    for term in _terms(x):
        factor = (
            term.payload
            if term.op == "const"
            else term.args[1].payload
            if term.op == "MUL" and term.args[1].op == "const"
            else 1
        )
        if factor % divisor == 0:
            multiple = index_add(multiple, term)
        else:
            rest = index_add(rest, term)
    return multiple, rest


def _exact_divide(x: Value, divisor: int) -> Value:
    """x / divisor where every term is divisible."""
    total = const(0)
    for term in _terms(x):
        if term.op == "const":
            total = index_add(total, const(term.payload // divisor))
        else:
            total = index_add(total, index_multiply(term.args[0], term.args[1].payload // divisor))
    return total


def index_divide(x: Value, divisor: int) -> Value:
    """⌊x / divisor⌋ for x ≥ 0, divisor > 0."""
    if divisor == 1:
        return x
    if x.op == "const":
        return const(x.payload // divisor)
    multiple, rest = _split(x, divisor)
    most = upper(rest)
    if most is not None and most < divisor:
        return _exact_divide(multiple, divisor)
    if x.op == "IDIV" and x.args[1].op == "const":
        return index_divide(x.args[0], x.args[1].payload * divisor)
    return Value("IDIV", (x, const(divisor)), dtypes.int64)


def index_modulo(x: Value, divisor: int) -> Value:
    """x mod divisor for x ≥ 0, divisor > 0."""
    if divisor == 1:
        return const(0)
    if x.op == "const":
        return const(x.payload % divisor)
    multiple, rest = _split(x, divisor)
    most = upper(rest)
    if most is not None and most < divisor:
        return rest
    if multiple.op != "const" and most is not None:
        return index_modulo(rest, divisor)
    return Value("MOD", (x, const(divisor)), dtypes.int64)


def stride_of(index: Value, of: Axis) -> int | None:
    """By how much `index` grows with `of`: 0 where independent, None where it is not linear."""
    if index.op == "axis":
        return 1 if index.payload is of else 0
    if index.op in ("const", "scalar", "result"):
        return 0
    parts = [stride_of(each, of) for each in index.args]
    if all(part == 0 for part in parts):
        return 0
    if any(part is None for part in parts):
        return None
    if index.op == "ADD":
        return sum(part for part in parts if part is not None)
    if index.op == "MUL" and index.args[1].op == "const":
        first = parts[0]
        return None if first is None else first * index.args[1].payload
    return None


def linear_terms(index: Value) -> tuple[int, list[tuple[Value, int]]]:
    """index = constant + Σ factor · atom, where no atom is a sum."""
    constant = 0
    terms: dict[Value, int] = {}
    stack = [(index, 1)]
    while stack:
        value, factor = stack.pop()
        if value.op == "const":
            constant += factor * int(value.payload)
        elif value.op == "ADD":
            stack.extend((each, factor) for each in value.args)
        elif value.op == "MUL" and value.args[1].op == "const":
            stack.append((value.args[0], factor * int(value.args[1].payload)))
        elif value.op == "NEG":
            stack.append((value.args[0], -factor))
        else:
            terms[value] = terms.get(value, 0) + factor
    return constant, [(atom, factor) for atom, factor in terms.items() if factor]
