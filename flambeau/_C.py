# ruff: noqa: N999  # PyTorch's name
"""Private names of PyTorch's core that libraries touch when they are imported, and no others.

Nothing in Flambeau uses this module.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flambeau.nn.modules.module import _parse_to
from flambeau.ops.generator import Generator
from flambeau.stand_in import stand_in
from flambeau.tensor.override import DisableTorchFunction as DisableTorchFunction
from flambeau.tensor.override import DisableTorchFunctionSubclass as DisableTorchFunctionSubclass
from flambeau.tensor.tensor import Tensor

__all__ = ["DispatchKey", "DispatchKeySet", "Generator"]

_TensorMeta = type(Tensor)
TensorBase = Tensor
_TensorBase = Tensor


class _Keys(type):
    def __getattr__(cls, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError(name)
        return name


@stand_in("a name: nothing is dispatched by keys")
class DispatchKey(metaclass=_Keys):
    """Every attribute is its own name."""


@stand_in("a set of names: nothing is dispatched by keys")
class DispatchKeySet:
    """Names of dispatch keys; `|` joins two sets."""

    def __init__(self, *keys: str) -> None:
        self.keys = frozenset(keys)

    def __or__(self, other: DispatchKeySet) -> DispatchKeySet:
        return DispatchKeySet(*(self.keys | other.keys))

    def has(self, key: str) -> bool:
        """Whether the key is in the set."""
        return key in self.keys


class _Nothing:
    """A context that changes nothing."""

    def __init__(self, *arguments: Any) -> None: ...

    def __enter__(self) -> None: ...

    def __exit__(self, *arguments: object) -> None: ...


_ExcludeDispatchKeyGuard = _Nothing


def _log_api_usage_once(event: str) -> None:
    """Nothing is logged."""


def _get_tracing_state() -> None:
    """No trace is being made."""


def _to(*arguments: Any, **options: Any) -> tuple[Any, Any, bool, None]:
    """The device, dtype, non_blocking and memory format that arguments of `to` say."""
    return (*_parse_to(arguments, options), False, None)


_nn = SimpleNamespace(_parse_to=_to)
