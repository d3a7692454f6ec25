"""What numpy's linear algebra lacks, on arrays: failures by matrix, substitution, LU, exp."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy

Array = numpy.ndarray[Any, Any]


def without_failure(
    function: Callable[..., Array], a: Array, shape: tuple[int, ...], filler: float, *others: Array
) -> tuple[Array, Array]:
    """function(a, …) with an entry of info for each matrix: 0, or the number of the zero pivot.

    Where one matrix of a batch is singular, numpy raises for all: then they are taken one by one,
    and the results of those that have none are `filler`.
    """
    info = numpy.zeros(a.shape[:-2], numpy.int32)
    try:
        return function(a, *others), info
    except numpy.linalg.LinAlgError:
        result = numpy.full(shape, filler, a.dtype)
        for place in numpy.ndindex(a.shape[:-2]):
            try:
                result[place] = function(a[place], *[each[place] for each in others])
            except numpy.linalg.LinAlgError:
                info[place] = max(1, int(first_zero(lu_factors(a[place])[0])))
        return result, info


def cholesky_factor(a: Array) -> tuple[Array, Array]:
    """Lower factors; for a matrix that is not positive definite its own lower triangle."""
    info = numpy.zeros(a.shape[:-2], numpy.int32)
    try:
        return numpy.linalg.cholesky(a), info
    except numpy.linalg.LinAlgError:
        result = numpy.tril(a)
        for place in numpy.ndindex(a.shape[:-2]):
            try:
                result[place] = numpy.linalg.cholesky(a[place])
            except numpy.linalg.LinAlgError:
                info[place] = _first_minor(a[place])
        return result, info


def _first_minor(a: Array) -> int:
    """The order of the first leading minor that is not positive, by bisection."""
    low, high = 0, len(a)  # positive up to low, not at high
    while high - low > 1:
        middle = (low + high) // 2
        try:
            numpy.linalg.cholesky(a[:middle, :middle])
            low = middle
        except numpy.linalg.LinAlgError:
            high = middle
    return high


def substituted(a: Array, b: Array, upper: bool, unit: bool) -> Array:
    """X with a X = b by substitution, one row after the other, all batches at once."""
    result = b.copy()
    rows = a.shape[-1]
    for row in reversed(range(rows)) if upper else range(rows):
        known = slice(row + 1, None) if upper else slice(None, row)
        value = result[..., row, :]
        value = value - (a[..., row, None, known] @ result[..., known, :])[..., 0, :]
        if not unit:
            value = value / a[..., row, row, None]
        result[..., row, :] = value
    return result


def lu_factors(a: Array) -> tuple[Array, Array]:
    """L (without its ones) and U in one array, and the rows exchanged, counted from 1.

    Gaussian elimination with partial pivoting, all batches at once (Golub and Van Loan, 3.4.4).
    """
    factors = a.reshape(-1, *a.shape[-2:]).copy()
    batch, rows, columns = factors.shape
    count = min(rows, columns)
    pivots = numpy.empty((batch, count), numpy.int32)
    every = numpy.arange(batch)
    for step in range(count):
        place = step + numpy.abs(factors[:, step:, step]).argmax(1)
        pivots[:, step] = place + 1
        here = factors[:, step].copy()
        factors[:, step] = factors[every, place]
        factors[every, place] = here
        pivot = factors[:, step, step, None]
        below = factors[:, step + 1 :, step]
        below[...] = numpy.where(pivot == 0, below, below / pivot)
        factors[:, step + 1 :, step + 1 :] -= below[:, :, None] * factors[:, None, step, step + 1 :]
    return factors.reshape(a.shape), pivots.reshape(*a.shape[:-2], count)


def first_zero(factors: Array) -> Array:
    """The number (from 1) of the first zero on the diagonal, 0 where there is none."""
    zero = numpy.diagonal(factors, axis1=-2, axis2=-1) == 0
    if not zero.shape[-1]:
        return numpy.zeros(zero.shape[:-1], numpy.int32)
    return numpy.where(zero.any(-1), zero.argmax(-1) + 1, 0).astype(numpy.int32)


_PADE = (
    64764752532480000,
    32382376266240000,
    7771770303897600,
    1187353796428800,
    129060195264000,
    10559470521600,
    670442572800,
    33522128640,
    1323241920,
    40840800,
    960960,
    16380,
    182,
    1,
)


def exponential(a: Array) -> Array:
    """exp of matrices: scaling, Padé's approximant of degree 13, squaring (N. Higham, 2005)."""
    if not a.size:
        return a.copy()
    norms = numpy.abs(a).sum(-2).max(-1)
    finite = numpy.isfinite(norms)
    halvings = numpy.zeros(norms.shape, int)
    large = finite & (norms > 5.37)
    halvings[large] = numpy.ceil(numpy.log2(norms[large] / 5.37)).astype(int)
    own = numpy.float64 if a.dtype.kind == "f" else numpy.complex128
    scaled = numpy.where(finite[..., None, None], a, 0).astype(own)
    scaled = scaled / numpy.exp2(halvings)[..., None, None]
    result = _pade(scaled)
    for step in range(int(halvings.max(initial=0))):
        result = numpy.where((halvings > step)[..., None, None], result @ result, result)
    result = numpy.where(finite[..., None, None], result, math.nan)
    return result.astype(a.dtype)


def _pade(a: Array) -> Array:
    one = numpy.eye(a.shape[-1], dtype=a.dtype)
    c = _PADE
    two = a @ a
    four = two @ two
    six = two @ four
    odd = a @ (
        six @ (c[13] * six + c[11] * four + c[9] * two)
        + c[7] * six
        + c[5] * four
        + c[3] * two
        + c[1] * one
    )
    even = (
        six @ (c[12] * six + c[10] * four + c[8] * two)
        + c[6] * six
        + c[4] * four
        + c[2] * two
        + c[0] * one
    )
    return numpy.linalg.solve(even - odd, even + odd)
