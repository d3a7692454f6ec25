"""A module whose parameters are averages of another's: AveragedModel, and its batch statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from itertools import chain
from typing import Any

import numpy

from flambeau.autograd.mode import no_grad
from flambeau.nn.modules.batchnorm import _BatchNorm
from flambeau.nn.modules.module import Module
from flambeau.optim.swa_utils import get_swa_avg_fn
from flambeau.tensor.device import resolve
from flambeau.tensor.tensor import Tensor

__all__ = ["AveragedModel", "update_bn"]


class AveragedModel(Module):
    """A copy of `model` with averaged parameters; update_parameters(model) takes in its values.

    `avg_fn(averaged, current, n)` gives a new average (the mean, if there is none);
    `multi_avg_fn` writes lists of them in place. `use_buffers`: buffers are averaged as well;
    otherwise they are the model's last. Raises AssertionError where both functions are given.
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Callable[[Any, Any, Any], Any] | None = None,
        multi_avg_fn: Callable[[Any, Any, Any], None] | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        count = Tensor._from_numpy(numpy.zeros((), numpy.int64), resolve(device))
        self.register_buffer("n_averaged", count)
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def _values(self, module: Module) -> list[Any]:
        """What is averaged of a module."""
        further: Iterable[Any] = module.buffers() if self.use_buffers else ()
        return list(chain(module.parameters(), further))

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Take the model's values into the averages; the first time they are copied."""
        own = self._values(self.module)
        given = [
            each.detach().to(one.device) for each, one in zip(self._values(model), own, strict=True)
        ]
        count = int(self.n_averaged)
        if count == 0:
            for one, other in zip(own, given, strict=True):
                one.copy_(other)
        elif self.multi_avg_fn is not None:
            self.multi_avg_fn([each.detach() for each in own], given, self.n_averaged)
        else:
            average = self.avg_fn or get_swa_avg_fn()
            for one, other in zip(own, given, strict=True):
                one.copy_(average(one.detach(), other, self.n_averaged))
        if not self.use_buffers:
            for one, other in zip(self.module.buffers(), model.buffers(), strict=True):
                one.copy_(other.detach())
        self.n_averaged.add_(1)


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Compute the batch statistics of `model` anew, over the loader's batches (or their firsts)."""
    layers = [each for each in model.modules() if isinstance(each, _BatchNorm)]
    if not layers:
        return
    momenta = [each.momentum for each in layers]
    was_training = model.training
    for each in layers:
        each.reset_running_stats()
        each.momentum = None
    model.train()
    for batch in loader:
        given = batch[0] if isinstance(batch, (list, tuple)) else batch
        model(given if device is None else given.to(device))
    for each, momentum in zip(layers, momenta, strict=True):
        each.momentum = momentum
    model.train(was_training)
