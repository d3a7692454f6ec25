"""SparseAdam: Adam of the rows that a gradient reaches."""

from __future__ import annotations

from functools import partial
from typing import Any

from flambeau.ops.logic import where
from flambeau.optim.optimizer import (
    Bucket,
    Group,
    Optimizer,
    check,
    check_betas,
    check_rate,
    zeros_like,
)
from flambeau.optim.update import Update
from flambeau.tensor.tensor import Tensor

__all__ = ["SparseAdam"]

_STATES = ("exp_avg", "exp_avg_sq")


@Update
def _sparse_adam(
    parameter: Any,
    gradient: Any,
    average: Any,
    square: Any,
    *,
    step_size: Any,
    rest1: Any,
    rest2: Any,
    eps: Any,
    maximize: bool,
) -> tuple[Any, ...]:
    """Kingma and Ba, 2015, where the gradient's row is not zero; the rest stays as it is."""
    if maximize:
        gradient = -gradient
    reached = (
        (gradient != 0).any(tuple(range(1, gradient.ndim)), True)
        if gradient.ndim > 1
        else (gradient != 0)
    )
    new_average = average + rest1 * (gradient - average)
    new_square = square + rest2 * (gradient * gradient - square)
    moved = parameter - step_size * (new_average / (new_square.sqrt() + eps))
    return (
        where(reached, moved, parameter),
        where(reached, new_average, average),
        where(reached, new_square, square),
    )


class SparseAdam(Optimizer):
    """Adam that leaves rows alone whose gradient is zero. Arguments as torch.optim.SparseAdam.

    Gradients of embeddings are dense here; a row of zeros is one that no index named.
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        check_rate(lr)
        check(eps > 0, "epsilon value", eps)
        check_betas(betas)
        defaults = {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize}
        super().__init__(params, defaults)

    def _update(self, group: Group) -> None:
        for bucket in self._buckets(group, _STATES, self._start):
            bucket.update(
                _sparse_adam,
                partial(self._scalars, group, bucket),
                lambda: {"maximize": bool(group["maximize"])},
            )

    @staticmethod
    def _start(parameter: Tensor) -> dict[str, Any]:
        return {name: zeros_like(parameter) for name in _STATES}

    @staticmethod
    def _scalars(group: Group, bucket: Bucket) -> dict[str, Any]:
        beta1, beta2 = group["betas"]
        root = (1 - beta2**bucket.step) ** 0.5
        return {
            "step_size": group["lr"] * root / (1 - beta1**bucket.step),
            "rest1": 1 - beta1,
            "rest2": 1 - beta2,
            "eps": group["eps"],
        }
