"""torch.overrides: functions that classes and modes take over through __torch_function__.

`class Mine(torch.Tensor)` keeps its class through operations, and may define __torch_function__;
`TorchFunctionMode` sees all calls within a block. The machinery is flambeau/tensor/override.py.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from flambeau.graph.compiled import FUNCTIONS
from flambeau.tensor import override
from flambeau.tensor.override import NOT_TAKEN, STATE, dispatch, overloaded, taken
from flambeau.tensor.tensor import Tensor

__all__ = [
    "BaseTorchFunctionMode",
    "TorchFunctionMode",
    "get_default_nowrap_functions",
    "get_overridable_functions",
    "handle_torch_function",
    "has_torch_function",
    "has_torch_function_unary",
    "has_torch_function_variadic",
    "is_tensor_like",
    "is_tensor_method_or_property",
    "resolve_name",
    "wrap_torch_function",
]

_NAMESPACES = (
    "flambeau",
    "flambeau.nn.functional",
    "flambeau.nn.init",
    "flambeau.linalg",
    "flambeau.special",
    "flambeau.fft",
)
_SETTINGS = ("set_", "get_", "is_", "enable_", "manual_seed", "seed", "initial_seed", "compile")
"""How the names begin of functions that nobody takes over."""


class TorchFunctionMode:
    """A block in which __torch_function__(func, types, args, kwargs) sees every call of torch's.

    Within that method the mode itself is off. Modes may be nested: the innermost is asked.
    """

    inner: Any = None

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        raise NotImplementedError("a TorchFunctionMode must define __torch_function__")

    def __enter__(self) -> Self:
        override.activate()
        if not STATE.modes:
            _ask_methods()
        STATE.modes = (*STATE.modes, self)
        return self

    def __exit__(self, *error: object) -> None:
        STATE.modes = STATE.modes[:-1]
        if not STATE.modes:
            _plain_methods()

    @classmethod
    def push(cls, *args: Any, **kwargs: Any) -> Self:
        """An instance; the old name."""
        return cls(*args, **kwargs)


class BaseTorchFunctionMode(TorchFunctionMode):
    """A mode that changes nothing."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return func(*args, **(kwargs or {}))


# asking -----------------------------------------------------------------------------------------


def _asks(function: Any) -> bool:
    """Whether a function asks by itself: those that ops/publish.py made."""
    return hasattr(function, "also_takes") or getattr(function, "asks", False)


def _asking(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        found = dispatch(call, args, kwargs)
        return function(*args, **kwargs) if found is NOT_TAKEN else found

    call.asks = True  # type: ignore[attr-defined]  # see _asks
    return call


def ask_everywhere() -> None:
    """Replace functions of the public modules that do not ask by ones that do; once."""
    for space in _NAMESPACES:
        module = importlib.import_module(space)
        for name in getattr(module, "__all__", ()):
            value = module.__dict__.get(name)
            if isinstance(value, FUNCTIONS) and not _asks(value) and not name.startswith(_SETTINGS):
                setattr(module, name, _asking(value))


_PLAIN: dict[str, Any] = {}
"""Tensor's methods as they are without modes."""


def _ask_methods() -> None:
    """Tensor's methods ask, while there is a mode."""
    for name, value in tuple(Tensor.__dict__.items()):
        private = name.startswith("_") and not name.endswith("__")
        if isinstance(value, FUNCTIONS) and not (
            private or _asks(value) or name in override._OWN_AFFAIR
        ):
            _PLAIN[name] = value
            setattr(Tensor, name, _asking(value))


def _plain_methods() -> None:
    for name, value in _PLAIN.items():
        setattr(Tensor, name, value)
    _PLAIN.clear()


# for functions that programs write ---------------------------------------------------------------


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """Whether one of the arguments, or a mode, takes calls over."""
    return bool(STATE.modes) or (not STATE.disabled and bool(overloaded(relevant_args)))


def has_torch_function_unary(arg: Any) -> bool:
    """has_torch_function of one argument."""
    return has_torch_function((arg,))


def has_torch_function_variadic(*args: Any) -> bool:
    """has_torch_function of these arguments."""
    return has_torch_function(args)


def handle_torch_function(
    public_api: Callable[..., Any], relevant_args: Iterable[Any], *args: Any, **kwargs: Any
) -> Any:
    """What a mode or one of relevant_args makes of public_api(*args, **kwargs).

    Raises TypeError where all of them decline.
    """
    return taken(public_api, overloaded(relevant_args), args, kwargs)


def wrap_torch_function(dispatcher: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function one that can be taken over; dispatcher(*args) gives what may do so."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            relevant = tuple(dispatcher(*args, **kwargs))
            if has_torch_function(relevant):
                return handle_torch_function(call, relevant, *args, **kwargs)
            return function(*args, **kwargs)

        return call

    return decorate


def is_tensor_like(inp: Any) -> bool:
    """Whether it is a Tensor or has a __torch_function__."""
    return isinstance(inp, Tensor) or hasattr(inp, "__torch_function__")


def get_default_nowrap_functions() -> set[Any]:
    """Functions whose results Tensor.__torch_function__ leaves as they are."""
    return set(override._PLAIN_RESULTS)


def get_overridable_functions() -> dict[Any, list[Any]]:
    """Functions that can be taken over, by module, and Tensor's methods."""
    found: dict[Any, list[Any]] = {}
    for space in _NAMESPACES:
        module = importlib.import_module(space)
        values = [getattr(module, name) for name in module.__all__ if name in module.__dict__]
        found[module] = [
            each
            for each in values
            if isinstance(each, FUNCTIONS) and not each.__name__.startswith(_SETTINGS)
        ]
    names = [each for each in dir(Tensor) if not each.startswith("_")]
    found[Tensor] = [getattr(Tensor, each) for each in names if callable(getattr(Tensor, each))]
    return found


def is_tensor_method_or_property(func: Any) -> bool:
    """Whether `func` is a method of Tensor, or the getter of a property."""
    if getattr(func, "__name__", "") == "__get__":
        return True
    return getattr(Tensor, getattr(func, "__name__", ""), None) is func


def resolve_name(f: Any) -> str | None:
    """ "torch.Tensor.add" or "torch.add": the name by which a function is known, None if none."""
    if isinstance(f, str):
        return f
    for module, functions in get_overridable_functions().items():
        if any(each is f for each in functions):
            owner = "torch.Tensor" if module is Tensor else module.__name__
            return f"{owner.replace('flambeau', 'torch')}.{f.__name__}"
    return None
