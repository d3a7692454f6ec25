"""The table of gradients: primitive → rule. `python -m flambeau.autograd` prints it.

A rule takes (node, gradient) and gives one gradient Node, or None, for each input of the node. It
may use the node's inputs and the node itself (its result); `saves` says which, for the version
check. Broadcasting is undone in one place, the engine: a rule for an elementwise primitive may
return gradients of the broadcast shape. DESIGN.md section 3; formulas from calculus textbooks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from flambeau.graph import attention, op
from flambeau.graph import build as b
from flambeau.graph.composite import placeholder, substitute
from flambeau.graph.node import Node, Template
from flambeau.graph.node import node as new_node
from flambeau.graph.op import Primitive
from flambeau.graph.shapes import gather_attrs

Gradients = tuple[Node | None, ...]


class Rule(NamedTuple):
    """How a primitive passes gradients on."""

    run: Callable[[Node, Any], Gradients]
    saves: str  # "", "inputs", "result" or positions: graph/composite.py
    doc: str


RULES: dict[Primitive, Rule] = {}


def _rule(primitive: Primitive, saves: str, doc: str) -> Callable[[Any], Any]:
    def register(run: Callable[[Node, Any], Gradients]) -> Callable[[Node, Any], Gradients]:
        RULES[primitive] = Rule(run, saves, doc)
        return run

    return register


def _blocked(primitive: Primitive, doc: str) -> None:
    def run(node: Node, g: Node) -> Gradients:
        return (None,) * len(node.inputs)

    RULES[primitive] = Rule(run, "", doc)


for _each in (op.LT, op.EQ, op.AND, op.OR, op.XOR, op.SHL, op.SHR, op.IDIV, op.BITCAST):
    _blocked(_each, "none: piecewise constant")
for _each in (op.BUFFER, op.CONST, op.IOTA):
    _blocked(_each, "none: a source")
_blocked(op.DETACH, "none: cut")


@_rule(op.FLOOR, "", "0: piecewise constant")
def _floor(node: Node, g: Node) -> Gradients:
    zeros = b.full_like(node.inputs[0], 0)
    zeros.device = node.device  # numbers alone have none
    return (zeros,)


@_rule(op.NEG, "", "-g")
def _neg(node: Node, g: Node) -> Gradients:
    return (b.neg(g),)


@_rule(op.SQRT, "result", "g / 2√x")
def _sqrt(node: Node, g: Node) -> Gradients:
    return (b.div(g, b.add(node, node)),)


@_rule(op.EXP, "result", "g · eˣ")
def _exp(node: Node, g: Node) -> Gradients:
    return (b.mul(g, node),)


@_rule(op.LOG, "inputs", "g / x")
def _log(node: Node, g: Node) -> Gradients:
    return (b.div(g, node.inputs[0]),)


@_rule(op.SIN, "inputs", "g · cos x")
def _sin(node: Node, g: Node) -> Gradients:
    return (b.mul(g, b.cos(node.inputs[0])),)


@_rule(op.COS, "inputs", "-g · sin x")
def _cos(node: Node, g: Node) -> Gradients:
    return (b.neg(b.mul(g, b.sin(node.inputs[0]))),)


@_rule(op.TAN, "result", "g · (1 + tan² x)")
def _tan(node: Node, g: Node) -> Gradients:
    return (b.add(g, b.mul(g, b.mul(node, node))),)


@_rule(op.CAST, "", "g in the dtype of x")
def _cast(node: Node, g: Node) -> Gradients:
    return (b.cast(g, node.inputs[0].dtype),)


@_rule(op.REAL, "", "g; a complex gradient is that of the real part + i · that of the imaginary")
def _real(node: Node, g: Node) -> Gradients:
    return (b.complex_(g, b.full_like(g, 0.0)),)


@_rule(op.IMAG, "", "g · i")
def _imag(node: Node, g: Node) -> Gradients:
    return (b.complex_(b.full_like(g, 0.0), g),)


@_rule(op.COMPLEX_OF, "", "the real part of g, its imaginary part")
def _complex(node: Node, g: Node) -> Gradients:
    x, y = node.inputs
    return b.sum_to(b.real(g), x.shape), b.sum_to(b.imag(g), y.shape)


@_rule(op.ADD, "", "g, g")
def _add(node: Node, g: Node) -> Gradients:
    return g, g


@_rule(op.MUL, "0?1,1?0", "g · y, g · x")
def _mul(node: Node, g: Node) -> Gradients:
    x, y = node.inputs
    return b.mul(g, b.conj(y)), b.mul(g, b.conj(x))


@_rule(op.FMA, "0?1,1?0", "g · y, g · x, g")
def _fma(node: Node, g: Node) -> Gradients:
    x, y, _ = node.inputs
    return b.mul(g, y), b.mul(g, x), g


@_rule(op.DIV, "0?1,1", "g / y, -g · x / y²")
def _div(node: Node, g: Node) -> Gradients:
    x, y = node.inputs
    return b.div(g, b.conj(y)), b.neg(b.mul(g, b.conj(b.div(b.div(x, y), y))))


@_rule(op.MOD, "0?1,1?1", "g, -g · ⌊x / y⌋")
def _mod(node: Node, g: Node) -> Gradients:
    x, y = node.inputs
    return g, b.neg(b.mul(g, b.floor(b.div(x, y))))


@_rule(op.MAX, "inputs", "g to the greater, half each where equal")
def _max(node: Node, g: Node) -> Gradients:
    x, y = node.inputs
    half = b.mul(g, b.constant(0.5, g.dtype))
    zero = b.constant(0.0, g.dtype)
    to_x = b.where(b.equal(x, y), half, b.where(b.less(y, x), g, zero))
    to_y = b.where(b.equal(x, y), half, b.where(b.less(x, y), g, zero))
    return to_x, to_y


@_rule(op.WHERE, "0", "none, g where the condition holds, g where not")
def _where(node: Node, g: Node) -> Gradients:
    condition = node.inputs[0]
    zero = b.constant(0.0, g.dtype)
    return None, b.where(condition, g, zero), b.where(condition, zero, g)


@_rule(op.REDUCE, "inputs", "add: g; mul: g · product of the others; max: g shared by the greatest")
def _reduce(node: Node, g: Node) -> Gradients:
    (x,) = node.inputs
    kind, axes = node.attrs
    if kind == "add":
        return (b.expand(g, x.shape),)
    if kind == "max":
        mask = b.cast(b.equal(x, node), x.dtype)
        return (b.div(b.mul(mask, g), b.reduce("add", mask, axes)),)
    return (b.mul(g, _product_of_others(x, axes)),)


def _product_of_others(x: Node, axes: tuple[int, ...]) -> Node:
    """For each element the product of all others over `axes`, exact also where some are zero."""
    kept = tuple(axis for axis in range(len(x.shape)) if axis not in axes)
    order = kept + axes
    flat = b.reshape(b.permute(x, order), (*(x.shape[axis] for axis in kept), _count(x, axes)))
    last = len(kept)
    length = flat.shape[last]
    if length == 0:
        return x
    before = _exclusive_product(flat, last)
    after = b.flip(_exclusive_product(b.flip(flat, (last,)), last), (last,))
    others = b.reshape(b.mul(before, after), tuple(x.shape[axis] for axis in order))
    inverse = tuple(order.index(axis) for axis in range(len(order)))
    return b.permute(others, inverse)


def _count(x: Node, axes: tuple[int, ...]) -> int:
    count = 1
    for axis in axes:
        count *= x.shape[axis]
    return count


def _exclusive_product(x: Node, axis: int) -> Node:
    """Running products along axis that leave out the element itself."""
    running = b.scan("mul", x, axis)
    zeros = (0,) * len(x.shape)
    most = tuple(n - 1 if place == axis else n for place, n in enumerate(x.shape))
    starts = tuple(1 if place == axis else 0 for place in range(len(x.shape)))
    return b.pad(b.slice_(running, zeros, most), x.shape, starts, fill=1)


@_rule(op.SCAN, "inputs", "add: reversed running sum of g; mul, max: through each prefix")
def _scan(node: Node, g: Node) -> Gradients:
    (x,) = node.inputs
    kind, axis = node.attrs
    if kind == "add":
        return (_reversed_sum(g, axis),)
    if kind == "max":
        return (_scan_max_gradient(x, node, g, axis),)
    return (_scan_product_gradient(x, g, axis),)


def _reversed_sum(x: Node, axis: int) -> Node:
    return b.flip(b.scan("add", b.flip(x, (axis,)), axis), (axis,))


def _scan_max_gradient(x: Node, running: Node, g: Node, axis: int) -> Node:
    """Each g goes to the place where its running maximum was last reached (as PyTorch's cummax)."""
    length = x.shape[axis]
    shape = tuple(length if place == axis else 1 for place in range(len(x.shape)))
    places = b.expand(b.reshape(b.iota(length), shape), x.shape)
    zero = b.constant(0, places.dtype)
    reached = b.scan("max", b.where(b.equal(x, running), places, zero), axis)
    return _scatter_along(g, reached, axis, length)


def _scatter_along(values: Node, index: Node, axis: int, extent: int) -> Node:
    """Zeros, `extent` of them along axis, with values added at index along axis: the adjoint of
    take_along_axis."""
    shape = values.shape
    zeros = b.full((*shape[:axis], extent, *shape[axis + 1 :]), 0, values.dtype)
    return b.scatter(zeros, index, values, axis, "add", along=True)


def _scan_product_gradient(x: Node, g: Node, axis: int) -> Node:
    """Σ over prefixes that hold the element of g · the prefix's product without it.

    A (length × length) table of products, so exact where elements are zero; memory is quadratic
    in the axis.
    """
    length = x.shape[axis]
    rank = len(x.shape)
    order = (*(place for place in range(rank) if place != axis), axis)
    inverse = tuple(order.index(place) for place in range(rank))
    rows = b.permute(x, order)
    lead = rows.shape[:-1]
    square = (*lead, length, length)  # [.., left-out element, position in the prefix]
    diagonal = b.equal(
        b.reshape(b.iota(length), (length, 1)), b.reshape(b.iota(length), (1, length))
    )
    table = b.where(
        b.expand(diagonal, square),
        b.full(square, 1, x.dtype),
        b.expand(b.reshape(rows, (*lead, 1, length)), square),
    )
    products = b.scan("mul", table, rank)
    upper = b.less(b.reshape(b.iota(length), (1, length)), b.reshape(b.iota(length), (length, 1)))
    weights = b.reshape(b.permute(g, order), (*lead, 1, length))
    terms = b.where(b.expand(upper, square), b.full(square, 0, x.dtype), b.mul(products, weights))
    return b.permute(b.reshape(b.reduce("add", terms, (rank,)), rows.shape), inverse)


@_rule(op.SORT, "", "g of the values back to where they came from")
def _sort(node: Node, g: Any) -> Gradients:
    axis = node.attrs[0]
    values, extent = g[0], node.inputs[0].shape[axis]
    return (None if values is None else _scatter_along(values, b.pick(node, 1), axis, extent),)


@_rule(op.MATMUL, "0?1,1?0", "g yᵀ, xᵀ g")
def _matmul(node: Node, g: Node) -> Gradients:
    x, y = node.inputs
    return (
        b.sum_to(b.matmul(g, _transposed(b.conj(y))), x.shape),
        b.sum_to(b.matmul(_transposed(b.conj(x)), g), y.shape),
    )


def _attention(node: Node, g: Any) -> Gradients:
    """Through placeholders: the inputs may depend on each other."""
    from flambeau.autograd.engine import vector_jacobian

    present = tuple([each for each in g if each is not None])
    inputs = tuple([placeholder(each.type) for each in node.inputs])
    given = tuple([placeholder(each.type) for each in present])
    results = attention.plain(new_node(node.op, inputs, node.attrs))
    rest = iter(given)
    gradients = [None if each is None else next(rest) for each in g]
    found = vector_jacobian(results, gradients, inputs)
    wanted = tuple([each for each in found if each is not None])
    made = iter(
        substitute(
            Template((*inputs, *given), wanted),
            (*node.inputs, *present),
            lambda each, sources: new_node(each.op, sources, each.attrs, each.scalars),
        )
    )
    return tuple([None if each is None else next(made) for each in found])


for _each in (op.ATTENTION, op.ATTENTION_BACKWARD):
    _rule(_each, "inputs", "through the products and the softmax that it stands for")(_attention)


def _transposed(x: Node) -> Node:
    rank = len(x.shape)
    return b.permute(x, (*range(rank - 2), rank - 1, rank - 2))


@_rule(op.CONV, "0?1,1?0", "the other two modes of CONV")
def _conv(node: Node, g: Node) -> Gradients:
    first, second = node.inputs
    mode, stride, padding, dilation, groups, _spatial = node.attrs
    geometry = (stride, padding, dilation, groups)
    if mode == "forward":  # first: input, second: weight, g: output
        return (
            b.conv("input", g, second, *geometry, first.shape[2:]),
            b.conv("weight", first, g, *geometry, second.shape[2:]),
        )
    if mode == "input":  # first: output gradient, second: weight, g: input
        return (
            b.conv("forward", g, second, *geometry),
            b.conv("weight", g, first, *geometry, second.shape[2:]),
        )
    return (  # first: input, second: output gradient, g: weight
        b.conv("input", second, g, *geometry, first.shape[2:]),
        b.conv("forward", first, g, *geometry),
    )


@_rule(op.RESHAPE, "", "g in the shape of x")
def _reshape(node: Node, g: Node) -> Gradients:
    return (b.reshape(g, node.inputs[0].shape),)


@_rule(op.PERMUTE, "", "g permuted back")
def _permute(node: Node, g: Node) -> Gradients:
    (axes,) = node.attrs
    return (b.permute(g, tuple(axes.index(axis) for axis in range(len(axes)))),)


@_rule(op.EXPAND, "", "g summed over what was repeated")
def _expand(node: Node, g: Node) -> Gradients:
    return (b.sum_to(g, node.inputs[0].shape),)


@_rule(op.PAD, "", "g sliced")
def _pad(node: Node, g: Node) -> Gradients:
    _shape, steps, _fill = node.attrs
    return (b.slice_(g, node.scalars, node.inputs[0].shape, steps),)


@_rule(op.SLICE, "", "g padded with zeros")
def _slice(node: Node, g: Node) -> Gradients:
    _sizes, steps = node.attrs
    return (b.pad(g, node.inputs[0].shape, node.scalars, steps),)


@_rule(op.WINDOW, "", "for every tap, its slice of g padded to the shape of x; added up")
def _window(node: Node, g: Node) -> Gradients:
    (x,) = node.inputs
    axes, sizes, strides, dilations = node.attrs
    rank = len(x.shape)
    steps = [1] * rank
    for axis, stride in zip(axes, strides, strict=True):
        steps[axis] = stride
    total: Node | None = None
    for tap in _taps(sizes):
        part = b.slice_(g, (0,) * rank + tap, g.shape[:rank] + (1,) * len(tap))
        starts = [0] * rank
        for axis, place, dilation in zip(axes, tap, dilations, strict=True):
            starts[axis] = place * dilation
        laid = b.pad(b.reshape(part, g.shape[:rank]), x.shape, tuple(starts), tuple(steps))
        total = laid if total is None else b.add(total, laid)
    return (total,)


def _taps(sizes: tuple[int, ...]) -> list[tuple[int, ...]]:
    taps: list[tuple[int, ...]] = [()]
    for size in sizes:
        taps = [(*tap, place) for tap in taps for place in range(size)]
    return taps


@_rule(op.CAT, "", "g's slices")
def _cat(node: Node, g: Node) -> Gradients:
    (axis,) = node.attrs
    parts: list[Node | None] = []
    at = 0
    for part in node.inputs:
        starts = tuple(at if place == axis else 0 for place in range(len(part.shape)))
        parts.append(b.slice_(g, starts, part.shape))
        at += part.shape[axis]
    return tuple(parts)


@_rule(op.GATHER, "1", "g added into zeros at the index, none")
def _gather(node: Node, g: Node) -> Gradients:
    x, index = node.inputs
    axis, _message, along = gather_attrs(node.attrs)
    return b.scatter(b.full_like(x, 0), index, g, axis, "add", along), None


@_rule(op.SCATTER, "inputs", "by mode: set, add, mul, max; none for the index")
def _scatter(node: Node, g: Node) -> Gradients:
    target, index, value = node.inputs
    axis, mode, *along = node.attrs
    if mode == "add":
        return g, None, _scattered(g, node)
    if mode == "set":
        zeros = b.full_like(value, 0)
        erased = b.scatter(g, index, zeros, axis, "set", bool(along))
        return erased, None, _last_written(_scattered(g, node), node)
    if mode == "max":
        return _scatter_max(node, g)
    return _scatter_product(node, g)


def _scatter_product(node: Node, g: Node) -> Gradients:
    """g times the product of the others that reach the same place, also where some are 0."""
    target, index, value = node.inputs
    axis, _mode, *along = node.attrs
    one, zero = b.constant(1, node.dtype), b.constant(0, node.dtype)
    parts = [b.where(b.equal(each, zero), one, each) for each in (target, value)]
    holes = [b.cast(b.equal(each, zero), node.dtype) for each in (target, value)]
    product = b.scatter(parts[0], index, parts[1], axis, "mul", bool(along))
    count = b.scatter(holes[0], index, holes[1], axis, "add", bool(along))
    gradients = []
    for each, part, hole in zip((target, value), parts, holes, strict=True):
        at = (lambda x: x) if each is target else (lambda x: _scattered(x, node))
        alone = b.equal(at(count), hole)  # no other factor is 0
        others = b.where(alone, b.div(at(product), part), zero)
        gradients.append(b.mul(at(g), others))
    return gradients[0], None, gradients[1]


def _scattered(x: Node, node: Node) -> Node:
    """What lies in x where a SCATTER writes its values."""
    index, (axis, _mode, *along) = node.inputs[1], node.attrs
    return b.gather(x, index, axis, along=bool(along))


def _last_written(gathered: Node, node: Node) -> Node:
    """The gradient of the values that were not overwritten by a later duplicate."""
    target, index, value = node.inputs
    axis, _mode, *along = node.attrs
    order = b.reshape(b.iota(index.type.size), index.shape)
    if along:
        none = b.full(target.shape, -1, order.dtype)
        winner = _scattered(b.scatter(none, index, order, axis, "set", along=True), node)
        return b.where(b.equal(winner, order), gathered, b.constant(0.0, gathered.dtype))
    none = b.full((target.shape[axis],), -1, order.dtype)
    winner = b.gather(b.scatter(none, index, order, 0, "set"), index, 0)
    kept = b.equal(winner, order)
    shape = (1,) * axis + index.shape + (1,) * (len(value.shape) - axis - len(index.shape))
    return b.where(b.reshape(kept, shape), gathered, b.constant(0.0, gathered.dtype))


def _scatter_max(node: Node, g: Node) -> Gradients:
    """g shared equally by all that reach the maximum."""
    target, index, value = node.inputs
    axis, _mode, *along = node.attrs
    from_target = b.cast(b.equal(target, node), g.dtype)
    from_value = b.cast(b.equal(value, _scattered(node, node)), g.dtype)
    share = b.div(g, b.scatter(from_target, index, from_value, axis, "add", bool(along)))
    return b.mul(share, from_target), None, b.mul(_scattered(share, node), from_value)


@_rule(op.MATERIALIZE, "", "g")
def _materialize(node: Node, g: Node) -> Gradients:
    return (g,)


@_rule(op.COPY, "", "g on the device of x")
def _copy(node: Node, g: Node) -> Gradients:
    back = new_node(op.COPY, (g,), (node.inputs[0].device,))
    back.device = node.inputs[0].device
    return (back,)


@_rule(op.ASSIGN, "", "g with zeros written through the view; g read through the view")
def _assign(node: Node, g: Node) -> Gradients:
    _base, value = node.inputs
    (chain,) = node.attrs
    erased = b.assign(g, b.full_like(value, 0), chain, node.scalars)
    return erased, b.view(g, chain, node.scalars)


@_rule(op.GRAFT, "", "none, g")
def _graft(node: Node, g: Node) -> Gradients:
    return None, g


def table() -> str:
    """The rules as a table of text."""
    width = max(len(each.name) for each in RULES)
    return "\n".join(
        f"{each.name.ljust(width)}  saves {rule.saves or '-':8}  {rule.doc}"
        for each, rule in RULES.items()
    )
