"""Random numbers written into tensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy

from flambeau.graph import dtype as dtypes
from flambeau.ops.creation import refuse
from flambeau.ops.generator import Generator
from flambeau.ops.limits import iinfo
from flambeau.ops.publish import write
from flambeau.ops.random import (
    MANTISSA,
    Array,
    engine_of,
    exponential_values,
    float_dtype,
    integer_values,
    normal_values,
    placed_draw,
    uniform_values,
)
from flambeau.tensor.attach import method
from flambeau.tensor.tensor import Tensor


def _write(target: Tensor, draw: Callable[[], Array]) -> Tensor:
    where = target._storage.node.device
    return write(target, placed_draw(draw, target._type.shape, target.dtype, where))


@method()
def uniform_(
    self: Tensor,
    from_: float = 0.0,
    to: float = 1.0,
    *,
    generator: Generator | None = None,
    **keywords: Any,
) -> Tensor:
    """Write numbers that are uniform in [from, to)."""
    low = keywords.pop("from", from_)
    high = keywords.pop("b", to)
    low = keywords.pop("a", low)
    refuse("uniform_", keywords)
    of = float_dtype("check_uniform_bounds", self.dtype)
    if low > high:
        raise RuntimeError(
            f"uniform_ expects to return a [from, to) range, but found from={low:g} > to={high:g}"
        )
    own: Any = numpy.float64 if of is dtypes.float64 else numpy.float32
    count = self.numel()

    def draw() -> Array:
        uniform = uniform_values(count, of, generator).astype(own)
        span = own(high) - own(low)
        if own is numpy.float32:  # rounded once, as by a fused multiply and add
            wide = uniform.astype(numpy.float64) * numpy.float64(span) + numpy.float64(own(low))
            return wide.astype(own)
        return uniform * span + own(low)

    return _write(self, draw)


@method()
def normal_(
    self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Write normal numbers."""
    of = float_dtype("normal_", self.dtype)
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    count = self.numel()
    return _write(self, lambda: normal_values(count, of, mean, std, generator))


@method()
def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Write 1 with probability p (a number, or a tensor with one for each element), else 0."""
    if isinstance(p, Tensor):
        probabilities: Any = p.detach()._to_numpy()
        digits = 53 if p.dtype is dtypes.float64 else 24
    else:
        if not 0 <= p <= 1:
            raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
        probabilities, digits = p, 53
    count, shape = self.numel(), self._type.shape

    def draw() -> Array:
        uniform = engine_of(generator).uniform(count, digits)
        return uniform.reshape(shape) < probabilities

    return _write(self, draw)


@method()
def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Write exponential numbers of rate lambd."""
    float_dtype("exponential_", self.dtype)
    if lambd <= 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    count = self.numel()
    return _write(self, lambda: exponential_values(count, lambd, generator))


@method()
def random_(
    self: Tensor,
    from_: int | None = None,
    to: int | None = None,
    *,
    generator: Generator | None = None,
    **keywords: Any,
) -> Tensor:
    """Write whole numbers in [from, to): random_(to), random_(from, to), or all of the dtype's."""
    low = keywords.pop("from", from_)
    refuse("random_", keywords)
    if to is None:
        low, to = 0, low
    if to is None:
        of = self.dtype
        bits = MANTISSA[of] if of.is_floating_point else None
        to = (1 << bits) + 1 if bits else 2 if of.kind == "bool" else iinfo(of).max + 1
    low = low or 0
    if low >= to:
        raise RuntimeError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={to}"
        )
    count = self.numel()
    return _write(self, lambda: integer_values(low, to, count, generator))


@method()
def cauchy_(
    self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Write numbers of the Cauchy distribution."""
    float_dtype("cauchy_", self.dtype)
    count = self.numel()

    def draw() -> Array:
        uniform = engine_of(generator).uniform(count, 53)
        return median + sigma * numpy.tan(math.pi * (uniform - 0.5))

    return _write(self, draw)


@method()
def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Write numbers of trials up to the first success of probability p."""
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
    count = self.numel()

    def draw() -> Array:
        uniform = engine_of(generator).uniform(count, 53)
        return numpy.ceil(numpy.log(uniform) / math.log1p(-p))

    return _write(self, draw)


@method()
def log_normal_(
    self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None
) -> Tensor:
    """Write exponentials of normal numbers."""
    of = float_dtype("log_normal_", self.dtype)
    count = self.numel()

    def draw() -> Array:
        normals = engine_of(generator).normals(count)
        return numpy.exp(normals * std + mean).astype(of.numpy)

    return _write(self, draw)
