"""Recurrent layers over time: the loops behind nn.RNN, nn.LSTM and nn.GRU.

One Node a layer and direction. The products with the input are made for all steps at once, outside;
a step here is one product with the state and what fuses to it. Steps read their row of the
projected input by a runtime number, so that all steps are launches of one kernel. The gradient is
written by hand: it gathers the gradients of all steps and makes one product for the weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.graph import build as b
from flambeau.graph.dtype import int64
from flambeau.graph.node import Node
from flambeau.ops.activation import relu, sigmoid
from flambeau.ops.fused import fused
from flambeau.ops.logic import where
from flambeau.ops.trigonometry import tanh
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor


def _row(sequence: Tensor, place: Tensor) -> Tensor:
    """The entry of one step: (T, B, K) and a number to (B, K)."""
    return Tensor._traced(b.gather(sequence._read(), place._read(), 0))


def _stacked(parts: Sequence[Tensor], reverse: bool) -> Tensor:
    """(B, K) for each step, in the order of the loop, to (T, B, K) in the order of time."""
    ordered = list(reversed(parts)) if reverse else list(parts)
    nodes = [b.reshape(each._read(), (1, *each._type.shape)) for each in ordered]
    return Tensor._traced(b.cat(nodes, 0))


def _parts(gates: Tensor, count: int) -> list[Tensor]:
    """The parts of (B, count · H), each (B, H)."""
    rows, width = gates._type.shape
    size = width // count
    node = gates._read()
    return [
        Tensor._traced(b.slice_(node, (0, number * size), (rows, size))) for number in range(count)
    ]


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return Tensor._traced(b.cat([each._read() for each in parts], 1))


def _before(first: Tensor, states: Sequence[Tensor], reverse: bool) -> Tensor:
    """The state before each step, flattened to (T · B, H)."""
    return _flat([first, *states[:-1]], reverse)


def _flat(states: Sequence[Tensor], reverse: bool) -> Tensor:
    """(B, H) for each step, in the order of the loop, to (T · B, H) in the order of time."""
    whole = _stacked(states, reverse)._read()
    steps, rows, size = whole.shape
    return Tensor._traced(b.reshape(whole, (steps * rows, size)))


def _weight_gradient(gates: Tensor, before: Tensor) -> Tensor:
    """The sum over all steps of gatesᵀ · state: (T, B, G) and (T · B, H) to (G, H)."""
    node = gates._read()
    steps, rows, width = node.shape
    flat = b.reshape(node, (steps * rows, width))
    return Tensor._traced(b.matmul(b.permute(flat, (1, 0)), before._read()))


def _plus(x: Tensor | None, y: Tensor | None) -> Any:
    if x is None or y is None:
        return y if x is None else x
    return x + y


def _numbers(steps: int, reverse: bool) -> list[Node]:
    """The steps' places in time as runtime scalars, in the order of the loop."""
    places = range(steps - 1, -1, -1) if reverse else range(steps)
    return [b.scalar(place, int64) for place in places]


def _given(sequence: Tensor | None, last: Tensor | None, places: Sequence[Tensor]) -> Any:
    """The gradient of each step's state from outside, in the order of the loop."""
    rows = [None if sequence is None else _row(sequence, place) for place in places]
    return [*rows[:-1], _plus(rows[-1], last)]


# plain ------------------------------------------------------------------------------------------


def _plain_states(projected: Any, hidden: Any, weight: Any, places: Any, kind: str) -> list[Any]:
    activation = tanh if kind == "tanh" else relu
    states = []
    for place in places:
        hidden = activation(_row(projected, place) + hidden @ weight.t())
        states.append(hidden)
    return states


def _plain_gradient(*values: Any) -> tuple[Any, ...]:
    projected, hidden, weight, *places, by_output, by_last, kind, reverse = values
    states = _plain_states(projected, hidden, weight, places, kind)
    given = _given(by_output, by_last, places)
    gates: list[Any] = []
    flow: Any = None
    for step in range(len(places) - 1, -1, -1):
        total, state = _plus(given[step], flow), states[step]
        total = total * (1 - state * state) if kind == "tanh" else where(state > 0, total, 0.0)
        gates.append(total)
        flow = total @ weight
    found = _stacked(gates, not reverse)
    change = _weight_gradient(found, _before(hidden, states, reverse))
    return (found, flow, change, *[None] * len(places))


@fused(gradient=_plain_gradient)
def _plain(*values: Any) -> Any:
    """h ← tanh or relu (x + h Wᵀ); (all h, the last h)."""
    projected, hidden, weight, *places, kind, reverse = values
    states = _plain_states(projected, hidden, weight, places, kind)
    return _stacked(states, reverse), states[-1]


# LSTM -------------------------------------------------------------------------------------------


def _lstm_gates(gates: Tensor) -> list[Tensor]:
    i, f, g, o = _parts(gates, 4)
    return [sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)]


def _lstm_states(
    projected: Any, hidden: Any, cell: Any, weight: Any, places: Any, projection: Any = None
) -> Any:
    """(gates, hidden, cell) after each step."""
    found = []
    for place in places:
        gates = _lstm_gates(_row(projected, place) + hidden @ weight.t())
        i, f, g, o = gates
        cell = f * cell + i * g
        hidden = o * tanh(cell)
        if projection is not None:
            hidden = hidden @ projection.t()
        found.append((gates, hidden, cell))
    return found


def _lstm_step_gradient(by_hidden: Any, by_cell: Any, gates: Any, before: Any, cell: Any) -> Any:
    """The gradients of the gates before their activation, and of the cell before the step."""
    i, f, g, o = gates
    bounded = tanh(cell)
    by_cell = _plus(by_cell, None if by_hidden is None else by_hidden * o * (1 - bounded * bounded))
    by_o = by_hidden * bounded * o * (1 - o) if by_hidden is not None else o * 0.0
    by_i = by_cell * g * i * (1 - i)
    by_f = by_cell * before * f * (1 - f)
    by_g = by_cell * i * (1 - g * g)
    return _joined([by_i, by_f, by_g, by_o]), by_cell * f


def _lstm_gradient(*values: Any) -> tuple[Any, ...]:
    projected, hidden, cell, weight, *places, by_output, by_last, by_cell, reverse = values
    found = _lstm_states(projected, hidden, cell, weight, places)
    given = _given(by_output, by_last, places)
    cells = [cell, *[each for _, _, each in found]]
    gates: list[Any] = []
    flow: Any = None
    for step in range(len(places) - 1, -1, -1):
        by_hidden = _plus(given[step], flow)
        if by_hidden is None and by_cell is None:
            by_hidden = hidden * 0.0
        change, by_cell = _lstm_step_gradient(
            by_hidden, by_cell, found[step][0], cells[step], cells[step + 1]
        )
        gates.append(change)
        flow = change @ weight
    whole = _stacked(gates, not reverse)
    states = [each for _, each, _ in found]
    by_weight = _weight_gradient(whole, _before(hidden, states, reverse))
    return (whole, flow, by_cell, by_weight, *[None] * len(places))


def _lstm_projected_gradient(*values: Any) -> tuple[Any, ...]:
    projected, hidden, cell, weight, projection, *places, by_output, by_last, by_cell, reverse = (
        values
    )
    found = _lstm_states(projected, hidden, cell, weight, places, projection)
    given = _given(by_output, by_last, places)
    cells = [cell, *[each for _, _, each in found]]
    gates: list[Any] = []
    totals: list[Any] = []
    flow: Any = None
    for step in range(len(places) - 1, -1, -1):
        total = _plus(given[step], flow)
        totals.append(hidden * 0.0 if total is None else total)
        change, by_cell = _lstm_step_gradient(
            totals[-1] @ projection, by_cell, found[step][0], cells[step], cells[step + 1]
        )
        gates.append(change)
        flow = change @ weight
    whole = _stacked(gates, not reverse)
    by_weight = _weight_gradient(whole, _before(hidden, [each for _, each, _ in found], reverse))
    outputs = [gate[3] * tanh(after) for gate, _, after in found]
    by_projection = _weight_gradient(_stacked(totals, not reverse), _flat(outputs, reverse))
    return (whole, flow, by_cell, by_weight, by_projection, *[None] * len(places))


@fused(gradient=_lstm_projected_gradient)
def _lstm_projected(*values: Any) -> Any:
    """As _lstm with h ← (σ(o) tanh(c)) Pᵀ. Sak et al., 2014."""
    projected, hidden, cell, weight, projection, *places, reverse = values
    found = _lstm_states(projected, hidden, cell, weight, places, projection)
    return _stacked([each for _, each, _ in found], reverse), found[-1][1], found[-1][2]


@fused(gradient=_lstm_gradient)
def _lstm(*values: Any) -> Any:
    """Gates i, f, g, o = x + h Wᵀ; c ← σ(f) c + σ(i) tanh(g); h ← σ(o) tanh(c).

    (all h, the last h, the last c). Hochreiter and Schmidhuber, 1997.
    """
    projected, hidden, cell, weight, *places, reverse = values
    found = _lstm_states(projected, hidden, cell, weight, places)
    return _stacked([each for _, each, _ in found], reverse), found[-1][1], found[-1][2]


# GRU --------------------------------------------------------------------------------------------


def _gru_states(projected: Any, hidden: Any, weight: Any, bias: Any, places: Any) -> Any:
    """(r, z, n, the state's part of n, hidden) after each step."""
    found = []
    for place in places:
        by_input = _parts(_row(projected, place), 3)
        by_state = _parts(hidden @ weight.t() + bias, 3)
        r = sigmoid(by_input[0] + by_state[0])
        z = sigmoid(by_input[1] + by_state[1])
        n = tanh(by_input[2] + r * by_state[2])
        hidden = n + z * (hidden - n)
        found.append((r, z, n, by_state[2], hidden))
    return found


def _gru_step_gradient(total: Any, step: Any, before: Any) -> Any:
    """The gradients of the gates, of the state's product, and of the state directly."""
    r, z, n, part, _ = step
    by_n = total * (1 - z) * (1 - n * n)
    by_z = total * (before - n) * z * (1 - z)
    by_r = by_n * part * r * (1 - r)
    return _joined([by_r, by_z, by_n]), _joined([by_r, by_z, by_n * r]), total * z


def _gru_gradient(*values: Any) -> tuple[Any, ...]:
    projected, hidden, weight, bias, *places, by_output, by_last, reverse = values
    found = _gru_states(projected, hidden, weight, bias, places)
    given = _given(by_output, by_last, places)
    states = [hidden, *[each[-1] for each in found]]
    gates, products = [], []
    flow: Any = None
    for step in range(len(places) - 1, -1, -1):
        total = _plus(given[step], flow)
        if total is None:
            total = hidden * 0.0
        change, product, straight = _gru_step_gradient(total, found[step], states[step])
        gates.append(change)
        products.append(product)
        flow = straight + product @ weight
    whole = _stacked(products, not reverse)
    by_weight = _weight_gradient(whole, _before(hidden, states[1:], reverse))
    by_bias = whole.sum((0, 1))
    return (_stacked(gates, not reverse), flow, by_weight, by_bias, *[None] * len(places))


@fused(gradient=_gru_gradient)
def _gru(*values: Any) -> Any:
    """r, z = σ(x + h Wᵀ + b), n = tanh(x + r (h Wᵀ + b)); h ← (1 - z) n + z h.

    (all h, the last h). Cho et al., 2014.
    """
    projected, hidden, weight, bias, *places, reverse = values
    found = _gru_states(projected, hidden, weight, bias, places)
    states = [each[-1] for each in found]
    return _stacked(states, reverse), states[-1]


# what nn uses -----------------------------------------------------------------------------------


def plain_layer(
    projected: Tensor, hidden: Tensor, weight: Tensor, kind: str, reverse: bool
) -> tuple[Tensor, Tensor]:
    """A layer of h ← tanh (kind "tanh") or relu (x + h Wᵀ).

    projected (T, B, H) is the input's part with all biases, hidden (B, H), weight (H, H);
    (T, B, H) and the last state are returned. reverse: from the last step to the first.
    """
    places = _numbers(projected._type.shape[0], reverse)
    return record(_plain, (projected, hidden, weight, *places), (kind, reverse))


def lstm_layer(
    projected: Tensor,
    hidden: Tensor,
    cell: Tensor,
    weight: Tensor,
    reverse: bool,
    projection: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """A layer of an LSTM: projected (T, B, 4H), hidden and cell (B, H), weight (4H, H).

    With a projection (P, H) hidden is (B, P) and weight (4H, P).
    """
    places = _numbers(projected._type.shape[0], reverse)
    if projection is not None:
        inputs: tuple[Any, ...] = (projected, hidden, cell, weight, projection, *places)
        return record(_lstm_projected, inputs, (reverse,))
    return record(_lstm, (projected, hidden, cell, weight, *places), (reverse,))


def gru_layer(
    projected: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor, reverse: bool
) -> tuple[Tensor, Tensor]:
    """A layer of a GRU: projected (T, B, 3H), hidden (B, H), weight (3H, H), bias (3H,)."""
    places = _numbers(projected._type.shape[0], reverse)
    return record(_gru, (projected, hidden, weight, bias, *places), (reverse,))
