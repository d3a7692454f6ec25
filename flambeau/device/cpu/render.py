"""From a Kernel to the LLVM IR of one function.

    void kernel(ptr buffers, ptr scalars, i64 begin, i64 end, ptr error, ptr scratch)

runs the work items begin … end - 1. An item is a point of the domain's outer axes and a chunk of
its vector axis; how the domain is cut into items depends on its shape only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from flambeau.device.cpu import convert, domain, sort
from flambeau.device.cpu.attention import AttendRenderer
from flambeau.device.cpu.choose import SUMS, Chooser, Run, bind_run
from flambeau.device.cpu.contraction import ContractionRenderer
from flambeau.device.cpu.correlation import CorrelationRenderer, correlates
from flambeau.device.cpu.emit import (
    ENTRY,
    INDEX,
    REGISTER_TYPES,
    Emitter,
    OpenLoop,
    Operand,
    Rendered,
    Stage,
    mask_literal,
    vector_type,
)
from flambeau.device.cpu.keep import Keeper
from flambeau.device.cpu.order import FEW_PARTS, MOST_PARTS, chains, cut
from flambeau.device.cpu.pick import picked
from flambeau.device.cpu.prepare import levels, prepared
from flambeau.device.cpu.rows import Rows, rows_at_once
from flambeau.device.cpu.shifted import lines_of
from flambeau.device.cpu.shifted_ir import ShiftedRenderer
from flambeau.device.cpu.stream import choosing, streamed
from flambeau.device.cpu.target import Target
from flambeau.device.cpu.tiling import Tiling, tiling
from flambeau.device.cpu.values import Values
from flambeau.device.cpu.winograd import Convolution, Cut, convolution_of, cut_of
from flambeau.device.cpu.winograd_ir import WinogradRenderer
from flambeau.graph import dtype as dtypes
from flambeau.kernel.ir import Attend, Axis, Check, Fold, Kernel, Loop, Sort, Statement, Store
from flambeau.kernel.tile import Contraction, tile

UNROLL = 9
"""Inner loops of up to this many steps are written out."""

FEW = 4
"""Loops of up to so many vectors are written out."""

Body = Callable[[list[str]], list[str]]
"""Writes a loop's body: takes what is carried, returns it updated."""


class Renderer:
    """Writes one kernel."""

    def __init__(self, kernel: Kernel, target: Target) -> None:
        self.kernel = kernel = prepared(picked(kernel))
        self.target = target
        self.emitter = Emitter(target.fused, target.native_half, target.scales)
        self.values = Values(self.emitter, kernel)
        self.chooser = Chooser(kernel, self.values)
        self.keeper = Keeper(self.emitter, self.values, self.chooser)
        self.scratch = 0
        self.imports: set[str] = set()

    def render(self, name: str) -> Rendered:
        """The function `name` for the whole kernel."""
        if any(axis.extent == 0 for axis in self.kernel.domain):
            empty = f"define void @{name}({ENTRY}) {{\n  ret void\n}}\n"
            return Rendered(empty, (Stage(name, 0, 0.0),))
        contraction = tile(self.kernel).contraction
        tiles = None
        if contraction is not None and correlates(contraction):
            self.entry()
            items, cost = CorrelationRenderer(self, contraction).write()
            return self._whole(name, Stage(name, items, cost))
        if contraction is not None:
            tiles = tiling(contraction, self.values, self.target)
        if contraction is not None and tiles is not None:
            found = convolution_of(contraction, self.values)
            if found is not None:
                return self._winograd(name, contraction, (found, cut_of(found, self.target)))
            return self._contraction(name, contraction, tiles)
        if isinstance(self.kernel.body[0], Attend):
            self.entry()
            return AttendRenderer(self, self.kernel.body[0]).render(name)
        return self._domain(name)

    def _domain(self, name: str) -> Rendered:
        """The body for each point; with stores past the caches where it pays."""
        self.values.streamed = streamed(self.kernel)
        stage = self._plain(name)
        if not self.values.streams:
            return self._whole(name, stage)
        other = Renderer(self.kernel, self.target)
        other._plain(name)
        names = f"{name}_stream", f"{name}_plain"
        text = self.function(names[0]) + other.function(names[1])
        text += choosing(name, *names, sorted(self.values.streamed))
        text += self.declarations(self.emitter, other.emitter)
        imports = self.imports | other.imports
        return Rendered(text, (stage,), self.scratch, 0, tuple(sorted(imports)))

    def _plain(self, name: str) -> Stage:
        """Write the body over the whole domain."""
        self.entry()
        choice = self.chooser.domain()
        sorts = any(isinstance(each, Sort) for each in self.kernel.body)  # in scratch memory, too
        rows = 1 if choice.run is not None else rows_at_once(self.kernel, self.chooser)
        if choice.run is None and not sorts:
            self.keeper.plan(self.kernel.body, self.kernel.domain, rows)
            self.scratch = self.keeper.bytes
        if rows > 1:
            return Stage(name, Rows(self, choice, rows).write(), choice.cost)
        return Stage(name, domain.write(self, choice), choice.cost)

    def _whole(self, name: str, stage: Stage) -> Rendered:
        """What was written, as one stage."""
        text = self.function(name) + self.declarations(self.emitter)
        return Rendered(text, (stage,), self.scratch, 0, tuple(sorted(self.imports)))

    def _contraction(self, name: str, contraction: Contraction, tiles: Tiling) -> Rendered:
        lines = lines_of(contraction, tiles, self.values, self.target.registers)
        tiles = lines.tiling if lines else tiles
        split = tiles.shared or tiles.once

        def product_of(renderer: Renderer) -> ContractionRenderer:
            writers = renderer.emitter, renderer.values
            rest = renderer.statement, len(self.kernel.buffers)
            if lines:
                return ShiftedRenderer(*writers, contraction, lines, *rest)
            return ContractionRenderer(*writers, contraction, tiles, *rest)

        self.entry(split)
        product = product_of(self)
        product.write()
        text, emitters, imports = self.function(name), [self.emitter], set(product.imports)
        if split:
            other = Renderer(self.kernel, self.target)
            other.entry(split)
            second = product_of(other)
            if tiles.once:
                second.write_rows()
                text += other.function(f"{name}_rows")
            else:
                second.write_finish()
                text += other.function(f"{name}_finish")
            emitters.append(other.emitter)
            imports |= second.imports
        return Rendered(
            text + self.declarations(*emitters),
            product.stages(name),
            product.scratch,
            product.shared,
            tuple(sorted(imports)),
        )

    def _winograd(
        self, name: str, contraction: Contraction, found: tuple[Convolution, Cut]
    ) -> Rendered:
        split = not found[1].inside
        arguments = (contraction, found, self.statement, len(self.kernel.buffers))
        self.entry(split)
        product = WinogradRenderer(self.emitter, self.values, *arguments)
        product.write()
        text = self.function(name)
        emitters = [self.emitter]
        if split:
            other = Renderer(self.kernel, self.target)
            other.entry(split)
            WinogradRenderer(other.emitter, other.values, *arguments).write_weights()
            text += other.function(f"{name}_weights")
            emitters.append(other.emitter)
        return Rendered(
            text + self.declarations(*emitters),
            product.stages(name),
            product.scratch,
            product.shared,
            tuple(sorted(product.imports)),
        )

    def function(self, name: str) -> str:
        """What was written, as a function of this name."""
        lines = "\n".join(self.emitter.scopes[0].lines)
        return f"define void @{name}({ENTRY}) {{\nentry:\n{lines}\nret void\n}}\n"

    def declarations(self, *emitters: Emitter) -> str:
        """What the functions call."""
        return "\n".join({text: None for each in emitters for text in each.declarations}) + "\n"

    def entry(self, shared: bool = False) -> None:
        """Fetch the buffers' addresses, that of shared memory behind them, and the scalars."""
        emitter = self.emitter
        for number in range(len(self.kernel.buffers) + shared):
            place = emitter.let(f"getelementptr ptr, ptr %buffers, i64 {number}")
            emitter.line(f"%b{number} = load ptr, ptr {place}")
        for number, dtype in enumerate(self.kernel.scalars):
            place = emitter.let(f"getelementptr i64, ptr %scalars, i64 {number}")
            if dtype.is_floating_point:
                wide = Operand(emitter.let(f"load double, ptr {place}"), dtypes.float64)
            else:
                wide = Operand(emitter.let(f"load i64, ptr {place}"), dtypes.int64)
            self.values.scalars.append(convert.cast(emitter, wide, dtype))

    # vectors

    def vector_loop(
        self,
        run: Run,
        low: str | int,
        high: str | int,
        carried: Sequence[tuple[str, str]],
        body: Body,
    ) -> list[str]:
        """Run `body` with axes in lanes, over whole vectors."""
        emitter = self.emitter
        points = run.count * run.inner
        mask = None
        self.values.multiples[run.axes[0]] = run.count
        if points < run.lanes:
            mask = mask_literal(lane < points for lane in range(run.lanes))
        if isinstance(low, int) and isinstance(high, int) and high - low <= FEW * run.count:
            results = [init for _, init in carried]
            for start in range(low, high, run.count):
                emitter.push(run.lanes, mask)
                bind_run(self.values, run, str(start))
                results = body(results)
                emitter.pop()
            return results
        loop = emitter.open_loop(low, high, run.count, carried, run.lanes, mask)
        bind_run(self.values, run, loop.index)
        return emitter.close_loop(loop, body(loop.carried))

    def vector_tail(
        self, run: Run, carried: Sequence[tuple[str, str]], body: Body, fixed: bool = False
    ) -> list[str]:
        """Run `body` on the elements that do not fill a vector; `fixed` keeps the width."""
        steps = run.extent % run.count
        rest = steps * run.inner
        lanes = run.lanes
        while not fixed and lanes // 2 >= rest and lanes > 2:
            lanes //= 2
        mask = None if rest == lanes else mask_literal(lane < rest for lane in range(lanes))
        self.emitter.push(lanes, mask)
        bind_run(self.values, replace(run, lanes=lanes), str(run.extent - steps))
        results = body([init for _, init in carried])
        self.emitter.pop()
        return results

    def vectors(
        self, run: Run, carried: Sequence[tuple[str, str]], body: Body, fixed: bool = False
    ) -> list[str]:
        """Run `body` over all points of what is in lanes."""
        whole = run.extent // run.count * run.count
        names = [init for _, init in carried]
        if whole:
            names = self.vector_loop(run, 0, whole, carried, body)
        if whole < run.extent:
            now = [(kind, name) for (kind, _), name in zip(carried, names, strict=True)]
            names = self.vector_tail(run, now, body, fixed)
        return names

    # statements

    def statements(self, body: Sequence[Statement]) -> None:
        rest = list(body)
        while rest:
            folds = self.side_by_side(rest)
            if len(folds) > 1:
                self.folds(folds)
            else:
                self.statement(rest[0])
            del rest[: max(1, len(folds))]

    def side_by_side(self, body: Sequence[Statement]) -> list[Fold]:
        """The Folds at the beginning of some statements that can share their loops."""
        folds: list[Fold] = []
        for each in body:
            if not isinstance(each, Fold) or each.body or each in self.chooser.products:
                break
            if folds and (each.axes != folds[0].axes or max(levels([*folds, each])) > 0):
                break
            if self.emitter.lanes == 1 and folds:
                run = self.chooser.inner(each)
                most = SUMS // run.lanes if run is not None else SUMS
                if run != self.chooser.inner(folds[0]) or len(folds) >= most:
                    break
            folds.append(each)
        return folds

    def statement(self, each: Statement) -> None:
        if isinstance(each, Fold):
            self.folds([each])
        elif isinstance(each, Loop):
            self._loop(each)
        elif isinstance(each, Store):
            self._store(each)
        elif isinstance(each, Check):
            self._check(each)
        elif isinstance(each, Sort):
            self.scratch = max(self.scratch, sort.render(self.emitter, self.values, each))
        else:
            raise NotImplementedError(f"the cpu device cannot run {type(each).__name__}")

    def _store(self, store: Store) -> None:
        valid = None if store.valid is None else self.values.value(store.valid)
        operand = self.values.value(store.value)
        self.values.store(store.buffer, store.index, operand, valid, store.combine)

    def _check(self, check: Check) -> None:
        condition = self.values.value(check.condition)
        detail = self.values.value(check.detail)
        lanes = condition.lanes
        every = "true" if lanes == 1 else "splat (i1 true)"
        kind = vector_type("i1", lanes)
        failed = self.emitter.let(f"xor {kind} {condition.name}, {every}")
        self.values.record_error(Operand(failed, dtypes.bool_, lanes), check.code, detail)

    def _loop(self, loop: Loop) -> None:
        if any(axis.extent == 0 for axis in loop.axes):
            return
        run = self.chooser.inner(loop) if self.emitter.lanes == 1 else None

        def body(carried: list[str]) -> list[str]:
            self.statements(loop.body)
            return carried

        if run is None:
            self.nest(loop.axes, [], body)
            return
        chosen = run
        others = [each for each in loop.axes if each not in chosen.axes]

        def in_lanes(carried: list[str]) -> list[str]:
            with self.keeper.body([loop]):
                return body(carried)

        self.nest(others, [], lambda _: self.vectors(chosen, [], in_lanes))

    def nest(
        self,
        axes: Sequence[Axis],
        carried: Sequence[tuple[str, str]],
        body: Body,
        unroll: bool = False,
    ) -> list[str]:
        """Run `body` at every point of `axes`, one after the other, handing on what is carried.

        With `unroll`, loops of few steps are written out.
        """
        emitter = self.emitter
        steps = 1
        for axis in axes:
            steps *= axis.extent
        wide = [axis for axis in axes if axis.extent > 1]
        emitter.push()
        for axis in axes:
            if axis.extent == 1:
                self.values.bind(axis, Operand("0", INDEX))
        if not wide:
            results = body([init for _, init in carried])
        elif unroll and steps <= UNROLL:
            results = [init for _, init in carried]
            for step in range(wide[0].extent):
                emitter.push()
                self.values.bind(wide[0], Operand(str(step), INDEX))
                now = [(kind, name) for (kind, _), name in zip(carried, results, strict=True)]
                results = self.nest(wide[1:], now, body, unroll)
                emitter.pop()
        else:
            loop = emitter.open_loop(0, wide[0].extent, 1, carried)
            self.values.bind(wide[0], Operand(loop.index, INDEX))
            now = [(kind, name) for (kind, _), name in zip(carried, loop.carried, strict=True)]
            results = emitter.close_loop(loop, self.nest(wide[1:], now, body, unroll))
        emitter.pop()
        return results

    # folds

    def folds(self, folds: Sequence[Fold]) -> None:
        """Folds over the same axes that do not need each other: one, or some side by side."""
        values, emitter = self.values, self.emitter
        first = folds[0]
        if any(axis.extent == 0 for axis in first.axes):
            for fold in folds:
                values.bind(fold, Operand(values.identity(fold.kind, fold.dtype), fold.dtype))
            return
        run = self.chooser.inner(first) if emitter.lanes == 1 else None
        if run is not None:
            results = self._vector_folds(folds, run)
        elif first in self.chooser.products:
            results = [self._product_sum(first)]
        else:
            results = self._sequential_folds(folds)
        for fold, result in zip(folds, results, strict=True):
            values.bind(fold, result)

    def _lanes_of(self, fold: Fold) -> int:
        return self.emitter.lanes if self.values.varies(fold.value) else 1

    def _start(self, fold: Fold, lanes: int) -> tuple[str, str]:
        """(type, first value) of what a Fold carries from step to step."""
        register = REGISTER_TYPES[fold.dtype.name]
        init = self.values.identity(fold.kind, fold.dtype)
        return vector_type(register, lanes), self.emitter.splat(register, init, lanes)

    def _sequential_folds(self, folds: Sequence[Fold]) -> list[Operand]:
        values, emitter = self.values, self.emitter
        widths = [self._lanes_of(fold) for fold in folds]
        start = [self._start(*each) for each in zip(folds, widths, strict=True)]

        def body(carried: list[str]) -> list[str]:
            totals: list[str] = []
            for fold, lanes, old in zip(folds, widths, carried, strict=True):
                name = emitter.spread(values.value(fold.value), lanes)
                totals.append(values.combined(fold.kind, fold.dtype, lanes, old, name))
                if fold.body:
                    values.bind(fold, Operand(totals[-1], fold.dtype, lanes))
                    self.statements(fold.body)
            return totals

        unroll = not any(fold.body for fold in folds)
        names = self.nest(folds[0].axes, start, body, unroll=unroll)
        whole = zip(names, folds, widths, strict=True)
        return [Operand(name, fold.dtype, lanes) for name, fold, lanes in whole]

    def _product_sum(self, fold: Fold) -> Operand:
        lanes = self._lanes_of(fold)
        name = self._blocked_sum(fold, lanes, *self._start(fold, lanes))
        return Operand(name, fold.dtype, lanes)

    def _blocked_sum(self, fold: Fold, lanes: int, kind: str, zero: str) -> str:
        """A sum of products in the order, and with the roundings, of order.py."""
        values, emitter = self.values, self.emitter
        register = REGISTER_TYPES[fold.dtype.name]
        steps = [axis for axis in fold.axes if axis.extent > 1]

        def product(carried: list[str]) -> list[str]:
            x, y = (emitter.spread(values.value(each), lanes) for each in fold.value.args)
            return [emitter.fma(register, lanes, x, y, carried[0])]

        if not steps:  # one product
            return self.nest(fold.axes, [(kind, zero)], product)[0]
        extents = [axis.extent for axis in steps]
        number, chunk, pieces, _, blocks = cut(extents)
        axis, count = steps[number], chains(extents)
        if blocks == 1 and count == 1:
            return self.nest(steps, [(kind, zero)], product, unroll=True)[0]

        def add(loop: OpenLoop, part: str) -> str:
            total = emitter.let(f"fadd {kind} {loop.carried[0]}, {part}")
            return emitter.close_loop(loop, [total])[0]

        def over_blocks(first: str | int, last: str | int) -> str:
            outer = emitter.open_loop(first, last, 1, [(kind, zero)])
            values.decode(steps[:number], emitter.rest(outer.index, pieces))
            low = emitter.times(emitter.part(outer.index, pieces), chunk)
            high = emitter.least(emitter.plus(low, chunk), axis.extent)
            chain = emitter.open_loop(0, count, 1, [(kind, zero)])
            first_step = emitter.plus(low, chain.index)
            inner = emitter.open_loop(first_step, high, count, [(kind, zero)])
            values.bind(axis, Operand(inner.index, INDEX))
            inside = self.nest(steps[number + 1 :], [(kind, inner.carried[0])], product)
            return add(outer, add(chain, emitter.close_loop(inner, inside)[0]))

        if blocks <= MOST_PARTS:
            return over_blocks(0, blocks)
        parts = emitter.open_loop(0, FEW_PARTS, 1, [(kind, zero)])
        ends = [emitter.times(each, blocks) for each in (parts.index, emitter.plus(parts.index, 1))]
        return add(parts, over_blocks(*[emitter.rest(each, FEW_PARTS) for each in ends]))

    def _vector_folds(self, folds: Sequence[Fold], run: Run) -> list[Operand]:
        """Lanes accumulate by themselves; then a fixed tree joins them."""
        values, emitter = self.values, self.emitter
        lanes = run.lanes
        start = [self._start(fold, lanes) for fold in folds]
        kinds = [kind for kind, _ in start]

        def body(carried: list[str]) -> list[str]:
            totals: list[str] = []
            mask = emitter.mask
            with self.keeper.body(folds):
                for fold, kind, old in zip(folds, kinds, carried, strict=True):
                    name = emitter.spread(values.value(fold.value), lanes)
                    total = values.combined(fold.kind, fold.dtype, lanes, old, name)
                    if mask is not None:
                        total = emitter.let(
                            f"select <{lanes} x i1> {mask}, {kind} {total}, {kind} {old}"
                        )
                    totals.append(total)
            return totals

        def vectors(carried: list[str]) -> list[str]:
            return self.vectors(run, list(zip(kinds, carried, strict=True)), body, fixed=True)

        others = [each for each in folds[0].axes if each not in run.axes]
        names = self.nest(others, start, vectors)
        return [
            Operand(self.tree(fold, name, lanes), fold.dtype)
            for fold, name in zip(folds, names, strict=True)
        ]

    def tree(self, fold: Fold, name: str, lanes: int) -> str:
        """The lanes of a vector, joined."""
        emitter = self.emitter
        scalar = REGISTER_TYPES[fold.dtype.name]
        while lanes > 1:
            half = lanes // 2
            kind = f"<{lanes} x {scalar}>"
            parts = []
            for start in (0, half):
                order = ", ".join(f"i32 {lane}" for lane in range(start, start + half))
                parts.append(
                    emitter.let(
                        f"shufflevector {kind} {name}, {kind} poison, <{half} x i32> <{order}>"
                    )
                )
            if half == 1:
                parts = [
                    emitter.let(f"extractelement <1 x {scalar}> {each}, i64 0") for each in parts
                ]
            name = self.values.combined(fold.kind, fold.dtype, half, *parts)
            lanes = half
        return name


def render(kernel: Kernel, name: str, target: Target) -> Rendered:
    """LLVM IR for a kernel, as a function of this name."""
    return Renderer(kernel, target).render(name)
