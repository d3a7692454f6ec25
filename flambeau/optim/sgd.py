"""Stochastic gradient descent, with momentum."""

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

__all__ = ["SGD"]


@Update
def _sgd(
    parameter: Any,
    gradient: Any,
    buffer: Any = None,
    *,
    lr: Any,
    weight_decay: Any,
    momentum: Any,
    keep: Any,
    decays: bool,
    nesterov: bool,
    maximize: bool,
) -> tuple[Any, ...]:
    """buffer = momentum·buffer + keep·gradient; parameter -= lr·buffer (Sutskever et al., 2013)."""
    if maximize:
        gradient = -gradient
    if decays:
        gradient = gradient + weight_decay * parameter
    if buffer is None:
        return (parameter - lr * gradient,)
    buffer = momentum * buffer + keep * gradient
    direction = gradient + momentum * buffer if nesterov else buffer
    return parameter - lr * direction, buffer


class SGD(Optimizer):
    """Stochastic gradient descent. Arguments and state as PyTorch's torch.optim.SGD."""

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_rate(lr)
        check(momentum >= 0, "momentum value", momentum)
        check(weight_decay >= 0, "weight_decay value", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def _update(self, group: Group) -> None:
        for (_, _, first), bucket in self._collect(group).items():
            bucket.update(_sgd, partial(self._scalars, group, first), partial(self._flags, group))

    @staticmethod
    def _scalars(group: Group, first: bool) -> dict[str, Any]:
        return {
            "lr": group["lr"],
            "weight_decay": group["weight_decay"],
            "momentum": group["momentum"],
            "keep": 1.0 if first else 1.0 - group["dampening"],
        }

    @staticmethod
    def _flags(group: Group) -> dict[str, bool]:
        return {"nesterov": group["nesterov"], **decay_flags(group)}

    def _collect(self, group: Group) -> dict[Any, Bucket]:
        """Parameters by dtype, device and whether this is their first step with momentum.

        The first buffer is the gradient itself: zeros, and all of the gradient kept.
        """
        found: dict[Any, Bucket] = {}
        with_momentum = group["momentum"] != 0
        for each in group["params"]:
            gradient = each._grad
            if gradient is None:
                continue
            buffer, first = None, False
            if with_momentum:
                state = self.state[each]
                buffer = state.get("momentum_buffer")
                first = buffer is None
                if first:
                    buffer = state["momentum_buffer"] = zeros_like(each)
                first = first and group["dampening"] != 0
            key = (each._type.dtype, each._storage.node.device, first)
            bucket = found.get(key)
            if bucket is None:
                bucket = found[key] = Bucket(0.0, int(with_momentum))
            bucket.parameters.append(each)
            bucket.gradients.append(gradient)
            if buffer is not None:
                bucket.states[0].append(buffer)
        return found
