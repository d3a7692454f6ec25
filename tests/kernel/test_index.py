"""Index arithmetic: whatever it simplifies to, it has the value that it stands for."""

from __future__ import annotations

import itertools
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from flambeau.kernel.index import Indices, Linear, factor_of, mergeable
from flambeau.kernel.ir import Axis


def value(linear: Linear, point: dict[Axis, int]) -> int:
    total = linear.constant
    for atom, factor in linear.terms:
        if atom.kind == "axis":
            total += factor * point[atom.payload]
        elif atom.kind == "divide":
            total += factor * (value(atom.payload, point) // atom.divisor)
        else:
            assert atom.kind == "modulo"
            total += factor * (value(atom.payload, point) % atom.divisor)
    assert linear.low <= total <= linear.high
    return total


def points(axes):
    for position in itertools.product(*[range(axis.extent) for axis in axes]):
        yield dict(zip(axes, position, strict=True))


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_arithmetic_has_the_right_value(data):
    indices = Indices()
    axes = [Axis(data.draw(st.integers(1, 5))) for _ in range(3)]
    every = list(points(axes))
    known = [(indices.axis(axis), [point[axis] for point in every]) for axis in axes]
    for _ in range(data.draw(st.integers(1, 8))):
        x, values = data.draw(st.sampled_from(known))
        y, others = data.draw(st.sampled_from(known))
        number = data.draw(st.integers(-4, 6))
        divisor = data.draw(st.integers(1, 7))
        kind = data.draw(st.sampled_from(["add", "multiply", "shift", "divide", "modulo"]))
        if kind == "add":
            made = indices.add(x, y)
            results = [a + b for a, b in zip(values, others, strict=True)]
        elif kind == "multiply":
            made, results = indices.multiply(x, number), [a * number for a in values]
        elif kind == "shift":
            made, results = indices.shift(x, number), [a + number for a in values]
        elif kind == "divide":
            made, results = indices.divide(x, divisor), [a // divisor for a in values]
        else:
            made, results = indices.modulo(x, divisor), [a % divisor for a in values]
        assert [value(made, point) for point in every] == results
        known.append((made, results))


SHAPES = st.lists(st.sampled_from([1, 1, 2, 3, 4]), min_size=1, max_size=4)


@given(SHAPES, st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_reshape_finds_the_same_element(shape, random):
    indices = Indices()
    axes = [Axis(extent) for extent in shape]
    index = tuple(indices.axis(axis) for axis in axes)
    target = [*shape, 1]
    random.shuffle(target)
    if len(target) > 1:
        at = random.randrange(len(target) - 1)
        target[at : at + 2] = [target[at] * target[at + 1]]
    moved = indices.reshape(index, tuple(shape), tuple(target))
    flat, again = indices.flatten(index, shape), indices.flatten(moved, target)
    for point in points(axes):
        assert value(flat, point) == value(again, point)
        assert all(0 <= value(i, point) < n for i, n in zip(moved, target, strict=True))
    back = indices.reshape(moved, tuple(target), tuple(shape))
    for point in points(axes):
        for first, second in zip(index, back, strict=True):
            assert value(first, point) == value(second, point)


def test_split_and_merged_again_is_nothing():
    indices = Indices()
    i = indices.axis(Axis(24))
    parts = indices.unflatten(i, (2, 3, 4))
    assert indices.flatten(parts, (2, 3, 4)) is i


def test_merged_axes_divide_exactly():
    indices = Indices()
    i, j = Axis(6), Axis(4)
    flat = indices.flatten((indices.axis(i), indices.axis(j)), (6, 4))
    assert indices.divide(flat, 4) is indices.axis(i)
    assert indices.modulo(flat, 4) is indices.axis(j)
    assert mergeable(flat, i, j)
    assert not mergeable(indices.axis(i), i, j)
    assert factor_of(flat, i) == 4
    assert factor_of(indices.divide(flat, 3), i) is None


def test_bounds_that_are_known_help():
    indices = Indices()
    start = indices.scalar(0, 0, 9)
    place = indices.within(indices.add(start, indices.axis(Axis(4))), 0, 9)
    assert indices.divide(place, 10) is indices.zero
    assert indices.modulo(place, 10) is place


def test_reshape_is_volume_preserving():
    indices = Indices()
    shape, target = (2, 3, 4), (4, 6)
    axes = [Axis(extent) for extent in shape]
    moved = indices.reshape(tuple(map(indices.axis, axes)), shape, target)
    places = {tuple(value(each, point) for each in moved) for point in points(axes)}
    assert len(places) == math.prod(shape)
