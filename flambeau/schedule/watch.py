"""Where flambeau.compile looks on: what a call does to storages, plans, gradients and Python state.

While a call is recorded, `active()` is its watcher, and those who do what a replay must do again
tell it: tensors that are read, plans that are run, numbers that are made of Python state. At all
other times there is none, and asking for it is all that a recorded operation pays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from flambeau.graph.node import Node


class Source(Protocol):
    """Runtime scalars that are made of Python state: an optimizer's step, a generator's offset."""

    def ready(self) -> bool:
        """Whether `again` can be called: the same operations would be recorded. Changes nothing."""
        ...

    def again(self) -> Sequence[Any]:
        """Advance the state as the recorded code did; the new values."""
        ...


class Watcher(Protocol):
    """What is told of a call that is recorded. All methods are called in the order of events."""

    def read(self, tensor: Any) -> None:
        """The tensor's value, or another tensor of the same storage, is used."""

    def value(self, tensor: Any) -> None:
        """The tensor's elements are about to be read on the host."""

    def written(self, tensor: Any) -> None:
        """The tensor's storage gets another Node."""

    def born(self, storage: Any) -> None:
        """A new storage, by weak reference."""

    def constant(self, storage: Any, node: Node, array: Any, copied: bool) -> None:
        """A new storage whose values come from the host; it may share the array's memory."""

    def drawn(self, node: Node, draw: Callable[[], Any]) -> None:
        """The values of a `constant` are random numbers: `draw()` makes an array of the next."""

    def scalars(self, nodes: Sequence[Node], source: Source) -> None:
        """CONST Nodes whose values `source` makes."""

    def gradient(self, tensor: Any, cleared: bool) -> None:
        """The tensor's .grad is looked at, or dropped unseen; called before that."""

    def checked(self, tensor: Any, check: Callable[[Any], None]) -> None:
        """The tensor's values were checked on the host; `check(tensor)` raises if they are bad."""

    def module(self, module: Any) -> None:
        """A Module is about to be called."""

    def optimizer(self, optimizer: Any) -> None:
        """An optimizer is about to step."""

    def ran(
        self, executable: Any, order: Any, leaves: Any, outputs: Sequence[Node], donated: Any
    ) -> None:
        """A plan was run."""

    def refuse(self, reason: str) -> None:
        """Something that a replay cannot do again."""


_active: Watcher | None = None


def active() -> Watcher | None:
    """Who is told of what is done now."""
    return _active


def activate(watcher: Watcher | None) -> Watcher | None:
    """Tell `watcher` from now on (None: nobody); returns who was told before."""
    global _active
    before, _active = _active, watcher
    return before


def refuse(reason: str) -> None:
    """What is done now cannot be replayed: a call that is being recorded will run plainly."""
    if _active is not None:
        _active.refuse(reason)
