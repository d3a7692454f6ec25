"""Dropout modules."""

from __future__ import annotations

from typing import Any

from flambeau.nn import functional as F  # noqa: N812  # as everyone calls it
from flambeau.nn.modules.module import Module
from flambeau.tensor.tensor import Tensor

__all__ = ["AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout"]


class _DropoutNd(Module):
    run: Any = None

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if p < 0 or p > 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # PyTorch's name
        return type(self).run(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_DropoutNd):
    """In training, zero each element with probability p and scale the others by 1/(1-p)."""

    run = staticmethod(F.dropout)


class AlphaDropout(_DropoutNd):
    """Dropout for selu networks: mean and variance stay (arXiv:1706.02515)."""

    run = staticmethod(F.alpha_dropout)


class Dropout1d(_DropoutNd):
    """In training, zero whole channels of (N, C, L) or (C, L)."""

    run = staticmethod(F.dropout1d)


class Dropout2d(_DropoutNd):
    """In training, zero whole channels of (N, C, H, W)."""

    run = staticmethod(F.dropout2d)


class Dropout3d(_DropoutNd):
    """In training, zero whole channels of (N, C, D, H, W)."""

    run = staticmethod(F.dropout3d)


class FeatureAlphaDropout(_DropoutNd):
    """AlphaDropout of whole channels of (N, C, …)."""

    run = staticmethod(F.feature_alpha_dropout)
