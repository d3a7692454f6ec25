"""Gamma, Poisson and binomial numbers by rejection, over the stream as PyTorch reads it.

Each number takes as many uniform ones as it happens to need, so they are drawn one after another.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy

from flambeau.ops.generator import Generator

Array = numpy.ndarray[Any, Any]
_THIRD = float(numpy.float32(1) / numpy.float32(3))  # PyTorch's third has float32's digits


class Stream:
    """A generator's float64 uniform and normal numbers one at a time; unused ones go back."""

    def __init__(self, generator: Generator, expected: int) -> None:
        self._generator = generator
        self._block = min(max(expected, 64), 1 << 16)
        self._numbers: list[float] = []
        self._place = 0

    def __enter__(self) -> Stream:
        self._remember()
        return self

    def __exit__(self, *error: object) -> None:
        self._engine.state = self._state
        if self._place:
            self._generator.uniform(self._place, 53)

    @property
    def _engine(self) -> Any:
        return self._generator._engine

    def _remember(self) -> None:
        self._state = self._engine.state
        self._numbers = self._generator.uniform(self._block, 53).tolist()
        self._place = 0

    def uniform(self) -> float:
        """The next number in [0, 1)."""
        if self._place == self._block:
            self._remember()
        self._place += 1
        return self._numbers[self._place - 1]

    def normal(self) -> float:
        """The next normal number; they come in pairs, of which the generator keeps the second."""
        kept = self._generator._normal
        if kept is not None:
            self._generator._normal = None
            return kept
        angle = 2 * math.pi * self.uniform()
        radius = math.sqrt(-2 * math.log1p(-self.uniform()))
        self._generator._normal = radius * math.sin(angle)
        return radius * math.cos(angle)


def drawn(draw: Callable[..., float], generator: Generator, need: int, *parameters: Array) -> Array:
    """draw(stream, …) for each element of the parameters, in order; `need`: uniforms for each."""
    columns = [each.astype(numpy.float64).ravel().tolist() for each in parameters]
    with Stream(generator, need * len(columns[0])) as stream:
        values = [draw(stream, *each) for each in zip(*columns, strict=True)]
    return numpy.array(values, numpy.float64).reshape(parameters[0].shape)


def gamma(stream: Stream, alpha: float) -> float:
    """G. Marsaglia and W. Tsang, A simple method for generating gamma variables (2000)."""
    scale = 1.0
    if alpha < 1:
        if alpha == 0:
            return 0.0
        scale = (1 - stream.uniform()) ** (1 / alpha)
        alpha += 1
    d = alpha - _THIRD
    c = 1 / math.sqrt(9 * d)
    while True:
        x = stream.normal()
        y = 1 + c * x
        if not y > 0:
            if y != y:
                return math.nan
            continue
        v = y * y * y
        u = 1 - stream.uniform()
        square = x * x
        if u < 1 - _SQUEEZE * square * square:
            return scale * d * v
        if math.log(u) < 0.5 * square + d * (1 - v + math.log(v)):
            return scale * d * v


_SQUEEZE = float(numpy.float32(0.0331))


def poisson(stream: Stream, rate: float) -> float:
    """D. Knuth's product of uniform numbers; from 10 on W. Hörmann's PTRS (1993)."""
    if rate == 0:
        return 0.0
    if rate >= 10:
        return _transformed_poisson(stream, rate)
    least = math.exp(-rate)
    product, count = stream.uniform(), 0
    while product > least:
        product *= stream.uniform()
        count += 1
    return float(count)


def _transformed_poisson(stream: Stream, rate: float) -> float:
    logarithm = math.log(rate)
    b = 0.931 + 2.53 * math.sqrt(rate)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    accepted = 0.9277 - 3.6224 / (b - 2)
    while True:
        u = stream.uniform() - 0.5
        v = stream.uniform()
        us = 0.5 - abs(u)
        if us == 0:
            continue
        k = math.floor((2 * a / us + b) * u + rate + 0.43)
        if us >= 0.07 and v <= accepted:
            return float(k)
        if k < 0 or (us < 0.013 and v > us):
            continue
        left = (math.log(v) if v else -math.inf) + math.log(inverse_alpha / (a / (us * us) + b))
        if left <= k * logarithm - rate - math.lgamma(k + 1):
            return float(k)


def binomial(stream: Stream, count: float, p: float) -> float:
    """Waiting times (geometric numbers); where 10 or more are expected, W. Hörmann's BTRS."""
    if count <= 0 or p <= 0:
        return 0.0
    if p >= 1:
        return count
    if p > 0.5:
        return count - binomial(stream, count, 1 - p)
    if p != p:
        return math.nan
    if count * p >= 10:
        return _transformed_binomial(stream, count, p)
    rate = math.log1p(-p)
    waited, found = 0, 0
    while True:
        uniform = stream.uniform()
        waited += math.ceil(math.log(uniform) / rate) if uniform else int(count) + 1
        if waited > count:
            return float(found)
        found += 1


def _transformed_binomial(stream: Stream, count: float, p: float) -> float:
    """W. Hörmann, The generation of binomial random variates (1993)."""
    deviation = math.sqrt(count * p * (1 - p))
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * p
    center = count * p + 0.5
    accepted = 0.92 - 4.2 / b
    odds = p / (1 - p)
    alpha = (2.83 + 5.1 / b) * deviation
    mode = math.floor((count + 1) * p)
    while True:
        u = stream.uniform() - 0.5
        v = stream.uniform()
        us = 0.5 - abs(u)
        if us == 0:
            continue
        k = math.floor((2 * a / us + b) * u + center)
        if us >= 0.07 and v <= accepted:
            return float(k)
        if not 0 <= k <= count or not v:
            continue
        left = math.log(v * alpha / (a / (us * us) + b))
        if left <= _binomial_ratio(count, mode, odds, k):
            return float(k)


def _binomial_ratio(count: float, mode: int, odds: float, k: int) -> float:
    """The logarithm of the probability of k over that of the mode."""
    choices = math.lgamma(mode + 1) + math.lgamma(count - mode + 1)
    choices -= math.lgamma(k + 1) + math.lgamma(count - k + 1)
    return choices + (k - mode) * math.log(odds)
