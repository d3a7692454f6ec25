"""The fields of Tensor, and how one is made."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from flambeau.graph.history import History
from flambeau.graph.node import Node, TensorType
from flambeau.graph.storage import Storage
from flambeau.schedule import flush, watch
from flambeau.tensor.view import View

FIELDS = (
    "_base",
    "_counts",
    "_grad",
    "_hooks",
    "_leaf",
    "_origin",
    "_parent",
    "_read_cache",
    "_storage",
    "_tracks",
    "_type",
    "_view",
)


class TensorFields:
    """Base of Tensor, which adds what people call.

    _leaf      gradients end here: the user asked for one
    _tracks    False for what detach() gives
    _counts    False for .data: what is written through it, autograd's check does not see
    _parent    the view, on its way to a gradient, that this is one of
    _origin    what made this view together with others, see ops/parts.py
    """

    __slots__ = ("__weakref__", *FIELDS)

    _storage: Storage
    _type: TensorType
    _view: View | None
    _base: Any
    _leaf: bool
    _tracks: bool
    _counts: bool
    _parent: tuple[Any, View] | None
    _origin: str | None
    _grad: Any
    _hooks: list[Callable[[Node], Node | None]] | None
    _read_cache: tuple[Node, bool, Node] | None


_weak = weakref.ref
_new = TensorFields.__new__


def make(cls: type[Any], storage: Storage, of: TensorType) -> Any:
    """A tensor of class `cls` that is the whole storage."""
    made = _new(cls)
    made._storage = storage
    made._type = of
    made._view = None
    made._base = None
    made._leaf = False
    made._tracks = True
    made._counts = True
    made._origin = None
    made._parent = None
    made._grad = None
    made._hooks = None
    made._read_cache = None
    return made


def own(cls: type[Any], held: Node) -> Any:
    """A tensor with a storage of its own, pending unless the Node is computed."""
    storage = Storage(held)
    if held.buffer is None:
        flush.announce(_weak(storage))
    elif (watcher := watch.active()) is not None:
        watcher.born(_weak(storage))
    return make(cls, storage, held.type)


def whole(tensor: TensorFields) -> Node | None:
    """The Node of a tensor that is its storage as it is, as most are; None for all others."""
    if tensor._view is not None or not tensor._tracks or watch.active() is not None:
        return None
    held = tensor._storage.node
    history: History | None = held.history
    if tensor._leaf:
        known = history is not None and history.leaf is not None and history.leaf() is tensor
        return held if known else None
    marked = held.requires_grad and history is not None and history.leaf is not None
    return None if marked else held  # it is another leaf's value, too
