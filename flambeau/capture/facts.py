"""Python state that a recorded call could see: a replay asks whether it is what it was.

What is looked at: the free variables and globals that the user's functions name, the attributes of
Modules and of other objects that they reach, the elements of their lists and dicts. Values are
compared by identity, a hundred in a few microseconds; where one is another object, numbers and
strings are compared by type and value.
"""

from __future__ import annotations

import enum
import functools
import os
import sys
import sysconfig
import types
from collections.abc import Iterable
from operator import getitem, is_
from pathlib import Path
from typing import Any, NamedTuple

from flambeau.graph.compiled import COMPILED_FUNCTIONS
from flambeau.nn.modules.module import Module
from flambeau.optim.optimizer import Optimizer
from flambeau.tensor.tensor import Tensor

_PACKAGE = f"{Path(__file__).resolve().parent.parent}{os.sep}"
_PATHS = sysconfig.get_paths()
_FOREIGN = (_PACKAGE, _PATHS["stdlib"], _PATHS["purelib"], _PATHS["platlib"], "<frozen")
_PLAIN: tuple[type, ...] = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))
_PLAIN += (enum.Enum, type, *COMPILED_FUNCTIONS)
_DEPTH = 4
_MOST = 256
"""Elements of one container that are looked at: a longer one is compared by its length alone."""


def is_foreign(filename: str) -> bool:
    """Whether code of this file is not the user's but this package's, Python's or installed."""
    return filename.startswith(_FOREIGN)


class Fact(NamedTuple):
    """One thing that was seen. `path`: attributes that lead to it; code must name all of them."""

    kind: str
    """"item" of a dict or list, "attribute" of an object, or "size"."""
    owner: Any
    key: Any
    value: Any
    title: str
    path: frozenset[str]

    def now(self) -> Any:
        """The value now. Raises LookupError, AttributeError or ValueError where it is gone."""
        if self.kind == "item":
            return self.owner[self.key]
        return len(self.owner) if self.kind == "size" else getattr(self.owner, self.key)


_ANY: frozenset[str] = frozenset()


class Facts:
    """Where values were found, and what they were. `settle` ends the looking around."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        """What the code that was seen names: attributes are guarded where it is among these."""
        self._facts: list[Fact] = []
        self._seen: set[Any] = set()
        self._alive: list[Any] = []  # what was seen, so that no other object gets its id
        self._items: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
        self._attributes: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
        self._sized: list[Any] = []
        self._sizes: list[int] = []

    # looking around ----------------------------------------------------------------------------

    def _add(self, kind: str, owner: Any, key: Any, title: str, path: frozenset[str]) -> None:
        mark = (kind, id(owner), key)
        if mark not in self._seen:
            self._seen.add(mark)
            fact = Fact(kind, owner, key, None, title, path)
            self._facts.append(fact._replace(value=fact.now()))

    def item(self, container: Any, key: Any, title: str, path: frozenset[str] = _ANY) -> None:
        """container[key] is what it is now."""
        self._add("item", container, key, title, path)

    def attribute(self, owner: Any, name: str, title: str) -> None:
        """owner.name is what it is now."""
        self._add("attribute", owner, name, title, _ANY)

    def size(self, container: Any, title: str, path: frozenset[str] = _ANY) -> None:
        """The number of elements is what it is now."""
        self._add("size", container, None, f"the number of elements of {title}", path)

    def value(
        self, value: Any, title: str, path: frozenset[str] = _ANY, depth: int = _DEPTH
    ) -> None:
        """What can be reached from a value that a recorded call can see."""
        if isinstance(value, (*_PLAIN, Tensor, Optimizer)) or not depth:
            return
        mark = ("value", id(value), path)
        if mark in self._seen:
            return
        self._seen.add(mark)
        self._alive.append(value)
        if isinstance(value, Module):
            self._module(value, title, path, depth)
        elif isinstance(value, types.FunctionType):
            self.function(value, title)
        elif isinstance(value, types.MethodType):
            self.value(value.__self__, f"{title}.__self__", path, depth)
            self.value(value.__func__, title, path, depth)
        elif isinstance(value, functools.partial):
            for part in (value.func, value.args, value.keywords):
                self.value(part, title, path, depth)
        elif isinstance(value, (list, tuple)):
            self._elements(value, range(len(value)), title, path, depth)
        elif isinstance(value, dict):
            self._elements(value, list(value), title, path, depth)
        elif isinstance(value, (set, frozenset)):
            self.size(value, title, path)
        elif (
            not isinstance(value, types.ModuleType)
            and type(getattr(value, "__dict__", None)) is dict
            and not _is_library(type(value))
        ):
            self._members(vars(value), vars(value), title, path, depth)

    def _elements(
        self, container: Any, keys: Iterable[Any], title: str, path: frozenset[str], depth: int
    ) -> None:
        self.size(container, title, path)
        if len(container) > _MOST:
            return
        for key in list(keys):
            name = f"{title}[{key!r}]"
            if not isinstance(container, tuple):
                self.item(container, key, name, path)
            self.value(container[key], name, path, depth - 1)

    def _members(
        self, held: Any, names: Iterable[str], title: str, path: frozenset[str], depth: int
    ) -> None:
        """Attributes of the user's objects: those that the code names."""
        for name in list(names)[:_MOST]:
            further = path | {name}
            self.item(held, name, f"{title}.{name}", further)
            self.value(held[name], f"{title}.{name}", further, depth - 1)

    def _module(self, module: Module, title: str, path: frozenset[str], depth: int) -> None:
        """A Module: all of it, for layers are called without being named."""
        held = module.__dict__
        own = _is_library(type(module))  # its code is not looked at: any attribute may count
        for name, value in list(held.items()):
            if name in ("_parameters", "_buffers", "_modules"):
                self.size(value, f"{title}.{name}", path)
                for key in list(value):
                    self.item(value, key, f"{title}.{key}", path)
                    self.value(value[key], f"{title}.{key}", path)
            elif isinstance(value, dict) and name.startswith("_"):
                self.size(value, f"{title}.{name}", path)  # hooks
            elif own or name == "training":
                if not name.startswith("_"):
                    self.item(held, name, f"{title}.{name}", path)
                    self.value(value, f"{title}.{name}", path, depth - 1)
            else:
                self._members(held, [name], title, path, depth)

    def function(self, function: Any, title: str) -> None:
        """What a function can see besides its arguments."""
        code = function.__code__
        if is_foreign(code.co_filename):
            return
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                self.attribute(cell, "cell_contents", name)
            except ValueError:
                continue  # a variable that has no value yet
            self.value(cell.cell_contents, name)
        self.code(code, function.__globals__)
        self.value(function.__defaults__ or (), f"{title}'s default")

    def code(self, code: types.CodeType, known: dict[str, Any]) -> None:
        """The globals that a function's code, and that of the functions in it, can see."""
        mark = ("code", id(code))
        if mark in self._seen:
            return
        self._seen.add(mark)
        self._alive.append(code)
        self.names.update(code.co_names)
        for name in code.co_names:
            if name not in known or name.startswith("__"):
                continue
            self.item(known, name, name)
            found = known[name]
            if isinstance(found, types.ModuleType) and not _is_library(found):
                for inner in code.co_names:
                    if inner in vars(found):
                        self.item(vars(found), inner, f"{name}.{inner}")
            else:
                self.value(found, name)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self.code(constant, known)
            elif isinstance(constant, str):
                self.names.add(constant)  # getattr(object, "name")

    # asking ------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Keep what the code can see, in lists that are compared quickly."""
        self._facts = [each for each in self._facts if each.path <= self.names]
        kinds: dict[str, list[Fact]] = {"item": [], "attribute": [], "size": []}
        for each in self._facts:
            kinds[each.kind].append(each)
        self._items, self._attributes = _columns(kinds["item"]), _columns(kinds["attribute"])
        self._sized, _, self._sizes = _columns(kinds["size"])
        self._seen.clear()

    def hold(self) -> bool:
        """Whether everything is what it was."""
        containers, keys, values = self._items
        owners, names, contents = self._attributes
        try:
            same = (
                all(map(is_, map(getitem, containers, keys), values))
                and list(map(len, self._sized)) == self._sizes
                and all(map(is_, map(getattr, owners, names), contents))
            )
        except (LookupError, AttributeError, ValueError):
            return False
        return same or self.changed() is None

    def changed(self) -> str | None:
        """The name of something that is not what it was. Equal numbers are taken for the same,
        and from then on are what is compared with."""
        news: list[Fact] = []
        for fact in self._facts:
            try:
                now = fact.now()
            except (LookupError, AttributeError, ValueError):
                return fact.title
            if not _same(now, fact.value):
                return fact.title
            news.append(fact._replace(value=now))
        self._facts = news
        self.settle()
        return None


def _columns(facts: list[Fact]) -> tuple[list[Any], list[Any], list[Any]]:
    return [e.owner for e in facts], [e.key for e in facts], [e.value for e in facts]


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, (bool, int, str, bytes)):
        return bool(one == other)
    return isinstance(one, float) and one.hex() == other.hex()


def _is_library(owner: Any) -> bool:
    """Whether a module, or the module of a class, is Python's, numpy's or this package's."""
    name = owner.__name__ if isinstance(owner, types.ModuleType) else owner.__module__
    return name.partition(".")[0] in _LIBRARIES


_LIBRARIES = frozenset({"flambeau", "torch", "numpy", *sys.stdlib_module_names}) - {"__main__"}
