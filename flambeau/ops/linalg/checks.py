"""What linear algebra asks of its arguments, and how it says that a matrix is singular."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.graph.dtype import int32
from flambeau.graph.node import Shape
from flambeau.ops.axes import DTYPE_TITLES
from flambeau.ops.view import broadcast_shapes
from flambeau.tensor.tensor import Tensor

INFO = int32
"""The dtype of what factorisations say about their success."""


class LinAlgError(RuntimeError):
    """A matrix has no inverse, no such factorisation, or the algorithm found none."""


def check_floating(x: Tensor, name: str) -> None:
    """Raises RuntimeError unless x is of float32, float64 or a complex dtype."""
    dtype = x._type.dtype
    if not (dtype.is_floating_point or dtype.is_complex):
        raise RuntimeError(
            f"{name}: Expected a floating point or complex tensor as input. Got "
            f"{DTYPE_TITLES[dtype.name]}"
        )
    if dtype.itemsize == 2:
        raise RuntimeError(
            f"{name}: Low precision dtypes not supported. Got {DTYPE_TITLES[dtype.name]}"
        )


def check_matrix(x: Tensor, name: str, argument: str = "A") -> None:
    """Raises RuntimeError unless x is a (batch of) floating matrices."""
    if x.ndim < 2:
        raise RuntimeError(
            f"{name}: The input tensor {argument} must have at least 2 dimensions, got "
            f"{list(x.shape)}."
        )
    check_floating(x, name)


def check_square(x: Tensor, name: str, argument: str = "A") -> None:
    """Raises RuntimeError unless x is a (batch of) square floating matrices."""
    check_matrix(x, name, argument)
    rows, columns = x._type.shape[-2:]
    if rows != columns:
        raise RuntimeError(
            f"{name}: {argument} must be batches of square matrices, but they are {rows} by "
            f"{columns} matrices"
        )


def check_same_dtype(first: Tensor, second: Tensor, name: str) -> None:
    """Raises RuntimeError where the dtypes differ."""
    if first._type.dtype is not second._type.dtype:
        raise RuntimeError(
            f"{name}: Expected A and B to have the same dtype, but found A of type "
            f"{DTYPE_TITLES[first.dtype.name]} and B of type {DTYPE_TITLES[second.dtype.name]} "
            "instead"
        )


def broadcast_batches(*matrices: Tensor) -> tuple[Tensor, ...]:
    """The matrices with all batch dimensions expanded to a common shape."""
    batch = tuple(broadcast_shapes(*[each._type.shape[:-2] for each in matrices]))
    return tuple(
        [
            each if each._type.shape[:-2] == batch else each.expand(*batch, *each._type.shape[-2:])
            for each in matrices
        ]
    )


def is_vector(A: Tensor, B: Tensor) -> bool:
    """Whether B is a (batch of) right-hand sides without a dimension of columns."""
    return B.ndim == 1 or (A.ndim - 1 == B.ndim and B._type.shape == A._type.shape[:-1])


def raise_where_failed(info: Tensor, name: str, reason: Any) -> None:
    """Read `info` and raise LinAlgError for the first matrix whose entry is not 0.

    reason   the message, or function(entry) -> message
    """
    values = info.detach()._to_numpy()
    if not values.any():
        return
    place = int(values.reshape(-1).nonzero()[0][0])
    entry = int(values.reshape(-1)[place])
    text = reason if isinstance(reason, str) else reason(entry)
    where = f"(Batch element {_place(place, values.shape)}): " if values.ndim else ""
    raise LinAlgError(f"{name}: {where}{text}")


def _place(place: int, shape: Sequence[int]) -> str:
    """The number of a batch element, with its index where there are several dimensions."""
    if len(shape) == 1:
        return str(place)
    index: list[int] = []
    rest = place
    for extent in reversed(shape):
        index.insert(0, rest % extent)
        rest //= extent
    return f"{place}, at {tuple(index)}"


def batch_of(x: Tensor) -> Shape:
    """The shape of a batch of matrices without the matrices."""
    return x._type.shape[:-2]
