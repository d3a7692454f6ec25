"""CONV: implicit matrix products, no patches in memory.

    forward  y[n, o, p] = Σ c, t   w[o, c, t] · x[n, c, p·stride + t·dilation - padding]
    input    x[n, c, q] = Σ o, t   w[o, c, t] · y[n, o, (q + padding - t·dilation) / stride]
    weight   w[o, c, t] = Σ n, p   y[n, o, p] · x[n, c, p·stride + t·dilation - padding]

Mode "input" reads only where the division is exact. With a stride the result is therefore computed
in phases, one launch for each remainder of q by the stride: within a phase the taps that count are
known and every index is affine.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

from flambeau.graph import op
from flambeau.graph.node import Node
from flambeau.kernel.index import Index, Indices, Linear
from flambeau.kernel.ir import Axis, Value
from flambeau.kernel.lower import Condition, Guard, Lowering, Request, Step, accumulator, rule
from flambeau.kernel.matmul import product


class Geometry(NamedTuple):
    """A CONV's attributes."""

    mode: str
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int
    spatial: tuple[int, ...]


@rule(op.CONV)
def _conv(lowering: Lowering, node: Node, index: Index, guard: Guard) -> Step:
    geometry = Geometry(*node.attrs)
    make = {"forward": _forward, "input": _input, "weight": _weight}[geometry.mode]
    return (yield from make(lowering, node, geometry, index, guard))


def _inside(places: list[tuple[Linear, int]], guard: Guard) -> Guard:
    """The guard, and that every place lies in 0 … extent - 1."""
    new: list[Condition] = [
        (place, 0, extent) for place, extent in places if place.low < 0 or place.high >= extent
    ]
    return (*guard, *[each for each in new if each not in guard])


def _taps(
    indices: Indices, geometry: Geometry, out: Sequence[Linear], taps: Sequence[Linear]
) -> list[Linear]:
    """p · stride + t · dilation - padding for each spatial axis."""
    return [
        indices.shift(indices.add(indices.multiply(p, stride), indices.multiply(t, dilation)), -low)
        for p, t, stride, dilation, (low, _) in zip(
            out, taps, geometry.stride, geometry.dilation, geometry.padding, strict=True
        )
    ]


def _bounded(indices: Indices, places: list[Linear], extents: Sequence[int]) -> list[Linear]:
    return [
        indices.within(place, 0, extent - 1) for place, extent in zip(places, extents, strict=True)
    ]


def _forward(
    lowering: Lowering, node: Node, geometry: Geometry, index: Index, guard: Guard
) -> Step:
    image, weight = node.inputs
    indices, extents = lowering.indices, image.shape[2:]
    per_group = weight.shape[1]
    sample, channel, out = index[0], index[1], index[2:]
    group = indices.divide(channel, weight.shape[0] // geometry.groups)

    def make(steps: Index) -> Generator[Request, Value, Value]:
        inner, taps = steps[0], steps[1:]
        places = _taps(indices, geometry, out, taps)
        inside = _inside(list(zip(places, extents, strict=True)), guard)
        source = indices.add(indices.multiply(group, per_group), inner)
        a = yield (weight, (channel, inner, *taps), guard)
        at = (sample, source, *_bounded(indices, places, extents))
        b = yield (image, at, inside)
        return product(lowering, a, masked(lowering, b, inside, guard), node)

    wide = accumulator(node.dtype)
    total = yield from lowering.fold("add", wide, weight.shape[1:], make, product=True)
    return lowering.cast(total, node.dtype)


def masked(lowering: Lowering, value: Value, inside: Guard, guard: Guard) -> Value:
    """The value, zero where `inside` does not hold beyond `guard`."""
    if inside == guard or value.op == "load":
        return value
    valid = lowering.conjunction(inside[len(guard) :])
    assert valid is not None
    zero = lowering.constant(0.0, value.dtype)
    return lowering.emit("WHERE", (valid, value, zero), value.dtype)


def _weight(lowering: Lowering, node: Node, geometry: Geometry, index: Index, guard: Guard) -> Step:
    image, gradient = node.inputs
    indices, extents = lowering.indices, image.shape[2:]
    per_group = node.shape[1]
    channel, inner, taps = index[0], index[1], index[2:]
    group = indices.divide(channel, node.shape[0] // geometry.groups)
    source = indices.add(indices.multiply(group, per_group), inner)

    def make(steps: Index) -> Generator[Request, Value, Value]:
        sample, out = steps[0], steps[1:]
        places = _taps(indices, geometry, out, taps)
        inside = _inside(list(zip(places, extents, strict=True)), guard)
        a = yield (gradient, (sample, channel, *out), guard)
        at = (sample, source, *_bounded(indices, places, extents))
        b = yield (image, at, inside)
        return product(lowering, a, masked(lowering, b, inside, guard), node)

    wide = accumulator(node.dtype)
    total = yield from lowering.fold(
        "add", wide, (gradient.shape[0], *gradient.shape[2:]), make, product=True
    )
    return lowering.cast(total, node.dtype)


class _Phase(NamedTuple):
    """Which taps count for one spatial axis in one phase, and where they read.

    tap = first + step · j for j < taps; place = quotient - slope · j + offset.
    """

    first: int
    step: int
    taps: int
    quotient: Linear
    slope: int


def _phase(
    indices: Indices, place: Linear, taps: int, stride: int, dilation: int, low: int
) -> _Phase:
    """`place` is q, whose remainder by the stride is known."""
    moved = indices.shift(place, low)
    rest = moved.constant % stride
    step = stride // math.gcd(stride, dilation)
    first = next((t for t in range(taps) if (rest - t * dilation) % stride == 0), None)
    if first is None:
        return _Phase(0, 1, 0, indices.zero, 0)
    shifted = indices.shift(moved, -first * dilation)
    terms = indices.constant(shifted.constant // stride)
    for atom, factor in shifted.terms:
        single = indices.atom(atom)
        terms = indices.add(terms, indices.multiply(single, factor // stride))
    count = len(range(first, taps, step))
    return _Phase(first, step, count, terms, dilation * step // stride)


def _input(lowering: Lowering, node: Node, geometry: Geometry, index: Index, guard: Guard) -> Step:
    gradient, weight = node.inputs
    indices, extents = lowering.indices, gradient.shape[2:]
    per_group = weight.shape[1]
    outputs = weight.shape[0] // geometry.groups
    sample, channel, places = index[0], index[1], index[2:]
    group, inner = indices.divide(channel, per_group), indices.modulo(channel, per_group)
    settings = list(
        zip(
            places,
            weight.shape[2:],
            geometry.stride,
            geometry.dilation,
            geometry.padding,
            strict=True,
        )
    )
    phases = [
        _phase(indices, place, taps, stride, dilation, low)
        for place, taps, stride, dilation, (low, _) in settings
    ]
    wide = accumulator(node.dtype)
    if any(phase.taps == 0 for phase in phases):
        return lowering.constant(0.0, node.dtype)

    def make(steps: Index) -> Generator[Request, Value, Value]:
        output = indices.add(indices.multiply(group, outputs), steps[0])
        taps: list[Linear] = []
        reads: list[Linear] = []
        for phase, step in zip(phases, steps[1:], strict=True):
            taps.append(indices.shift(indices.multiply(step, phase.step), phase.first))
            reads.append(indices.add(phase.quotient, indices.multiply(step, -phase.slope)))
        inside = _inside(list(zip(reads, extents, strict=True)), guard)
        a = yield (weight, (output, inner, *taps), guard)
        at = (sample, output, *_bounded(indices, reads, extents))
        b = yield (gradient, at, inside)
        return product(lowering, a, masked(lowering, b, inside, guard), node)

    counts = [phase.taps for phase in phases]
    total = yield from lowering.fold("add", wide, (outputs, *counts), make, product=True)
    return lowering.cast(total, node.dtype)


def in_phases(node: Node) -> bool:
    """Whether a Node is a CONV that takes several launches."""
    return node.op is op.CONV and len(_phases(node, Geometry(*node.attrs))) > 1


Variant = tuple[list[Axis], Index]
"""The domain's axes, and the result's index at a point of them."""


def conv_variants(node: Node, indices: Indices) -> list[Variant]:
    """The launches of a CONV: the domain of each, and which elements it computes.

    The order of the axes is group (batch), channels within the group (M), the rest (N). Groups of
    one channel come behind the samples, as they lie in memory.
    """
    geometry = Geometry(*node.attrs)
    grouped = 0 if geometry.mode == "weight" else 1
    extent = node.shape[grouped]
    group, inner = Axis(geometry.groups), Axis(extent // geometry.groups)
    channel = indices.add(indices.multiply(indices.axis(group), inner.extent), indices.axis(inner))
    others = [n for n in range(len(node.shape)) if n != grouped]
    variants: list[Variant] = []
    for phase in _phases(node, geometry):
        index: list[Any] = [indices.zero] * len(node.shape)
        index[grouped] = channel
        axes = [group, inner]
        for number in others:
            stride, rest = phase.get(number, (1, 0))
            axis = Axis(len(range(rest, node.shape[number], stride)))
            index[number] = indices.shift(indices.multiply(indices.axis(axis), stride), rest)
            axes.append(axis)
        if grouped and inner.extent == 1:
            axes.insert(0, axes.pop(2))
        if all(each.extent for each in axes):
            variants.append((axes, tuple(index)))
    return variants


def _phases(node: Node, geometry: Geometry) -> list[dict[int, tuple[int, int]]]:
    """For each launch: result axis -> (stride, remainder)."""
    if geometry.mode != "input":
        return [{}]
    strides = [
        [(number + 2, (stride, rest)) for rest in range(stride)]
        for number, stride in enumerate(geometry.stride)
    ]
    return [dict(choice) for choice in itertools.product(*strides)]
