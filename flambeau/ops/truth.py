"""Where a mask holds: read on the host, since how many places there are decides about shapes."""

from __future__ import annotations

from typing import Any

import numpy

from flambeau.autograd.mode import STATE
from flambeau.graph.node import Shape
from flambeau.tensor.tensor import Tensor


def flat_places(mask: Tensor) -> Any:
    """The places in row-major order at which a tensor is not 0, as an array of int64."""
    return numpy.flatnonzero(_truth(mask)).astype(numpy.int64, copy=False)


def _truth(mask: Tensor) -> Any:
    """A tensor's values as an array of bools: numpy finds these many times faster than others."""
    array = mask.detach()._to_numpy()
    return array if array.dtype == bool else array != 0


def coordinates(places: Any, shape: Shape, result: Any) -> None:
    """result[k] = where along dimension k of an array of `shape` each of the flat places lies."""
    for axis in range(len(shape) - 1, 0, -1):
        above = places // max(shape[axis], 1)  # far faster than numpy.divmod
        numpy.subtract(places, above * shape[axis], out=result[axis])
        places = above
    if shape:
        result[0][...] = places


def chosen(input: Tensor, mask: Tensor) -> Tensor | None:
    """input where a mask of its shape holds, as a vector; None where a gradient will be wanted.

    Reading the mask has computed what was pending, so the elements are there to be copied: no plan
    depends on their number.
    """
    if STATE.enabled and input.requires_grad:
        return None
    array, truth = input.detach()._to_numpy(), _truth(mask)
    found = numpy.compress(truth.reshape(-1), array.reshape(-1))
    return Tensor._from_numpy(found, input._storage.node.device, copy=False)
