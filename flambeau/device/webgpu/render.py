"""Kernel → WGSL: one thread for each point of the domain.

Statements follow the kernel's own order (values and their names: scopes.py). Everything that a
compiler could fold wrongly goes through values.py and library.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from flambeau.device.webgpu import library
from flambeau.device.webgpu.carrier import carrier
from flambeau.device.webgpu.scopes import Scopes, nested, roots_of
from flambeau.device.webgpu.values import ZERO_WORD
from flambeau.graph import dtype as dtypes
from flambeau.kernel.ir import Axis, Check, Fold, Kernel, Loop, Sort, Statement, Store, Value

WORKGROUP = 64
MAXIMUM_GROUPS = 65535
STORAGE_BUFFERS = 8
CHUNK = 256  # floats that are summed before they go into the total


@dataclass(frozen=True, slots=True)
class Rendered:
    """A kernel as WGSL.

    `access`: for each storage binding (from binding 1) "r" or "w"; `groups`: workgroups to
    dispatch; `codes`: the Checks' codes, in the order of their records, which lie in one more
    binding where there are any.
    """

    wgsl: str
    access: str
    groups: tuple[int, int]
    codes: tuple[int, ...]


class Renderer(Scopes):
    """Renders one kernel."""

    workgroup = WORKGROUP
    builtins = "@builtin(global_invocation_id) global: vec3<u32>"

    def __init__(self, kernel: Kernel, bindings: Sequence[int]) -> None:
        super().__init__(kernel, bindings)
        self.declarations: list[str] = []
        self.codes = tuple(
            sorted({each.code for each in nested(kernel.body) if isinstance(each, Check)})
        )
        self.written = {
            bindings[number] for number, each in enumerate(kernel.buffers) if each.written
        }
        self._buffers()

    def _buffers(self) -> None:
        """Storage type and access of each binding."""
        count = max(self.bindings, default=-1) + 1
        self.storage = [""] * count
        for number, each in enumerate(self.kernel.buffers):
            storage = carrier(each.dtype).storage
            binding = self.bindings[number]
            if self.storage[binding] not in ("", storage):
                raise NotImplementedError(
                    f"kernel {self.kernel.name} uses one buffer as {self.storage[binding]} and as "
                    f"{storage}, which webgpu cannot bind"
                )
            self.storage[binding] = storage
        if count + bool(self.codes) > STORAGE_BUFFERS:
            raise NotImplementedError(
                f"kernel {self.kernel.name} uses {count} buffers"
                f"{' and an error record' if self.codes else ''}; webgpu binds at most "
                f"{STORAGE_BUFFERS}: plan with fewer buffers a kernel"
            )

    # statements -----------------------------------------------------------------------------

    def body(self, statements: Sequence[Statement]) -> None:
        """Render statements; values of Stores in a row are all computed before the first."""
        number = 0
        while number < len(statements):
            statement = statements[number]
            number += 1
            if isinstance(statement, Fold):
                self.fold(statement)
            elif isinstance(statement, Loop):
                self.loop(statement)
            elif isinstance(statement, Check):
                self.check(statement)
            elif isinstance(statement, Store):
                group = [statement]
                while number < len(statements) and isinstance(statements[number], Store):
                    group.append(statements[number])  # type: ignore[arg-type]  # a Store
                    number += 1
                self.store_all(group)
            elif isinstance(statement, Sort):
                self.sort(statement)
            else:
                raise NotImplementedError(f"{type(statement).__name__} on webgpu")

    def store_all(self, group: Sequence[Store]) -> None:
        """Stores in a row: all values are computed, then all are written."""
        names = [self.need(roots_of(each)) for each in group]
        for each, rendered in zip(group, names, strict=True):
            self._store(each, rendered)
        self.forget_volatile()

    def _store(self, store: Store, names: list[str]) -> None:
        dtype = self.kernel.buffers[store.buffer].dtype
        place = self.place(store.index, names[0])
        element = f"b{self.bindings[store.buffer]}[{place}]"
        value = names[-1]
        if store.combine is not None:
            old = self.expressions.loaded(element, dtype)
            value = self.expressions.combine(store.combine, dtype, old, value)
        text = f"{element} = {self.expressions.stored(value, dtype)};"
        if store.valid is None:
            self.line(text)
        else:
            self.line(f"if ({names[1]}) {{ {text} }}")

    def sort(self, sort: Sort) -> None:
        raise NotImplementedError("a Sort runs in a kernel of its own, see together.py")

    def check(self, check: Check) -> None:
        condition, detail = self.need((check.condition, check.detail))
        record = 2 * self.codes.index(check.code)
        self.line(f"if (!{condition}) {{")
        self.line(f"  atomicOr(&errors[{record}], 1u);")
        # the least detail wins, whatever the order of threads
        self.line(
            f"  atomicMax(&errors[{record + 1}], "
            f"0x7fffffffu - (bitcast<u32>({detail}) | {ZERO_WORD}));"
        )
        self.line("}")

    def loop(self, loop: Loop) -> None:
        if any(each.extent == 0 for each in loop.axes):
            return
        self.forget_volatile()
        opened = self.open_axes(loop.axes, loop.body)
        self.body(loop.body)
        self.close_axes(opened)

    def open_axes(
        self, axes: Sequence[Axis], statements: Sequence[Statement], more: Sequence[Value] = ()
    ) -> list[Axis]:
        """Nested loops over axes, with what does not change in them computed outside."""
        opened: list[Axis] = []
        for each in axes:
            if each.extent == 1:
                self.axes[each] = "0i"
                continue
            self.hoist(statements, more)
            name = self.fresh("i")
            self.open(f"for (var {name} = 0i; {name} < {each.extent}i; {name}++)")
            self.axes[each] = name
            opened.append(each)
        return opened

    def close_axes(self, opened: list[Axis]) -> None:
        for each in opened:
            self.close()
            del self.axes[each]

    def fold(self, fold: Fold) -> None:
        register = carrier(fold.dtype).register
        name = self.fresh("r")
        identity = self.expressions.identity(fold.kind, fold.dtype)
        self.line(f"var {name}: {register} = {identity};")
        if not any(each.extent == 0 for each in fold.axes):
            if fold.body:
                self._scan(fold, name)
            elif fold.kind == "add" and fold.dtype.is_floating_point:
                self._sum(fold, name)
            else:
                opened = self.open_axes(fold.axes, (), (fold.value,))
                self._accumulate(fold, name)
                self.close_axes(opened)
        self.results[fold] = name

    def _accumulate(self, fold: Fold, name: str) -> None:
        (value,) = self.need((fold.value,))
        combined = self.expressions.combine(fold.kind, fold.dtype, name, value)
        self.line(f"{name} = {combined};")

    def _scan(self, fold: Fold, name: str) -> None:
        self.forget_volatile()
        opened = self.open_axes(fold.axes, fold.body, (fold.value,))
        self._accumulate(fold, name)
        self.results[fold] = name
        self.body(fold.body)
        self.close_axes(opened)

    def _sum(self, fold: Fold, name: str) -> None:
        """A sum of floats in parts of about CHUNK, so that rounding errors grow slowly."""
        axes = [each for each in fold.axes if each.extent != 1]
        inner: list[Axis] = []
        while axes and (
            not inner or math.prod(e.extent for e in inner) <= CHUNK // axes[-1].extent
        ):
            inner.insert(0, axes.pop())
        chunked = len(inner) == 1 and inner[0].extent > 2 * CHUNK
        opened = self.open_axes(
            [each for each in fold.axes if each not in inner], (), (fold.value,)
        )
        if chunked:
            self._sum_chunks(fold, name, inner[0])
        elif not opened:
            self._sum_part(fold, name, inner)
        else:
            self.hoist((), (fold.value,))
            part = self.fresh("p")
            self.line(f"var {part}: f32 = 0.0f;")
            self._sum_part(fold, part, inner)
            self.line(f"{name} = {name} + {part};")
        self.close_axes(opened)

    def _sum_part(self, fold: Fold, name: str, axes: Sequence[Axis]) -> None:
        opened = self.open_axes(axes, (), (fold.value,))
        self._accumulate(fold, name)
        self.close_axes(opened)

    def _sum_chunks(self, fold: Fold, name: str, axis: Axis) -> None:
        self.hoist((), (fold.value,))
        start, part, at = self.fresh("c"), self.fresh("p"), self.fresh("i")
        self.open(f"for (var {start} = 0i; {start} < {axis.extent}i; {start} += {CHUNK}i)")
        self.line(f"var {part}: f32 = 0.0f;")
        stop = f"min({start} + {CHUNK}i, {axis.extent}i)"
        self.open(f"for (var {at} = {start}; {at} < {stop}; {at}++)")
        self.axes[axis] = at
        self._accumulate(fold, part)
        self.close()
        del self.axes[axis]
        self.line(f"{name} = {name} + {part};")
        self.close()

    # the whole ------------------------------------------------------------------------------

    def render(self) -> Rendered:
        points = math.prod(each.extent for each in self.kernel.domain)
        groups = self.groups(points)
        if points:
            self._domain(points, groups)
            self.body(self.kernel.body)
        access = "".join(
            "w" if number in self.written else "r" for number in range(len(self.storage))
        )
        return Rendered(self._text(access), access, groups, self.codes)

    def groups(self, points: int) -> tuple[int, int]:
        """Workgroups along x and y."""
        return grid(-(-points // WORKGROUP))

    def _domain(self, points: int, groups: tuple[int, int]) -> None:
        row = f" + global.y * {groups[0] * WORKGROUP}u" if groups[1] > 1 else ""
        self.line(f"let point = global.x{row};")
        self.line(f"if (point >= {points}u) {{ return; }}")
        self.place_axes(self.kernel.domain, "point")

    def _text(self, access: str) -> str:
        half = any(each.dtype is dtypes.float16 for each in self.kernel.buffers)
        words = (len(self.kernel.scalars) + 1 + 3) // 4
        calls = library.source(self.expressions.functions)
        half = half or "f16(" in calls
        parts = ["enable f16;"] if half else []
        parts.append(f"struct Parameters {{ words: array<vec4<u32>, {words}> }}")
        parts.append("@group(0) @binding(0) var<uniform> params: Parameters;")
        for number, storage in enumerate(self.storage):
            mode = "read_write" if access[number] == "w" else "read"
            parts.append(
                f"@group(0) @binding({number + 1}) var<storage, {mode}> b{number}: "
                f"array<{storage}>;"
            )
        if self.codes:
            parts.append(
                f"@group(0) @binding({len(access) + 1}) var<storage, read_write> errors: "
                f"array<atomic<u32>, {2 * len(self.codes)}>;"
            )
        parts += self.declarations
        if calls:
            parts.append(calls)
        parts.append(f"@compute @workgroup_size({self.workgroup})\nfn main({self.builtins}) {{")
        constants = [f"  let {k} = {text};" for text, k in self.expressions.constants.items()]
        return "\n".join([*parts, *constants, *self.lines, "}", ""])


def grid(total: int) -> tuple[int, int]:
    """So many workgroups, along x and y."""
    if total <= MAXIMUM_GROUPS:
        return total, min(total, 1)
    rows = -(-total // MAXIMUM_GROUPS)
    return -(-total // rows), rows
