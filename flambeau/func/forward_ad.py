"""Dual numbers: tensors that carry a derivative in one direction. torch.autograd.forward_ad.

The derivative is made by differentiating twice: the gradient of a result is linear in the direction
that it starts with, and the gradient of that, along the tangents, is what forward mode would give.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, NamedTuple

from flambeau.autograd import grad
from flambeau.autograd.mode import enable_grad
from flambeau.tensor.tensor import Tensor

__all__ = [
    "UnpackedDualTensor",
    "dual_level",
    "enter_dual_level",
    "exit_dual_level",
    "make_dual",
    "unpack_dual",
]


class UnpackedDualTensor(NamedTuple):
    """A tensor and its derivative, None where it has none."""

    primal: Tensor
    tangent: Tensor | None


_levels: list[list[tuple[Tensor, Tensor]]] = []
"""(dual tensor, its tangent) of each level that is open."""


def enter_dual_level() -> int:
    """Open a level; there is one at a time, as in PyTorch. Its number."""
    if _levels:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    _levels.append([])
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """Close the level: its dual tensors have no tangents any more."""
    if not _levels or level not in (None, 0):
        raise RuntimeError("Trying to exit a forward AD level that was not entered")
    _levels.pop()


class dual_level:  # noqa: N801  # PyTorch's name
    """Within it, make_dual and unpack_dual work."""

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        exit_dual_level()


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """The tensor with a derivative. Raises RuntimeError outside a level, or of another shape."""
    if not _levels:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to "
            "enter_dual_level() first."
        )
    if not tensor.dtype.has_gradient:
        raise ValueError(
            f"Expected primal to be floating point or complex, but got: {tensor.dtype}"
        )
    if tensor.shape != tangent.shape:
        raise RuntimeError(
            f"Expected primal and tangent to have the same shape, got {list(tensor.shape)} and "
            f"{list(tangent.shape)}"
        )
    with enable_grad():
        made = tensor.view_as(tensor) if tensor.requires_grad else tensor.detach().requires_grad_()
    _levels[-1].append((made, tangent))
    return made


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """(the tensor, its derivative along the tangents that dual tensors were made with)."""
    duals = _levels[-1] if _levels else []
    if not duals or not tensor.requires_grad:
        return UnpackedDualTensor(tensor, None)
    with enable_grad():
        start = tensor.detach().clone().requires_grad_()  # any direction: the map is linear
        primals = [each for each, _ in duals]
        found = grad([tensor], primals, [start], create_graph=True, allow_unused=True)
        total: Any = None
        for gradient, (_, tangent) in zip(found, duals, strict=True):
            if gradient is not None:
                term = (gradient * tangent).sum()
                total = term if total is None else total + term
        if total is None:
            return UnpackedDualTensor(tensor, None)
        if not total.requires_grad:  # no gradient depends on the direction: it is zero
            return UnpackedDualTensor(tensor, tensor.new_zeros(tensor.shape))
        (tangent,) = grad(total, start, allow_unused=True, materialize_grads=True)
    primal = tensor.detach() if any(tensor is each for each in primals) else tensor
    return UnpackedDualTensor(primal, tangent)
