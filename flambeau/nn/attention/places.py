"""Calling score_mod and mask_mod, which are written for one query and one key, for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy

from flambeau.func.batch import compute
from flambeau.ops.shape import stack
from flambeau.tensor import override
from flambeau.tensor.device import resolve
from flambeau.tensor.tensor import Tensor

_TOGETHER = 8  # calls whose results are computed in one plan; more are computed one by one

Sizes = tuple[int, int, int, int]
"""Batch, heads, queries and keys."""


class _Index(Tensor):
    """A tensor of places, which knows whether anything was computed from it."""

    __slots__ = ()
    __torch_function__ = staticmethod(override.disabled)  # what is computed of it is plain
    reads = 0

    def _read(self) -> Any:
        _Index.reads += 1
        return super()._read()


def _index(array: Any, device: str) -> Any:
    made = Tensor._from_numpy(array, device)
    return _Index._make(made._storage, made._type)


def applied(function: Callable[..., Any], sizes: Sizes, device: Any, score: Any = None) -> Any:
    """function([score,] batch, head, query, key) for all places.

    A tensor of shape (batch, heads, queries, keys), or one that broadcasts to it. The function is
    called with whole tensors of indices if that gives such a shape, else with fewer indices in each
    call: for each batch and head, then for each query, at last for each place alone. What it raises
    then is the function's own error.
    """
    where = resolve(device)
    for split in (0, 2, 3):
        try:
            found = _by(function, sizes, where, score, split)
        except (RuntimeError, IndexError, ValueError, TypeError):
            continue
        if found is not None:
            return found
    return _by(function, sizes, where, score, 4)


def _by(
    function: Callable[..., Any], sizes: Sizes, device: str, score: Any, split: int
) -> Tensor | None:
    """One call for each of the first `split` places; None where a result has not the shape."""
    ranges = [numpy.arange(size, dtype=numpy.int64) for size in sizes]
    rest = sizes[split:]
    grids = [
        _index(each.reshape([-1 if axis == place else 1 for axis in range(len(rest))]), device)
        for place, each in enumerate(ranges[split:])
    ]
    found = []
    many = math.prod(sizes[:split]) > _TOGETHER
    for place in product(*map(range, sizes[:split])):
        fixed = [_index(numpy.asarray(each, numpy.int64), device) for each in place]
        given = [] if score is None else [score[place] if place else score]
        before = _Index.reads
        result = function(*given, *fixed, *grids)
        if not isinstance(result, Tensor):
            raise TypeError(
                f"score_mod and mask_mod must return a tensor, got {type(result).__name__}"
            )
        used = score is not None or _Index.reads != before
        shape = _joined(result, rest, used)
        if shape is None:
            return None
        if many:
            compute([result])  # one plan serves all calls
        found.append(result.reshape(shape).expand(rest) if split else result.reshape(shape))
    if not split:
        return found[0]
    return stack(found).reshape(sizes)


def _joined(result: Tensor, rest: tuple[int, ...], used: bool) -> tuple[int, ...] | None:
    """The result's shape where it is one of these places; None where it cannot be.

    A number that was computed from the places would be the same for all of them: it is a sum or
    the like, which the function means for one place.
    """
    shape = tuple(result.shape)
    if shape == () and (not used or not rest):
        return (1,) * len(rest)
    fits = len(shape) == len(rest) and all(
        extent in (1, size) for extent, size in zip(shape, rest, strict=True)
    )
    return shape if fits else None
