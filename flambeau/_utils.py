"""torch._utils, as far as programs use it: lists of tensors as one vector, tensors of storages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.ops.arrays.memory import seen
from flambeau.ops.shape import cat
from flambeau.tensor.parameter import Parameter
from flambeau.tensor.tensor import Tensor

__all__ = [
    "_flatten_dense_tensors",
    "_rebuild_parameter",
    "_rebuild_tensor",
    "_rebuild_tensor_v2",
    "_unflatten_dense_tensors",
]


def _flatten_dense_tensors(tensors: Sequence[Tensor]) -> Tensor:
    """All elements of the tensors, of one dtype, in one vector."""
    return cat([each.contiguous().view(-1) for each in tensors])


def _unflatten_dense_tensors(flat: Tensor, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Parts of the vector, views, in the shapes of the tensors."""
    parts = flat.split([each.numel() for each in tensors])
    return tuple([part.view(each.shape) for part, each in zip(parts, tensors, strict=True)])


def _rebuild_tensor(storage: Any, storage_offset: int, size: Any, stride: Any) -> Tensor:
    """What sees a storage's elements from an offset on, at these strides."""
    return seen(storage, storage_offset, size, stride)


def _rebuild_tensor_v2(
    storage: Any,
    storage_offset: int,
    size: Any,
    stride: Any,
    requires_grad: bool,
    backward_hooks: Any,
    metadata: Any = None,
) -> Tensor:
    """As _rebuild_tensor, and whether it requires a gradient."""
    return _rebuild_tensor(storage, storage_offset, size, stride).requires_grad_(requires_grad)


def _rebuild_parameter(data: Tensor, requires_grad: bool, backward_hooks: Any) -> Parameter:
    """A parameter of the tensor."""
    return Parameter(data, requires_grad)
