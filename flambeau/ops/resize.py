"""interpolate: each place of an axis becomes a weighted sum of a few places of the input's axis.

The axes are separate, so a mode is a table for each axis: (places, taps) indices and weights.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy

from flambeau.graph import build as b
from flambeau.ops.adaptive_pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
)
from flambeau.ops.composite import composite
from flambeau.tensor.tensor import Tensor

Array = Any
_RANKS = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}
_AREA = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}


class _Axis(NamedTuple):
    """How an axis is resized: extents, the factor that was given (None: their quotient)."""

    extent: int
    places: int
    factor: float | None
    align_corners: bool

    @property
    def step(self) -> float:
        """The distance in the input from one place of the result to the next."""
        if self.align_corners:
            return (self.extent - 1) / (self.places - 1) if self.places > 1 else 0.0
        return 1.0 / self.factor if self.factor else self.extent / self.places

    def sources(self) -> Array:
        """Where in the input each place of the result lies."""
        at = numpy.arange(self.places)
        if self.align_corners:
            return at * self.step
        return (at + 0.5) * self.step - 0.5


# tables ------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def _nearest_table(axis: _Axis, exact: bool) -> Array:
    """The one place that each place of the result reads, in float32 as PyTorch computes it."""
    at = numpy.arange(axis.places).astype(numpy.float32)
    if exact:
        at += numpy.float32(0.5)
    found = numpy.floor(at * numpy.float32(axis.step)).astype(numpy.int64)
    return numpy.minimum(found, axis.extent - 1)


def _linear_table(axis: _Axis) -> tuple[Array, Array]:
    source = numpy.maximum(axis.sources(), 0.0)
    first = numpy.minimum(numpy.floor(source).astype(numpy.int64), axis.extent - 1)
    second = numpy.minimum(first + 1, axis.extent - 1)
    share = numpy.clip(source - first, 0.0, 1.0)
    return numpy.stack([first, second], 1), numpy.stack([1.0 - share, share], 1)


def _cubic(distance: Array, a: float) -> Array:
    """Keys' cubic convolution kernel, 1981."""
    x = numpy.abs(distance)
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    far = ((x - 5.0) * x + 8.0) * x * a - 4.0 * a
    return numpy.where(x <= 1.0, near, numpy.where(x < 2.0, far, 0.0))


def _cubic_table(axis: _Axis) -> tuple[Array, Array]:
    source = axis.sources()
    base = numpy.floor(source).astype(numpy.int64)
    at = base[:, None] + numpy.arange(-1, 3)
    weights = _cubic(source[:, None] - at, -0.75)
    return numpy.clip(at, 0, axis.extent - 1), weights


def _smoothed_table(axis: _Axis, cubic: bool) -> tuple[Array, Array]:
    """Antialiasing: the kernel grows with the step where the input is reduced."""
    step = axis.step
    width = max(step, 1.0)
    support = (2.0 if cubic else 1.0) * width
    center = step * (numpy.arange(axis.places) + 0.5)
    first = numpy.maximum((center - support + 0.5).astype(numpy.int64), 0)
    stop = numpy.minimum((center + support + 0.5).astype(numpy.int64), axis.extent)
    taps = max(int((stop - first).max(initial=1)), 1)
    at = first[:, None] + numpy.arange(taps)
    distance = (at - center[:, None] + 0.5) / width
    weights = _cubic(distance, -0.5) if cubic else numpy.maximum(1.0 - numpy.abs(distance), 0.0)
    weights = numpy.where(at < stop[:, None], weights, 0.0)
    total = weights.sum(1, keepdims=True)
    return (
        numpy.minimum(at, axis.extent - 1),
        weights / numpy.where(total == 0.0, 1.0, total),
    )


@functools.lru_cache(maxsize=256)
def _weighted_table(axis: _Axis, cubic: bool, antialias: bool) -> tuple[Array, Array]:
    """(places, taps): what each place of the result reads, and with which weights."""
    if antialias:
        return _smoothed_table(axis, cubic)
    return _cubic_table(axis) if cubic else _linear_table(axis)


# the sums ----------------------------------------------------------------------------------------


class Method(NamedTuple):
    """How an axis was resized, for those who write the operation for other programs."""

    mode: str
    axis: _Axis
    antialias: bool = False


@composite(saves="")
def _resample(input: Tensor, index: Tensor, weights: Tensor, axis: int, method: Method) -> Tensor:
    """For each place the sum of its taps along `axis`, times their weights."""
    x, shares = input._read(), weights._read()
    taken = b.gather(x, index._read(), axis)
    later = (1,) * (len(x.shape) - axis - 1)
    weighted = b.mul(b.cast(taken, shares.dtype), b.reshape(shares, (*shares.shape, *later)))
    total = b.reduce("add", weighted, (axis + 1,))
    shape = (*x.shape[:axis], shares.shape[0], *x.shape[axis + 1 :])
    return Tensor._traced(b.cast(b.reshape(total, shape), x.dtype))


@composite(saves="")
def _taken(input: Tensor, index: Tensor, axis: int, method: Method) -> Tensor:
    """For each place one element along `axis`."""
    return Tensor._traced(b.gather(input._read(), index._read(), axis))


def _weighted(input: Tensor, axes: list[_Axis], cubic: bool, antialias: bool) -> Tensor:
    if not input.dtype.is_floating_point:
        raise NotImplementedError(
            f"interpolate: weighted modes need a floating-point input, got {input.dtype}: convert "
            "it with .float(), or use mode='nearest'"
        )
    kind = "float64" if input.dtype.name == "float64" else "float32"
    where = input.device.type
    for place in reversed(range(len(axes))):
        axis = axes[place]
        if axis.extent == axis.places and axis.step == 1.0:
            continue
        index, weights = _weighted_table(axis, cubic, antialias)
        input = _resample(
            input,
            Tensor._from_numpy(index, where),
            Tensor._from_numpy(weights.astype(kind), where),
            input.ndim - len(axes) + place,
            Method("cubic" if cubic else "linear", axis, antialias),
        )
    return input if axes and input._view is None and not input.is_leaf else input.clone()


def _nearest(input: Tensor, axes: list[_Axis], exact: bool) -> Tensor:
    for place, axis in enumerate(axes):
        index = Tensor._from_numpy(_nearest_table(axis, exact), input.device.type)
        method = Method("nearest-exact" if exact else "nearest", axis)
        input = _taken(input, index, input.ndim - len(axes) + place, method)
    return input


# arguments ---------------------------------------------------------------------------------------


def _each(value: Any, rank: int, name: str) -> list[Any]:
    """One value for each spatial dimension."""
    if not isinstance(value, (tuple, list)):
        return [value] * rank
    if len(value) != rank:
        raise ValueError(
            f"Input and output must have the same number of spatial dimensions, but got input with "
            f"{rank} spatial dimensions and {name} of {tuple(value)}. Give one number for each "
            "spatial dimension."
        )
    return list(value)


def _axes(
    input: Tensor, size: Any, scale_factor: Any, align_corners: bool, recompute: bool | None
) -> list[_Axis]:
    rank = input.ndim - 2
    extents = input._type.shape[2:]
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is not None:
        if recompute:
            raise ValueError(
                "recompute_scale_factor is not meaningful with an explicit size: leave it out"
            )
        sizes = [int(each) for each in _each(size, rank, "output size")]
        factors: list[Any] = [None] * rank
    elif scale_factor is not None:
        factors = [float(each) for each in _each(scale_factor, rank, "scale_factor")]
        sizes = [math.floor(n * each) for n, each in zip(extents, factors, strict=True)]
        if recompute:
            factors = [None] * rank
    else:
        raise ValueError("either size or scale_factor should be defined")
    if any(each <= 0 for each in (*sizes, *extents)):
        raise RuntimeError(
            "Input and output sizes should be greater than 0, but got input "
            f"{tuple(extents)} output {tuple(sizes)}"
        )
    return [_Axis(*each, align_corners) for each in zip(extents, sizes, factors, strict=True)]


def _check_mode(input: Tensor, mode: str, align_corners: bool | None, antialias: bool) -> None:
    if mode in ("nearest", "nearest-exact", "area"):
        if align_corners is not None:
            raise ValueError(
                "align_corners option can only be set with the interpolating modes: linear | "
                "bilinear | bicubic | trilinear"
            )
        if not 3 <= input.ndim <= 5:
            raise NotImplementedError(
                "Input Error: Only 3D, 4D and 5D input Tensors supported (got "
                f"{input.ndim}D) for the modes: nearest | linear | bilinear | bicubic | trilinear "
                f"| area | nearest-exact (got {mode})"
            )
    elif mode not in _RANKS or input.ndim != _RANKS[mode] + 2:
        raise NotImplementedError(
            f"Got {input.ndim}D input, but mode '{mode}' needs: linear 3D, bilinear and bicubic "
            "4D, trilinear 5D; nearest, nearest-exact and area take 3D to 5D"
        )
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueError(
            "Anti-alias option is restricted to bilinear and bicubic modes and requires a 4-D "
            "tensor as input"
        )


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resize the spatial dimensions of (n, c, …) to `size`, or by `scale_factor`.

    Modes: nearest, nearest-exact, area, and linear (n, c, l), bilinear and bicubic (n, c, h, w),
    trilinear (n, c, d, h, w). `align_corners`: the first and last places stay in place.
    `recompute_scale_factor`: the step is the quotient of the extents, not the factor's inverse.
    `antialias`: kernels grow where the input is reduced. Raises ValueError where size and
    scale_factor, or a mode and its options, do not go together; NotImplementedError where the
    mode does not go with the number of dimensions. Keys 1981 for the cubic kernel.
    """
    _check_mode(input, mode, align_corners, antialias)
    axes = _axes(input, size, scale_factor, bool(align_corners), recompute_scale_factor)
    if mode == "area":
        pool: Callable[..., Tensor] = _AREA[len(axes)]
        return pool(input, [each.places for each in axes])
    if mode.startswith("nearest"):
        return _nearest(input, axes, mode == "nearest-exact")
    return _weighted(input, axes, mode == "bicubic", antialias)


def upsample(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """interpolate, under its old name."""
    _deprecated("upsample")
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """interpolate with mode "nearest", under its old name."""
    _deprecated("upsample_nearest")
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """interpolate with mode "bilinear" and align_corners, under its old name."""
    _deprecated("upsample_bilinear")
    return interpolate(input, size, scale_factor, "bilinear", align_corners=True)


def _deprecated(name: str) -> None:
    warnings.warn(
        f"`nn.functional.{name}` is deprecated. Use `nn.functional.interpolate` instead.",
        stacklevel=3,
    )
