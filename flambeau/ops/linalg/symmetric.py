"""LDLᵀ factors of symmetric matrices, in LAPACK's packed form, and solutions from them.

J. Bunch and L. Kaufman, Some stable methods for calculating inertia and solving symmetric linear
systems, 1977: pivots are numbers, or 2 by 2 blocks where a number would be too small.
"""

from __future__ import annotations

import math
from typing import Any

import numpy

from flambeau.ops.host import differentiable, host_function
from flambeau.ops.linalg.checks import (
    INFO,
    batch_of,
    broadcast_batches,
    check_square,
    raise_where_failed,
)
from flambeau.ops.linalg.solve import check_system
from flambeau.ops.publish import public
from flambeau.ops.return_types import named
from flambeau.tensor.tensor import Tensor

ldl_factor_ = named("linalg_ldl_factor", "LD pivots")
ldl_factor_ex_ = named("linalg_ldl_factor_ex", "LD pivots info")

_ALPHA = (1 + math.sqrt(17)) / 8
"""How much less a pivot may be than what it is divided into: bounds the growth best."""


def _pivot(a: Any, k: int) -> tuple[int, int]:
    """(the row to exchange, 1 or 2: the size of the block) for column k of what is left."""
    size = len(a)
    own = abs(a[k, k])
    if k == size - 1:
        return k, 1
    other = k + 1 + int(numpy.abs(a[k + 1 :, k]).argmax())
    column = abs(a[other, k])
    if max(own, column) == 0 or own >= _ALPHA * column:
        return k, 1
    row = max(numpy.abs(a[other, k:other]).max(), numpy.abs(a[other + 1 :, other]).max(initial=0))
    if own >= _ALPHA * column * (column / row):
        return k, 1
    return other, 1 if abs(a[other, other]) >= _ALPHA * row else 2


def _exchange(a: Any, first: int, second: int) -> None:
    """Rows and columns of a symmetric matrix of which the lower triangle is kept."""
    below = slice(second + 1, None)
    a[below, [first, second]] = a[below, [second, first]]
    between = slice(first + 1, second)
    a[between, first], a[second, between] = a[second, between].copy(), a[between, first].copy()
    a[first, first], a[second, second] = a[second, second].copy(), a[first, first].copy()


def _factor(a: Any) -> tuple[Any, int]:
    """Overwrite the lower triangle by the factors; (pivots from 1, the first zero block or 0)."""
    size = len(a)
    pivots = numpy.zeros(size, numpy.int32)
    failed, k = 0, 0
    while k < size:
        other, step = _pivot(a, k)
        last = k + step - 1
        if other != last:
            _exchange(a, last, other)
            if step == 2:
                a[last, k], a[other, k] = a[other, k].copy(), a[last, k].copy()
        rest = slice(k + step, None)
        if step == 1 and a[k, k] == 0:
            failed = failed or k + 1
        else:
            block = a[k : k + step, k : k + step]
            whole = numpy.tril(block) + numpy.tril(block, -1).T
            columns = a[rest, k : k + step].copy()
            factors = columns @ numpy.linalg.inv(whole)
            a[rest, rest] -= numpy.tril(factors @ columns.T)
            a[rest, k : k + step] = factors
        pivots[k : k + step] = other + 1 if step == 1 else -(other + 1)
        k += step
    return pivots, failed


@host_function("ldl_factor")
def _host_factor(a: Any) -> tuple[Any, Any, Any]:
    """LD, pivots and info of each matrix."""
    factors = numpy.tril(a).reshape(math.prod(a.shape[:-2]), *a.shape[-2:])
    pivots = numpy.zeros(factors.shape[:2], numpy.int32)
    info = numpy.zeros(len(factors), numpy.int32)
    for place, each in enumerate(factors):
        pivots[place], info[place] = _factor(each)
    batch = a.shape[:-2]
    return factors.reshape(a.shape), pivots.reshape(a.shape[:-1]), info.reshape(batch)


@public(method=False)
def ldl_factor_ex(A: Tensor, *, hermitian: bool = False, check_errors: bool = False) -> Any:
    """(LD, pivots, info): L below the blocks of D; info is the number of the first zero pivot.

    Only the lower triangle of A is read. Runs on the host; no gradient, as in PyTorch.
    """
    check_square(A, "torch.linalg.ldl_factor_ex")
    if hermitian and A.is_complex():
        raise NotImplementedError("ldl_factor_ex: hermitian=True is there for real matrices only")
    shape, dtype = A._type.shape, A._type.dtype
    found = _host_factor([A], (), [(shape, dtype), (shape[:-1], INFO), (batch_of(A), INFO)])
    if check_errors:
        raise_where_failed(
            found[2], "torch.linalg.ldl_factor", lambda entry: f"D[{entry},{entry}] is zero."
        )
    return ldl_factor_ex_(*found)


@public(method=False)
def ldl_factor(A: Tensor, *, hermitian: bool = False) -> Any:
    """(LD, pivots) of symmetric matrices: see ldl_factor_ex. Raises LinAlgError where one fails."""
    found = ldl_factor_ex(A, hermitian=hermitian, check_errors=True)
    return ldl_factor_(found.LD, found.pivots)


def _blocks(pivots: Any) -> list[tuple[int, int]]:
    """(start, size) of the blocks of D."""
    found, k = [], 0
    while k < len(pivots):
        found.append((k, 1 if pivots[k] > 0 else 2))
        k += found[-1][1]
    return found


def _solved(factors: Any, pivots: Any, x: Any) -> None:
    """Overwrite the right-hand sides by the solution: forward, through D, and back."""
    blocks = _blocks(pivots)
    for k, step in blocks:
        last, other = k + step - 1, abs(int(pivots[k])) - 1
        x[[last, other]] = x[[other, last]]
        part, rest = slice(k, k + step), slice(k + step, None)
        x[rest] -= factors[rest, part] @ x[part]
        block = numpy.tril(factors[part, part])
        x[part] = numpy.linalg.solve(block + numpy.tril(block, -1).T, x[part])
    for k, step in reversed(blocks):
        last, other = k + step - 1, abs(int(pivots[k])) - 1
        part, rest = slice(k, k + step), slice(k + step, None)
        x[part] -= factors[rest, part].T @ x[rest]
        x[[last, other]] = x[[other, last]]


@host_function("ldl_solve")
def _host_solve(factors: Any, pivots: Any, right: Any) -> Any:
    """The solutions."""
    count = math.prod(right.shape[:-2])
    found = right.copy().reshape(count, *right.shape[-2:])
    wide = factors.reshape(count, *factors.shape[-2:])
    orders = pivots.reshape(count, pivots.shape[-1])
    for each, factor, order in zip(found, wide, orders, strict=True):
        _solved(factor, order, each)
    return found.reshape(right.shape)


def _solve_gradient(arguments: Any, results: Any, gradients: Any) -> Any:
    """The matrix is symmetric: the same solution."""
    LD, pivots, _ = arguments
    return None, None, None if gradients[0] is None else _solution(LD, pivots, gradients[0])


@differentiable(_solve_gradient)
def _solution(LD: Tensor, pivots: Tensor, B: Tensor) -> Any:
    return _host_solve([LD, pivots, B], (), [(B._type.shape, B._type.dtype)])[0]


@public(method=False)
def ldl_solve(LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False) -> Any:
    """X with A X = B, from ldl_factor's factors of A. Differentiable in B. Runs on the host."""
    check_system(LD, B, True, "torch.linalg.ldl_solve")
    if hermitian and LD.is_complex():
        raise NotImplementedError("ldl_solve: hermitian=True is there for real matrices only")
    factors, right = broadcast_batches(LD, B)
    order = pivots.expand(factors._type.shape[:-1])
    return _solution(factors, order, right)
