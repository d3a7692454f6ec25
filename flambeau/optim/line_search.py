"""A step length along a direction by the strong Wolfe conditions.

J. Nocedal and S. Wright, Numerical Optimization, 2006, algorithms 3.5 and 3.6: the step grows until
it brackets a point that is low and flat enough, then the bracket shrinks; new points are the minima
of cubics through the values and slopes at its ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LOWER = 1e-4
"""A step must gain this part of what the slope at 0 promises."""

FLATTER = 0.9
"""The slope at the step is at most this part of that at 0."""

STEPS = 25
"""So many points are tried at most."""


@dataclass
class Point:
    """A step length and what was found there: value, gradient and slope along the direction."""

    at: float
    value: float
    gradient: Any
    slope: float


Evaluate = Callable[[float], Point]


def minimum_between(one: Point, other: Point, low: float, high: float) -> float:
    """Where the cubic through two points and their slopes is least, within [low, high]."""
    first, second = (one, other) if one.at <= other.at else (other, one)
    if first.at == second.at:
        return (low + high) / 2
    d1 = first.slope + second.slope - 3 * (first.value - second.value) / (first.at - second.at)
    square = d1 * d1 - first.slope * second.slope
    if square < 0:
        return (low + high) / 2
    d2 = square**0.5
    share = (second.slope + d2 - d1) / (second.slope - first.slope + 2 * d2)
    return min(max(second.at - (second.at - first.at) * share, low), high)


def strong_wolfe(
    evaluate: Evaluate, start: Point, step: float, size: float, tolerance: float
) -> tuple[Point, int]:
    """The point chosen and how many were evaluated.

    start       the point at 0
    step        the first length to try
    size        the greatest element of the direction
    tolerance   a bracket shorter than this, times size, is not searched
    """
    before, point, tried = start, evaluate(step), 1
    bracket: list[Point] | None = None
    while tried < STEPS:
        promised = start.value + LOWER * point.at * start.slope
        if point.value > promised or (tried > 1 and point.value >= before.value):
            bracket = [before, point]
            break
        if abs(point.slope) <= -FLATTER * start.slope:
            return point, tried
        if point.slope >= 0:
            bracket = [before, point]
            break
        low, high = point.at + 0.01 * (point.at - before.at), point.at * 10
        before, point = point, evaluate(minimum_between(before, point, low, high))
        tried += 1
    if bracket is None:
        bracket = [start, point]
    return _shrink(evaluate, start, bracket, size, tolerance, tried)


def _shrink(
    evaluate: Evaluate,
    start: Point,
    bracket: list[Point],
    size: float,
    tolerance: float,
    tried: int,
) -> tuple[Point, int]:
    """Narrow a bracket until a point of it is good enough."""
    bracket.sort(key=lambda each: each.value)
    stuck = False
    while tried < STEPS:
        best, other = bracket
        width = abs(other.at - best.at)
        if width * size < tolerance:
            break
        low, high = sorted((best.at, other.at))
        at = minimum_between(best, other, low, high)
        margin = 0.1 * width
        if min(high - at, at - low) < margin:  # close to an end: not twice, and not beyond
            if stuck or at >= high or at <= low:
                at = high - margin if abs(at - high) < abs(at - low) else low + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        point = evaluate(at)
        tried += 1
        if point.value > start.value + LOWER * point.at * start.slope or point.value >= best.value:
            bracket = sorted([best, point], key=lambda each: each.value)
            continue
        if abs(point.slope) <= -FLATTER * start.slope:
            return point, tried
        if point.slope * (other.at - best.at) >= 0:
            other = best
        bracket = [point, other]
    return bracket[0], tried
