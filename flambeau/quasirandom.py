"""torch.quasirandom: points that fill the unit cube evenly.

I. Sobol', 1967; direction numbers of S. Joe and F. Kuo, Constructing Sobol sequences with better
two-dimensional projections, 2008; scrambling by J. Matousek, 1998.
"""

from __future__ import annotations

from typing import Any, Self

import numpy

from flambeau.graph.dtype import DType
from flambeau.ops.generator import Generator
from flambeau.ops.random import randint
from flambeau.tensor.device import default_device_name, get_default_dtype
from flambeau.tensor.tensor import Tensor

__all__ = ["SobolEngine"]

# Each line: the primitive polynomial's inner coefficients as a number, then m₁, m₂, … up to its
# degree. Dimension 1 has none: all its m are 1.
_JOE_KUO = (
    (0, 1),
    (1, 1, 3),
    (1, 1, 3, 1),
    (2, 1, 1, 1),
    (1, 1, 1, 3, 3),
    (4, 1, 3, 5, 13),
    (2, 1, 1, 5, 5, 17),
    (4, 1, 1, 5, 5, 5),
    (7, 1, 1, 7, 11, 19),
    (11, 1, 1, 5, 1, 1),
    (13, 1, 1, 1, 3, 11),
    (14, 1, 3, 5, 5, 31),
    (1, 1, 3, 3, 9, 7, 49),
    (13, 1, 1, 1, 15, 21, 21),
    (16, 1, 3, 1, 13, 27, 49),
    (19, 1, 1, 1, 15, 7, 5),
    (22, 1, 3, 1, 15, 13, 25),
    (25, 1, 1, 5, 5, 19, 61),
    (1, 1, 3, 7, 11, 23, 15, 103),
    (4, 1, 3, 7, 13, 13, 15, 69),
)


def _directions(dimension: int, bits: int) -> Any:
    """(dimension, bits) direction numbers: whole numbers below 2^bits."""
    if dimension > len(_JOE_KUO) + 1:
        return _of_scipy(dimension, bits)
    found = numpy.ones((dimension, bits), numpy.int64)
    for row, (inner, *first) in zip(found[1:], _JOE_KUO, strict=False):
        degree = len(first)
        row[:degree] = first
        for j in range(degree, bits):
            value = row[j - degree] ^ (row[j - degree] << degree)
            for k in range(1, degree):
                if inner >> (degree - 1 - k) & 1:
                    value ^= row[j - k] << k
            row[j] = value
    return found << numpy.arange(bits - 1, -1, -1)


def _of_scipy(dimension: int, bits: int) -> Any:
    """Those of many dimensions, read off scipy's sequence: point 2ᵏ differs from the last by vₖ."""
    try:
        from scipy.stats import qmc  # type: ignore[import-untyped, unused-ignore]  # untyped
    except ImportError:
        raise ImportError(
            f"SobolEngine of {dimension} dimensions takes its direction numbers of scipy, which is "
            f"not installed (up to {len(_JOE_KUO) + 1} dimensions need it not): pip install scipy"
        ) from None
    columns = []
    for k in range(bits):
        engine = qmc.Sobol(dimension, scramble=False, bits=bits)
        if k:
            engine.fast_forward((1 << k) - 1)
        before, after = (engine.random(1) * 2.0**bits for _ in range(2))
        columns.append((before.astype(numpy.int64) ^ after.astype(numpy.int64))[0])
    return numpy.stack(columns, 1)


def _as_bits(values: Any, bits: int) -> Any:
    """Bits, the least first, along a new last dimension."""
    return values[..., None] >> numpy.arange(bits) & 1


class SobolEngine:
    """Points of a Sobol' sequence in [0, 1)^dimension. PyTorch's torch.quasirandom.SobolEngine.

    scramble   permute by random matrices and a random shift: `seed`, or the default generator, says
               which; the numbers are PyTorch's
    Raises ValueError unless 1 ≤ dimension ≤ 21201. Points are made on the host.
    """

    MAXBIT = 30
    MAXDIM = 21201

    def __init__(self, dimension: int, scramble: bool = False, seed: int | None = None) -> None:
        if not 1 <= dimension <= self.MAXDIM:
            raise ValueError(
                f"Supported range of dimensionality for SobolEngine is [1, {self.MAXDIM}]"
            )
        self.dimension = dimension
        self.scramble = scramble
        self.seed = seed
        self.num_generated = 0
        self._directions = _directions(dimension, self.MAXBIT)
        self._shift = numpy.zeros(dimension, numpy.int64)
        if scramble:
            self._scramble()
        self._last = self._shift

    def _scramble(self) -> None:
        """Multiply by random lower triangular matrices over the bits; choose where to begin."""
        bits = self.MAXBIT
        generator = None if self.seed is None else Generator().manual_seed(self.seed)
        shift = randint(2, (self.dimension, bits), generator=generator)._to_numpy()
        self._shift = (shift << numpy.arange(bits)).sum(1)
        drawn = randint(2, (self.dimension, bits, bits), generator=generator)._to_numpy()
        lower = numpy.tril(drawn, -1) + numpy.eye(bits, dtype=numpy.int64)
        parts = _as_bits(self._directions, bits)[..., ::-1]  # the greatest bit first
        mixed = numpy.einsum("dpk,djk->djp", lower, parts) & 1
        self._directions = (mixed << numpy.arange(bits - 1, -1, -1)).sum(-1)

    def _points(self, count: int) -> Any:
        """The next points as whole numbers: each differs from the last by one direction number."""
        start = self.num_generated
        first = [self._shift] if start == 0 else []
        places = numpy.arange(max(start, 1), start + count)
        lowest = numpy.log2(places & -places).astype(numpy.int64)
        moves = numpy.concatenate([self._last[None], self._directions.T[lowest]])
        moved = numpy.bitwise_xor.accumulate(moves, 0)
        self._last = moved[-1]
        self.num_generated += count
        return numpy.concatenate(
            [numpy.array(first, numpy.int64).reshape(-1, self.dimension), moved[1:]]
        )

    def draw(self, n: int = 1, out: Tensor | None = None, dtype: DType | None = None) -> Tensor:
        """The next n points: a tensor (n, dimension)."""
        kind = get_default_dtype() if dtype is None else dtype
        if n < 1:
            return Tensor._from_numpy(
                numpy.zeros((0, self.dimension), kind.numpy), default_device_name()
            )
        values = (self._points(n) / 2.0**self.MAXBIT).astype(kind.numpy)
        found = Tensor._from_numpy(values, default_device_name(), copy=False)
        if out is None:
            return found
        out.resize_(found.shape).copy_(found)
        return out

    def draw_base2(self, m: int, out: Tensor | None = None, dtype: DType | None = None) -> Tensor:
        """The next 2^m points. Raises ValueError where their number would not be a power of 2."""
        count = 2**m
        total = self.num_generated + count
        if total & (total - 1):
            raise ValueError(
                "The balance properties of Sobol' points require n to be a power of 2. "
                f"{self.num_generated} points have been previously generated, then: "
                f"n={self.num_generated}+2**{m}={total}. If you still want to do this, please use "
                "'SobolEngine.draw()' instead."
            )
        return self.draw(count, out, dtype)

    def reset(self) -> Self:
        """Begin again."""
        self._last = self._shift
        self.num_generated = 0
        return self

    def fast_forward(self, n: int) -> Self:
        """Leave out the next n points."""
        if n > 0:
            self._points(n)
        return self

    def __repr__(self) -> str:
        parts = [f"dimension={self.dimension}"]
        if self.scramble:
            parts.append("scramble=True")
        if self.seed is not None:
            parts.append(f"seed={self.seed}")
        return f"{type(self).__name__}({', '.join(parts)})"
