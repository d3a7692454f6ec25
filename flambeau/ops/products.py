"""Other products: bilinear, tensordot, kron, chains of matrices."""

from __future__ import annotations

import math
from typing import Any

from flambeau.graph import build as b
from flambeau.graph import op
from flambeau.graph.node import Shape
from flambeau.ops.axes import axis_of, integers
from flambeau.ops.composite import composite
from flambeau.ops.matmul import mm, rows
from flambeau.ops.promote import as_node, result_dtype
from flambeau.ops.publish import public
from flambeau.ops.view import permute, reshape
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor


@composite(saves="0,1,2")
def _bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    x, y, w = input1._read(), input2._read(), weight._read()
    out, first, second = w.shape
    table = b.matmul(rows(x), b.reshape(b.permute(w, (1, 0, 2)), (first, out * second)))
    table = b.reshape(table, (table.shape[0], out, second))
    right = rows(y)
    right = b.reshape(right, (right.shape[0], second, 1))
    result = b.reshape(b.matmul(table, right), (*x.shape[:-1], out))
    return Tensor._traced(result if bias is None else b.add(result, bias._read()))


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x₁ᵀ W x₂ + bias for each output: (…, n), (…, m), (out, n, m) → (…, out)."""
    for each, axis in ((input1, 1), (input2, 2)):
        if each._type.shape[-1] != weight._type.shape[axis]:
            raise RuntimeError(
                f"bilinear(): input{axis} size does not match weight size: got "
                f"{each._type.shape[-1]} but expected {weight._type.shape[axis]}"
            )
    return _bilinear(input1, input2, weight, bias)


def _dims(dims: Any, left: int, right: int) -> tuple[Shape, Shape]:
    if isinstance(dims, Tensor):
        dims = dims.tolist()  # type: ignore[attr-defined, unused-ignore]  # attached by ops/
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        return tuple(range(left - dims, left)), tuple(range(dims))
    first, second = (integers(each, "dims") for each in dims)
    if len(first) != len(second):
        raise RuntimeError("both dimension lists should have same length")
    return (
        tuple([axis_of(each, left) for each in first]),
        tuple([axis_of(each, right) for each in second]),
    )


@public(method=False)
def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """The products' sums over the named dimensions of both (or the last of a, first of b).

    A dimension of 1 is broadcast. Raises RuntimeError where sizes differ otherwise.
    """
    over_a, over_b = _dims(dims, a.ndim, b.ndim)
    left, right = a._type.shape, b._type.shape
    for first, second in zip(over_a, over_b, strict=True):
        if left[first] == 1 != right[second]:
            b = record(op.REDUCE, (b,), ("add", (second,)))
        elif right[second] == 1 != left[first]:
            a = record(op.REDUCE, (a,), ("add", (first,)))
        elif left[first] != right[second]:
            raise RuntimeError(
                "contracted dimensions need to match, but first has size "
                f"{left[first]} in dim {first} and second has size {right[second]} in dim {second}"
            )
    left, right = a._type.shape, b._type.shape
    keep_a = [axis for axis in range(a.ndim) if axis not in over_a]
    keep_b = [axis for axis in range(b.ndim) if axis not in over_b]
    inner_size = math.prod(left[axis] for axis in over_a)
    rows_a = math.prod(left[axis] for axis in keep_a)
    rows_b = math.prod(right[axis] for axis in keep_b)
    first_matrix = reshape(permute(a, (*keep_a, *over_a)), (rows_a, inner_size))
    second_matrix = reshape(permute(b, (*over_b, *keep_b)), (inner_size, rows_b))
    shape = [left[axis] for axis in keep_a] + [right[axis] for axis in keep_b]
    return reshape(mm(first_matrix, second_matrix), shape)


@public()
def inner(input: Tensor, other: Tensor) -> Tensor:
    """The products' sums over the last dimension of both."""
    if not input.ndim or not other.ndim:
        return record(op.MUL, (input, other))
    return tensordot(input, other, ([-1], [-1]))


@public()
def kron(input: Tensor, other: Tensor) -> Tensor:
    """Kronecker's product."""
    rank = max(input.ndim, other.ndim)
    left = (1,) * (rank - input.ndim) + input._type.shape
    right = (1,) * (rank - other.ndim) + other._type.shape
    wide = reshape(input, [n for extent in left for n in (extent, 1)])
    narrow = reshape(other, [n for extent in right for n in (1, extent)])
    dtype = result_dtype((input, other))
    made = record(op.MUL, [as_node(each, dtype) for each in (wide, narrow)])
    return reshape(made, [one * two for one, two in zip(left, right, strict=True)])


@public(method=False)
def chain_matmul(*matrices: Tensor) -> Tensor:
    """The product of matrices, from left to right."""
    result = matrices[0]
    for each in matrices[1:]:
        result = mm(result, each)
    return result
