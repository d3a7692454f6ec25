"""Policies that say which parts are wrapped. They answer; nothing is split by them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flambeau.stand_in import stand_in


@stand_in("answers as PyTorch's")
def transformer_auto_wrap_policy(
    module: Any, recurse: bool, nonwrapped_numel: int, transformer_layer_cls: set[type[Any]]
) -> bool:
    """Whether to look into the module, or whether it is one of the layers."""
    return recurse or isinstance(module, tuple(transformer_layer_cls))


@stand_in("answers as PyTorch's")
def size_based_auto_wrap_policy(
    module: Any, recurse: bool, nonwrapped_numel: int, min_num_params: int = int(1e8), **_: Any
) -> bool:
    """Whether the part has `min_num_params` parameters or more."""
    return nonwrapped_numel >= min_num_params


@stand_in("answers as PyTorch's")
def lambda_auto_wrap_policy(
    module: Any, recurse: bool, nonwrapped_numel: int, lambda_fn: Callable[[Any], bool]
) -> bool:
    """Whether to look into the module, or what `lambda_fn` says of it."""
    return recurse or lambda_fn(module)


@stand_in("answers as PyTorch's")
def always_wrap_policy(*args: Any, **kwargs: Any) -> bool:
    """True."""
    return True


@stand_in("a policy made of modules' classes")
class ModuleWrapPolicy:
    """Whether a module is of one of these classes."""

    def __init__(self, module_classes: Any) -> None:
        self._classes = tuple(module_classes)

    def __call__(self, module: Any, recurse: bool, *args: Any, **kwargs: Any) -> bool:
        return recurse or isinstance(module, self._classes)


@contextmanager
def enable_wrap(*, wrapper_cls: Any, **options: Any) -> Iterator[None]:
    """Within, wrap() leaves modules as they are."""
    yield


@stand_in("the module itself")
def wrap(module: Any, **options: Any) -> Any:
    """The module itself."""
    return module
