"""Adamax, NAdam and RAdam."""

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
    decay_flags,
    decoupled_flags,
    zeros_like,
)
from flambeau.optim.update import Update
from flambeau.tensor.tensor import Tensor

__all__ = ["Adamax", "NAdam", "RAdam"]


def _decayed(
    parameter: Any, gradient: Any, decay: Any, decays: bool, decoupled: bool, maximize: bool
) -> tuple[Any, Any]:
    """Parameter and gradient after the sign and the weight decay."""
    if maximize:
        gradient = -gradient
    if decays and decoupled:
        return parameter * decay, gradient
    if decays:
        gradient = gradient + decay * parameter
    return parameter, gradient


@Update
def _adamax(
    parameter: Any,
    gradient: Any,
    average: Any,
    largest: Any,
    *,
    step_size: Any,
    beta2: Any,
    rest1: Any,
    eps: Any,
    decay: Any,
    decays: bool,
    maximize: bool,
) -> tuple[Any, ...]:
    """Kingma & Ba, 2015 (Algorithm 2)."""
    parameter, gradient = _decayed(parameter, gradient, decay, decays, False, maximize)
    average = average + rest1 * (gradient - average)
    largest = (beta2 * largest).maximum(gradient.abs() + eps)
    return parameter - step_size * (average / largest), average, largest


@Update
def _nadam(
    parameter: Any,
    gradient: Any,
    average: Any,
    square: Any,
    *,
    of_gradient: Any,
    of_average: Any,
    correction: Any,
    beta2: Any,
    rest1: Any,
    rest2: Any,
    eps: Any,
    decay: Any,
    decays: bool,
    decoupled: bool,
    maximize: bool,
) -> tuple[Any, ...]:
    """Dozat, 2016."""
    parameter, gradient = _decayed(parameter, gradient, decay, decays, decoupled, maximize)
    average = average + rest1 * (gradient - average)
    square = beta2 * square + rest2 * gradient * gradient
    scale = (square / correction).sqrt() + eps
    parameter = parameter - of_gradient * (gradient / scale)
    return parameter - of_average * (average / scale), average, square


@Update
def _radam(
    parameter: Any,
    gradient: Any,
    average: Any,
    square: Any,
    *,
    lr: Any,
    correction: Any,
    factor: Any,
    beta2: Any,
    rest1: Any,
    rest2: Any,
    eps: Any,
    decay: Any,
    rectified: bool,
    decays: bool,
    decoupled: bool,
    maximize: bool,
) -> tuple[Any, ...]:
    """Liu et al., 2020 (Algorithm 2)."""
    parameter, gradient = _decayed(parameter, gradient, decay, decays, decoupled, maximize)
    average = average + rest1 * (gradient - average)
    square = beta2 * square + rest2 * gradient * gradient
    direction = average / correction * lr
    if rectified:
        direction = direction * (factor / (square.sqrt() + eps))
    return parameter - direction, average, square


class _AdamLike(Optimizer):
    """The arguments that these optimizers share."""

    states: tuple[str, ...] = ("exp_avg", "exp_avg_sq")

    def _defaults(
        self,
        lr: Any,
        betas: Any,
        eps: float,
        weight_decay: float,
        options: dict[str, Any],
    ) -> dict[str, Any]:
        check_rate(lr)
        check(eps >= 0, "epsilon value", eps)
        check_betas(betas)
        check(weight_decay >= 0, "weight_decay value", weight_decay)
        return {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, **options}

    def _start(self, parameter: Tensor) -> dict[str, Any]:
        return {name: zeros_like(parameter) for name in self.states}

    @staticmethod
    def _common(group: Group) -> dict[str, Any]:
        beta1, beta2 = group["betas"]
        decay = group["weight_decay"]
        if group.get("decoupled_weight_decay"):
            decay = 1 - group["lr"] * decay
        return {
            "beta2": beta2,
            "rest1": 1 - beta1,
            "rest2": 1 - beta2,
            "eps": group["eps"],
            "decay": decay,
        }


class Adamax(_AdamLike):
    """Adam with the infinity norm. Arguments and state as PyTorch's torch.optim.Adamax."""

    states = ("exp_avg", "exp_inf")

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        options = {
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, self._defaults(lr, betas, eps, weight_decay, options))

    def _update(self, group: Group) -> None:
        for bucket in self._buckets(group, self.states, self._start):
            bucket.update(
                _adamax, partial(self._scalars, group, bucket), partial(decay_flags, group)
            )

    def _scalars(self, group: Group, bucket: Bucket) -> dict[str, Any]:
        scalars = self._common(group)
        del scalars["rest2"]
        scalars["step_size"] = group["lr"] / (1 - group["betas"][0] ** bucket.step)
        return scalars


class NAdam(_AdamLike):
    """Adam with Nesterov momentum. Arguments and state as PyTorch's torch.optim.NAdam."""

    _numbers = ("step", "mu_product")

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check(momentum_decay >= 0, "momentum_decay value", momentum_decay)
        options = {
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, self._defaults(lr, betas, eps, weight_decay, options))

    def _start(self, parameter: Tensor) -> dict[str, Any]:
        return {"mu_product": 1.0, **super()._start(parameter)}

    def _update(self, group: Group) -> None:
        for bucket in self._buckets(group, self.states, self._start):
            bucket.update(
                _nadam, partial(self._scalars, group, bucket), partial(decoupled_flags, group)
            )

    def _scalars(self, group: Group, bucket: Bucket) -> dict[str, Any]:
        beta1, beta2 = group["betas"]
        lr, slowing, step = group["lr"], group["momentum_decay"], bucket.step
        mu = beta1 * (1.0 - 0.5 * 0.96 ** (step * slowing))
        following = beta1 * (1.0 - 0.5 * 0.96 ** ((step + 1) * slowing))
        product = bucket.counted[0]["mu_product"] * mu
        for each in bucket.counted:
            each["mu_product"] = product
        return {
            "of_gradient": lr * (1.0 - mu) / (1.0 - product),
            "of_average": lr * following / (1.0 - product * following),
            "correction": 1 - beta2**step,
            **self._common(group),
        }


class RAdam(_AdamLike):
    """Adam with a rectified variance. Arguments and state as PyTorch's torch.optim.RAdam."""

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        options = {
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, self._defaults(lr, betas, eps, weight_decay, options))

    def _update(self, group: Group) -> None:
        for bucket in self._buckets(group, self.states, self._start):
            bucket.update(
                _radam,
                partial(self._scalars, group, bucket),
                partial(self._rectified_flags, group, bucket),
            )

    @staticmethod
    def _length(group: Group, bucket: Bucket) -> tuple[float, float]:
        """The length of the approximated moving average: its limit, and now."""
        beta2, step = group["betas"][1], bucket.step
        limit = 2 / (1 - beta2) - 1
        return limit, limit - 2 * step * beta2**step / (1 - beta2**step)

    def _rectified_flags(self, group: Group, bucket: Bucket) -> dict[str, bool]:
        return {"rectified": self._length(group, bucket)[1] > 5.0, **decoupled_flags(group)}

    def _scalars(self, group: Group, bucket: Bucket) -> dict[str, Any]:
        beta1, beta2 = group["betas"]
        limit, length = self._length(group, bucket)
        factor = 1.0
        if length > 5.0:
            above = (length - 4) * (length - 2) * limit
            factor = (above / ((limit - 4) * (limit - 2) * length)) ** 0.5
            factor *= (1 - beta2**bucket.step) ** 0.5
        return {
            "lr": group["lr"],
            "correction": 1 - beta1**bucket.step,
            "factor": factor,
            **self._common(group),
        }
