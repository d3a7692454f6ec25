"""The table of rewrite rules: what a graph can lose without changing a bit of its results.

Each rule's docstring ends with an example, `before => after`, in the vocabulary of graph/build.py;
the examples are the rules' tests. x, y are float32 [2, 3], i is int32 [2, 3], p is bool [2, 3],
s is a float32 scalar, h is float16 [2, 3], e is float32 [0, 3].

Floating point is exact: x·0 is not 0 (NaN, infinities), x + 0.0 is not x (-0.0), sums keep their
order.
"""

from __future__ import annotations

import math
from typing import Any

import numpy

from flambeau.graph import op
from flambeau.graph.dtype import DType
from flambeau.graph.graph import Graph
from flambeau.graph.node import Node, Shape
from flambeau.graph.numpy_reference import decode_constant
from flambeau.graph.rewrite import Rewriter, Rules
from flambeau.graph.shapes import broadcast


def simplify(graph: Graph, more: Rules | None = None) -> Graph:
    """An equal graph with fewer and cheaper Nodes, equal ones being one.

    `more` are rules that are tried behind those of the table.
    """
    rules = dict(RULES)
    for operation, added in (more or {}).items():
        rules[operation] = [*rules.get(operation, ()), *added]
    outputs = Rewriter(rules).run(graph.outputs)
    return Graph(graph.inputs, tuple(outputs), graph.scalars, graph.donatable)


# helpers -----------------------------------------------------------------------------------------


def fixed_value(node: Node) -> Any:
    """The number of a fixed CONST, also a repeated one; None where `node` is something else."""
    while node.op is op.EXPAND or node.op is op.RESHAPE:
        node = node.inputs[0]
    if node.op is not op.CONST:
        return None
    if len(node.attrs) > 1:
        return decode_constant(node.attrs[1], node.dtype)
    value = node.scalars[0]
    return value if isinstance(value, (bool, int, float)) else None


def _constant(rewriter: Rewriter, value: Any, dtype: DType) -> Node:
    return rewriter.make(op.CONST, (), (dtype, op.encode_constant(value, dtype)))


def _full(rewriter: Rewriter, shape: Shape, value: Any, dtype: DType) -> Node:
    return _expand(rewriter, _constant(rewriter, value, dtype), shape)


def _expand(rewriter: Rewriter, node: Node, shape: Shape) -> Node:
    return node if node.shape == shape else rewriter.make(op.EXPAND, (node,), (shape,))


def _reshape(rewriter: Rewriter, node: Node, shape: Shape) -> Node:
    return node if node.shape == shape else rewriter.make(op.RESHAPE, (node,), (shape,))


# elementwise -------------------------------------------------------------------------------------


def fold_constants(rewriter: Rewriter, node: Node) -> Node | None:
    """An operation on fixed numbers is a fixed number.

    add(constant(2.0, f32), constant(3.0, f32)) => constant(5.0, f32)
    """
    if node.shape != () or any(each.op is not op.CONST for each in node.inputs):
        return None
    values = [fixed_value(each) for each in node.inputs]
    if any(value is None for value in values):
        return None
    arrays = [
        numpy.asarray(value).astype(each.dtype.numpy)
        for value, each in zip(values, node.inputs, strict=True)
    ]
    if node.op in (op.IDIV, op.MOD) and not node.dtype.is_floating_point and not arrays[1]:
        return None
    if node.op is op.CAST and not node.dtype.is_floating_point and not abs(values[0]) < 2**31:
        return None
    operation: Any = node.op
    with numpy.errstate(all="ignore"):
        result = operation.reference(node.attrs, (), *arrays)
    return _constant(rewriter, result.item(), node.dtype)


def lift_expand(rewriter: Rewriter, node: Node) -> Node | None:
    """Compute before repeating; elementwise operations repeat by themselves.

    add(x, expand(s, (2, 3))) => add(x, s)
    neg(expand(s, (2, 3))) => expand(neg(s), (2, 3))
    """
    if not any(each.op is op.EXPAND for each in node.inputs):
        return None
    inputs = tuple([each.inputs[0] if each.op is op.EXPAND else each for each in node.inputs])
    shape = broadcast(*[each.shape for each in inputs])
    if math.prod(shape) == node.type.size and shape != node.shape:
        return None
    return _expand(rewriter, rewriter.make(node.op, inputs, node.attrs), node.shape)


def add_nothing(rewriter: Rewriter, node: Node) -> Node | None:
    """x + (-0.0) is x, and so is an integer's x + 0.

    add(x, constant(-0.0, f32)) => x
    add(i, constant(0, i32)) => i
    """
    for this, other in (node.inputs, node.inputs[::-1]):
        value = fixed_value(other)
        if value is None or value != 0 or this.shape != node.shape:
            continue
        if not node.dtype.is_floating_point or math.copysign(1.0, value) < 0:
            return this
    return None


def multiply_by_one(rewriter: Rewriter, node: Node) -> Node | None:
    """x·1 is x, x·(-1) is -x; an integer's x·0 is 0.

    mul(x, constant(1.0, f32)) => x
    mul(constant(-1.0, f32), x) => neg(x)
    mul(i, constant(0, i32)) => full((2, 3), 0, i32)
    """
    if node.dtype.kind == "bool":
        return None
    for this, other in (node.inputs, node.inputs[::-1]):
        value = fixed_value(other)
        if value == 0 and value is not None and not node.dtype.is_floating_point:
            return _full(rewriter, node.shape, 0, node.dtype)
        if this.shape != node.shape:
            continue
        if value == 1:
            return this
        if value == -1 and node.dtype.is_signed:
            return rewriter.make(op.NEG, (this,))
    return None


def divide_by_power_of_two(rewriter: Rewriter, node: Node) -> Node | None:
    """x / 2ᵏ is x·2⁻ᵏ, to the bit.

    div(x, constant(4.0, f32)) => mul(x, constant(0.25, f32))
    """
    value = fixed_value(node.inputs[1])
    if value is None or not math.isfinite(value) or value == 0:
        return None
    mantissa, exponent = math.frexp(value)
    if abs(mantissa) != 0.5 or abs(exponent) > 12:
        return None
    return rewriter.make(op.MUL, (node.inputs[0], _constant(rewriter, 1 / value, node.dtype)))


def negate_twice(rewriter: Rewriter, node: Node) -> Node | None:
    """-(-x) is x.

    neg(neg(x)) => x
    """
    (source,) = node.inputs
    return source.inputs[0] if source.op is op.NEG else None


def _exact(source: DType, target: DType) -> bool:
    """Whether every value of `source` is a value of `target`."""
    if source is target or source.kind == "bool":
        return True
    if target.kind == "bool":
        return False
    if source.is_floating_point:
        wider = target.is_floating_point and target.itemsize > source.itemsize
        return wider
    if target.is_floating_point:
        digits = {2: 8, 4: 24, 8: 53}[target.itemsize]
        return source.itemsize * 8 <= digits
    if source.is_signed:
        return target.is_signed and target.itemsize >= source.itemsize
    return target.itemsize > source.itemsize


def cast_nothing(rewriter: Rewriter, node: Node) -> Node | None:
    """A conversion to the dtype that x has.

    node(op.CAST, (x,), (f32,)) => x
    """
    return node.inputs[0] if node.inputs[0].dtype is node.dtype else None


def cast_twice(rewriter: Rewriter, node: Node) -> Node | None:
    """A conversion that loses nothing on the way to another one.

    cast(cast(h, f32), i32) => cast(h, i32)
    cast(cast(x, f64), i32) => cast(x, i32)
    """
    (source,) = node.inputs
    if source.op is not op.CAST:
        return None
    first = source.inputs[0]
    if not _exact(first.dtype, source.dtype):
        return None
    return rewriter.make(op.CAST, (first,), node.attrs)


def choose_known(rewriter: Rewriter, node: Node) -> Node | None:
    """A condition that is known, or a choice between equals.

    where(full((2, 3), True, b), x, y) => x
    where(p, x, x) => x
    """
    condition, first, second = node.inputs
    value = fixed_value(condition)
    chosen = first if first is second or value else second if value is not None else None
    return None if chosen is None else _expand(rewriter, chosen, node.shape)


def same_twice(rewriter: Rewriter, node: Node) -> Node | None:
    """max(x, x), x & x and x | x are x.

    maximum(x, x) => x
    """
    first, second = node.inputs
    return first if first is second else None


def exclude_twice(rewriter: Rewriter, node: Node) -> Node | None:
    """(x ^ c) ^ d is x ^ (c ^ d), and x ^ 0 is x: not not p is p.

    not_(not_(p)) => p
    """
    source, constant = node.inputs
    value = fixed_value(constant)
    if value is None:
        return None
    if not value and source.shape == node.shape:
        return source
    if source.op is not op.XOR or fixed_value(source.inputs[1]) is None:
        return None
    both = value ^ fixed_value(source.inputs[1])
    return rewriter.make(op.XOR, (source.inputs[0], _constant(rewriter, both, node.dtype)))


def truth_arithmetic(rewriter: Rewriter, node: Node) -> Node | None:
    """Of bools, + and max are |, and · is &.

    add(p, not_(p)) => or_(p, not_(p))
    mul(p, not_(p)) => and_(p, not_(p))
    """
    if node.dtype.kind != "bool":
        return None
    return rewriter.make(op.AND if node.op is op.MUL else op.OR, node.inputs)


# contraction -------------------------------------------------------------------------------------


def reduce_ones(rewriter: Rewriter, node: Node) -> Node | None:
    """Reducing an axis of extent 1 does nothing.

    reduce("add", reshape(x, (2, 1, 3)), (1, 2)) => reduce("add", reshape(x, (2, 1, 3)), (2,))
    """
    (source,) = node.inputs
    kind, axes = node.attrs
    wide = tuple([axis for axis in axes if source.shape[axis] != 1])
    if wide == axes:
        return None
    return rewriter.make(op.REDUCE, (source,), (kind, wide)) if wide else source


def reduce_empty(rewriter: Rewriter, node: Node) -> Node | None:
    """The sum of nothing is 0, its product 1.

    reduce("add", e, (0,)) => full((1, 3), 0.0, f32)
    reduce("mul", e, (0,)) => full((1, 3), 1.0, f32)
    """
    kind, axes = node.attrs
    if all(node.inputs[0].shape[axis] for axis in axes):
        return None
    return _full(rewriter, node.shape, 1 if kind == "mul" else 0, node.dtype)


def reduce_reshaped_constant(rewriter: Rewriter, node: Node) -> Node | None:
    """The greatest of equal numbers is that number.

    reduce("max", expand(s, (2, 3)), (0, 1)) => expand(s, (1, 1))
    """
    (source,) = node.inputs
    if node.attrs[0] != "max" or source.op is not op.EXPAND or source.inputs[0].shape != ():
        return None
    return _expand(rewriter, source.inputs[0], node.shape)


def scan_one(rewriter: Rewriter, node: Node) -> Node | None:
    """Running totals of one element are that element.

    scan("add", reshape(x, (6, 1)), 1) => reshape(x, (6, 1))
    """
    return node.inputs[0] if node.shape[node.attrs[1]] == 1 else None


def matmul_empty(rewriter: Rewriter, node: Node) -> Node | None:
    """A product over nothing is 0.

    matmul(permute(e, (1, 0)), e) => full((3, 3), 0.0, f32)
    """
    if node.inputs[0].shape[-1]:
        return None
    return _full(rewriter, node.shape, 0, node.dtype)


def matmul_zeros(rewriter: Rewriter, node: Node) -> Node | None:
    """Rows of zeros, such as a recurrent layer's first state, have one product (0, or NaN).

    matmul(full((4, 2), 0.0, f32), x) => expand(matmul(full((1, 2), 0.0, f32), x), (4, 3))
    """
    left, right = node.inputs
    if left.shape[-2] == 1 or fixed_value(left) != 0:
        return None
    row = _full(rewriter, (*left.shape[:-2], 1, left.shape[-1]), 0, left.dtype)
    return _expand(rewriter, rewriter.make(op.MATMUL, (row, right), node.attrs), node.shape)


def matmul_one(rewriter: Rewriter, node: Node) -> Node | None:
    """A product over one element is elementwise.

    matmul(reshape(x, (6, 1)), reshape(y, (1, 6))) => mul(reshape(x, (6, 1)), reshape(y, (1, 6)))
    """
    if node.inputs[0].shape[-1] != 1:
        return None
    return rewriter.make(op.MUL, node.inputs)


def conv_empty(rewriter: Rewriter, node: Node) -> Node | None:
    """A convolution that adds up nothing is 0.

    conv("weight", full((0, 1, 4), 1.0, f32), full((0, 1, 2), 1.0, f32), (1,), ((0, 0),), (1,), \
1, (3,)) => full((1, 1, 3), 0.0, f32)
    """
    if all(each.type.size for each in node.inputs):
        return None
    return _full(rewriter, node.shape, 0, node.dtype)


# movement ----------------------------------------------------------------------------------------


def reshape_twice(rewriter: Rewriter, node: Node) -> Node | None:
    """The last of several shapes counts.

    reshape(reshape(x, (6,)), (3, 2)) => reshape(x, (3, 2))
    reshape(reshape(x, (6,)), (2, 3)) => x
    """
    (source,) = node.inputs
    if source.shape == node.shape:
        return source
    if source.op is op.RESHAPE:
        return _reshape(rewriter, source.inputs[0], node.shape)
    return None


def permute_twice(rewriter: Rewriter, node: Node) -> Node | None:
    """Two permutations are one; one that moves nothing is none.

    permute(permute(x, (1, 0)), (1, 0)) => x
    """
    (source,) = node.inputs
    (axes,) = node.attrs
    if axes == tuple(range(len(axes))):
        return source
    if source.op is not op.PERMUTE:
        return None
    both = tuple([source.attrs[0][axis] for axis in axes])
    return rewriter.make(op.PERMUTE, source.inputs, (both,))


def permute_ones(rewriter: Rewriter, node: Node) -> Node | None:
    """A permutation that keeps the order of all axes that count is a reshape.

    permute(reduce("add", x, (0,)), (1, 0)) => reshape(reduce("add", x, (0,)), (3, 1))
    """
    (source,) = node.inputs
    wide = [axis for axis in node.attrs[0] if source.shape[axis] != 1]
    return _reshape(rewriter, source, node.shape) if wide == sorted(wide) else None


def expand_twice(rewriter: Rewriter, node: Node) -> Node | None:
    """The last of several repetitions counts.

    expand(expand(s, (3,)), (2, 3)) => expand(s, (2, 3))
    """
    (source,) = node.inputs
    if source.shape == node.shape:
        return source
    return _expand(rewriter, source.inputs[0], node.shape) if source.op is op.EXPAND else None


def expand_ones(rewriter: Rewriter, node: Node) -> Node | None:
    """A repetition that only adds axes of extent 1 is a reshape.

    expand(x, (1, 2, 3)) => reshape(x, (1, 2, 3))
    """
    (source,) = node.inputs
    return _reshape(rewriter, source, node.shape) if source.type.size == node.type.size else None


def move_repeated(rewriter: Rewriter, node: Node) -> Node | None:
    """A view of one repeated number is that number repeated.

    permute(expand(s, (2, 3)), (1, 0)) => expand(s, (3, 2))
    reshape(expand(s, (2, 3)), (6,)) => expand(s, (6,))
    """
    (source,) = node.inputs
    if source.op is not op.EXPAND or source.inputs[0].type.size != 1:
        return None
    return _expand(rewriter, _reshape(rewriter, source.inputs[0], ()), node.shape)


def slice_all(rewriter: Rewriter, node: Node) -> Node | None:
    """A slice of everything.

    slice_(x, (0, 0), (2, 3)) => x
    """
    (source,) = node.inputs
    if node.shape != source.shape:
        return None
    parts = zip(node.shape, node.scalars, node.attrs[1], strict=True)
    whole = all(
        n == 1 or (type(start) is int and start == 0 and step == 1) for n, start, step in parts
    )
    return source if whole or node.type.size == 0 else None


def whole_axes(rewriter: Rewriter, node: Node) -> Node | None:
    """Where a slice, or what is padded, has all of an axis, its start is known.

    slice_(x, (at, 1), (2, 2)) => slice_(x, (0, 1), (2, 2))
    pad(x, (2, 5), (at, 1)) => pad(x, (2, 5), (0, 1))
    """
    (source,) = node.inputs
    axes = zip(node.shape, source.shape, node.attrs[1], node.scalars, strict=True)
    starts = tuple(
        [
            (0 if step == 1 or n == 1 else n - 1) if n == whole and step in (1, -1) else start
            for n, whole, step, start in axes
        ]
    )
    if starts == node.scalars or node.type.size == 0:
        return None
    return rewriter.make(node.op, node.inputs, node.attrs, starts)


def slice_twice(rewriter: Rewriter, node: Node) -> Node | None:
    """A slice of a slice, where the starts are known.

    slice_(slice_(x, (0, 1), (2, 2)), (1, 1), (1, 1)) => slice_(x, (1, 2), (1, 1))
    """
    (source,) = node.inputs
    if source.op is not op.SLICE:
        return None
    if any(type(start) is not int for start in (*node.scalars, *source.scalars)):
        return None
    outer = zip(node.scalars, node.attrs[1], source.scalars, source.attrs[1], strict=True)
    starts: list[int] = []
    steps: list[int] = []
    for start, step, first, stride in outer:
        starts.append(first + start * stride)
        steps.append(step * stride)
    attrs = (node.attrs[0], tuple(steps))
    return rewriter.make(op.SLICE, source.inputs, attrs, tuple(starts))


def slice_padding(rewriter: Rewriter, node: Node) -> Node | None:
    """What was laid into a larger array, taken out again.

    slice_(pad(x, (4, 5), (1, 1)), (1, 1), (2, 3)) => x
    """
    (source,) = node.inputs
    if source.op is not op.PAD or source.inputs[0].shape != node.shape:
        return None
    same = source.scalars == node.scalars and source.attrs[1] == node.attrs[1]
    return source.inputs[0] if same else None


def pad_nothing(rewriter: Rewriter, node: Node) -> Node | None:
    """Padding by nothing; padding of nothing.

    pad(x, (2, 3), (0, 0)) => x
    pad(e, (2, 3), (0, 0), None, 1.0) => full((2, 3), 1.0, f32)
    """
    (source,) = node.inputs
    shape, steps, fill = node.attrs
    if source.type.size == 0:
        return _full(rewriter, shape, decode_constant(fill, node.dtype), node.dtype)
    if source.shape != shape:
        return None
    starts = zip(node.scalars, steps, shape, strict=True)
    fits = all(n == 1 or (type(s) is int and s == 0 and step == 1) for s, step, n in starts)
    return source if fits else None


def cat_empty(rewriter: Rewriter, node: Node) -> Node | None:
    """Empty parts add nothing, and one part is itself.

    cat((x, e), 0) => x
    """
    parts = tuple([each for each in node.inputs if each.type.size])
    if len(parts) == len(node.inputs) and len(parts) > 1:
        return None
    if not parts:
        return node.inputs[0] if node.inputs[0].shape == node.shape else None
    return parts[0] if len(parts) == 1 else rewriter.make(op.CAT, parts, node.attrs)


# effects -----------------------------------------------------------------------------------------


def forget_history(rewriter: Rewriter, node: Node) -> Node | None:
    """DETACH and GRAFT matter to gradients only.

    graft(detach(x), y) => x
    """
    return node.inputs[0]


def assign_all(rewriter: Rewriter, node: Node) -> Node | None:
    """Writing through no view replaces everything.

    assign(x, y, (), ()) => y
    """
    base, value = node.inputs
    return None if node.attrs[0] else _expand(rewriter, value, base.shape)


def materialize_stored(rewriter: Rewriter, node: Node) -> Node | None:
    """What lies in memory already.

    materialize(x) => x
    """
    (source,) = node.inputs
    return source if source.op in (op.BUFFER, op.MATERIALIZE) else None


RULES: Rules = {each: [fold_constants, lift_expand] for each in op.ELEMENTWISE}
for _operation, _rules in {
    op.ADD: [truth_arithmetic, add_nothing],
    op.MUL: [truth_arithmetic, multiply_by_one],
    op.MAX: [truth_arithmetic, same_twice],
    op.DIV: [divide_by_power_of_two],
    op.NEG: [negate_twice],
    op.CAST: [cast_nothing, cast_twice],
    op.WHERE: [choose_known],
    op.AND: [same_twice],
    op.OR: [same_twice],
    op.XOR: [exclude_twice],
}.items():
    RULES[_operation] = [*RULES[_operation], *_rules]
RULES.update(
    {
        op.REDUCE: [reduce_ones, reduce_empty, reduce_reshaped_constant],
        op.SCAN: [scan_one],
        op.MATMUL: [matmul_empty, matmul_zeros, matmul_one],
        op.CONV: [conv_empty],
        op.RESHAPE: [reshape_twice, move_repeated],
        op.PERMUTE: [permute_twice, permute_ones, move_repeated],
        op.EXPAND: [expand_twice, expand_ones],
        op.SLICE: [whole_axes, slice_all, slice_twice, slice_padding, move_repeated],
        op.WINDOW: [move_repeated],
        op.PAD: [whole_axes, pad_nothing],
        op.CAT: [cat_empty],
        op.DETACH: [forget_history],
        op.GRAFT: [forget_history],
        op.MATERIALIZE: [materialize_stored],
        op.ASSIGN: [assign_all],
    }
)
"""Operation -> its rules, in the order in which they are tried."""
