"""MATMUL: a Fold of products over k, under a domain of batch, M and N axes."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from flambeau.graph import op
from flambeau.graph.node import Node
from flambeau.kernel.index import Index, Linear, factor_of
from flambeau.kernel.ir import Axis, Value
from flambeau.kernel.lower import Guard, Lowering, Request, Step, accumulator, rule


@rule(op.MATMUL)
def _matmul(lowering: Lowering, node: Node, index: Index, guard: Guard) -> Step:
    left, right = node.inputs
    wide = accumulator(node.dtype)
    batch, row, column = index[:-2], index[-2], index[-1]

    def make(steps: Index) -> Generator[Request, Value, Value]:
        (k,) = steps
        a = yield (left, lowering.broadcast((*batch, row, k), left), guard)
        b = yield (right, lowering.broadcast((*batch, k, column), right), guard)
        return product(lowering, a, b, node)

    total = yield from lowering.fold("add", wide, (left.shape[-1],), make, product=True)
    return lowering.cast(total, node.dtype)


def product(lowering: Lowering, a: Value, b: Value, node: Node) -> Value:
    """a · b in the dtype in which the products are added up."""
    wide = accumulator(node.dtype)
    if lowering.turned:
        a, b = b, a
    return lowering.emit("MUL", (lowering.cast(a, wide), lowering.cast(b, wide)), wide)


def is_turned(flat: Linear, axes: Sequence[Axis]) -> bool:
    """Whether a result is stored, at `flat`, with its rows' elements apart and its columns' not.

    Then the operands change places, so that memory runs along the last axis of the domain.
    """
    return factor_of(flat, axes[-1]) != 1 and factor_of(flat, axes[-2]) == 1


def matmul_domain(node: Node, axes: Sequence[Axis], turned: bool) -> list[Axis]:
    """The result's axes in the order batch (both operands vary), M (one), N (the other)."""
    left, right = node.inputs
    rank = len(node.shape)
    batch: list[Axis] = []
    rows: list[Axis] = []
    columns: list[Axis] = []
    for number in range(rank - 2):
        varies = [
            number >= rank - len(each.shape) and each.shape[number - rank + len(each.shape)] != 1
            for each in (left, right)
        ]
        place = batch if all(varies) else rows if varies[0] else columns
        place.append(axes[number])
    if turned:
        return [*batch, *columns, axes[-1], *rows, axes[-2]]
    return [*batch, *rows, axes[-2], *columns, axes[-1]]
