"""What distributions share: broadcasting, probabilities and logits, lazy properties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.autograd.mode import enable_grad
from flambeau.graph.dtype import DType
from flambeau.ops.data import tensor
from flambeau.ops.limits import finfo
from flambeau.ops.math import log, log1p
from flambeau.ops.probability_loss import binary_cross_entropy_with_logits
from flambeau.ops.random import normal
from flambeau.ops.softmax import softmax
from flambeau.ops.view import broadcast_tensors
from flambeau.tensor.device import get_default_dtype
from flambeau.tensor.tensor import Tensor

euler_constant = 0.57721566490153286060


def broadcast_all(*values: Any) -> tuple[Any, ...]:
    """Tensors of one shape; numbers take the dtype and device of the tensors among them.

    Raises ValueError for anything but tensors and numbers.
    """
    if not all(isinstance(each, (Tensor, int, float)) for each in values):
        raise ValueError(
            "Input arguments must all be instances of Number, torch.Tensor or objects implementing "
            "__torch_function__."
        )
    if all(isinstance(each, Tensor) for each in values):
        return tuple(broadcast_tensors(*values))
    first = next((each for each in values if isinstance(each, Tensor)), None)
    dtype = get_default_dtype() if first is None else first.dtype
    device = None if first is None else first.device
    made = [
        each if isinstance(each, Tensor) else tensor(each, dtype=dtype, device=device)
        for each in values
    ]
    return tuple(broadcast_tensors(*made))


def numbers_only(*values: Any) -> bool:
    """Whether all parameters are Python numbers: the batch then has no dimensions."""
    return all(isinstance(each, (int, float)) for each in values)


def standard_normal(shape: Any, dtype: DType, device: Any) -> Any:
    """Standard normal numbers."""
    return normal(0.0, 1.0, tuple(shape), dtype=dtype, device=device)


def sum_rightmost(value: Any, dim: int) -> Any:
    """The sum over the last `dim` dimensions."""
    return value.reshape((*value.shape[: value.ndim - dim], -1)).sum(-1) if dim else value


def clamp_probs(probs: Tensor) -> Any:
    """Probabilities kept one rounding away from 0 and 1."""
    eps = finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Any:
    """Probabilities of log odds (`is_binary`) or of log probabilities up to a constant."""
    return logits.sigmoid() if is_binary else softmax(logits, -1)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Any:
    """Log odds (`is_binary`) or log probabilities, finite at 0 and 1."""
    clamped = clamp_probs(probs)
    return log(clamped) - log1p(-clamped) if is_binary else log(clamped)


def cross_entropy_of_bits(logits: Any, value: Any) -> Any:
    """-log probability of 0s and 1s."""
    return binary_cross_entropy_with_logits(logits, value, reduction="none")


def tril_matrix_to_vec(mat: Any, diag: int = 0) -> Any:
    """The elements on and below a diagonal of square matrices, row by row."""
    from flambeau.ops.triangle import tril_indices

    extent = mat.shape[-1]
    if not -extent <= diag < extent:
        raise ValueError(f"diag ({diag}) provided is outside [{-extent}, {extent - 1}].")
    rows, columns = tril_indices(extent, extent, diag)
    return mat[..., rows, columns]


class lazy_property:  # noqa: N801  # PyTorch's name
    """A property that is computed, with gradients, when first read, and then kept."""

    def __init__(self, wrapped: Callable[[Any], Any]) -> None:
        self.wrapped = wrapped
        self.__doc__ = wrapped.__doc__
        self.__name__ = wrapped.__name__

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        with enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.__name__, value)
        return value
