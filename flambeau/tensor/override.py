"""__torch_function__: classes and modes that take calls of torch's functions over.

Until a program defines such a class, or enters such a mode, ACTIVE is None and nothing else of this
file runs. A class that derives from Tensor gets its own methods, which ask it first; the functions
of the torch modules ask where ACTIVE is set (ops/publish.py, flambeau/overrides.py).
https://docs.pytorch.org/docs/2.13/notes/extending.html
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flambeau.graph.compiled import FUNCTIONS
from flambeau.tensor.tensor import Tensor

NOT_TAKEN = object()
"""What dispatch gives where nobody takes a call over."""

ACTIVE: Callable[..., Any] | None = None
"""dispatch, from the first class or mode on that takes calls over."""


class _State(threading.local):
    disabled = False
    modes: tuple[Any, ...] = ()


STATE = _State()


class DisableTorchFunctionSubclass:
    """Within it, no class takes calls over; modes still do."""

    def __enter__(self) -> None:
        self._before = STATE.disabled
        STATE.disabled = True

    def __exit__(self, *error: object) -> None:
        STATE.disabled = self._before


class DisableTorchFunction(DisableTorchFunctionSubclass):
    """Within it, neither classes nor modes take calls over."""

    def __enter__(self) -> None:
        super().__enter__()
        self._modes, STATE.modes = STATE.modes, ()

    def __exit__(self, *error: object) -> None:
        STATE.modes = self._modes
        super().__exit__()


def disabled(
    func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
) -> Any:
    """The __torch_function__ of classes that take nothing over: results are plain tensors."""
    with DisableTorchFunctionSubclass():
        return func(*args, **(kwargs or {}))


# who takes over ---------------------------------------------------------------------------------

_KINDS: dict[type, bool] = {Tensor: False}


def takes_over(kind: type) -> bool:
    """Whether a class has a __torch_function__ of its own."""
    found = _KINDS.get(kind)
    if found is None:
        own = getattr(kind, "__torch_function__", None)
        found = _KINDS[kind] = own is not None and own is not disabled
    return found


def overloaded(values: Iterable[Any]) -> list[Any]:
    """The arguments that may take a call over, one of each class, subclasses first."""
    found: list[Any] = []
    for each in values:
        kind = type(each)
        if kind in (int, float, bool, str) or not takes_over(kind):
            continue
        if any(type(other) is kind for other in found):
            continue
        place = next((at for at, x in enumerate(found) if issubclass(kind, type(x))), len(found))
        found.insert(place, each)
    return found


def _flat(args: Iterable[Any], kwargs: Mapping[str, Any]) -> Iterable[Any]:
    """Arguments, and those within lists."""
    for each in (*args, *kwargs.values()):
        if isinstance(each, (list, tuple)):
            yield from each
        else:
            yield each


def dispatch(func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
    """What a mode or an argument's class makes of a call; NOT_TAKEN where there is none."""
    if STATE.disabled and not STATE.modes:
        return NOT_TAKEN
    takers = [] if STATE.disabled else overloaded(_flat(args, kwargs))
    if not takers and not STATE.modes:
        return NOT_TAKEN
    return taken(func, takers, args, kwargs)


def taken(func: Any, takers: list[Any], args: Any, kwargs: Mapping[str, Any]) -> Any:
    """Ask the innermost mode, then the takers. Raises TypeError where all of them decline."""
    kinds = tuple([type(each) for each in takers])
    modes = STATE.modes
    if modes:
        STATE.modes = modes[:-1]
        try:
            found = modes[-1].__torch_function__(func, kinds, args, kwargs)
        finally:
            STATE.modes = modes
        if found is not NotImplemented:
            return found
    for each in takers:
        found = each.__torch_function__(func, kinds, args, kwargs)
        if found is not NotImplemented:
            return found
    asked = [type(each).__name__ for each in (*modes[-1:], *takers)]
    raise TypeError(
        f"no implementation found for '{getattr(func, '__qualname__', func)}' on types that "
        f"implement __torch_function__: {asked}"
    )


# the default ------------------------------------------------------------------------------------


def as_subclass(self: Tensor, cls: type[Any]) -> Any:
    """The same values as a tensor of a class derived from Tensor, with the same history."""
    if not isinstance(cls, type) or not issubclass(cls, Tensor):
        raise TypeError(f"as_subclass: expected a class derived from Tensor, got {cls!r}")
    source = self._view_as(self._layout()) if self._leaf else self
    made = cls._make(source._storage, source._type)
    for name in ("_view", "_base", "_tracks", "_counts", "_origin"):
        setattr(made, name, getattr(source, name))
    return made


def _converted(value: Any, cls: type[Any]) -> Any:
    """Tensors, and those within lists, as tensors of the class."""
    if isinstance(value, Tensor):
        return value if isinstance(value, cls) else as_subclass(value, cls)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*[_converted(each, cls) for each in value])
    if type(value) in (list, tuple):
        return type(value)([_converted(each, cls) for each in value])
    return value


def _default(
    cls: type[Any],
    func: Callable[..., Any],
    types: Any,
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Any:
    """Tensor.__torch_function__: the function itself; its results are of this class."""
    if not all(issubclass(cls, each) for each in types):
        return NotImplemented
    with DisableTorchFunctionSubclass():
        found = func(*args, **(kwargs or {}))
    return found if func in _PLAIN_RESULTS else _converted(found, cls)


def _make_subclass(cls: type[Any], data: Tensor, require_grad: bool = False, **options: Any) -> Any:
    """A leaf of a class derived from Tensor that shares the memory of `data`."""
    source = data.detach()
    made = cls._make(source._storage, source._type)
    made._view, made._base = source._view, source._base
    return Tensor.requires_grad_(made, require_grad)  # not the class's own


# methods of derived classes ---------------------------------------------------------------------

_PROPERTIES = ("T", "mT", "H", "mH", "data", "grad", "real", "imag")
_PLAIN_RESULTS: set[Any] = {Tensor.grad.__get__}
_OWN_AFFAIR = frozenset(
    {"__new__", "__init__", "__init_subclass__", "__hash__", "__deepcopy__", "__reduce_ex__"}
    | {"__torch_function__", "__iter__", "__getattribute__", "__setattr__", "as_subclass"}
)
"""What is not asked for: it makes tensors of the class itself, or calls what is asked for."""


def _method(name: str) -> Callable[..., Any]:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        func = getattr(Tensor, name)
        found = dispatch(func, (self, *args), kwargs)
        return func(self, *args, **kwargs) if found is NOT_TAKEN else found

    call.__name__ = call.__qualname__ = name
    return call


def _elements(self: Any) -> Any:
    """__iter__: elements of the class."""
    if not self.ndim:
        raise TypeError("iteration over a 0-d tensor")
    return iter(self.unbind(0))


def _property(name: str) -> property:
    whole = Tensor.__dict__[name]

    def read(self: Any) -> Any:
        func = whole.__get__
        found = dispatch(func, (self,), {})
        return func(self) if found is NOT_TAKEN else found

    return property(read, whole.__set__ if whole.fset is not None else None)


def _derived(cls: type[Any], /, **options: Any) -> None:
    """Tensor.__init_subclass__: methods that ask the class, unless it takes nothing over."""
    super(Tensor, cls).__init_subclass__(**options)
    if cls.__torch_function__ is disabled:
        return
    activate()
    above = [each for each in cls.__mro__ if each is not Tensor]
    above = above[: cls.__mro__.index(Tensor)]
    if not any("__iter__" in each.__dict__ for each in above):
        cls.__iter__ = _elements
    for name, value in tuple(Tensor.__dict__.items()):
        private = name.startswith("_") and not name.endswith("__")
        if private or name in _OWN_AFFAIR or any(name in each.__dict__ for each in above):
            continue
        if isinstance(value, FUNCTIONS) or type(value).__name__ == "_Later":
            setattr(cls, name, _method(name))
        elif name in _PROPERTIES:
            setattr(cls, name, _property(name))


def activate() -> None:
    """From here on functions ask."""
    global ACTIVE
    if ACTIVE is None:
        ACTIVE = dispatch
        importlib.import_module("flambeau.overrides").ask_everywhere()


def attach() -> None:
    """Give Tensor what is above; ops/ calls it when Tensor has its methods."""
    for name, value in (
        ("__torch_function__", classmethod(_default)),
        ("__init_subclass__", classmethod(_derived)),
        ("_make_subclass", staticmethod(_make_subclass)),
        ("as_subclass", as_subclass),
    ):
        setattr(Tensor, name, value)
