"""@composite: a public operation that records one Node, whatever it is made of.

The decorated function is written with tensors. It runs once per signature (shapes, dtypes, other
arguments) when that signature is first seen, so what it raises is raised by the user's own call.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from flambeau.graph import build
from flambeau.graph.composite import Composite
from flambeau.graph.dtype import DType, float32, int64
from flambeau.graph.node import Node
from flambeau.tensor.device import get_default_dtype
from flambeau.tensor.record import Tracing, record
from flambeau.tensor.tensor import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])


def composite(
    saves: str = "inputs",
    scalars: tuple[str, ...] = (),
    gradient: Callable[..., Any] | None = None,
) -> Callable[[Function], Function]:
    """Record calls of the function as one Node; its gradient is derived from its expansion.

    Arguments that are tensors, or lists of tensors, are inputs. Those named in `scalars` are
    numbers that may change from call to call without a new plan (learning rates): inside they are
    0-d tensors. All others are fixed parts of the operation and must be hashable (lists become
    tuples). `saves`: see graph.composite.Composite. `gradient(attrs, inputs, results, gradients)`
    replaces the derived gradient; it gets and gives Nodes.
    """

    def decorate(function: Function) -> Function:
        parameters = list(inspect.signature(function).parameters.values())
        names = [each.name for each in parameters]
        defaults = {each.name: each.default for each in parameters}
        variable = tuple(names.index(each) for each in scalars)

        def expand(attrs: tuple[Any, ...], *nodes: Node) -> Node | tuple[Node, ...]:
            with Tracing():
                result = function(*_rebuild(attrs, iter(nodes)))
            if isinstance(result, Tensor):
                return result._read()
            return tuple([each._read() for each in result])

        operation = Composite(
            function.__name__.strip("_"), expand, gradient, saves, inspect.getdoc(function) or ""
        )

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if kwargs or len(args) != len(names):
                args = _bind(function.__name__, names, defaults, args, kwargs)
            attrs, inputs = _flatten(args, variable)
            return record(operation, inputs, attrs)

        call.operation = operation  # type: ignore[attr-defined]  # for tests and explain
        return call  # type: ignore[return-value]  # same signature

    return decorate


def _bind(
    name: str,
    names: list[str],
    defaults: dict[str, Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[Any, ...]:
    """All arguments in order. Raises TypeError as a plain call would."""
    if len(args) > len(names):
        raise TypeError(f"{name}() takes {len(names)} positional arguments but {len(args)} given")
    bound = list(args)
    for place in range(len(args), len(names)):
        value = kwargs.pop(names[place], defaults[names[place]])
        if value is inspect.Parameter.empty:
            raise TypeError(f"{name}() missing required argument: '{names[place]}'")
        bound.append(value)
    if kwargs:
        unknown = next(iter(kwargs))
        raise TypeError(f"{name}() got an unexpected or repeated keyword argument '{unknown}'")
    return tuple(bound)


def _flatten(args: tuple[Any, ...], variable: tuple[int, ...]) -> tuple[tuple[Any, ...], list[Any]]:
    """attrs: for each argument None (an input), a count (a list of inputs) or (value,)."""
    attrs: list[Any] = []
    inputs: list[Any] = []
    for place, each in enumerate(args):
        if each is None:
            attrs.append(_NONE)
        elif isinstance(each, Tensor):
            attrs.append(None)
            inputs.append(each)
        elif isinstance(each, (list, tuple)) and each and isinstance(each[0], Tensor):
            attrs.append(len(each))
            inputs.extend(each)
        elif place in variable and isinstance(each, (int, float)):
            attrs.append(None)
            inputs.append(build.scalar(each, _scalar_dtype(each, inputs)))
        else:
            attrs.append(_fixed(each))
    return tuple(attrs), inputs


def _fixed(value: Any) -> tuple[Any]:
    """(value,) as a hashable attribute that tells 1 from 1.0 and True."""
    kind = type(value)
    if value and kind in _NUMERIC:  # 0.0 and -0.0 are equal and differ
        found = _NUMBERS.get((kind, value))
        if found is None:
            found = _NUMBERS[kind, value] = (_Number(kind.__name__, value),)
        return found
    if isinstance(value, list):
        value = tuple(value)
    if isinstance(value, bool | int | float):
        value = _Number(kind.__name__, value)
    return (value,)


_NONE = (None,)
_NUMERIC = frozenset({bool, int, float})
_NUMBERS: dict[tuple[type, Any], tuple[Any]] = {}
"""Attributes that were made before: as many as there are in signatures."""


class _Number(tuple[Any, ...]):
    """A number with its type: equal only to the same number of the same type and sign."""

    __slots__ = ()

    def __new__(cls, kind: str, value: Any) -> _Number:
        text = value.hex() if kind == "float" else value
        return tuple.__new__(cls, (kind, text))

    @property
    def value(self) -> Any:
        kind, text = self
        return float.fromhex(text) if kind == "float" else text

    def __repr__(self) -> str:
        return repr(self.value)


def _rebuild(attrs: tuple[Any, ...], nodes: Any) -> list[Any]:
    args: list[Any] = []
    for each in attrs:
        if each is None:
            args.append(Tensor._traced(next(nodes)))
        elif isinstance(each, int):
            args.append([Tensor._traced(next(nodes)) for _ in range(each)])
        else:
            value = each[0]
            args.append(value.value if isinstance(value, _Number) else value)
    return args


def _scalar_dtype(value: Any, inputs: list[Any]) -> DType:
    """A runtime number has the dtype of the first floating input, ints that of an integer one."""
    of = inputs[0].dtype if inputs else None
    if isinstance(value, float):
        if of is not None and of.is_floating_point:
            return of
        return get_default_dtype() if of is None else float32
    return of if of is not None and not isinstance(value, bool) and of.kind != "bool" else int64
