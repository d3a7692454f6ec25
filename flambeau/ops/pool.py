"""Pooling: the greatest or the mean of windows.

Where windows do not overlap and fill the input, a window is a reshape; else WINDOW. The gradient of
a maximum goes to the first greatest element of each window, as PyTorch's, found by comparing places
in the window: nothing is scattered.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy

from flambeau.autograd.rules import RULES
from flambeau.graph import build as b
from flambeau.graph import op
from flambeau.graph.dtype import DType, bool_, int64
from flambeau.graph.node import Node, Shape
from flambeau.ops.autocast import autocasting
from flambeau.ops.axes import integers
from flambeau.ops.composite import composite
from flambeau.ops.publish import public
from flambeau.ops.view import reshape, unsqueeze
from flambeau.tensor.tensor import Tensor


class Geometry(NamedTuple):
    """Windows over the last axes: places, padding before and after, and how they step."""

    kernel: Shape
    stride: Shape
    before: Shape
    after: Shape
    dilation: Shape
    places: Shape


def _spread(value: Any, rank: int, name: str, function: str) -> Shape:
    found = integers(value, name)
    if len(found) not in (1, rank):
        words = {1: "one int", 2: "two ints", 3: "three ints"}[rank]
        raise RuntimeError(f"{function}: {name} must either be a single int, or a tuple of {words}")
    return found * rank if len(found) == 1 else found


def geometry(
    function: str,
    rank: int,
    spatial: Shape,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    channels: int,
) -> Geometry:
    """Work out windows and check them. Raises RuntimeError as PyTorch does."""
    sizes = _spread(kernel, rank, "kernel_size", function)
    empty = stride is None or stride in ((), [])
    steps = sizes if empty else _spread(stride, rank, "stride", function)
    edges = _spread(padding, rank, "padding", function)
    gaps = _spread(dilation, rank, "dilation", function)
    if min(steps) <= 0:
        raise RuntimeError("stride should not be zero")
    if min(sizes) <= 0 or min(gaps) <= 0:
        raise RuntimeError(
            f"kernel size and dilation should be greater than zero, but got kernel size "
            f"{list(sizes)} and dilation {list(gaps)}"
        )
    after, places = [], []
    for n, k, s, p, d in zip(spatial, sizes, steps, edges, gaps, strict=True):
        span = d * (k - 1) + 1
        if p < 0 or p > span // 2:
            raise RuntimeError(
                "pad should be at most half of effective kernel size, but got "
                f"pad={p}, kernel_size={k} and dilation={d}"
            )
        count = (n + 2 * p - span + (s - 1 if ceil_mode else 0)) // s + 1
        if ceil_mode and (count - 1) * s >= n + p:  # the last window must start inside
            count -= 1
        places.append(count)
        after.append(max((count - 1) * s + span - n - p, 0))
    if min(places) < 1:
        given = "x".join(map(str, (channels, *spatial)))
        made = "x".join(map(str, (channels, *places)))
        raise RuntimeError(
            f"Given input size: ({given}). Calculated output size: ({made}). Output size is too "
            "small"
        )
    return Geometry(sizes, steps, edges, tuple(after), gaps, tuple(places))


def _fills(shape: Shape, g: Geometry) -> bool:
    """Whether windows lie side by side and cover the input exactly."""
    spatial = shape[len(shape) - len(g.kernel) :]
    return (
        g.kernel == g.stride
        and not any(g.before)
        and not any(g.after)
        and (set(g.dilation) == {1})
        and all(n % k == 0 for n, k in zip(spatial, g.kernel, strict=True))
    )


class Windows(NamedTuple):
    """The windows of an array: a Node, and which of its axes are the taps of a window."""

    node: Node
    taps: Shape
    padded: Node


def windows(x: Node, g: Geometry, fill: Any) -> Windows:
    rank = len(g.kernel)
    lead = len(x.shape) - rank
    if _fills(x.shape, g):
        shape = list(x.shape[:lead])
        for place, kernel in zip(g.places, g.kernel, strict=True):
            shape += [place, kernel]
        taps = tuple(range(lead + 1, lead + 2 * rank, 2))
        return Windows(b.reshape(x, tuple(shape)), taps, x)
    padded = x
    if any(g.before) or any(g.after):
        spatial = zip(x.shape[lead:], g.before, g.after, strict=True)
        shape = [*x.shape[:lead], *(low + n + high for n, low, high in spatial)]
        padded = b.pad(x, tuple(shape), (0,) * lead + g.before, fill=fill)
    axes = tuple(range(lead, lead + rank))
    made = b.window(padded, axes, g.kernel, g.stride, g.dilation)
    # a padded axis may hold one window more than there are places
    sizes = (*x.shape[:lead], *g.places, *g.kernel)
    if made.shape != sizes:
        made = b.slice_(made, (0,) * len(sizes), sizes)
    return Windows(made, tuple(range(lead + rank, lead + 2 * rank)), padded)


def spread_back(x: Node, g: Geometry, gradient: Node) -> Node:
    """The gradient of `windows`: what reaches each element of x."""
    made = windows(x, g, 0)
    if made.padded is x and made.node.op is op.RESHAPE:
        return b.reshape(gradient, x.shape)
    node = made.node
    if node.op is op.SLICE:
        gradient = b.pad(gradient, node.inputs[0].shape, (0,) * len(gradient.shape))
        node = node.inputs[0]
    (spread,) = RULES[op.WINDOW].run(node, gradient)
    assert spread is not None
    if made.padded is x:
        return spread
    lead = len(x.shape) - len(g.kernel)
    return b.slice_(spread, (0,) * lead + g.before, x.shape)


def least(dtype: DType) -> Any:
    """What every number is greater than or equal to."""
    return -math.inf if dtype.is_floating_point else int(numpy.iinfo(dtype.numpy).min)


# maximum ----------------------------------------------------------------------------------------


def _countdown(made: Windows) -> Node:
    """For each tap how many taps, itself included, are left: the first has the most."""
    extents = [made.node.shape[axis] for axis in made.taps]
    total: Node | None = None
    for place, (axis, extent) in enumerate(zip(made.taps, extents, strict=True)):
        line = tuple([extent if other == axis else 1 for other in range(len(made.node.shape))])
        stride = math.prod(extents[place + 1 :])
        term = b.mul(b.reshape(b.iota(extent), line), b.constant(-stride, int64))
        total = term if total is None else b.add(total, term)
    assert total is not None
    return b.add(total, b.constant(math.prod(extents), int64))


def _first_greatest(made: Windows, greatest: Node) -> tuple[Node, Node]:
    """The countdown of taps, and that of the first greatest of each window (NaN counts)."""
    count = _countdown(made)
    hit = b.equal(made.node, greatest)
    if made.node.dtype.is_floating_point:
        nan = b.not_(b.equal(made.node, made.node))
        hit = b.or_(hit, nan)
    score = b.where(hit, b.expand(count, made.node.shape), b.constant(0, int64))
    return count, b.reduce("max", score, made.taps)


def _max_gradient(
    attrs: Any, inputs: tuple[Node, ...], results: Any, gradients: list[Node | None]
) -> tuple[Node | None, ...]:
    (x,) = inputs
    g = gradients[0]
    if g is None:
        return (None,)
    shape: Geometry = attrs[1][0]
    made = windows(x, shape, least(x.dtype))
    kept = tuple([1 if axis in made.taps else n for axis, n in enumerate(made.node.shape)])
    count, best = _first_greatest(made, b.reshape(results[0], kept))
    routed = b.where(b.equal(count, best), b.reshape(g, kept), b.constant(0.0, g.dtype))
    return (spread_back(x, shape, routed),)


@composite(saves="inputs", gradient=_max_gradient)
def max_windows(input: Tensor, windows_: Geometry) -> Tensor:
    """The greatest of each window."""
    x, g = input._read(), windows_
    made = windows(x, g, least(x.dtype))
    lead = x.shape[: len(x.shape) - len(g.kernel)]
    return Tensor._traced(b.reshape(b.reduce("max", made.node, made.taps), (*lead, *g.places)))


@composite(saves="inputs", gradient=_max_gradient)
def max_windows_with_places(input: Tensor, windows_: Geometry) -> tuple[Tensor, Tensor]:
    """The greatest of each window and where it lies in the flattened spatial axes."""
    x, g = input._read(), windows_
    made = windows(x, g, least(x.dtype))
    greatest = b.reduce("max", made.node, made.taps)
    _, best = _first_greatest(made, greatest)
    lead = x.shape[: len(x.shape) - len(g.kernel)]
    shape = (*lead, *g.places)
    left = b.reshape(best, shape)
    tap = b.sub(b.constant(math.prod(g.kernel), int64), left)
    place: Node | None = None
    spatial = x.shape[len(lead) :]
    for axis, extent in enumerate(spatial):
        behind = b.constant(math.prod(g.kernel[axis + 1 :]), int64)
        own = b.mod(b.idiv(tap, behind), b.constant(g.kernel[axis], int64))
        line = tuple([-1 if other == axis else 1 for other in range(len(spatial))])
        at = b.reshape(
            b.iota(g.places[axis]), tuple([g.places[axis] if n < 0 else 1 for n in line])
        )
        start = b.sub(b.mul(at, b.constant(g.stride[axis], int64)), _fixed(g.before[axis]))
        inside = b.add(start, b.mul(own, _fixed(g.dilation[axis])))
        place = inside if place is None else b.add(b.mul(place, _fixed(extent)), inside)
    assert place is not None
    return Tensor._traced(b.reshape(greatest, shape)), Tensor._traced(b.expand(place, shape))


def _fixed(number: int) -> Node:
    return b.constant(number, int64)


def _batched(input: Tensor, rank: int, function: str) -> tuple[Tensor, bool]:
    if input.ndim == rank + 2:
        return input, True
    if input.ndim == rank + 1:
        return unsqueeze(input, 0), False
    if rank == 1:
        raise RuntimeError(
            f"{function}: Expected 2D or 3D (batch mode) tensor with optional 0 dim batch size for "
            f"input, but got:{list(input._type.shape)}"
        )
    raise RuntimeError(
        f"non-empty {rank + 1}D or {rank + 2}D (batch mode) tensor expected for input"
    )


def _unbatched(result: Tensor) -> Tensor:
    return reshape(result, result._type.shape[1:])


def _max_pool(
    rank: int,
    input: Tensor,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    name = f"max_pool{rank}d"
    batch, given = _batched(input, rank, name)
    shape = batch._type.shape
    g = geometry(name, rank, shape[2:], kernel, stride, padding, dilation, ceil_mode, shape[1])
    if not return_indices:
        result = max_windows(batch, g)
        return result if given else _unbatched(result)
    both = max_windows_with_places(batch, g)
    return both if given else tuple([_unbatched(each) for each in both])


@public(method=False, out=False)
def max_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The greatest of each window of (n, c, l); with return_indices also where it lies."""
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@public(method=False, out=False)
def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """max_pool1d with two spatial dimensions."""
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@public(method=False, out=False)
def max_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """max_pool1d with three spatial dimensions."""
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


# mean -------------------------------------------------------------------------------------------


def _counts(extent: int, g: Geometry, axis: int, include: bool) -> list[int]:
    """How many elements of an axis each window counts."""
    k, s, p = g.kernel[axis], g.stride[axis], g.before[axis]
    found = []
    for place in range(g.places[axis]):
        start = place * s - p
        stop = min(start + k, extent + p)
        found.append(stop - start if include else min(stop, extent) - max(start, 0))
    return found


def _row(counts: list[int], axis: int, rank: int, dtype: DType) -> Node:
    """The counts of an axis as an array: most are alike, so as sums of steps."""
    line = tuple([len(counts) if other == axis else 1 for other in range(rank)])
    total = b.full(line, counts[0], dtype)
    at = b.reshape(b.iota(len(counts)), line)
    for place in range(1, len(counts)):
        step = counts[place] - counts[place - 1]
        if step:
            reached = b.less(b.constant(place - 1, int64), at)
            total = b.add(total, b.where(reached, b.constant(step, dtype), b.constant(0, dtype)))
    return total


def _share(total: Node, count: Node) -> Node:
    """total / count; of integers towards 0, as PyTorch's."""
    if total.dtype.is_floating_point:
        return b.div(total, count)
    zero = b.constant(0, total.dtype)
    low = b.less(total, zero)
    size = b.idiv(b.where(low, b.neg(total), total), count)
    return b.where(low, b.neg(size), size)


@composite(saves="")
def mean_windows(input: Tensor, windows_: Geometry, include: bool, divisor: int | None) -> Tensor:
    """The mean of each window."""
    x, g = input._read(), windows_
    made = windows(x, g, 0)
    rank = len(g.kernel)
    lead = x.shape[: len(x.shape) - rank]
    total = b.reshape(b.reduce("add", made.node, made.taps), (*lead, *g.places))
    if divisor is not None:
        total = total if divisor > 0 else b.neg(total)
        return Tensor._traced(_share(total, b.constant(abs(divisor), x.dtype)))
    fixed, counted = 1, []
    for axis in range(rank):
        counts = _counts(x.shape[len(lead) + axis], g, axis, include)
        if len(set(counts)) == 1:
            fixed *= counts[0]
        else:
            counted.append(_row(counts, axis, rank, x.dtype))
    size = b.constant(fixed, x.dtype)
    return Tensor._traced(_share(total, functools.reduce(b.mul, counted, size)))


def _avg_pool(
    rank: int,
    input: Tensor,
    kernel: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None = None,
) -> Tensor:
    name = f"avg_pool{rank}d"
    batch, given = _batched(input, rank, name)
    shape = batch._type.shape
    if divisor == 0:
        raise RuntimeError("divisor must be not zero")
    if input._type.dtype is bool_:
        raise NotImplementedError(f'"{name}" not implemented for {input._type.dtype!r}')
    g = geometry(name, rank, shape[2:], kernel, stride, padding, 1, ceil_mode, shape[1])
    result = mean_windows(batch, g, count_include_pad, divisor)
    return result if given else _unbatched(result)


@public(method=False, out=False)
def avg_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window of (n, c, l)."""
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """avg_pool1d with two spatial dimensions; divisor_override replaces the windows' size."""
    return _avg_pool(
        2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


@autocasting
def avg_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """avg_pool1d with three spatial dimensions."""
    return _avg_pool(
        3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )
