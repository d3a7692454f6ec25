"""torch.jit as far as programs decorate with it: everything is compiled while it runs anyway.

`script` and `trace` return what they are given and say so once; nothing is translated, so scripted
code keeps all of Python. `save` and `load` of TorchScript archives are not there.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeVar

from flambeau.nn.modules.module import Module
from flambeau.stand_in import stand_in

__all__ = [
    "Attribute",
    "Final",
    "ScriptFunction",
    "ScriptModule",
    "TracerWarning",
    "annotate",
    "export",
    "freeze",
    "ignore",
    "is_scripting",
    "is_tracing",
    "load",
    "optimize_for_inference",
    "save",
    "script",
    "script_if_tracing",
    "script_method",
    "trace",
    "trace_module",
    "unused",
]

_T = TypeVar("_T")
_said: set[str] = set()

ScriptModule = Module
ScriptFunction = Callable[..., Any]


class TracerWarning(Warning):
    """What a trace fixed though it may depend on values; torch.onnx.export gives it."""


def _say(name: str) -> None:
    if name not in _said:
        _said.add(name)
        warnings.warn(
            f"torch.jit.{name} returns what it is given: Flambeau compiles while a program runs",
            stacklevel=3,
        )


@stand_in("returns its argument")
def script(obj: _T, *arguments: Any, **options: Any) -> _T:
    """`obj` itself."""
    _say("script")
    return obj


@stand_in("returns its argument")
def trace(func: _T, example_inputs: Any = None, *arguments: Any, **options: Any) -> _T:
    """`func` itself; it is not called."""
    _say("trace")
    return func


@stand_in("returns its argument")
def trace_module(mod: _T, inputs: Any, *arguments: Any, **options: Any) -> _T:
    """`mod` itself; it is not called."""
    _say("trace_module")
    return mod


@stand_in("returns its argument")
def freeze(mod: _T, *arguments: Any, **options: Any) -> _T:
    """`mod` itself."""
    return mod


@stand_in("returns its argument")
def optimize_for_inference(mod: _T, *arguments: Any, **options: Any) -> _T:
    """`mod` itself."""
    return mod


@stand_in("returns its argument")
def export(fn: _T) -> _T:
    """`fn` itself."""
    return fn


@stand_in("returns its argument")
def script_if_tracing(fn: _T) -> _T:
    """`fn` itself."""
    return fn


_script_if_tracing = script_if_tracing


@stand_in("returns its argument")
def script_method(fn: _T) -> _T:
    """`fn` itself."""
    return fn


@stand_in("returns its argument")
def unused(fn: _T) -> _T:
    """`fn` itself."""
    return fn


@stand_in("returns its argument")
def ignore(drop: Any = False, **options: Any) -> Any:
    """The function itself, as a decorator with or without arguments."""
    return drop if callable(drop) else lambda fn: fn


@stand_in("returns its argument")
def _overload_method(func: _T) -> _T:
    return func


@stand_in("returns its argument")
def _overload(func: _T) -> _T:
    return func


def annotate(the_type: Any, the_value: _T) -> _T:
    """The value."""
    return the_value


def Attribute(value: _T, type: Any = None) -> _T:  # noqa: A002, N802  # PyTorch's names
    """The value."""
    return value


def is_scripting() -> bool:
    """False."""
    return False


def is_tracing() -> bool:
    """False."""
    return False


def save(m: Any, f: Any, _extra_files: Any = None) -> NoReturn:
    """Raises NotImplementedError: torch.save keeps a model's state_dict."""
    raise NotImplementedError(
        "torch.jit.save: Flambeau writes no TorchScript; save model.state_dict() with torch.save"
    )


def load(f: Any, map_location: Any = None, _extra_files: Any = None) -> NoReturn:
    """Raises NotImplementedError: a TorchScript archive is a program of another language."""
    raise NotImplementedError(
        "torch.jit.load: a TorchScript archive holds a program, which Flambeau does not run; "
        "save the model's state_dict with PyTorch and load it with torch.load"
    )
