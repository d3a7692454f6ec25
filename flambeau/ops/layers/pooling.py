"""Rarer pooling: windows drawn at random, and power means."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from flambeau.graph import build as b
from flambeau.graph.dtype import int64
from flambeau.graph.node import Node, Shape
from flambeau.ops.adaptive_pool import (
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    first_greatest,
)
from flambeau.ops.axes import integers
from flambeau.ops.composite import composite
from flambeau.ops.parts import narrow
from flambeau.ops.pool import (
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from flambeau.ops.random import rand
from flambeau.tensor.tensor import Tensor

# windows at random -------------------------------------------------------------------------------


def _starts(sample: Node, extent: int, places: int, kernel: int) -> Node:
    """Where windows start: (planes, places), from a number in [0, 1) for each plane.

    All but the last are int((i + u) α) - int(u α), α being what windows are apart on average; the
    last ends with the input.
    """
    dtype = sample.dtype
    last = b.constant(extent - kernel, int64)
    if places == 1:
        return b.expand(last, (*sample.shape[:1], 1))
    alpha = b.div(b.constant(extent - kernel, dtype), b.constant(places - 1, dtype))
    at = b.add(sample, b.cast(b.iota(places), dtype))
    found = b.sub(b.cast(b.mul(at, alpha), int64), b.cast(b.mul(sample, alpha), int64))
    final = b.equal(b.iota(places), b.constant(places - 1, int64))
    return b.where(final, last, found)


@composite(saves="1")
def _drawn_windows(
    input: Tensor, samples: Tensor, kernel: Shape, sizes: Shape
) -> tuple[Tensor, Tensor]:
    """(planes, windows, taps) and where in the flattened spatial axes each tap reads.

    `samples` are (planes, axes).
    """
    x, drawn = input._read(), samples._read()
    rank, planes = len(kernel), drawn.shape[0]
    spatial = x.shape[-rank:]
    total: Node | None = None
    for axis, (extent, places, taps) in enumerate(zip(spatial, sizes, kernel, strict=True)):
        sample = b.slice_(drawn, (0, axis), (planes, 1))
        line = [planes, *(1,) * (2 * rank)]
        line[1 + axis] = places
        start = b.reshape(_starts(sample, extent, places, taps), tuple(line))
        line = [1] * (2 * rank + 1)
        line[1 + rank + axis] = taps
        at = b.add(start, b.reshape(b.iota(taps), tuple(line)))
        if total is not None:
            at = b.add(b.mul(total, b.constant(extent, int64)), at)
        total = at
    assert total is not None
    shape = (planes, math.prod(sizes), math.prod(kernel))
    inside = b.reshape(b.expand(total, (planes, *sizes, *kernel)), shape)
    first = b.mul(b.reshape(b.iota(planes), (planes, 1, 1)), b.constant(math.prod(spatial), int64))
    taken = b.gather(b.reshape(x, (x.type.size,)), b.add(inside, first), 0)
    return Tensor._traced(taken), Tensor._traced(inside)


def _sizes(name: str, spatial: Shape, kernel: Shape, output_size: Any, output_ratio: Any) -> Shape:
    """How many windows there are. Raises ValueError and RuntimeError as PyTorch does."""
    rank = len(kernel)
    if output_size is None and output_ratio is None:
        raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
    if output_size is None:
        ratios = output_ratio if isinstance(output_ratio, (tuple, list)) else (output_ratio,) * rank
        if len(ratios) != rank:
            raise ValueError(f"{name} requires output_ratio to either be a single number or {rank}")
        found = tuple([int(n * ratio) for n, ratio in zip(spatial, ratios, strict=True)])
    else:
        given = integers(output_size, "output_size")
        found = given * rank if len(given) == 1 else given
        if len(found) != rank:
            raise RuntimeError(
                f"{name}: output_size must either be a single int or a tuple of {rank}"
            )
    for n, places, taps in zip(spatial, found, kernel, strict=True):
        if places < 1 or places + taps - 1 > n:
            raise RuntimeError(
                f"{name}: {places} windows of {taps} do not fit into an input of {n}"
            )
    return found


def _fractional(
    rank: int,
    input: Tensor,
    kernel_size: Any,
    output_size: Any,
    output_ratio: Any,
    samples: Tensor | None,
) -> Any:
    name, shape = f"fractional_max_pool{rank}d", input._type.shape
    if len(shape) not in (rank + 1, rank + 2):
        raise RuntimeError(
            f"{name}: Expected {rank + 1}D or {rank + 2}D tensor, but got {list(shape)}"
        )
    kernel = integers(kernel_size, "kernel_size")
    kernel = kernel * rank if len(kernel) == 1 else kernel
    if len(kernel) != rank:
        raise RuntimeError(f"{name}: kernel_size must either be a single int or a tuple of {rank}")
    lead, spatial = shape[:-rank], shape[-rank:]
    sizes = _sizes(name, spatial, kernel, output_size, output_ratio)
    if samples is None:
        drawn = (1, lead[0]) if len(lead) == 1 else lead
        samples = rand(*drawn, rank, dtype=input.dtype, device=input.device)
    if samples._type.dtype is not input._type.dtype:
        raise RuntimeError("Expect _random_samples to have the same dtype as input")
    if len(lead) == 1 and samples.ndim == 3:
        samples = narrow(samples, 0, 0, 1)
    if samples._type.size != math.prod(lead) * rank:
        raise RuntimeError(
            f"Expect _random_samples of shape {[*lead, rank]}, got {list(samples._type.shape)}"
        )
    flat = samples.reshape(-1, rank)
    if rank == 2:  # of images PyTorch draws the width first
        flat = flat.flip(1)
    windows, places = _drawn_windows(input, flat, kernel, sizes)
    return first_greatest(windows, places, (*lead, *sizes))


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """The greatest of windows of (n, c, h, w) whose places are drawn for each channel.

    There are output_size of them (or output_ratio times the input's extents). With return_indices
    also where it lies. _random_samples (n, c, 2) are the numbers in [0, 1) that places are made
    of. Graham, Fractional Max-Pooling, 2014. Raises ValueError or RuntimeError where arguments do
    not fit.
    """
    both = _fractional(2, input, kernel_size, output_size, output_ratio, _random_samples)
    return both if return_indices else both[0]


def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """fractional_max_pool2d with three spatial dimensions."""
    both = _fractional(3, input, kernel_size, output_size, output_ratio, _random_samples)
    return both if return_indices else both[0]


# with places -------------------------------------------------------------------------------------


def _with_indices(pool: Callable[..., Any]) -> Callable[..., Any]:
    """The function with return_indices, under the name that PyTorch has for it."""

    @functools.wraps(pool)
    def call(*args: Any, **kwargs: Any) -> Any:
        return pool(*args, **(kwargs | {"return_indices": True}))

    call.__name__ = call.__qualname__ = f"{pool.__name__}_with_indices"
    return call


max_pool1d_with_indices = _with_indices(max_pool1d)
max_pool2d_with_indices = _with_indices(max_pool2d)
max_pool3d_with_indices = _with_indices(max_pool3d)
adaptive_max_pool1d_with_indices = _with_indices(adaptive_max_pool1d)
adaptive_max_pool2d_with_indices = _with_indices(adaptive_max_pool2d)
adaptive_max_pool3d_with_indices = _with_indices(adaptive_max_pool3d)
fractional_max_pool2d_with_indices = _with_indices(fractional_max_pool2d)
fractional_max_pool3d_with_indices = _with_indices(fractional_max_pool3d)


# power means -------------------------------------------------------------------------------------

_MEANS = {1: avg_pool1d, 2: avg_pool2d, 3: avg_pool3d}


def _power_mean(
    rank: int, input: Any, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool
) -> Any:
    kernel = integers(kernel_size, "kernel_size")
    kernel = kernel * rank if len(kernel) == 1 else kernel
    mean: Any = _MEANS[rank](input.pow(norm_type), kernel, stride, 0, ceil_mode)
    kept = mean.sign() * mean.abs().relu()  # the mean itself, with no gradient where it is 0
    return kept.mul(math.prod(kernel)).pow(1.0 / norm_type)


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """(Σ xᵖ)^(1/p) of each window of (n, c, l), p being norm_type.

    As in PyTorch, a window that sticks out (ceil_mode) counts as if it were whole.
    """
    return _power_mean(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """lp_pool1d with two spatial dimensions."""
    return _power_mean(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """lp_pool1d with three spatial dimensions."""
    return _power_mean(3, input, norm_type, kernel_size, stride, ceil_mode)
