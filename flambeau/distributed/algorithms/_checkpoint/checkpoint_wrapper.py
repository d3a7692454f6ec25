"""Modules whose activations PyTorch computes again; utils/checkpoint.py says what happens."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from flambeau.distributed._wrapped import Wrapper
from flambeau.stand_in import stand_in

__all__ = [
    "CheckpointImpl",
    "CheckpointWrapper",
    "apply_activation_checkpointing",
    "checkpoint_wrapper",
    "offload_wrapper",
]


class CheckpointImpl(enum.Enum):
    """The two ways of PyTorch's checkpoint function."""

    REENTRANT = 1
    NO_REENTRANT = 2


@stand_in("calls its module; what its backward needs is kept or computed again as scheduled")
class CheckpointWrapper(Wrapper):
    """Calls the module within, whose names and keys stay as they are."""

    inner_name = "_checkpoint_wrapped_module"


@stand_in("a module that calls the given one")
def checkpoint_wrapper(
    module: Any,
    checkpoint_impl: CheckpointImpl = CheckpointImpl.NO_REENTRANT,
    checkpoint_fn: Any = None,
    **options: Any,
) -> CheckpointWrapper:
    """The module within a CheckpointWrapper."""
    return CheckpointWrapper(module)


@stand_in("a module that calls the given one; nothing moves")
def offload_wrapper(module: Any) -> CheckpointWrapper:
    """The module within a CheckpointWrapper; activations stay where they are."""
    return CheckpointWrapper(module)


@stand_in("wraps the parts; the computation is the same")
def apply_activation_checkpointing(
    model: Any,
    checkpoint_wrapper_fn: Callable[[Any], Any] = checkpoint_wrapper,
    check_fn: Callable[[Any], bool] = lambda _: True,
    auto_wrap_policy: Any = None,
) -> None:
    """Wrap those parts of the model of which `check_fn` is true."""
    for name, child in list(model.named_children()):
        apply_activation_checkpointing(child, checkpoint_wrapper_fn, check_fn, auto_wrap_policy)
        if check_fn(child):
            setattr(model, name, checkpoint_wrapper_fn(child))
