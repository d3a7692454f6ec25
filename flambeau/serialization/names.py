"""The table of globals that checkpoints may name, and what users add to it.

A name that is not here is refused: nothing is ever imported or looked up because a file asks.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import pathlib
import threading
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

from flambeau.graph.dtype import DTYPES, DType
from flambeau.serialization.files import CorruptError
from flambeau.tensor.device import device
from flambeau.tensor.parameter import Parameter, UninitializedBuffer, UninitializedParameter
from flambeau.tensor.size import Size

STORAGE_TYPES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}
"""The element type that each of PyTorch's storage classes says; other types are kept untyped."""


@dataclass(frozen=True, slots=True)
class StorageType:
    """What stands for a storage class; dtype None: bytes whose type the tensor says."""

    name: str
    dtype: str | None


class _Kind:
    """What stands for a class that is named in files and never called."""

    def __init__(self, name: str) -> None:
        self.name = name


TENSOR = _Kind("torch.Tensor")


def _bytes(text: str, encoding: str = "latin1") -> bytes:
    """How protocol 2 writes bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise CorruptError("it encodes text in a way that no pickle writes")
    return text.encode("latin1")


def _bytearray(content: bytes | str = b"", encoding: str = "latin-1") -> bytearray:
    return bytearray(content if isinstance(content, bytes) else _bytes(content, encoding))


PLAIN: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "collections.Counter": Counter,
    "builtins.set": set,
    "builtins.complex": complex,
    "builtins.bytearray": _bytearray,
    "_codecs.encode": _bytes,
    "torch.Size": Size,
    "torch.device": device,
    "torch.nn.parameter.Parameter": Parameter,
    "torch.nn.Parameter": Parameter,
    "torch.nn.parameter.UninitializedParameter": UninitializedParameter,
    "torch.nn.parameter.UninitializedBuffer": UninitializedBuffer,
    "torch.Tensor": TENSOR,
    "torch._tensor.Tensor": TENSOR,
    "torch.storage.UntypedStorage": StorageType("UntypedStorage", None),
    **{f"torch.{name}": StorageType(name, of) for name, of in STORAGE_TYPES.items()},
}
"""What every file may name, beside dtypes and the functions that rebuild tensors."""


def _numpy_type(code: Any, *_: Any) -> Any:
    """A numpy dtype without Python objects in it."""
    found = numpy.dtype(code if isinstance(code, (str, type)) else str(code))
    if found.hasobject:
        raise CorruptError(f"it has a numpy array of Python objects ({code})")
    return found


def _array_draft(kind: Any, shape: Any, code: Any) -> numpy.ndarray[Any, Any]:
    """The empty array that numpy's pickles fill afterwards."""
    return numpy.ndarray.__new__(numpy.ndarray, (0,), "b")


def _numpy_number(of: Any, content: Any) -> Any:
    if not isinstance(of, numpy.dtype) or len(content) != of.itemsize:
        raise CorruptError("it has a numpy number whose bytes do not fit its type")
    return numpy.frombuffer(content, of)[0]


def _factory(make: Any = None, *items: Any) -> Any:
    if make not in (None, int, float, list, dict, set, str, tuple, OrderedDict):
        raise CorruptError("it has a defaultdict of something else than a builtin type")
    return defaultdict(make, *items)


WIDER: dict[str, Any] = {
    "numpy.ndarray": _Kind("numpy.ndarray"),
    "numpy.dtype": _numpy_type,
    "collections.defaultdict": _factory,
    "argparse.Namespace": argparse.Namespace,
    "builtins.slice": slice,
    "builtins.range": range,
    "builtins.frozenset": frozenset,
    "datetime.datetime": datetime.datetime,
    "datetime.date": datetime.date,
    "datetime.timedelta": datetime.timedelta,
    "pathlib.PosixPath": pathlib.PurePosixPath,
    "pathlib.PurePosixPath": pathlib.PurePosixPath,
    "pathlib._local.PosixPath": pathlib.PurePosixPath,
    "pathlib.WindowsPath": pathlib.PureWindowsPath,
    **{f"builtins.{kind.__name__}": kind for kind in (int, float, list, dict, str, tuple)},
    **{
        f"numpy.{core}.multiarray.{name}": function
        for core in ("core", "_core")
        for name, function in (("_reconstruct", _array_draft), ("scalar", _numpy_number))
    },
}
"""What weights_only=False admits as well: data of Python's and numpy's, which run no code."""


# what users allow -------------------------------------------------------------------------------

_ALLOWED: dict[str, Any] = {}
_LOCK = threading.Lock()


def _named(entry: Any) -> tuple[str, Any]:
    """The name that files use for what a user allows: a class, a function, or (it, "name")."""
    if isinstance(entry, tuple):
        thing, name = entry
        if not isinstance(name, str):
            raise TypeError(f"add_safe_globals: expected (object, 'module.name'), got {entry!r}")
        return name, thing
    return public_name(entry), entry


def public_name(thing: Any) -> str:
    """module.name as PyTorch's files have it: ours are named as PyTorch's."""
    name = f"{thing.__module__}.{thing.__qualname__}"
    return "torch" + name.removeprefix("flambeau") if name.startswith("flambeau.") else name


def add_safe_globals(safe_globals: list[Any]) -> None:
    """Allow files to name these classes and functions, for the rest of the process.

    An entry is the class or function itself, or a tuple of it and the name that files use.
    What a file may name it may call, with arguments of its choice.
    """
    with _LOCK:
        _ALLOWED.update(_named(each) for each in safe_globals)


def get_safe_globals() -> list[Any]:
    """What was allowed by add_safe_globals."""
    return list(_ALLOWED.values())


def clear_safe_globals() -> None:
    """Allow nothing but the table again."""
    _ALLOWED.clear()


class safe_globals:  # noqa: N801  # PyTorch's name
    """Allow files to name these classes and functions within a `with` block."""

    def __init__(self, safe_globals: list[Any]) -> None:
        self.safe_globals = safe_globals

    def __enter__(self) -> None:
        self._before = dict(_ALLOWED)
        add_safe_globals(self.safe_globals)

    def __exit__(self, *error: object) -> None:
        with _LOCK:
            _ALLOWED.clear()
            _ALLOWED.update(self._before)


# looking up -------------------------------------------------------------------------------------

_OLD_NAMES = {"__builtin__": "builtins", "copy_reg": "copyreg"}


class Table:
    """What one file may name: the table, the functions that rebuild its tensors, users' globals."""

    def __init__(self, rebuild: dict[str, Callable[..., Any]], weights_only: bool) -> None:
        self.weights_only = weights_only
        self.own = set(map(id, _ALLOWED.values()))
        self.known = {**PLAIN, **rebuild, **({} if weights_only else WIDER)}

    def find(self, module: str, name: str) -> Any:
        """What the global stands for. Raises CorruptError, naming it, where it is refused."""
        full = f"{_OLD_NAMES.get(module, module)}.{name}"
        if full in _ALLOWED:
            return _ALLOWED[full]
        if full in self.known:
            return self.known[full]
        if module == "torch" and isinstance(DTYPES.get(name), DType):
            return DTYPES[name]
        if not self.weights_only:
            found = _own_module(full)
            if found is not None:
                self.own.add(id(found))
                return found
        raise CorruptError(self._refused(full))

    def _refused(self, full: str) -> str:
        advice = (
            f"If you trust the file and the class is yours, allow it by name: "
            f"torch.serialization.add_safe_globals([{full.rpartition('.')[2]}])."
        )
        if self.weights_only:
            more = " weights_only=False admits numpy's arrays and torch.nn's modules as well."
            return f"Weights only load failed: it names the global {full}, refused. {advice}{more}"
        return (
            f"it names the global {full}, refused: no file can run code here, "
            f"with weights_only=False neither. {advice}"
        )

    def build(self, instance: Any, state: Any) -> Any:
        """Set the state of an instance of an allowed class."""
        if isinstance(instance, numpy.dtype) and not self.weights_only:
            return _byte_order(instance, state)
        if type(instance) is numpy.ndarray and not self.weights_only:
            return _filled(instance, state)
        kind = type(instance)
        if id(kind) not in self.own and kind is not argparse.Namespace:
            raise CorruptError(f"it sets the state of a {kind.__name__}, which is refused")
        if hasattr(instance, "__setstate__"):
            instance.__setstate__(state)
        else:
            plain, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
            instance.__dict__.update(plain or {})
            for name, value in (slots or {}).items():
                object.__setattr__(instance, name, value)
        return instance


def _byte_order(of: Any, state: Any) -> Any:
    if state[1] == ">":
        raise CorruptError("it has a numpy array in big-endian order")
    return of


def _filled(draft: numpy.ndarray[Any, Any], state: Any) -> numpy.ndarray[Any, Any]:
    """The array that a state describes, checked; the draft is filled in place."""
    _, shape, of, _, content = state
    size = of.itemsize
    for extent in shape:
        size *= extent
    if of.hasobject or min(shape, default=0) < 0 or len(content) != size:
        raise CorruptError(f"it has a numpy array of shape {shape} whose bytes do not fit")
    draft.__setstate__(state)
    return draft


def _own_module(full: str) -> Any:
    """A class of torch.nn.modules: this package's own code, found without trusting the name."""
    parts = full.split(".")
    if parts[:3] != ["torch", "nn", "modules"] or len(parts) != 5:
        return None
    own = importlib.import_module("flambeau.nn")  # by name: nn is above this layer
    module = getattr(own.modules, parts[3], None)
    found = getattr(module, parts[4], None) if module is not None else None
    return found if isinstance(found, type) and issubclass(found, own.Module) else None
