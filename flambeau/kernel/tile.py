"""What a renderer may know about a kernel's loops beyond the kernel itself.

A kernel whose body begins with the sum of a product or a convolution, where some axes of the domain
belong to one factor only, is a matrix product. The factors are any values (views, padding,
conversions, arithmetic), and so is what follows the sum.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flambeau.kernel.ir import Axis, Check, Fold, Kernel, Statement, Store, Value


@dataclass(frozen=True, eq=False, slots=True)
class Contraction:
    """result(fold)[batch, m, n] = Σ k  a[batch, m, k] · b[batch, k, n]; then the epilogue.

    `a` does not depend on the axes `n`, nor `b` on the axes `m`. All axes are in the kernel's
    order. k is not empty, nor are both m and n (one may be: a matrix times a vector).
    """

    fold: Fold
    batch: tuple[Axis, ...]
    m: tuple[Axis, ...]
    n: tuple[Axis, ...]
    k: tuple[Axis, ...]
    a: Value
    b: Value
    epilogue: tuple[Statement, ...]


def axes_of(roots: Iterable[Value]) -> set[Axis]:
    """The axes that values are made of, those of folds' results aside."""
    found: set[Axis] = set()
    for value in reachable(roots):
        if value.op == "axis":
            found.add(value.payload)
    return found


def reachable(roots: Iterable[Value]) -> list[Value]:
    """Every value under `roots`, once."""
    seen: dict[Value, None] = {}
    stack = list(roots)
    while stack:
        value = stack.pop()
        if value not in seen:
            seen[value] = None
            stack.extend(value.args)
    return list(seen)


def is_product(fold: Fold) -> bool:
    """Whether a Fold adds up in the order of matrix products.

    That must not depend on the axes around it: a product of one row is one of many rows' products.
    """
    return fold.product and fold.value.op == "MUL" and fold.value.dtype.is_floating_point


def factor_axes(fold: Fold, around: Iterable[Axis]) -> tuple[tuple[Axis, ...], ...] | None:
    """Of the axes around a sum of products: those of its first factor only, and of its second.

    None where it is no sum of products, where a factor does not change along the sum, or where
    both factors have the same axes: then there are no tiles to be had.
    """
    if not is_product(fold):
        return None
    value = fold.value
    of_a, of_b = axes_of([value.args[0]]), axes_of([value.args[1]])
    steps = {axis for axis in fold.axes if axis.extent > 1}
    if steps.isdisjoint(of_a) or steps.isdisjoint(of_b):
        return None
    around = tuple(around)
    m = tuple(axis for axis in around if axis in of_a and axis not in of_b)
    n = tuple(axis for axis in around if axis in of_b and axis not in of_a)
    return (m, n) if m or n else None


def contraction_of(kernel: Kernel) -> Contraction | None:
    """The kernel as a matrix product; None where it is none."""
    if not kernel.body or not isinstance(kernel.body[0], Fold):
        return None
    fold, epilogue = kernel.body[0], kernel.body[1:]
    if not all(isinstance(each, Store | Check) for each in epilogue):
        return None
    if any(axis.extent == 0 for axis in (*kernel.domain, *fold.axes)):
        return None
    groups = factor_axes(fold, kernel.domain)
    if groups is None or not _plain(kernel, fold.value):
        return None
    m, n = groups
    a, b = fold.value.args
    k = tuple(axis for axis in fold.axes if axis.extent > 1)
    batch = tuple(axis for axis in kernel.domain if axis not in m and axis not in n)
    return Contraction(fold, batch, m, n, k, a, b, epilogue)


def _plain(kernel: Kernel, value: Value) -> bool:
    """Whether the factors read nothing that the kernel writes, and no other fold."""
    for each in reachable([value]):
        if each.op == "result":
            return False
        if each.op == "load" and kernel.buffers[each.payload].written:
            return False
    return True


def tile(kernel: Kernel) -> Kernel:
    """The kernel, with `contraction` set where it is a matrix product."""
    if kernel.contraction is None:
        kernel.contraction = contraction_of(kernel)
    return kernel
