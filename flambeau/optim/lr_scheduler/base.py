"""LRScheduler: counts epochs and sets the groups' learning rates."""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from flambeau.optim.optimizer import Optimizer
from flambeau.schedule import watch
from flambeau.tensor.tensor import Tensor

__all__ = ["LRScheduler", "_LRScheduler"]

EPOCH_WARNING = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where "
    "possible. Please use `scheduler.step()` to step the scheduler."
)


def group_values(optimizer: Optimizer, key: str) -> list[Any]:
    """group[key] of every group; tensors are copied."""
    values = [group[key] for group in optimizer.param_groups]
    return [each.clone() if isinstance(each, Tensor) else each for each in values]


def set_value(group: dict[str, Any], key: str, value: Any) -> None:
    """Set group[key]; a tensor there keeps its identity."""
    watch.refuse("a schedule sets a learning rate")
    if isinstance(group[key], Tensor):
        group[key].fill_(float(value))
    else:
        group[key] = value


def for_each_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """One value for each group. Raises ValueError where a list has another length."""
    count = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. {name} has "
            f"{len(value)} values, param_groups has {count}."
        )
    return list(value)


class LRScheduler:
    """Base of all schedules: subclasses define get_lr() from `last_epoch` and `base_lrs`.

    Making one sets the first learning rate; step() sets the next. PyTorch's
    torch.optim.lr_scheduler.LRScheduler.
    """

    _get_lr_called_within_step: bool = False
    _is_initial: bool = False
    _last_lr: list[Any]
    _step_count: int
    base_lrs: list[Any]

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        for place, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                lr = group["lr"]
                group.setdefault("initial_lr", lr.clone() if isinstance(lr, Tensor) else lr)
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{place}] when resuming "
                    "scheduler with last_epoch >= 0: load the optimizer's state first"
                )
        self.base_lrs = group_values(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what state_dict returned."""
        self.__dict__.update(state_dict)

    def get_last_lr(self) -> list[Any]:
        """The learning rates that the last step set, one for each group."""
        return self._last_lr

    def get_lr(self) -> list[Any]:
        """The next learning rates, one for each group."""
        raise NotImplementedError(f"{type(self).__name__} must define get_lr")

    def _rates(self) -> list[Any]:
        """The groups' learning rates now."""
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use "
                "`get_last_lr()`.",
                UserWarning,
                stacklevel=3,
            )
        return [group["lr"] for group in self.optimizer.param_groups]

    def step(self, epoch: Any = None) -> None:
        """Set the learning rates of the next epoch (or of `epoch`, which is deprecated)."""
        if self._step_count == 1 and not getattr(self.optimizer, "_opt_called", False):
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`. In PyTorch "
                "1.1.0 and later, you should call them in the opposite order: `optimizer.step()` "
                "before `lr_scheduler.step()`. Failure to do this will result in PyTorch skipping "
                "the first value of the learning rate schedule.",
                UserWarning,
                stacklevel=2,
            )
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_WARNING, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        closed_form = getattr(self, "_get_closed_form_lr", None)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self._get_lr_called_within_step = True
        try:
            use_closed = epoch is not None and closed_form is not None
            values = closed_form() if use_closed else self.get_lr()  # type: ignore[misc]  # not None
        finally:
            self._get_lr_called_within_step = False
        self._set(values)

    def _set(self, values: Sequence[Any]) -> None:
        for group, value in zip(self.optimizer.param_groups, values, strict=True):
            set_value(group, "lr", value)
        self._last_lr = group_values(self.optimizer, "lr")


class _LRScheduler(LRScheduler):
    """The old name of LRScheduler."""


def callable_states(functions: Sequence[Callable[..., Any] | None]) -> list[Any]:
    """What can be saved of callables: objects' attributes; of plain functions nothing (None)."""
    return [
        None if each is None or isinstance(each, types.FunctionType) else each.__dict__.copy()
        for each in functions
    ]


def restore_callables(functions: Sequence[Any], states: Sequence[Any]) -> None:
    """Give callable objects back what callable_states saved."""
    for function, state in zip(functions, states, strict=True):
        if state is not None:
            function.__dict__.update(state)
