"""Averages of weights over training: stochastic weight averaging (Izmailov et al., 2018) and EMA.

PyTorch's torch.optim.swa_utils. AveragedModel and update_bn are of modules, a layer above: they are
in nn.utils.averaging, and imported when they are asked for.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

from flambeau.autograd.mode import no_grad
from flambeau.optim.lr_scheduler.base import LRScheduler, for_each_group
from flambeau.optim.optimizer import Optimizer

__all__ = [
    "SWALR",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
]

_OF_MODULES = ("AveragedModel", "update_bn")


def __getattr__(name: str) -> Any:
    """What is imported when it is first asked for."""
    if name in _OF_MODULES:
        return getattr(importlib.import_module("flambeau.nn.utils.averaging"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _check_decay(decay: float) -> None:
    if decay < 0.0 or decay > 1.0:
        raise ValueError(
            f"Invalid decay value {decay} provided. Please provide a value in [0,1] range."
        )


def get_ema_avg_fn(decay: float = 0.999) -> Callable[[Any, Any, Any], Any]:
    """avg_fn of an exponential moving average. Raises ValueError where decay is not in [0, 1]."""
    _check_decay(decay)

    @no_grad()
    def ema_update(ema_param: Any, current_param: Any, num_averaged: Any) -> Any:
        return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn() -> Callable[[Any, Any, Any], Any]:
    """avg_fn of the mean of all that was seen."""

    @no_grad()
    def swa_update(averaged_param: Any, current_param: Any, num_averaged: Any) -> Any:
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


def _over_lists(update: Callable[[Any, Any, Any], Any]) -> Callable[[Any, Any, Any], None]:
    @no_grad()
    def update_all(averaged: Any, current: Any, num_averaged: Any) -> None:
        for one, other in zip(averaged, current, strict=True):
            one.copy_(update(one, other, num_averaged))

    return update_all


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[[Any, Any, Any], None]:
    """multi_avg_fn of an exponential moving average: lists of tensors, written in place."""
    return _over_lists(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> Callable[[Any, Any, Any], None]:
    """multi_avg_fn of the mean of all that was seen: lists of tensors, written in place."""
    return _over_lists(get_swa_avg_fn())


class SWALR(LRScheduler):
    """Anneal each group's learning rate to swa_lr in anneal_epochs steps, then keep it.

    `anneal_strategy`: "cos" or "linear". Raises ValueError for another, or where anneal_epochs is
    not an integer from 0.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: Any,
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        for value, group in zip(
            for_each_group("swa_lr", optimizer, swa_lr), optimizer.param_groups, strict=True
        ):
            group["swa_lr"] = value
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must by one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self.anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        """How much of swa_lr there is after so many steps, from 0 to 1."""
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * t)) / 2 if self.anneal_strategy == "cos" else t

    def get_lr(self) -> list[Any]:
        """The next learning rates, from the ones that are set now."""
        rates = self._rates()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        found = []
        for rate, group in zip(rates, self.optimizer.param_groups, strict=True):
            target = group["swa_lr"]
            start = target if before == 1 else (rate - before * target) / (1 - before)
            found.append(target * now + start * (1 - now))
        return found
