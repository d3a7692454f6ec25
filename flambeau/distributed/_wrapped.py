"""A module within a module, whose parameters keep the names that they have alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flambeau.nn.modules.module import Module


class Wrapper(Module):
    """Calls the module within. Keys and parameters' names do not show the wrapper."""

    inner_name = "_wrapped_module"

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.add_module(self.inner_name, module)
        self._register_state_dict_hook(_without_inner)
        self.register_load_state_dict_pre_hook(_with_inner)

    @property
    def inner(self) -> Module:
        """The module within."""
        found: Any = self._modules[self.inner_name]
        return found

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == self.inner_name:
                raise
            return getattr(self.inner, name)

    def __getitem__(self, key: Any) -> Any:
        inner: Any = self.inner
        return inner[key]

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Any]]:
        """As the module within has them."""
        for name, each in super().named_parameters(*args, **kwargs):
            yield name.replace(f"{self.inner_name}.", ""), each


def _without_inner(module: Any, state: Any, prefix: str, metadata: Any) -> None:
    """After state_dict: names as the module within has them."""
    inner = f"{prefix}{module.inner_name}."
    for key in [each for each in state if each.startswith(inner)]:
        state[prefix + key.removeprefix(inner)] = state.pop(key)


def _with_inner(module: Any, state: Any, prefix: str, *_: Any) -> None:
    """Before loading: names as this wrapper has them."""
    inner = f"{prefix}{module.inner_name}."
    for key in [each for each in state if each.startswith(prefix) and not each.startswith(inner)]:
        state[inner + key.removeprefix(prefix)] = state.pop(key)
