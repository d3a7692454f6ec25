"""Images read where a grid says: functional.grid_sample and affine_grid.

One composition for images and volumes: every mode reads, for each axis, some taps near a position,
with weights; a result is the sum over all combinations of the axes' taps. Jaderberg et al., 2015.
"""

from __future__ import annotations

import functools
import itertools
import math
import warnings
from collections.abc import Sequence
from typing import Any

from flambeau.graph import build as b
from flambeau.graph.dtype import int64
from flambeau.graph.node import Node, Shape
from flambeau.ops.autocast import autocasting
from flambeau.ops.composite import composite
from flambeau.ops.norm import wide
from flambeau.ops.publish import publish, title
from flambeau.tensor.tensor import Tensor

_MODES = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")
_A = -0.75  # Keys' constant of bicubic interpolation

Tap = tuple[Node, Node]
"""Where on an axis something is read (whole numbers, as floats), and what it weighs."""


def _number(value: float, like: Node) -> Node:
    return b.constant(value, like.dtype)


def _absolute(x: Node) -> Node:
    return b.maximum(x, b.neg(x))


def _whole(position: Node, extent: int, align_corners: bool) -> Node:
    """From -1 … 1 to elements."""
    one, half = _number(1.0, position), _number(0.5, position)
    if align_corners:
        return b.mul(b.mul(b.add(position, one), half), _number(extent - 1, position))
    spread = b.mul(b.add(position, one), _number(extent, position))
    return b.mul(b.sub(spread, one), half)


def _bounded(position: Node, extent: int) -> Node:
    """The nearest position inside; what is moved passes no gradient on."""
    last, zero = _number(extent - 1, position), _number(0.0, position)
    inside = b.and_(b.less(zero, position), b.less(position, last))
    edge = b.where(b.less(zero, position), last, zero)
    return b.where(inside, position, edge)


def _reflected(position: Node, extent: int, align_corners: bool) -> Node:
    """Mirrored at the edges as often as it takes; they lie in the middle of elements or not."""
    low, high = (0.0, extent - 1.0) if align_corners else (-0.5, extent - 0.5)
    span = high - low
    if span == 0:
        return b.mul(position, _number(0.0, position))
    away = _absolute(b.sub(position, _number(low, position)))
    turns = b.detach(b.floor(b.div(away, _number(span, position))))
    rest = b.sub(away, b.mul(turns, _number(span, position)))
    two = _number(2.0, position)
    even = b.equal(b.sub(turns, b.mul(b.floor(b.div(turns, two)), two)), _number(0.0, position))
    forth = b.add(rest, _number(low, position))
    back = b.sub(_number(span + low, position), rest)
    return b.where(even, forth, back)


def _padded(position: Node, extent: int, padding: str, align_corners: bool) -> Node:
    if padding == "zeros":
        return position
    if padding == "reflection":
        position = _reflected(position, extent, align_corners)
    return _bounded(position, extent)


def _cubic(distance: Node) -> Node:
    """Cubic convolution at a distance below 2. Keys, 1981."""
    d, one = distance, _number(1.0, distance)
    near = b.sub(b.mul(_number(_A + 2, d), d), _number(_A + 3, d))
    near = b.add(b.mul(b.mul(near, d), d), one)
    far = b.sub(b.mul(_number(_A, d), d), _number(5 * _A, d))
    far = b.sub(b.mul(b.add(b.mul(far, d), _number(8 * _A, d)), d), _number(4 * _A, d))
    return b.where(b.less(one, d), far, near)


def _rounded(position: Node) -> Node:
    """The nearest whole number; of two the even one."""
    half, one, two = (_number(value, position) for value in (0.5, 1.0, 2.0))
    low = b.floor(position)
    above = b.sub(position, low)
    odd = b.equal(b.sub(low, b.mul(b.floor(b.div(low, two)), two)), one)
    up = b.or_(b.less(half, above), b.and_(b.equal(above, half), odd))
    return b.where(up, b.add(low, one), low)


def _taps(position: Node, extent: int, mode: str, padding: str, corners: bool) -> list[Tap]:
    """What is read along one axis."""
    where = _whole(position, extent, corners)
    one = _number(1.0, where)
    if mode == "bicubic":
        first = b.detach(b.floor(where))
        share, found = b.sub(where, first), []
        for offset in (-1, 0, 1, 2):
            step = _number(offset, where)
            place = b.detach(_padded(b.add(first, step), extent, padding, corners))
            found.append((place, _cubic(_absolute(b.sub(share, step)))))
        return found
    where = _padded(where, extent, padding, corners)
    if mode == "nearest":
        whole = b.graft(b.full_like(where, 1.0), b.mul(where, _number(0.0, where)))
        return [(b.detach(_rounded(where)), whole)]  # the gradient is 0, not nothing
    first = b.detach(b.floor(where))
    share = b.sub(where, first)
    return [(first, b.sub(one, share)), (b.add(first, one), share)]


def _flat(places: Sequence[Node], spatial: Shape) -> tuple[Node, Node]:
    """The number of an element in the flattened axes, kept inside, and whether it is inside."""
    number: Node | None = None
    inside: Node | None = None
    for place, extent in zip(places, spatial, strict=True):
        last, zero = _number(extent - 1, place), _number(0.0, place)
        within = b.and_(b.not_(b.less(place, zero)), b.not_(b.less(last, place)))
        within = b.and_(within, b.equal(place, place))
        safe = b.cast(b.where(within, place, zero), int64)
        inside = within if inside is None else b.and_(inside, within)
        if number is not None:
            safe = b.add(b.mul(number, b.constant(extent, int64)), safe)
        number = safe
    assert number is not None
    assert inside is not None
    return number, inside


@composite(saves="inputs")
def _sampled(input: Tensor, grid: Tensor, mode: str, padding: str, align_corners: bool) -> Tensor:
    """Channels last, so that a place is worked out once for all of them."""
    x, positions = wide(input._read()), wide(grid._read())
    rows, channels, *spatial = x.shape
    count, rank = math.prod(positions.shape[1:-1]), len(spatial)
    axes = []
    for place, extent in enumerate(spatial):  # the grid names the last axis first
        start = (0,) * (rank + 1) + (rank - 1 - place,)
        part = b.reshape(b.slice_(positions, start, (*positions.shape[:-1], 1)), (rows, count))
        axes.append(_taps(part, extent, mode, padding, align_corners))
    elements = math.prod(spatial)
    image = b.permute(b.reshape(x, (rows, channels, elements)), (0, 2, 1))
    image = b.reshape(image, (rows * elements, channels))
    image_start = b.mul(b.reshape(b.iota(rows), (rows, 1)), b.constant(elements, int64))
    total: Node | None = None
    for combination in itertools.product(*axes):
        number, inside = _flat([place for place, _ in combination], tuple(spatial))
        weight = functools.reduce(b.mul, [share for _, share in combination])
        taken = b.gather(image, b.add(image_start, number), 0)
        counts = b.reshape(inside, (rows, count, 1))
        zero = _number(0.0, x)
        term = b.mul(b.where(counts, taken, zero), b.reshape(weight, (rows, count, 1)))
        total = term if total is None else b.add(total, term)
    assert total is not None
    shape = (rows, channels, *positions.shape[1:-1])
    # turned afterwards: a kernel that stores channel by channel would read the image across
    found = b.reshape(b.permute(b.materialize(total), (0, 2, 1)), shape)
    return Tensor._traced(b.cast(found, input._type.dtype))


def _check_grid(input: Tensor, grid: Tensor, mode: str) -> None:
    shape, places = input._type.shape, grid._type.shape
    both = f"but got input with sizes {list(shape)} and grid with sizes {list(places)}"
    if not shape or not places or shape[0] != places[0]:
        raise RuntimeError(
            f"grid_sampler(): expected grid and input to have same batch size, {both}"
        )
    if len(shape) not in (4, 5) or len(shape) != len(places):
        raise RuntimeError(
            "grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, "
            f"{both}"
        )
    if places[-1] != len(shape) - 2:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {len(shape) - 2} in last dimension, but "
            f"got grid with sizes {list(places)}"
        )
    for axis, extent in enumerate(shape[2:], 2):
        if extent == 0:
            raise RuntimeError(
                "grid_sampler(): expected input to have non-empty spatial dimensions, but input "
                f"has sizes {list(shape)} with dimension {axis} being empty"
            )
    if mode == "bicubic" and len(shape) != 4:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    if input._type.dtype is not grid._type.dtype:
        raise RuntimeError(
            f"expected scalar type {title(input._type.dtype)} but found {title(grid._type.dtype)}"
        )
    if not input._type.dtype.is_floating_point:
        raise NotImplementedError(
            f"\"grid_sampler\" not implemented for '{title(input._type.dtype)}'"
        )


def _corners(align_corners: bool | None) -> bool:
    """The answer, with PyTorch's warning where nothing was said."""
    if align_corners is None:
        warnings.warn(
            "Default grid_sample and affine_grid behavior has changed to align_corners=False since "
            "1.3.0. Please specify align_corners=True if the old behavior is desired. See the "
            "documentation of grid_sample for details.",
            stacklevel=3,
        )
    return bool(align_corners)


@autocasting
def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """`input` (n, c, h, w) read at `grid` (n, h', w', 2) → (n, c, h', w'); also with a depth.

    The grid holds (x, y), from -1 to 1 over the image: between the centres of its outermost
    elements with align_corners, else between their edges. Beyond, padding_mode "zeros", "border"
    or "reflection". mode "bilinear", "nearest" or (images only) "bicubic". Raises ValueError for
    other modes, RuntimeError where shapes or dtypes do not fit.
    """
    if mode not in _MODES:
        raise ValueError(
            "nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', "
            f"but got: '{mode}'"
        )
    if padding_mode not in _PADDINGS:
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or "
            f"'reflection', but got: '{padding_mode}'"
        )
    corners = _corners(align_corners)
    _check_grid(input, grid, mode)
    return _sampled(input, grid, mode, padding_mode, corners)


def grid_sampler(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """grid_sample with its modes as numbers: places in (bilinear, nearest, bicubic) and so on."""
    return grid_sample(
        input, grid, _MODES[interpolation_mode], _PADDINGS[padding_mode], bool(align_corners)
    )


publish(grid_sampler, "grid_sampler", "grid_sampler_2d", "grid_sampler_3d")


# grids ------------------------------------------------------------------------------------------


def _line(count: int, align_corners: bool, theta: Node) -> Node:
    """Positions of `count` elements, from -1 to 1."""
    dtype = wide(theta).dtype
    if count == 1:
        return b.full((1,), 0.0, dtype)
    at = b.cast(b.iota(count), dtype)
    step = 2.0 / (count - 1) if align_corners else 2.0 / count
    start = -1.0 if align_corners else -1.0 + 1.0 / count
    return b.add(b.mul(at, b.constant(step, dtype)), b.constant(start, dtype))


@composite(saves="")
def _affine(theta: Tensor, spatial: Shape, align_corners: bool) -> Tensor:
    """theta times (x, y, 1) of every element: a sum for each of its rows."""
    matrix = wide(theta._read())
    rows, rank, _ = matrix.shape
    total: Node | None = None
    for column in range(rank + 1):
        factor = b.slice_(matrix, (0, 0, column), (rows, rank, 1))
        factor = b.reshape(factor, (rows, *(1,) * rank, rank))
        if column < rank:
            axis = rank - 1 - column
            shape = [1] * (rank + 2)
            shape[1 + axis] = spatial[axis]
            line = b.reshape(_line(spatial[axis], align_corners, matrix), tuple(shape))
            factor = b.mul(line, factor)
        total = factor if total is None else b.add(total, factor)
    assert total is not None
    return Tensor._traced(b.cast(b.expand(total, (rows, *spatial, rank)), theta._type.dtype))


def affine_grid(theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
    """A grid for grid_sample of affine maps: theta (n, 2, 3), size (n, c, h, w) → (n, h, w, 2).

    For volumes (n, 3, 4) and (n, c, d, h, w) → (n, d, h, w, 3). Raises ValueError and
    NotImplementedError where these do not fit.
    """
    if not theta._type.dtype.is_floating_point:
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    corners = _corners(align_corners)
    shape = tuple([int(each) for each in size])
    if len(shape) not in (4, 5):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, "
            f"respectively. Got size {shape}."
        )
    rank = len(shape) - 2
    if theta.ndim != 3 or theta._type.shape[1:] != (rank, rank + 1):
        raise ValueError(
            f"Expected a batch of {rank}D affine matrices of shape Nx{rank}x{rank + 1} for size "
            f"{shape}. Got {theta.shape}."
        )
    if min(shape) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {shape}")
    if theta._type.shape[0] != shape[0]:
        raise RuntimeError(
            f"affine_grid: theta holds {theta._type.shape[0]} matrices, size wants {shape[0]}"
        )
    return _affine(theta, shape[2:], corners)


def affine_grid_generator(theta: Tensor, size: Any, align_corners: bool) -> Tensor:
    """affine_grid, under its name in torch."""
    return affine_grid(theta, size, bool(align_corners))


publish(affine_grid_generator, "affine_grid_generator")
