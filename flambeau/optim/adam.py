"""Adam and AdamW."""

from __future__ import annotations

from functools import partial
from typing import Any

from flambeau.optim.optimizer import (
    Bucket,
    Group,
    Optimizer,
    check,
    check_betas,
    check_rate,
    decoupled_flags,
    zeros_like,
)
from flambeau.optim.update import Update
from flambeau.tensor.tensor import Tensor

__all__ = ["Adam", "AdamW"]


@Update
def _adam(
    parameter: Any,
    gradient: Any,
    average: Any,
    square: Any,
    largest: Any = None,
    *,
    step_size: Any,
    root: Any,
    beta2: Any,
    rest1: Any,
    rest2: Any,
    eps: Any,
    decay: Any,
    decays: bool,
    decoupled: bool,
    maximize: bool,
) -> tuple[Any, ...]:
    """Kingma & Ba, 2015 (Algorithm 1); decoupled: Loshchilov & Hutter, 2019 (Algorithm 2)."""
    if maximize:
        gradient = -gradient
    if decays and decoupled:
        parameter = parameter * decay
    elif decays:
        gradient = gradient + decay * parameter
    average = average + rest1 * (gradient - average)
    square = beta2 * square + rest2 * gradient * gradient
    if largest is None:
        return parameter - step_size * (average / (square.sqrt() / root + eps)), average, square
    largest = largest.maximum(square)
    parameter = parameter - step_size * (average / (largest.sqrt() / root + eps))
    return parameter, average, square, largest


class Adam(Optimizer):
    """Adam. Arguments and state as PyTorch's torch.optim.Adam.

    `foreach`, `fused` and `capturable` are accepted: every step is one fused operation.
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_rate(lr)
        check(eps >= 0, "epsilon value", eps)
        check_betas(betas)
        check(weight_decay >= 0, "weight_decay value", weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _update(self, group: Group) -> None:
        names = ["exp_avg", "exp_avg_sq"] + ["max_exp_avg_sq"] * group["amsgrad"]

        def start(parameter: Tensor) -> dict[str, Any]:
            return {name: zeros_like(parameter) for name in names}

        for bucket in self._buckets(group, names, start):
            bucket.update(_adam, partial(_scalars, group, bucket), partial(decoupled_flags, group))


def _scalars(group: Group, bucket: Bucket) -> dict[str, Any]:
    beta1, beta2 = map(float, group["betas"])
    lr, decay = group["lr"], group["weight_decay"]
    return {
        "step_size": lr / (1 - beta1**bucket.step),
        "root": (1 - beta2**bucket.step) ** 0.5,
        "beta2": beta2,
        "rest1": 1 - beta1,
        "rest2": 1 - beta2,
        "eps": group["eps"],
        "decay": 1 - lr * decay if group["decoupled_weight_decay"] else decay,
    }


class AdamW(Adam):
    """Adam with decoupled weight decay. Arguments as PyTorch's torch.optim.AdamW."""

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )
