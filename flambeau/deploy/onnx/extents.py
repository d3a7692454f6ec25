"""Whole numbers that may depend on the extents of the inputs.

A model with dynamic axes is traced several times, with other extents each time. What is the same
number in every trace is that number; what differs is a Dim, known by its value in each trace. The
writer looks for an expression over the extents of arrays that has exactly these values.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple


class Dim(NamedTuple):
    """A whole number that differs from trace to trace."""

    values: tuple[int, ...]


class Mixed(NamedTuple):
    """Anything else that differs from trace to trace."""

    values: tuple[Any, ...]


Extent = int | Dim
Extents = tuple[Extent, ...]


def merge(values: Sequence[Any]) -> Any:
    """What the traces have at one place: the same thing, a Dim, a tuple of these, or Mixed."""
    first = values[0]
    if all(each is first or (type(each) is type(first) and each == first) for each in values):
        return first
    if all(type(each) is int for each in values):
        return Dim(tuple(values))
    if all(isinstance(each, tuple) and len(each) == len(first) for each in values):
        parts = [merge(each) for each in zip(*values, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)
    return Mixed(tuple(values))


def varies(value: Any) -> bool:
    """Whether something in `value` differs from trace to trace."""
    if isinstance(value, Dim | Mixed):
        return True
    return isinstance(value, tuple | list) and any(map(varies, value))


def apply(function: Callable[..., int], *extents: Extent) -> Extent:
    """The function's value in each trace."""
    count = next((len(each.values) for each in extents if isinstance(each, Dim)), 1)
    rows = [each.values if isinstance(each, Dim) else (each,) * count for each in extents]
    found: Extent = merge([int(function(*row)) for row in zip(*rows, strict=True)])
    return found


def product(extents: Iterable[Extent]) -> Extent:
    total: Extent = 1
    for each in extents:
        total = apply(lambda x, y: x * y, total, each)
    return total


class Affine(NamedTuple):
    """(factor · base + offset) / divisor, exactly."""

    base: Dim
    factor: int
    offset: int
    divisor: int


class Product(NamedTuple):
    """factor · the product of the bases."""

    bases: tuple[Dim, ...]
    factor: int


class Sum(NamedTuple):
    """first + second + offset"""

    first: Dim
    second: Dim
    offset: int


class Quotient(NamedTuple):
    """⌊(base + offset) / divisor⌋"""

    base: Dim
    offset: int
    divisor: int


Expression = Affine | Product | Sum | Quotient


def explain(wanted: Dim, known: Sequence[Dim]) -> Expression | None:
    """An expression over known Dims that has the wanted value in every trace; the simplest."""
    affine = [found for each in known if (found := _affine(wanted, each)) is not None]
    if affine:
        return min(affine, key=lambda each: (each.divisor, abs(each.offset)))
    for count in (2, 3):
        for bases in itertools.combinations_with_replacement(known[:40], count):
            factor = _factor(wanted, bases)
            if factor is not None:
                return Product(bases, factor)
    for first, second in itertools.combinations_with_replacement(known, 2):
        rest = {
            value - one - other
            for value, one, other in zip(wanted.values, first.values, second.values, strict=True)
        }
        if len(rest) == 1:
            return Sum(first, second, rest.pop())
    return _quotient(wanted, known)


def _quotient(wanted: Dim, known: Sequence[Dim]) -> Quotient | None:
    """Rounded down or up, with the least divisor. None where several roundings would do."""
    for divisor in range(2, 33):
        for base in known:
            found = [
                Quotient(base, offset, divisor)
                for offset in (-1, 0, divisor - 1, divisor)
                if wanted == apply(lambda n, more=offset, by=divisor: (n + more) // by, base)
            ]
            if found:
                return found[0] if len(found) == 1 else None
    return None


def _affine(wanted: Dim, base: Dim) -> Affine | None:
    points = sorted(set(zip(base.values, wanted.values, strict=True)))
    if len({at for at, _ in points}) != len(points) or len(points) < 2:
        return None
    slope = Fraction(points[1][1] - points[0][1], points[1][0] - points[0][0])
    offset = points[0][1] - slope * points[0][0]
    if slope == 0 or any(slope * at + offset != value for at, value in points):
        return None
    divisor = slope.denominator
    if (offset * divisor).denominator != 1:
        return None
    return Affine(base, slope.numerator, int(offset * divisor), divisor)


def _factor(wanted: Dim, bases: Sequence[Dim]) -> int | None:
    products = [1] * len(wanted.values)
    for each in bases:
        products = [total * value for total, value in zip(products, each.values, strict=True)]
    quotients = {
        Fraction(value, total) if total else None
        for value, total in zip(wanted.values, products, strict=True)
    }
    found = quotients.pop() if len(quotients) == 1 else None
    return int(found) if found is not None and found.denominator == 1 and found else None
