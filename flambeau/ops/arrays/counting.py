"""Counting: bincount, histograms, membership, the most frequent element, combinations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy

from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import float32, float64, int64
from flambeau.ops.axes import axis_of, integers
from flambeau.ops.data import tensor
from flambeau.ops.gather import gather_along
from flambeau.ops.host import host_function
from flambeau.ops.promote import result_dtype
from flambeau.ops.publish import public
from flambeau.ops.return_types import mode_, named
from flambeau.tensor.tensor import Tensor

histogramdd_ = named("histogramdd", "hist bin_edges")
histogram_ = named("histogram", "hist bin_edges")


@public(out=False)
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each number from 0 to the greatest is in a 1-d tensor; or the sums of weights.

    The values are read, since they decide the result's size.
    """
    if input.ndim != 1 or input._type.dtype.kind not in ("int", "uint"):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    values = input._to_numpy()
    if values.size and values.min() < 0:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is not None and weights._type.shape != input._type.shape:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    share = None if weights is None else weights.detach()._to_numpy()
    found = numpy.bincount(values.astype(numpy.int64), share, minlength)
    kind = int64
    if weights is not None:
        kind = float32 if weights._type.dtype is float32 else float64
    return Tensor._from_numpy(found.astype(kind.numpy), input.device.type)


# histograms -------------------------------------------------------------------------------------


def _range(values: Any, low: float, high: float, margin: float) -> tuple[float, float]:
    """The range, of the data where none is given, and widened by `margin` where it is one point."""
    if low == high and values.size:
        low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = low - margin, high + margin
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"torch.histc: range of [{low}, {high}] is not finite")
    return low, high


@host_function("histc")
def _histc(values: Any, bins: int, low: float, high: float) -> Any:
    """Counts in bins of equal width; the last one holds its upper end."""
    low, high = _range(values, low, high, 1.0)
    inside = values[(values >= low) & (values <= high)]
    kind = values.dtype.type
    width = kind(high) - kind(low) if values.dtype.kind == "f" else high - low
    places = ((inside - kind(low)) * bins / width).astype(numpy.int64)
    return numpy.bincount(numpy.minimum(places, bins - 1), minlength=bins).astype(values.dtype)


@public()
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements lie in each of `bins` bins between min and max, as the input's dtype.

    Where both are equal the range is that of the data. Runs on the host.
    """
    if bins <= 0:
        raise RuntimeError("torch.histc(): bins must be > 0")
    if min > max:
        raise RuntimeError("torch.histc: max must be larger than min")
    (found,) = _histc([input], (bins, float(min), float(max)), [((bins,), input._type.dtype)])
    return found


def _edges(values: Any, bins: int, low: float, high: float) -> Any:
    """Those of bins of equal width; of no data from 0 to 1."""
    if low == high and not values.size:
        low, high = 0.0, 1.0
    low, high = _range(values, low, high, 0.5)
    return numpy.linspace(low, high, bins + 1, dtype=values.dtype)


@host_function("histogram")
def _histogram(values: Any, *others: Any) -> tuple[Any, Any]:
    """(counts or densities, edges)"""
    *arrays, bins, low, high, density, weighted = others
    weights = arrays.pop().reshape(-1) if weighted else None
    edges = arrays[0] if arrays else _edges(values, bins, low, high)
    flat = values.reshape(-1)
    inside = (flat >= edges[0]) & (flat <= edges[-1])
    places = numpy.searchsorted(edges, flat[inside], "right") - 1
    share = None if weights is None else weights[inside]
    counts = numpy.bincount(numpy.minimum(places, bins - 1), share, bins).astype(values.dtype)
    if density:
        counts = counts / (numpy.diff(edges) * counts.sum())
    return counts, edges


@public()
def histogram(
    input: Tensor,
    bins: Any,
    *,
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Any:
    """(hist, bin_edges): counts, sums of weights or a density, in bins of equal width or `bins`.

    bins   their number, or a tensor of their edges. Runs on the host.
    """
    if not input._type.dtype.is_floating_point:
        raise NotImplementedError("histogram expects a floating-point tensor")
    tensors = [input]
    if isinstance(bins, Tensor):
        tensors.append(bins)
        count = bins._type.size - 1
    else:
        count = int(bins)
    if count <= 0:
        raise RuntimeError("torch.histogram(): bins must be > 0")
    if weight is not None:
        if weight._type.shape != input._type.shape:
            raise RuntimeError(
                "torch.histogram(): if weight tensor is provided it should have the "
                f"same shape as the input tensor, got {list(weight.shape)}"
            )
        tensors.append(weight)
    low, high = (0.0, 0.0) if range is None else (float(range[0]), float(range[1]))
    dtype = input._type.dtype
    attrs = (count, low, high, bool(density), weight is not None)
    return histogram_(*_histogram(tensors, attrs, [((count,), dtype), ((count + 1,), dtype)]))


@host_function("histogramdd")
def _histogramdd(points: Any, *others: Any) -> Any:
    """Counts (or densities) in boxes between the edges of each dimension."""
    *arrays, density, weighted = others
    weights = arrays.pop().reshape(-1) if weighted else None
    rows = points.reshape(-1, points.shape[-1])
    found, _ = numpy.histogramdd(rows, arrays, weights=weights, density=density)
    return found.astype(points.dtype)


@public(method=False, out=False)
def histogramdd(
    input: Tensor,
    bins: Any,
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Any:
    """(hist, bin_edges): how many points, rows of the last dimension, lie in each box.

    bins    how many along each dimension (one number: the same for all), or tensors of edges
    range   two numbers for each dimension, by default of the data
    Runs on the host; the values are read where the range is that of the data.
    """
    if input.ndim < 2 or not input._type.dtype.is_floating_point:
        raise RuntimeError(
            "torch.histogramdd: input tensor should have at least 2 dimensions and a floating "
            f"dtype, got {list(input.shape)} of {input.dtype}"
        )
    count = input._type.shape[-1]
    each_bins = [bins] * count if isinstance(bins, int) else list(bins)
    if len(each_bins) != count:
        raise RuntimeError(
            f"histogramdd: expected {count} sequences of bins for {count}-dimensional points, got "
            f"{len(each_bins)}"
        )
    edges: list[Any]
    if isinstance(each_bins[0], Tensor):
        edges = each_bins
    else:
        columns = input.detach()._to_numpy().reshape(-1, count)
        limits = list(range) if range is not None else [0.0] * (2 * count)
        made = [
            _edges(columns[:, place], number, *limits[2 * place : 2 * place + 2])
            for place, number in enumerate(each_bins)
        ]
        edges = [Tensor._from_numpy(each, input.device.type) for each in made]
    given = [input, *edges, *([] if weight is None else [weight])]
    shape = tuple([each._type.size - 1 for each in edges])
    attrs = (bool(density), weight is not None)
    (found,) = _histogramdd(given, attrs, [(shape, input._type.dtype)])
    return histogramdd_(found, tuple(edges))


# membership -------------------------------------------------------------------------------------


@host_function("isin")
def _isin(elements: Any, others: Any, unique: bool, invert: bool) -> Any:
    """Whether each element is among the others."""
    return numpy.isin(elements, others, assume_unique=unique, invert=invert)


@public(method=False)
def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Whether each element is among `test_elements` (with invert: is not). Runs on the host."""
    if not isinstance(elements, Tensor) and not isinstance(test_elements, Tensor):
        raise TypeError("isin(): one of elements and test_elements must be a Tensor")
    like = elements if isinstance(elements, Tensor) else test_elements
    common = result_dtype((elements, test_elements))
    both = [
        (each if isinstance(each, Tensor) else tensor(each, device=like.device)).to(common)
        for each in (elements, test_elements)
    ]
    attrs = (bool(assume_unique), bool(invert))
    (found,) = _isin(both, attrs, [(both[0]._type.shape, dtypes.bool_)])
    return found


# the most frequent ------------------------------------------------------------------------------


@host_function("mode")
def _mode_place(values: Any, axis: int) -> Any:
    """Where the most frequent element along the axis is last; of several the least."""
    rows = numpy.moveaxis(values, axis, -1)
    order = numpy.argsort(rows, -1, kind="stable")
    ordered = numpy.take_along_axis(rows, order, -1)
    found = numpy.empty(rows.shape[:-1], numpy.int64)
    for place in numpy.ndindex(found.shape):
        row = ordered[place]
        starts = numpy.flatnonzero(numpy.append(True, row[1:] != row[:-1]))
        lengths = numpy.diff(numpy.append(starts, row.size))
        best = lengths.argmax()
        found[place] = order[place][starts[best] + lengths[best] - 1]
    return numpy.expand_dims(found, axis)


@public()
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Any:
    """(values, indices) of the most frequent element along dim; of several the least.

    The places are found on the host.
    """
    axis = axis_of(dim, input.ndim)
    if not input.ndim:
        return mode_(input.clone(), input.new_zeros((), dtype=int64))
    if not input._type.shape[axis]:
        raise IndexError(f"mode(): Expected reduction dim {axis} to have non-zero size.")
    shape = tuple([1 if each == axis else n for each, n in enumerate(input._type.shape)])
    (places,) = _mode_place([input], (axis,), [(shape, int64)])
    values = gather_along(input, places, axis)
    return mode_(*[each if keepdim else each.squeeze(axis) for each in (values, places)])


# combinations -----------------------------------------------------------------------------------


def pairs(count: int, size: int, repeated: bool, like: Tensor) -> Tensor:
    """All ascending choices of `size` of the numbers below `count`, as rows."""
    choose = itertools.combinations_with_replacement if repeated else itertools.combinations
    rows = numpy.array(list(choose(range(count), size)), numpy.int64)
    return Tensor._from_numpy(rows.reshape(-1, size), like.device.type)


@public(method=False)
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All choices of r elements of a 1-d tensor, as rows, in order."""
    if input.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    places = pairs(input._type.shape[0], r, with_replacement, input)
    return input.index_select(0, places.flatten()).reshape(places._type.shape)


@public(method=False, out=False)
def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """The coordinates, one tensor for each dimension of `shape`, of places in it flattened."""
    if indices._type.dtype.kind not in ("int", "uint"):
        raise TypeError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    extents = integers(shape.tolist() if isinstance(shape, Tensor) else shape, "shape")
    if min(extents, default=0) < 0:
        raise ValueError(f"'shape' cannot have negative values, but got {extents}")
    found: list[Tensor] = []
    for extent in reversed(extents):
        found.insert(0, indices % extent)
        indices = indices // extent
    return tuple(found)
