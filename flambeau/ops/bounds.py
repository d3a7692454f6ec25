"""Indices that are known already are checked at the call that uses them, as in PyTorch.

An index that is still pending, or lies on another device, is checked where it is used, when that is
computed: then the error comes later, and names the line of the call.
"""

from __future__ import annotations

import functools

from flambeau.autograd.mode import STATE
from flambeau.graph.node import Node
from flambeau.schedule import watch
from flambeau.tensor.fields import TensorFields
from flambeau.tensor.tensor import Tensor

_HOST = ("cpu", "reference")
OUT_OF_BOUNDS = "index {detail} is out of bounds for dimension {axis} with size {size}"


def _range(index: Tensor) -> tuple[int, int] | None:
    """The least and greatest element; None where they are not known, or there are none."""
    fields: TensorFields = index
    held: Node = fields._storage.node
    if STATE.tracing or held.buffer is None or not index._type.size or held.device not in _HOST:
        return None
    found = held.span if index._view is None else None
    if found is None:
        array = index.detach()._to_numpy()
        found = int(array.min()), int(array.max())
        if index._view is None:
            held.span = found
    return found


def check_bounds(
    index: Tensor,
    axis: int,
    extent: int,
    message: str | None = None,
    *,
    least: int = 0,
    ignored: int | None = None,
    error: type[Exception] = IndexError,
) -> None:
    """Raise `error` where `index` is known and not within `least` … `extent` - 1.

    `ignored` is a value that is allowed as well. `message` has the places {detail}, {axis}, {size}.
    """
    if (watcher := watch.active()) is not None:
        again = functools.partial(
            check_bounds,
            axis=axis,
            extent=extent,
            message=message,
            least=least,
            ignored=ignored,
            error=error,
        )
        watcher.checked(index, again)
        watcher = watch.activate(None)
        try:
            again(index)
        finally:
            watch.activate(watcher)
        return
    known = _range(index)
    if known is None or (least <= known[0] and known[1] < extent):
        return
    array = index.detach()._to_numpy()
    outside = (array < least) | (array >= extent)
    if ignored is not None:
        outside &= array != ignored
    if outside.any():
        detail = int(array[outside].flat[0])
        raise error((message or OUT_OF_BOUNDS).format(detail=detail, axis=axis, size=extent))
