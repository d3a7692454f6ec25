"""ATTENTION and ATTENTION_BACKWARD: how they are built, and what they are in other primitives.

The other primitives store all scores: for short rows, for derivatives of the backward, and for
devices that have no kernel for the two (schedule/attention.py).
"""

from __future__ import annotations

import math

from flambeau.graph import build as b
from flambeau.graph import dtype as dtypes
from flambeau.graph import op
from flambeau.graph.node import Node, node

Inputs = tuple[Node, ...]


def attention(inputs: Inputs, causal: bool, scale: float) -> tuple[Node, Node]:
    """The output and the normaliser of (query, key, value[, bias])."""
    whole = node(op.ATTENTION, inputs, (causal, scale))
    return b.pick(whole, 0), b.pick(whole, 1)


def attention_backward(inputs: Inputs, causal: bool, scale: float) -> tuple[Node, Node, Node]:
    """The gradients of query, key and value, not summed over what was broadcast.

    inputs: query, key, value, the output's gradient, the normaliser, the row sums of gradient
    times output, and the bias if there is one.
    """
    query = node(op.ATTENTION_BACKWARD, inputs, (causal, scale, "query"))
    keys = node(op.ATTENTION_BACKWARD, inputs, (causal, scale, "keys"))
    return b.pick(query, 0), b.pick(keys, 0), b.pick(keys, 1)


def plain(whole: Node) -> tuple[Node, ...]:
    """The results of ATTENTION or ATTENTION_BACKWARD from products and a softmax."""
    return _forward(whole) if whole.op is op.ATTENTION else _backward(whole)


def _forward(whole: Node) -> tuple[Node, ...]:
    weights, normaliser = _weights(whole, whole.inputs[3:])
    output = b.matmul(weights, _wide(whole.inputs[2]))
    shape = whole.type.items[1].shape
    return b.cast(output, whole.inputs[0].dtype), b.expand(normaliser, shape)


def _backward(whole: Node) -> tuple[Node, ...]:
    """The weights are the forward's: in one plan with it, they are computed once."""
    query, key, value, given, _, delta = map(_wide, whole.inputs[:6])
    weights, _ = _weights(whole, whole.inputs[6:])
    # delta first: what comes before a product can be part of its epilogue
    slopes = b.mul(weights, b.add(b.neg(delta), b.matmul(given, transposed(value))))
    slopes = b.mul(slopes, _number(whole.attrs[1], slopes))
    if whole.attrs[2] == "query":
        found: tuple[Node, ...] = (b.matmul(slopes, key),)
    else:
        found = (b.matmul(transposed(slopes), query), b.matmul(transposed(weights), given))
    types = whole.type.items
    found = tuple([b.expand(each, of.shape) for each, of in zip(found, types, strict=True)])
    return tuple([b.cast(each, of.dtype) for each, of in zip(found, types, strict=True)])


def _weights(whole: Node, bias: Inputs) -> tuple[Node, Node]:
    """The softmax of the scores, 0 for a row that looks at nothing, and the normaliser."""
    scores = _scores(whole, bias)
    axis = (len(scores.shape) - 1,)
    greatest = b.detach(b.reduce("max", scores, axis))
    nothing = b.equal(greatest, _number(-math.inf, scores))
    shift = b.where(nothing, _number(0.0, scores), greatest)
    weights = b.exp(b.sub(scores, shift))
    total = b.where(nothing, _number(1.0, scores), b.reduce("add", weights, axis))
    normaliser = b.where(nothing, _number(math.inf, scores), b.add(shift, b.log(total)))
    return b.div(weights, total), normaliser


def transposed(x: Node) -> Node:
    rank = len(x.shape)
    return b.permute(x, (*range(rank - 2), rank - 1, rank - 2))


def later(rows: int, columns: int) -> Node:
    """Where a key comes after its query."""
    return b.less(b.reshape(b.iota(rows), (rows, 1)), b.iota(columns))


def _number(value: float, like: Node) -> Node:
    return b.constant(value, like.dtype)


def _wide(x: Node) -> Node:
    return b.cast(x, dtypes.float32) if x.dtype.itemsize == 2 else x


def _scores(whole: Node, bias: Inputs) -> Node:
    query, key = _wide(whole.inputs[0]), _wide(whole.inputs[1])
    causal, scale = whole.attrs[:2]
    scores = b.matmul(b.mul(query, _number(scale, query)), transposed(key))
    for each in bias:
        scores = b.add(scores, b.cast(each, scores.dtype))
    if causal:
        hidden = later(query.shape[-2], key.shape[-2])
        scores = b.where(hidden, _number(-math.inf, scores), scores)
    return scores
