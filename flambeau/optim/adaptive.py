"""RMSprop, Adagrad and Adadelta."""

from __future__ import annotations

from functools import partial
from typing import Any

from flambeau.optim.optimizer import (
    Bucket,
    Group,
    Optimizer,
    check,
    check_rate,
    decay_flags,
    zeros_like,
)
from flambeau.optim.update import Update
from flambeau.tensor.tensor import Tensor

__all__ = ["Adadelta", "Adagrad", "RMSprop"]


def _signed(parameter: Any, gradient: Any, decay: Any, decays: bool, maximize: bool) -> Any:
    """The gradient after the sign and the weight decay."""
    if maximize:
        gradient = -gradient
    return gradient + decay * parameter if decays else gradient


@Update
def _rmsprop(
    parameter: Any,
    gradient: Any,
    square: Any,
    *states: Any,
    lr: Any,
    alpha: Any,
    rest: Any,
    eps: Any,
    decay: Any,
    momentum: Any,
    with_momentum: bool,
    centered: bool,
    decays: bool,
    maximize: bool,
) -> tuple[Any, ...]:
    """Hinton, 2012 (lecture 6.5); centered: Graves, 2013. States: [buffer], [average]."""
    gradient = _signed(parameter, gradient, decay, decays, maximize)
    square = alpha * square + rest * gradient * gradient
    spread = square
    further: tuple[Any, ...] = ()
    if centered:
        average = states[-1] + rest * (gradient - states[-1])
        spread = square - average * average
        further = (average,)
    scaled = gradient / (spread.sqrt() + eps)
    if not with_momentum:
        return parameter - lr * scaled, square, *further
    buffer = momentum * states[0] + scaled
    return parameter - lr * buffer, square, buffer, *further


@Update
def _adagrad(
    parameter: Any,
    gradient: Any,
    total: Any,
    *,
    lr: Any,
    eps: Any,
    decay: Any,
    decays: bool,
    maximize: bool,
) -> tuple[Any, ...]:
    """Duchi, Hazan & Singer, 2011."""
    gradient = _signed(parameter, gradient, decay, decays, maximize)
    total = total + gradient * gradient
    return parameter - lr * (gradient / (total.sqrt() + eps)), total


@Update
def _adadelta(
    parameter: Any,
    gradient: Any,
    square: Any,
    moved: Any,
    *,
    lr: Any,
    rho: Any,
    rest: Any,
    eps: Any,
    decay: Any,
    decays: bool,
    maximize: bool,
) -> tuple[Any, ...]:
    """Zeiler, 2012."""
    gradient = _signed(parameter, gradient, decay, decays, maximize)
    square = rho * square + rest * gradient * gradient
    change = (moved + eps).sqrt() / (square + eps).sqrt() * gradient
    moved = rho * moved + rest * change * change
    return parameter - lr * change, square, moved


class RMSprop(Optimizer):
    """RMSprop. Arguments and state as PyTorch's torch.optim.RMSprop."""

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_rate(lr)
        check(eps >= 0, "epsilon value", eps)
        check(momentum >= 0, "momentum value", momentum)
        check(weight_decay >= 0, "weight_decay value", weight_decay)
        check(alpha >= 0, "alpha value", alpha)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _update(self, group: Group) -> None:
        names = ["square_avg"]
        if group["momentum"] > 0:
            names.append("momentum_buffer")
        if group["centered"]:
            names.append("grad_avg")

        def start(parameter: Tensor) -> dict[str, Any]:
            return {name: zeros_like(parameter) for name in names}

        for bucket in self._buckets(group, names, start):
            bucket.update(_rmsprop, partial(self._scalars, group), partial(self._flags, group))

    @staticmethod
    def _scalars(group: Group) -> dict[str, Any]:
        return {
            "lr": group["lr"],
            "alpha": group["alpha"],
            "rest": 1 - group["alpha"],
            "eps": group["eps"],
            "decay": group["weight_decay"],
            "momentum": group["momentum"],
        }

    @staticmethod
    def _flags(group: Group) -> dict[str, bool]:
        return {
            "with_momentum": group["momentum"] > 0,
            "centered": group["centered"],
            **decay_flags(group),
        }


class Adagrad(Optimizer):
    """Adagrad. Arguments and state as PyTorch's torch.optim.Adagrad."""

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_rate(lr)
        check(lr_decay >= 0, "lr_decay value", lr_decay)
        check(weight_decay >= 0, "weight_decay value", weight_decay)
        check(
            initial_accumulator_value >= 0,
            "initial_accumulator_value value",
            initial_accumulator_value,
        )
        check(eps >= 0, "epsilon value", eps)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for each in group["params"]:
                state = self.state[each]
                state["step"] = 0.0
                state["sum"] = zeros_like(each, initial_accumulator_value)

    def _update(self, group: Group) -> None:
        def start(parameter: Tensor) -> dict[str, Any]:
            return {"sum": zeros_like(parameter, group["initial_accumulator_value"])}

        for bucket in self._buckets(group, ("sum",), start):
            bucket.update(
                _adagrad, partial(self._scalars, group, bucket), partial(decay_flags, group)
            )

    @staticmethod
    def _scalars(group: Group, bucket: Bucket) -> dict[str, Any]:
        return {
            "lr": group["lr"] / (1 + (bucket.step - 1) * group["lr_decay"]),
            "eps": group["eps"],
            "decay": group["weight_decay"],
        }


class Adadelta(Optimizer):
    """Adadelta. Arguments and state as PyTorch's torch.optim.Adadelta."""

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_rate(lr)
        check(0 <= rho <= 1, "rho value", rho)
        check(eps >= 0, "epsilon value", eps)
        check(weight_decay >= 0, "weight_decay value", weight_decay)
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _update(self, group: Group) -> None:
        names = ("square_avg", "acc_delta")

        def start(parameter: Tensor) -> dict[str, Any]:
            return {name: zeros_like(parameter) for name in names}

        for bucket in self._buckets(group, names, start):
            bucket.update(_adadelta, partial(self._scalars, group), partial(decay_flags, group))

    @staticmethod
    def _scalars(group: Group) -> dict[str, Any]:
        return {
            "lr": group["lr"],
            "rho": group["rho"],
            "rest": 1 - group["rho"],
            "eps": group["eps"],
            "decay": group["weight_decay"],
        }
