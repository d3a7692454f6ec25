"""Rprop, which looks at signs alone, and ASGD, which averages what it passed."""

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

__all__ = ["ASGD", "Rprop"]


@Update
def _rprop(
    parameter: Any,
    gradient: Any,
    previous: Any,
    size: Any,
    *,
    shrink: Any,
    grow: Any,
    least: Any,
    most: Any,
    maximize: bool,
) -> tuple[Any, ...]:
    """Riedmiller & Braun, 1993: steps grow while the sign stays, and shrink where it turns."""
    if maximize:
        gradient = -gradient
    agreement = gradient * previous
    turned = agreement < 0
    size = (size * grow).where(agreement > 0, (size * shrink).where(turned, size))
    size = size.maximum(least).minimum(most)
    gradient = (gradient * 0).where(turned, gradient)
    return parameter - gradient.sign() * size, gradient, size


@Update
def _asgd(
    parameter: Any,
    gradient: Any,
    average: Any,
    *,
    eta: Any,
    mu: Any,
    shrink: Any,
    decay: Any,
    decays: bool,
    maximize: bool,
) -> tuple[Any, ...]:
    """Polyakov & Juditsky's averaging, 1992, as Bottou's asgd does it."""
    if maximize:
        gradient = -gradient
    if decays:
        gradient = gradient + decay * parameter
    parameter = parameter * shrink - eta * gradient
    return parameter, average + mu * (parameter - average)


class Rprop(Optimizer):
    """Resilient backpropagation. Arguments and state as PyTorch's torch.optim.Rprop."""

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_rate(lr)
        check(0.0 < etas[0] < 1.0 < etas[1], "eta values", f"{etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _update(self, group: Group) -> None:
        def start(parameter: Tensor) -> dict[str, Any]:
            size = zeros_like(parameter, float(group["lr"]))
            return {"prev": zeros_like(parameter), "step_size": size}

        for bucket in self._buckets(group, ("prev", "step_size"), start):
            bucket.update(_rprop, partial(self._scalars, group), partial(self._flags, group))

    @staticmethod
    def _scalars(group: Group) -> dict[str, Any]:
        (shrink, grow), (least, most) = group["etas"], group["step_sizes"]
        return {"shrink": shrink, "grow": grow, "least": least, "most": most}

    @staticmethod
    def _flags(group: Group) -> dict[str, bool]:
        return {"maximize": group["maximize"]}


class ASGD(Optimizer):
    """Averaged stochastic gradient descent. Arguments and state as PyTorch's torch.optim.ASGD.

    The average of a parameter is state[parameter]["ax"].
    """

    _numbers = ("step", "eta", "mu")

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_rate(lr)
        check(weight_decay >= 0, "weight_decay value", weight_decay)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _update(self, group: Group) -> None:
        def start(parameter: Tensor) -> dict[str, Any]:
            return {"eta": float(group["lr"]), "mu": 1.0, "ax": zeros_like(parameter)}

        for bucket in self._buckets(group, ("ax",), start):
            bucket.update(_asgd, partial(self._scalars, group, bucket), partial(decay_flags, group))

    @staticmethod
    def _scalars(group: Group, bucket: Bucket) -> dict[str, Any]:
        """This step's scalars; the next one's rates go into the states."""
        eta, mu = bucket.counted[0]["eta"], bucket.counted[0]["mu"]
        lr, lambd = float(group["lr"]), group["lambd"]
        next_eta = lr / (1 + lambd * lr * bucket.step) ** group["alpha"]
        next_mu = 1 / max(1.0, bucket.step - group["t0"])
        for state in bucket.counted:
            state["eta"], state["mu"] = next_eta, next_mu
        return {"eta": eta, "mu": mu, "shrink": 1 - lambd * eta, "decay": group["weight_decay"]}
