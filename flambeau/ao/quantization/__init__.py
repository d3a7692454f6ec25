"""Marks for quantisation, which leave float models as they are. There are no quantised tensors."""

from __future__ import annotations

from typing import Any

from flambeau.nn.modules.module import Module
from flambeau.tensor.tensor import Tensor

__all__ = ["DeQuantStub", "QuantStub"]


class _Stub(Module):
    def __init__(self, qconfig: Any = None) -> None:
        super().__init__()
        if qconfig:
            self.qconfig = qconfig

    def forward(self, x: Tensor) -> Tensor:
        """`x` itself."""
        return x


class QuantStub(_Stub):
    """Where a quantised model would begin: the identity."""


class DeQuantStub(_Stub):
    """Where a quantised model would end: the identity."""
