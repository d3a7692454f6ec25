"""The graphs whose plans are kept as text: what people compute, as primitives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from plan_support import buffer

from flambeau.graph import build as g
from flambeau.graph import dtype as d
from flambeau.graph import op
from flambeau.graph.attention import attention, attention_backward
from flambeau.graph.graph import Graph
from flambeau.graph.node import Node, ScalarRef, node, walk

F = d.float32
GRAPHS: dict[str, Callable[[], Graph]] = {}


def plan(function: Callable[[], Any]) -> Callable[[], Any]:
    """Register a function that gives outputs, or (outputs, donated inputs, scalars)."""

    def graph() -> Graph:
        made = function()
        outputs, donated, scalars = made if isinstance(made[0], tuple) else (made, (), ())
        inputs = tuple([each for each in walk(outputs) if each.op is op.BUFFER])
        numbers = frozenset([inputs.index(each) for each in donated])
        return Graph(inputs, outputs, scalars, numbers)

    GRAPHS[function.__name__] = graph
    return function


def c(value: float) -> Node:
    return g.constant(value, F)


def scalar(number: int) -> Node:
    return node(op.CONST, (), (F,), (ScalarRef(number),))


def relu(x: Node) -> Node:
    return g.maximum(x, c(0.0))


def mean(x: Node, axes: tuple[int, ...]) -> Node:
    count = 1
    for axis in axes:
        count *= x.shape[axis]
    return g.div(g.reduce("add", x, axes), c(float(count)))


def exponentials(x: Node, axis: int) -> tuple[Node, Node]:
    e = g.exp(g.sub(x, g.reduce("max", x, (axis,))))
    return e, g.reduce("add", e, (axis,))


@plan
def softmax():
    e, total = exponentials(buffer(64, 10), 1)
    return (g.div(e, total),)


@plan
def softmax_backward():
    e, total = exponentials(buffer(64, 10), 1)
    y, gradient = g.div(e, total), buffer(64, 10)
    return (g.mul(y, g.sub(gradient, g.reduce("add", g.mul(gradient, y), (1,)))),)


def normalised(x: Node) -> tuple[Node, Node]:
    centred = g.sub(x, mean(x, (1,)))
    variance = mean(g.mul(centred, centred), (1,))
    scale = g.div(c(1.0), g.sqrt(g.add(variance, c(1e-5))))
    return g.mul(centred, scale), scale


@plan
def layer_norm():
    normal, _ = normalised(buffer(64, 128))
    return (g.add(g.mul(normal, buffer(128)), buffer(128)),)


@plan
def layer_norm_forward_backward():
    x, weight, gradient = buffer(64, 128), buffer(128), buffer(64, 128)
    normal, scale = normalised(x)
    y = g.add(g.mul(normal, weight), buffer(128))
    inner = g.mul(gradient, weight)
    average = mean(inner, (1,))
    along = mean(g.mul(inner, normal), (1,))
    dx = g.mul(g.sub(g.sub(inner, average), g.mul(normal, along)), scale)
    dweight = g.reduce("add", g.mul(gradient, normal), (0,))
    return y, dx, dweight, g.reduce("add", gradient, (0,))


@plan
def cross_entropy_forward_backward():
    x, target = buffer(64, 10), buffer(64, dtype=d.int64)
    e, total = exponentials(x, 1)
    hit = g.equal(g.reshape(g.iota(10), (1, 10)), g.reshape(target, (64, 1)))
    logs = g.sub(g.sub(x, g.reduce("max", x, (1,))), g.log(total))
    picked = g.reduce("add", g.where(hit, logs, c(0.0)), (1,))
    loss = g.neg(mean(picked, (0,)))
    one_hot = g.where(hit, c(1.0), c(0.0))
    return g.reshape(loss, ()), g.mul(g.sub(g.div(e, total), one_hot), c(1 / 64))


def gelu_parts(x: Node) -> tuple[Node, Node]:
    inner = g.mul(g.add(x, g.mul(g.mul(x, g.mul(x, x)), c(0.044715))), c(0.7978845608))
    e = g.exp(g.mul(inner, c(2.0)))
    tanh = g.sub(c(1.0), g.div(c(2.0), g.add(e, c(1.0))))
    return tanh, g.mul(g.mul(x, c(0.5)), g.add(tanh, c(1.0)))


@plan
def gelu():
    return (gelu_parts(buffer(32, 64))[1],)


@plan
def matmul_bias_relu():
    z = g.add(g.matmul(buffer(32, 64), g.permute(buffer(128, 64), (1, 0))), buffer(128))
    return (relu(z),)


@plan
def linear_gelu_linear_forward_backward():
    x, w, v = buffer(32, 64), buffer(64, 128), buffer(128, 16)
    z = g.add(g.matmul(x, w), buffer(128))
    _, hidden = gelu_parts(z)
    y, gradient = g.matmul(hidden, v), buffer(32, 16)
    dhidden = g.matmul(gradient, g.permute(v, (1, 0)))
    dz = g.mul(dhidden, g.where(g.less(c(0.0), z), hidden, z))
    dw = g.matmul(g.permute(x, (1, 0)), dz)
    return y, dw, g.reduce("add", dz, (0,)), g.matmul(g.permute(hidden, (1, 0)), gradient)


@plan
def attention_scores():
    q, k, v = buffer(2, 4, 16, 8), buffer(2, 4, 16, 8), buffer(2, 4, 16, 8)
    scores = g.mul(g.matmul(q, g.permute(k, (0, 1, 3, 2))), c(0.353))
    places = g.iota(16)
    later = g.less(g.reshape(places, (16, 1)), g.reshape(places, (1, 16)))
    masked = g.where(later, c(float("-inf")), scores)
    e, total = exponentials(masked, 3)
    mixed = g.matmul(g.div(e, total), v)
    return (g.reshape(g.permute(mixed, (0, 2, 1, 3)), (2, 16, 32)),)


PADDING = ((1, 1), (1, 1))


@plan
def conv_bias_relu():
    y = g.conv("forward", buffer(8, 3, 16, 16), buffer(16, 3, 3, 3), (1, 1), PADDING, (1, 1), 1)
    return (relu(g.add(y, g.reshape(buffer(16), (16, 1, 1)))),)


@plan
def conv_backward():
    image, weight, gradient = buffer(8, 3, 16, 16), buffer(16, 3, 3, 3), buffer(8, 16, 8, 8)
    more = ((2, 2), PADDING, (1, 1), 1)
    return (
        g.conv("input", gradient, weight, *more, (16, 16)),
        g.conv("weight", image, gradient, *more, (3, 3)),
        g.reduce("add", gradient, (0, 2, 3)),
    )


@plan
def strided_conv_backward_relu():
    """Launches in phases store what they compute; the rest is one pass."""
    more = ((2, 2), PADDING, (1, 1), 1)
    gradient = g.conv("input", buffer(8, 16, 8, 8), buffer(16, 3, 3, 3), *more, (16, 16))
    x = buffer(8, 3, 16, 16)
    return (g.where(g.less(c(0.0), x), gradient, c(0.0)),)


@plan
def split_backward():
    """Three matrix products are heads of one array; each is stored as the sum of all reads it."""
    total = None
    for number in range(3):
        heads = g.permute(g.matmul(buffer(2, 4, 16, 16), buffer(2, 4, 16, 8)), (0, 2, 1, 3))
        flat = g.reshape(heads, (2, 16, 32))
        starts = tuple([ScalarRef(3 * number + axis) for axis in range(3)])
        fill = op.encode_constant(0.0, F)
        part = node(op.PAD, (flat,), ((2, 16, 96), (1, 1, 1), fill), starts)
        total = part if total is None else g.add(total, part)
    return (total,), (), (d.int64,) * 9


@plan
def clipped_linear_weight():
    """A gradient is stored as its parameter lies, for what updates the parameter reads both."""
    gradient = g.permute(g.matmul(buffer(200, 48), buffer(48, 300)), (1, 0))
    norm = g.sqrt(g.reduce("add", g.mul(gradient, gradient), (0, 1)))
    clipped = g.mul(gradient, g.div(c(1.0), norm))
    return (clipped, g.sub(buffer(300, 200), g.mul(scalar(0), clipped))), (), (F,)


@plan
def batch_norm_backward_after_conv():
    """What follows the convolution is stored once; its products are made where they are summed."""
    more = ((1, 1), PADDING, (1, 1), 1)
    gradient = g.conv("input", buffer(8, 16, 8, 8), buffer(16, 32, 3, 3), *more, (8, 8))
    x, y = buffer(8, 32, 8, 8), buffer(8, 32, 8, 8)
    scale, weight = buffer(32, 1, 1), buffer(32, 1, 1)
    gradient = g.where(g.equal(y, c(0.0)), c(0.0), gradient)
    normal = g.mul(x, scale)
    along = mean(g.mul(gradient, normal), (0, 2, 3))
    centred = g.sub(g.mul(gradient, weight), mean(gradient, (0, 2, 3)))
    return (g.sub(centred, g.mul(normal, along)),)


@plan
def batch_norm():
    x = buffer(16, 32, 8, 8)
    centred = g.sub(x, mean(x, (0, 2, 3)))
    variance = mean(g.mul(centred, centred), (0, 2, 3))
    scale = g.div(c(1.0), g.sqrt(g.add(variance, c(1e-5))))
    weight = g.reshape(buffer(32), (32, 1, 1))
    old = g.reshape(buffer(32), (1, 32, 1, 1))
    running = g.add(g.mul(old, c(0.9)), g.mul(mean(x, (0, 2, 3)), c(0.1)))
    return relu(g.mul(g.mul(centred, scale), weight)), g.reshape(running, (32,))


@plan
def sgd_update():
    weight, momentum, gradient = buffer(100, 10), buffer(100, 10), buffer(100, 10)
    new = g.add(g.mul(momentum, c(0.9)), gradient)
    outputs = (g.sub(weight, g.mul(new, scalar(0))), new)
    return outputs, (weight, momentum), (F,)


@plan
def adam_update():
    weight, first, second, gradient = (buffer(40, 25) for _ in range(4))
    m = g.add(g.mul(first, c(0.9)), g.mul(gradient, c(0.1)))
    v = g.add(g.mul(second, c(0.999)), g.mul(g.mul(gradient, gradient), c(0.001)))
    step = g.div(g.div(m, scalar(1)), g.add(g.sqrt(g.div(v, scalar(2))), c(1e-8)))
    outputs = (g.sub(weight, g.mul(step, scalar(0))), m, v)
    return outputs, (weight, first, second), (F, F, F)


@plan
def slice_at_runtime():
    part = node(op.SLICE, (buffer(50, 8),), ((4, 8), (1, 1)), (ScalarRef(0), 0))
    return (g.exp(part),), (), (d.int64,)


@plan
def gather():
    x = g.gather(buffer(100, 16), buffer(4, 6, dtype=d.int64), 0)
    return (g.add(x, buffer(6, 16)),)


@plan
def scatter_add():
    zeros = g.full((100, 16), 0.0, F)
    index = buffer(24, dtype=d.int64)
    return (g.scatter(zeros, index, g.mul(buffer(24, 16), c(2.0)), 0, "add"),)


@plan
def scan():
    return (g.scan("add", g.exp(buffer(8, 30)), 1),)


@plan
def sort():
    return g.sort(buffer(8, 30), 1, True)


@plan
def scatter_along():
    index = buffer(24, 16, dtype=d.int64)
    return (g.scatter(buffer(100, 16), index, buffer(24, 16), 0, "add", along=True),)


@plan
def some_of_a_sort():
    return g.sort(buffer(8, 30, 2), 1, True, (1, 3))


@plan
def cat():
    x, y = buffer(4, 6), buffer(4, 6)
    return (g.cat([x, g.neg(y), buffer(4, 3)], 1),)


@plan
def pad():
    return (g.pad(g.exp(buffer(4, 6)), (6, 9), (1, 2)),)


@plan
def max_pool():
    windows = g.window(relu(buffer(2, 3, 8, 8)), (2, 3), (2, 2), (2, 2), (1, 1))
    return (g.reshape(g.reduce("max", windows, (4, 5)), (2, 3, 4, 4)),)


@plan
def transpose():
    return (g.permute(buffer(2, 30, 40), (0, 2, 1)),)


@plan
def broadcast_add():
    return (g.add(g.add(buffer(8, 1, 32), buffer(16, 1)), buffer(32)),)


@plan
def full_sum():
    return (g.reshape(g.reduce("add", g.mul(x := buffer(1000, 1000), x), (0, 1)), ()),)


@plan
def column_sum():
    return g.reduce("add", buffer(128, 512), (0,)), g.reduce("add", buffer(50000, 4), (0,))


@plan
def assign_through_view():
    base, value = buffer(6, 8), buffer(3)
    chain = (("PERMUTE", (1, 0)), ("SLICE", (1, 3), (1, 2)))
    new = g.assign(base, value, chain, (ScalarRef(0), 1))
    return (new,), (base,), (d.int64,)


@plan
def key_value_cache():
    cache, new, query = buffer(64, 16), buffer(1, 16), buffer(1, 16)
    chain = (("SLICE", (1, 16), (1, 1)),)
    longer = g.assign(cache, new, chain, (ScalarRef(0), 0))
    return (longer, g.matmul(query, g.permute(longer, (1, 0)))), (cache,), (d.int64,)


@plan
def attention_in_blocks():
    query, key, value, given = (buffer(2, 3, 64, 16) for _ in range(4))
    output, normaliser = attention((query, key, value), True, 0.25)
    delta = g.reduce("add", g.mul(given, output), (3,))
    inputs = (query, key, value, given, normaliser, delta)
    return (output, *attention_backward(inputs, True, 0.25))


@plan
def attention_of_short_rows():
    query, key, value, given = (buffer(2, 3, 32, 16) for _ in range(4))
    output, normaliser = attention((query, key, value), False, 0.25)
    delta = g.reduce("add", g.mul(given, output), (3,))
    inputs = (query, key, value, given, normaliser, delta)
    return (output, *attention_backward(inputs, False, 0.25))
