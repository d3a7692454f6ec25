"""The different elements of a tensor. How many there are is known once its values are read."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy

from flambeau.ops.axes import axis_of
from flambeau.ops.publish import public
from flambeau.tensor.tensor import Tensor


class _Found(NamedTuple):
    """Different elements in order; for each element its number among them; how often each comes.

    What was not asked for may be None.
    """

    values: Any
    inverse: Any
    counts: Any


@public(out=False)
def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The different elements (or slices along dim) in order; the values are read on the host.

    With return_inverse also where each element is among them, with return_counts how often.
    """
    array = input.detach()._to_numpy()
    if dim is None:
        found = _of_elements(array.reshape(-1), return_inverse, return_counts)
        if found.inverse is not None:
            found = found._replace(inverse=found.inverse.reshape(array.shape))
    else:
        found = _by_numpy(array, return_inverse, return_counts, axis_of(dim, input.ndim))
    return _several(input, found)


def _of_elements(flat: Any, with_inverse: bool, with_counts: bool) -> _Found:
    if flat.dtype == bool:
        found = _of_elements(flat.view(numpy.uint8), with_inverse, with_counts)
        return found._replace(values=found.values.view(bool))
    if flat.size and flat.dtype.kind in "iu":
        least, most = int(flat.min()), int(flat.max())
        if most - least < flat.size and most < 1 << 63:
            return _counted(flat, least, most - least + 1, with_inverse, with_counts)
    return _by_numpy(flat, True, with_counts) if with_inverse else _ordered(flat, with_counts)


def _counted(flat: Any, least: int, extent: int, with_inverse: bool, with_counts: bool) -> _Found:
    """Integers from a range no longer than there are elements: a place for each."""
    places = flat.astype(numpy.int64) - least
    counts = inverse = None
    if with_counts:
        every = numpy.bincount(places, minlength=extent)
        there = every != 0
        counts = every[there]
    else:
        there = numpy.zeros(extent, bool)
        there[places] = True
    if with_inverse:
        inverse = (numpy.cumsum(there) - 1).take(places)
    return _Found((numpy.flatnonzero(there) + least).astype(flat.dtype), inverse, counts)


def _ordered(flat: Any, with_counts: bool) -> _Found:
    """Each element that is not like the one before it, once they are sorted; NaN is like none."""
    in_order = numpy.sort(flat)
    new = numpy.ones(flat.size, bool)
    numpy.not_equal(in_order[1:], in_order[:-1], out=new[1:])
    places = numpy.flatnonzero(new)
    counts = numpy.diff(places, append=flat.size) if with_counts else None
    return _Found(in_order.take(places), None, counts)


def _by_numpy(array: Any, with_inverse: bool, with_counts: bool, axis: int | None = None) -> _Found:
    numbered: Any = numpy.unique  # whose overloads take no variable for a flag
    values, *more = numbered(
        array,
        return_inverse=True,  # else numpy hashes integers, which takes a hundred times as long
        return_counts=with_counts,
        axis=axis,
        equal_nan=False,
    )
    inverse = more[0].reshape(-1) if with_inverse else None
    return _Found(values, inverse, more[1] if with_counts else None)


@public(out=False)
def unique_consecutive(
    input: Tensor,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """As unique, but only neighbours that are equal become one; the order stays."""
    array = input.detach()._to_numpy()
    axis = 0 if dim is None else axis_of(dim, input.ndim)
    rows = array.reshape(-1) if dim is None else numpy.moveaxis(array, axis, 0)
    flat = rows.reshape(rows.shape[0], -1)
    new = numpy.ones(rows.shape[0], bool)
    new[1:] = (flat[1:] != flat[:-1]).any(1)
    inverse = numpy.cumsum(new) - 1
    counts = numpy.diff(numpy.append(numpy.nonzero(new)[0], rows.shape[0]))
    values = rows[new] if dim is None else numpy.moveaxis(rows[new], 0, axis)
    if dim is None:
        inverse = inverse.reshape(array.shape)
    found = _Found(values, inverse if return_inverse else None, counts if return_counts else None)
    return _several(input, found)


def _several(like: Tensor, found: _Found) -> Any:
    device = like.device.type

    def made(array: Any, kind: Any) -> Tensor:
        return Tensor._from_numpy(array.astype(kind, copy=False), device)

    results = [made(found.values, like._type.dtype.numpy)]
    results += [made(each, numpy.int64) for each in found[1:] if each is not None]
    return results[0] if len(results) == 1 else tuple(results)
