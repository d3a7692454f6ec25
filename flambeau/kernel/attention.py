"""ATTENTION and its backward: an Attend for each point of the leading axes.

Forward, one softmax as it is met, block by block of keys (Milakov and Gimelshein, 2018; Dao et al.,
2022). Backward, the weights again from the scores and the saved normaliser: once with queries in
lanes for the query's gradient, once with keys in lanes for the gradients of key and value.
"""

from __future__ import annotations

import math
from typing import Any

from flambeau.graph import dtype as dtypes
from flambeau.graph import op
from flambeau.graph.node import Node
from flambeau.kernel.ir import Attend, Axis, Fold, Loop, Statement, Value
from flambeau.kernel.lower import Lowered, Lowering, accumulator


def lower_attention(
    node: Node, picks: dict[int, Node], name: str, stored: Any, scalars: Any
) -> Lowered:
    """The kernel of an ATTENTION or ATTENTION_BACKWARD; `picks` are its results that are wanted."""
    lowering = Lowering(stored, frozenset(picks.values()), scalars)
    attention = _Attention(lowering, node, picks)
    if node.op is op.ATTENTION:
        statement = attention.forward()
    elif node.attrs[2] == "query":
        statement = attention.query_gradient()
    else:
        statement = attention.key_gradients()
    if lowering.body:
        raise AssertionError("an operand of attention needs statements: it is to be stored")
    lowering.body.append(statement)
    return lowering.finish(name, attention.lead)


class _Attention:
    """The axes, and the values that forward and backward have in common."""

    def __init__(self, lowering: Lowering, node: Node, picks: dict[int, Node]) -> None:
        self.lowering = lowering
        self.node = node
        self.picks = picks
        self.causal, self.scale = node.attrs[:2]
        self.wide = accumulator(node.inputs[0].dtype)
        query, value = node.inputs[0].shape, node.inputs[2].shape
        self.lead = [Axis(extent) for extent in node.type.items[0].shape[:-2]]
        self.row, self.column = Axis(query[-2]), Axis(value[-2])
        self.depth, self.width = query[-1], value[-1]
        bias = node.inputs[3:] if node.op is op.ATTENTION else node.inputs[6:]
        self.scores = self._product(self._key, self._query, self.depth)
        self.score = self._score(self.scores, bias)

    # operands

    def element(self, number: int, *last: Axis | None) -> Value:
        """An input's element at the leading axes and at `last` (None: the only place there is)."""
        lowering, node = self.lowering, self.node.inputs[number]
        places = [lowering.indices.axis(each) for each in self.lead]
        zero = lowering.indices.zero
        places += [zero if each is None else lowering.indices.axis(each) for each in last]
        index = lowering.broadcast(tuple(places), node)
        return lowering.cast(lowering.value(node, index), self.wide)

    def _query(self, along: Axis) -> Value:
        scale = self.lowering.constant(self.scale, self.wide)
        return self.emit("MUL", self.element(0, self.row, along), scale)

    def _key(self, along: Axis) -> Value:
        return self.element(1, self.column, along)

    def _value(self, along: Axis) -> Value:
        return self.element(2, self.column, along)

    def _given(self, along: Axis) -> Value:
        return self.element(3, self.row, along)

    # values

    def emit(self, name: str, *args: Value) -> Value:
        boolean = name in ("LT", "EQ")
        return self.lowering.emit(name, args, dtypes.bool_ if boolean else self.wide)

    def minus(self, x: Value, y: Value) -> Value:
        return self.emit("ADD", x, self.emit("NEG", y))

    def number(self, value: float) -> Value:
        return self.lowering.constant(value, self.wide)

    def result(self, fold: Fold) -> Value:
        return self.lowering.emit("result", (), self.wide, fold)

    def _product(self, of_step: Any, of_lane: Any, extent: int) -> Fold:
        axis = Axis(extent)
        return self._sum((axis,), self.emit("MUL", of_step(axis), of_lane(axis)))

    def _sum(self, axes: tuple[Axis, ...], value: Value) -> Fold:
        return Fold(axes, "add", value, self.wide, product=value.op == "MUL")

    def _score(self, product: Fold, bias: tuple[Node, ...]) -> Value:
        score = self.result(product)
        if bias:
            number = len(self.node.inputs) - 1
            score = self.emit("ADD", score, self.element(number, self.row, self.column))
        if self.causal:
            indices = self.lowering.indices
            row, column = (
                self.lowering.indexed(indices.axis(each)) for each in (self.row, self.column)
            )
            score = self.emit("WHERE", self.emit("LT", row, column), self.number(-math.inf), score)
        return score

    def store(self, number: int, value: Value, *last: Axis | None) -> None:
        """Into the open scope: one element of a result."""
        lowering, node = self.lowering, self.picks[number]
        zero = lowering.indices.zero
        index = [lowering.indices.axis(each) for each in self.lead]
        index += [zero if each is None else lowering.indices.axis(each) for each in last]
        flat = lowering.indices.flatten(tuple(index), node.shape)
        lowering.store(node, flat, lowering.cast(value, node.dtype))

    def stores(self, number: int, value: Value, lane: Axis, along: Axis) -> list[Statement]:
        if number not in self.picks:
            return []
        self.lowering.scopes.append([])
        self.store(number, value, lane, along)
        return [Loop((along,), tuple(self.lowering.scopes.pop()))]

    # the three kernels

    def forward(self) -> Attend:
        column, width = self.column, Axis(self.width)
        greatest = Fold((column,), "max", self.score, self.wide)
        peak = self.result(greatest)
        nothing = self.emit("EQ", peak, self.number(-math.inf))
        shift = self.emit("WHERE", nothing, self.number(0.0), peak)
        weight = self.emit("EXP", self.minus(self.score, shift))
        total = self._sum((column,), weight)
        whole = self._sum((column,), self.emit("MUL", weight, self._value(width)))
        divisor = self.emit("WHERE", nothing, self.number(1.0), self.result(total))
        output = self.emit("DIV", self.result(whole), divisor)
        body = self.stores(0, output, self.row, width)
        if 1 in self.picks:
            logarithm = self.emit("ADD", shift, self.emit("LOG", divisor))
            self.lowering.scopes.append([])
            known = self.emit("WHERE", nothing, self.number(math.inf), logarithm)
            self.store(1, known, self.row, None)
            body += self.lowering.scopes.pop()
        order = "before" if self.causal else ""
        return Attend(
            self.row, column, order, (self.scores,), greatest, total, (whole,), tuple(body)
        )

    def _slopes(self, slopes: Fold) -> tuple[Value, Value]:
        """(weight, the scores' gradient)."""
        weight = self.emit("EXP", self.minus(self.score, self.element(4, self.row, None)))
        past = self.minus(self.result(slopes), self.element(5, self.row, None))
        return weight, self.emit("MUL", weight, past)

    def query_gradient(self) -> Attend:
        along = Axis(self.depth)
        slopes = self._product(self._value, self._given, self.width)
        _, slope = self._slopes(slopes)
        whole = self._sum((self.column,), self.emit("MUL", slope, self._key(along)))
        result = self.emit("MUL", self.result(whole), self.number(self.scale))
        body = self.stores(0, result, self.row, along)
        order = "before" if self.causal else ""
        products = (self.scores, slopes)
        return Attend(self.row, self.column, order, products, None, None, (whole,), tuple(body))

    def key_gradients(self) -> Attend:
        self.scores.value = self.emit("MUL", *reversed(self.scores.value.args))
        slopes = self._product(self._given, self._value, self.width)
        weight, slope = self._slopes(slopes)
        depth, width = Axis(self.depth), Axis(self.width)
        by_key = self._sum((self.row,), self.emit("MUL", slope, self._query(depth)))
        by_value = self._sum((self.row,), self.emit("MUL", weight, self._given(width)))
        body = self.stores(0, self.result(by_key), self.column, depth)
        body += self.stores(1, self.result(by_value), self.column, width)
        sums = tuple(
            [each for number, each in enumerate((by_key, by_value)) if number in self.picks]
        )
        order = "after" if self.causal else ""
        products = (self.scores, slopes)
        return Attend(self.column, self.row, order, products, None, None, sums, tuple(body))
