"""Small functions that record primitives: the vocabulary of gradient rules and expansions.

All take and return Nodes. Elementwise functions broadcast; nothing promotes dtypes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.graph import dtype as dtypes
from flambeau.graph import op
from flambeau.graph.dtype import DType
from flambeau.graph.node import Node, Shape, node


def constant(value: Any, dtype: DType) -> Node:
    """A fixed 0-d number: its value becomes part of the plan."""
    return node(op.CONST, (), (dtype, op.encode_constant(value, dtype)))


def scalar(value: Any, dtype: DType) -> Node:
    """A 0-d number that may change from run to run within one plan."""
    return node(op.CONST, (), (dtype,), (value,))


def full(shape: Shape, value: Any, dtype: DType) -> Node:
    """An array of a fixed number."""
    return expand(constant(value, dtype), shape)


def full_like(x: Node, value: Any) -> Node:
    return full(x.shape, value, x.dtype)


def iota(length: int, dtype: DType = dtypes.int64) -> Node:
    return node(op.IOTA, (), (length, dtype))


def neg(x: Node) -> Node:
    return node(op.NEG, (x,))


def sqrt(x: Node) -> Node:
    return node(op.SQRT, (x,))


def exp(x: Node) -> Node:
    return node(op.EXP, (x,))


def log(x: Node) -> Node:
    return node(op.LOG, (x,))


def sin(x: Node) -> Node:
    return node(op.SIN, (x,))


def cos(x: Node) -> Node:
    return node(op.COS, (x,))


def floor(x: Node) -> Node:
    return node(op.FLOOR, (x,))


def cast(x: Node, dtype: DType) -> Node:
    return x if x.dtype is dtype else node(op.CAST, (x,), (dtype,))


def bitcast(x: Node, dtype: DType) -> Node:
    return x if x.dtype is dtype else node(op.BITCAST, (x,), (dtype,))


def add(x: Node, y: Node) -> Node:
    return node(op.ADD, (x, y))


def sub(x: Node, y: Node) -> Node:
    return node(op.ADD, (x, neg(y)))


def mul(x: Node, y: Node) -> Node:
    return node(op.MUL, (x, y))


def div(x: Node, y: Node) -> Node:
    return node(op.DIV, (x, y))


def idiv(x: Node, y: Node) -> Node:
    return node(op.IDIV, (x, y))


def mod(x: Node, y: Node) -> Node:
    return node(op.MOD, (x, y))


def maximum(x: Node, y: Node) -> Node:
    return node(op.MAX, (x, y))


def less(x: Node, y: Node) -> Node:
    return node(op.LT, (x, y))


def equal(x: Node, y: Node) -> Node:
    return node(op.EQ, (x, y))


def and_(x: Node, y: Node) -> Node:
    return node(op.AND, (x, y))


def or_(x: Node, y: Node) -> Node:
    return node(op.OR, (x, y))


def xor(x: Node, y: Node) -> Node:
    return node(op.XOR, (x, y))


def not_(x: Node) -> Node:
    """The other truth value of a bool."""
    return xor(x, constant(True, dtypes.bool_))


def real(x: Node) -> Node:
    return node(op.REAL, (x,))


def imag(x: Node) -> Node:
    return node(op.IMAG, (x,))


def complex_(x: Node, y: Node) -> Node:
    """x + y·i"""
    return node(op.COMPLEX_OF, (x, y))


def conj(x: Node) -> Node:
    """The conjugate; x itself where it is real."""
    return complex_(real(x), neg(imag(x))) if x.dtype.is_complex else x


def where(condition: Node, x: Node, y: Node) -> Node:
    return node(op.WHERE, (condition, x, y))


def reduce(kind: str, x: Node, axes: Sequence[int]) -> Node:
    """Reduced axes stay as 1. No axes: x itself."""
    axes = tuple(sorted(axes))
    return node(op.REDUCE, (x,), (kind, axes)) if axes else x


def scan(kind: str, x: Node, axis: int) -> Node:
    return node(op.SCAN, (x,), (kind, axis))


def sort(
    x: Node, axis: int, descending: bool = False, places: tuple[int, int] | None = None
) -> tuple[Node, Node]:
    """(values, indices); `places` are (first, count) of those that are wanted: see op.SORT."""
    whole = node(op.SORT, (x,), (axis, descending, *(places or ())))
    return pick(whole, 0), pick(whole, 1)


def pick(x: Node, number: int) -> Node:
    return node(op.PICK, (x,), (number,))


def matmul(x: Node, y: Node) -> Node:
    return node(op.MATMUL, (x, y))


def conv(
    mode: str,
    first: Node,
    second: Node,
    stride: tuple[int, ...],
    padding: tuple[tuple[int, int], ...],
    dilation: tuple[int, ...],
    groups: int,
    spatial: tuple[int, ...] = (),
) -> Node:
    """See op.CONV; `spatial` is the result's extents, for modes "input" and "weight" only."""
    return node(op.CONV, (first, second), (mode, stride, padding, dilation, groups, spatial))


def reshape(x: Node, shape: Shape) -> Node:
    return x if x.shape == shape else node(op.RESHAPE, (x,), (shape,))


def permute(x: Node, axes: tuple[int, ...]) -> Node:
    return x if axes == tuple(range(len(axes))) else node(op.PERMUTE, (x,), (axes,))


def expand(x: Node, shape: Shape) -> Node:
    return x if x.shape == shape else node(op.EXPAND, (x,), (shape,))


def slice_(
    x: Node,
    starts: tuple[Any, ...],
    sizes: tuple[int, ...],
    steps: tuple[int, ...] | None = None,
) -> Node:
    steps = steps or (1,) * len(sizes)
    return node(op.SLICE, (x,), (sizes, steps), starts)


def pad(
    x: Node,
    shape: Shape,
    starts: tuple[Any, ...],
    steps: tuple[int, ...] | None = None,
    fill: Any = 0,
) -> Node:
    steps = steps or (1,) * len(shape)
    return node(op.PAD, (x,), (shape, steps, op.encode_constant(fill, x.dtype)), starts)


def flip(x: Node, axes: Sequence[int]) -> Node:
    starts = tuple(n - 1 if axis in axes else 0 for axis, n in enumerate(x.shape))
    steps = tuple(-1 if axis in axes else 1 for axis in range(len(x.shape)))
    return slice_(x, starts, x.shape, steps) if x.type.size else x


def window(
    x: Node,
    axes: tuple[int, ...],
    sizes: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
) -> Node:
    return node(op.WINDOW, (x,), (axes, sizes, strides, dilations))


def cat(parts: Sequence[Node], axis: int) -> Node:
    return parts[0] if len(parts) == 1 else node(op.CAT, tuple(parts), (axis,))


def gather(
    x: Node, index: Node, axis: int, message: str | None = None, along: bool = False
) -> Node:
    """`message` is what IndexError says, with {detail} for the index: see op.GATHER."""
    attrs = (axis, message, True) if along else (axis,) if message is None else (axis, message)
    return node(op.GATHER, (x, index), attrs)


def scatter(
    target: Node, index: Node, value: Node, axis: int, mode: str, along: bool = False
) -> Node:
    return node(op.SCATTER, (target, index, value), (axis, mode, *([True] if along else [])))


def assign(base: Node, value: Node, chain: tuple[Any, ...], starts: tuple[Any, ...]) -> Node:
    return node(op.ASSIGN, (base, value), (chain,), starts)


def detach(x: Node) -> Node:
    return node(op.DETACH, (x,))


def graft(value: Node, history: Node) -> Node:
    return node(op.GRAFT, (value, history))


def materialize(x: Node) -> Node:
    return node(op.MATERIALIZE, (x,))


def view(x: Node, chain: tuple[Any, ...], starts: tuple[Any, ...]) -> Node:
    """`x` through a chain of movement steps (see op.ASSIGN)."""
    used = 0
    for name, *attrs in chain:
        scalars: tuple[Any, ...] = ()
        if name == "SLICE":
            scalars = starts[used : used + len(attrs[0])]
            used += len(scalars)
        x = node(op.PRIMITIVES[name], (x,), tuple(attrs), scalars)
    return x


def sum_to(x: Node, shape: Shape) -> Node:
    """Add up what broadcasting to `x.shape` repeated: the adjoint of broadcasting from `shape`."""
    if x.shape == shape:
        return x
    lead = len(x.shape) - len(shape)
    axes = [
        axis
        for axis, extent in enumerate(x.shape)
        if axis < lead or (shape[axis - lead] == 1 and extent != 1)
    ]
    return reshape(reduce("add", x, axes), shape)
