"""Operations as a module, so that a model can be quantised. They compute with floats."""

from __future__ import annotations

from collections.abc import Sequence

from flambeau.nn import functional as F  # noqa: N812  # as everyone calls it
from flambeau.nn.modules.linear import Identity
from flambeau.nn.modules.module import Module
from flambeau.ops.shape import cat
from flambeau.tensor.tensor import Tensor

__all__ = ["FloatFunctional"]


class FloatFunctional(Module):
    """add, mul, cat, … whose results pass through `activation_post_process`, the identity.

    Call its methods, not the module: that is a RuntimeError.
    """

    def __init__(self) -> None:
        super().__init__()
        self.activation_post_process: Module = Identity()

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError(
            "FloatFunctional is not intended to use the 'forward'. Please use the underlying "
            "operation"
        )

    def _out(self, value: Tensor) -> Tensor:
        result: Tensor = self.activation_post_process(value)
        return result

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """x + y."""
        return self._out(x + y)

    add_scalar = add
    """x + a number."""

    def mul(self, x: Tensor, y: Tensor) -> Tensor:
        """x · y."""
        return self._out(x * y)

    mul_scalar = mul
    """x · a number."""

    def cat(self, x: Sequence[Tensor], dim: int = 0) -> Tensor:
        """The tensors one after the other."""
        return self._out(cat(x, dim))

    def add_relu(self, x: Tensor, y: Tensor) -> Tensor:
        """relu(x + y)."""
        return self._out(F.relu(x + y))

    def matmul(self, x: Tensor, y: Tensor) -> Tensor:
        """x @ y."""
        return self._out(x @ y)
