"""Correlations of one row: a depthwise convolution's weight gradient, all taps at once.

    w[c, t] = Σ n, p   y[n, c, p] · x[n, c, p + t]

As a matrix product this is one row times a matrix that is the same image, shifted: nothing could
be reused. Here positions run in lanes and each tap has a register, so that y and x stream through
once. Lanes are added up by a fixed tree at the end; the sums of the outermost axis of k (samples)
are kept apart until each is done.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from flambeau.device.cpu.choose import LANES, Run, narrowed
from flambeau.device.cpu.emit import INDEX, REGISTER_TYPES, Operand, vector_type
from flambeau.kernel.ir import Axis
from flambeau.kernel.shift import taps_of
from flambeau.kernel.tile import Contraction

if TYPE_CHECKING:
    from flambeau.device.cpu.render import Renderer

MOST_TAPS = 25
"""Sums that are held in registers."""

SHORT = 4
"""Rows of fewer positions are left to others."""


def correlates(contraction: Contraction) -> bool:
    """Whether a contraction is one row's correlation, with positions that fill lanes."""
    taps = None if contraction.m else taps_of(contraction)
    return taps is not None and contraction.k[-1].extent >= SHORT


class CorrelationRenderer:
    """Writes the function of one correlation: an item is a point of all axes but the taps."""

    def __init__(self, renderer: Renderer, contraction: Contraction) -> None:
        self.renderer = renderer
        self.emitter = renderer.emitter
        self.values = renderer.values
        self.contraction = contraction
        self.fold = contraction.fold
        self.register = REGISTER_TYPES[self.fold.dtype.name]
        taps = taps_of(contraction)
        assert taps is not None
        self.taps = _last([pair.tap for pair in taps.pairs])
        self.items = [axis for axis in renderer.kernel.domain if axis not in self.taps]
        lanes = narrowed(contraction.k[-1].extent, LANES * 4 // max(self.fold.dtype.itemsize, 4))
        self.run = Run(contraction.k[-1:], lanes, lanes)
        self.kind = vector_type(self.register, lanes)

    def write(self) -> tuple[int, float]:
        """Write the function's body; returns the number of items and their work."""
        emitter, values = self.emitter, self.values
        loop = emitter.open_loop("%begin", "%end")
        values.decode(self.items, loop.index)
        sums = self._sums()
        for point, total in zip(self._points(), sums, strict=True):
            emitter.push()
            self._bind(point)
            tree = self.renderer.tree(self.fold, total, self.run.lanes)
            values.bind(self.fold, Operand(tree, self.fold.dtype))
            for each in self.contraction.epilogue:
                self.renderer.statement(each)
            emitter.pop()
        emitter.close_loop(loop)
        items = math.prod(axis.extent for axis in self.items)
        steps = math.prod(axis.extent for axis in self.contraction.k) / self.run.lanes
        return items, items * steps * 2.0 * len(sums)

    def _points(self) -> list[tuple[int, ...]]:
        return list(itertools.product(*(range(axis.extent) for axis in self.taps)))

    def _bind(self, point: tuple[int, ...]) -> None:
        for axis, place in zip(self.taps, point, strict=True):
            self.values.bind(axis, Operand(str(place), INDEX))

    def _sums(self) -> list[str]:
        """A vector of sums for each tap."""
        emitter, k = self.emitter, self.contraction.k
        zeros = [(self.kind, "zeroinitializer")] * len(self._points())
        if len(k) < 3:
            return self._part(k[:-1], zeros)
        outer = emitter.open_loop(0, k[0].extent, 1, zeros)
        self.values.bind(k[0], Operand(outer.index, INDEX))
        parts = self._part(k[1:-1], zeros)
        totals = [
            emitter.let(f"fadd {self.kind} {old}, {part}")
            for old, part in zip(outer.carried, parts, strict=True)
        ]
        return emitter.close_loop(outer, totals)

    def _part(self, axes: tuple[Axis, ...], start: list[tuple[str, str]]) -> list[str]:
        renderer, run = self.renderer, self.run

        def row(carried: list[str]) -> list[str]:
            now = [(self.kind, name) for name in carried]
            return renderer.vectors(run, now, self._step, fixed=True)

        return renderer.nest(axes, start, row)

    def _step(self, carried: list[str]) -> list[str]:
        """One vector of positions: its product at every tap, where positions are."""
        emitter, values, lanes = self.emitter, self.values, self.run.lanes
        mask, result = emitter.mask, []
        first = emitter.spread(values.value(self.contraction.a), lanes)
        for point, old in zip(self._points(), carried, strict=True):
            emitter.push()
            self._bind(point)
            second = emitter.spread(values.value(self.contraction.b), lanes)
            total = emitter.fma(self.register, lanes, first, second, old)
            if mask is not None:
                total = emitter.let(
                    f"select <{lanes} x i1> {mask}, {self.kind} {total}, {self.kind} {old}"
                )
            result.append(total)
            emitter.pop()
        return result


def _last(taps: list[Axis]) -> list[Axis]:
    """So many of the last taps as have a register each."""
    count, points = 0, 1
    for axis in reversed(taps):
        points *= axis.extent
        if points > MOST_TAPS:
            break
        count += 1
    return taps[len(taps) - count :]
