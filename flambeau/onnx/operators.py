"""Shapes as tensors, for models that compute with them. PyTorch's torch.onnx.operators."""

from __future__ import annotations

from flambeau.graph.dtype import int64
from flambeau.ops.data import tensor
from flambeau.tensor.tensor import Tensor

__all__ = ["reshape_from_tensor_shape", "shape_as_tensor"]


def shape_as_tensor(x: Tensor) -> Tensor:
    """The extents as a vector of int64; in an export with dynamic axes they are expressions."""
    made: Tensor = tensor(list(x.shape), dtype=int64)
    return made


def reshape_from_tensor_shape(x: Tensor, shape: Tensor) -> Tensor:
    """x in the shape that a vector of int64 has, whose values are read."""
    made: Tensor = x.reshape(shape.tolist())
    return made
