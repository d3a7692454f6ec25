"""The methods: what is pruned, by chance, by magnitude, by norm or by a mask."""

from __future__ import annotations

import math
import numbers
from typing import Any

from flambeau.nn.utils.prune.base import BasePruningMethod
from flambeau.ops.creation import zeros_like
from flambeau.ops.random import rand, rand_like
from flambeau.ops.sort import kthvalue, topk

__all__ = [
    "CustomFromMask",
    "Identity",
    "L1Unstructured",
    "LnStructured",
    "RandomStructured",
    "RandomUnstructured",
]

# how much ---------------------------------------------------------------------------------------


def _check_amount(amount: Any) -> None:
    """TypeError and ValueError where it is neither a number of elements nor a fraction."""
    if not isinstance(amount, numbers.Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    most = math.inf if isinstance(amount, numbers.Integral) else 1.0
    fits = 0.0 <= float(amount) <= most
    if not fits:
        raise ValueError(
            f"amount={amount} should either be a float in the range [0, 1] or a non-negative "
            "integer"
        )


def _count(amount: Any, size: int) -> int:
    """How many of `size`. ValueError where that is more than there are."""
    if not isinstance(amount, numbers.Integral):
        return round(float(amount) * size)
    if int(amount) > size:
        raise ValueError(
            f"amount={amount} should be smaller than the number of parameters to prune={size}"
        )
    return int(amount)


def _check_structured(t: Any, dim: int) -> None:
    if t.ndim <= 1:
        raise ValueError(
            "Structured pruning can only be applied to multidimensional tensors. Found tensor of "
            f"shape {tuple(t.shape)} with {t.ndim} dims"
        )
    if dim >= t.ndim:
        raise IndexError(f"Invalid index {dim} for tensor of size {tuple(t.shape)}")


def _without(t: Any, default_mask: Any, places: Any) -> Any:
    """default_mask with zeros at these places of the flat tensor."""
    mask = default_mask.clone().reshape(-1)
    mask[places] = 0
    return mask.view(default_mask.shape)


def _channels(t: Any, kept: Any, dim: int, default_mask: Any) -> Any:
    """default_mask with zeros in the channels that are not kept."""
    shape = [1] * t.ndim
    shape[dim] = -1
    return default_mask * kept.to(default_mask.dtype).view(shape)


# the methods ------------------------------------------------------------------------------------


class Identity(BasePruningMethod):
    """Prunes nothing, and gives the tensor a mask."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        return default_mask


class RandomUnstructured(BasePruningMethod):
    """Prunes random elements: `amount` of them, or that fraction."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: Any) -> None:
        _check_amount(amount)
        self.amount = amount

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        count = _count(self.amount, t.numel())
        if not count:
            return default_mask.clone()
        return _without(t, default_mask, topk(rand_like(t).view(-1), count).indices)


class L1Unstructured(BasePruningMethod):
    """Prunes the elements of least magnitude: `amount` of them, or that fraction."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: Any) -> None:
        _check_amount(amount)
        self.amount = amount

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        count = _count(self.amount, t.numel())
        if not count:
            return default_mask.clone()
        least = topk(t.abs().reshape(-1), count, largest=False).indices
        return _without(t, default_mask, least)


class RandomStructured(BasePruningMethod):
    """Prunes random channels along `dim`: `amount` of them, or that fraction."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: Any, dim: int = -1) -> None:
        _check_amount(amount)
        self.amount = amount
        self.dim = dim

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        _check_structured(t, self.dim)
        size = int(t.shape[self.dim])
        count = _count(self.amount, size)
        if not count:
            return default_mask
        draws = rand(size)
        kept = draws > kthvalue(draws, count).values
        return _channels(t, kept, self.dim, default_mask)


class LnStructured(BasePruningMethod):
    """Prunes the channels along `dim` of least n-norm: `amount` of them, or that fraction."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: Any, n: Any, dim: int = -1) -> None:
        _check_amount(amount)
        self.amount = amount
        self.n = n
        self.dim = dim

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        _check_structured(t, self.dim)
        size = int(t.shape[self.dim])
        count = _count(self.amount, size)
        if not count:
            return default_mask
        axis = self.dim % t.ndim
        norms = t.norm(p=self.n, dim=[each for each in range(t.ndim) if each != axis])
        kept = zeros_like(norms)
        kept[topk(norms, size - count, largest=True).indices] = 1
        return _channels(t, kept, self.dim, default_mask)


class CustomFromMask(BasePruningMethod):
    """Prunes where a mask says 0."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Any) -> None:
        self.mask = mask

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        if default_mask.shape != self.mask.shape:
            raise ValueError(
                f"the mask's shape {tuple(self.mask.shape)} is not the tensor's: "
                f"{tuple(default_mask.shape)}"
            )
        return default_mask * self.mask.to(dtype=default_mask.dtype)
