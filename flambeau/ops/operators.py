"""How Python's operators on tensors are made from functions."""

from __future__ import annotations

from typing import Any

import numpy

from flambeau.ops.publish import in_place
from flambeau.tensor.tensor import Tensor

OPERANDS = (Tensor, bool, int, float, complex, numpy.number, numpy.bool_)


def operator(name: str, function: Any, reflected: bool = True, inplace: bool = True) -> None:
    """Attach a binary operator: __name__, __rname__ and __iname__.

    For operands that are neither tensors nor numbers Python tries the other operand's method.
    """

    def forward(self: Tensor, other: Any) -> Any:
        return function(self, other) if isinstance(other, OPERANDS) else _foreign(self, other, 0)

    def backward(self: Tensor, other: Any) -> Any:
        return function(other, self) if isinstance(other, OPERANDS) else _foreign(self, other, 1)

    write = in_place(function, f"__i{name}__")

    def augmented(self: Tensor, other: Any) -> Any:
        return write(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def _foreign(self: Tensor, other: Any, place: int) -> Any:
        if not isinstance(other, numpy.ndarray):
            return NotImplemented
        other = Tensor._from_numpy(other, self._storage.node.device)
        return function(other, self) if place else function(self, other)

    setattr(Tensor, f"__{name}__", forward)
    if reflected:
        setattr(Tensor, f"__r{name}__", backward)
    if inplace:
        setattr(Tensor, f"__i{name}__", augmented)
