"""Muon: momentum whose matrix is made orthogonal before it is applied."""

from __future__ import annotations

import math
from typing import Any

from flambeau.graph.dtype import bfloat16
from flambeau.optim.optimizer import Group, Optimizer, zeros_like
from flambeau.tensor.tensor import Tensor

__all__ = ["Muon"]

_RATES: dict[str, Any] = {
    "original": lambda rows, columns: math.sqrt(max(1.0, rows / columns)),
    "match_rms_adamw": lambda rows, columns: 0.2 * math.sqrt(max(rows, columns)),
}
"""What the learning rate is multiplied by for a matrix of a shape."""


def _orthogonal(matrix: Any, coefficients: Any, steps: int, eps: float) -> Any:
    """About U Vᵀ of U S Vᵀ, by Newton and Schulz's iteration in bfloat16."""
    a, b, c = coefficients
    x = matrix.to(bfloat16)
    tall = x.shape[0] > x.shape[1]
    x = x.mT if tall else x
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = x.addmm(gram.addmm(gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Muon(Optimizer):
    """MomentUm Orthogonalized by Newton-Schulz (K. Jordan et al., 2024), for matrices.

    Arguments and state as PyTorch's torch.optim.Muon. Raises ValueError for parameters that are
    not matrices: give those to another optimizer.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        settings = (("Learning rate", lr), ("momentum", momentum), ("weight decay", weight_decay))
        for name, value in settings:
            if value < 0:
                raise ValueError(f"{name} should be >= 0 but is: {value}")
        if adjust_lr_fn is not None and adjust_lr_fn not in _RATES:
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for each in group["params"]:
                if each.ndim != 2:
                    raise ValueError(
                        "Muon only supports 2D parameters whereas we found a parameter with "
                        f"size: {each.shape}"
                    )

    def _update(self, group: Group) -> None:
        for each in group["params"]:
            if each._grad is not None:
                self._update_one(group, each, each._grad)

    def _update_one(self, group: Group, parameter: Tensor, gradient: Any) -> None:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = zeros_like(parameter)
        average = state["momentum_buffer"]
        average.lerp_(gradient, 1 - group["momentum"])
        direction = gradient.lerp(average, group["momentum"]) if group["nesterov"] else average
        direction = _orthogonal(
            direction, group["ns_coefficients"], group["ns_steps"], group["eps"]
        )
        rate = group["lr"] * _RATES[group["adjust_lr_fn"] or "original"](*parameter.shape)
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(direction.to(parameter.dtype), alpha=-rate)
