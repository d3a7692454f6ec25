"""Kernels in which a whole workgroup shares one point of the domain.

Where a kernel has few points and long Folds, one thread a point would leave a GPU idle. Here the
threads of a workgroup take the steps of a Fold in turn and join their parts by a fixed tree, take
the steps of a Loop in turn where each writes elements of its own, and sort a row together.
Barriers stand in uniform control flow only, as browsers demand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from flambeau.device.webgpu.carrier import carrier
from flambeau.device.webgpu.render import MAXIMUM_GROUPS, Renderer, grid
from flambeau.device.webgpu.scopes import nested, postorder, roots_of
from flambeau.graph import dtype as dtypes
from flambeau.kernel.ir import Axis, Check, Fold, Kernel, Loop, Sort, Statement, Store, stride_of

LONG = 128  # steps from which a Fold is worth sharing


class TogetherRenderer(Renderer):
    """One workgroup for each point of the domain."""

    builtins = "@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32"

    def __init__(self, kernel: Kernel, bindings: Sequence[int], workgroup: int) -> None:
        super().__init__(kernel, bindings)
        self.workgroup = workgroup
        self.alone = False  # inside of a shared Loop each thread works by itself
        self.aliased = len(set(bindings)) < len(bindings)

    def groups(self, points: int) -> tuple[int, int]:
        return grid(points)

    def _domain(self, points: int, groups: tuple[int, int]) -> None:
        if groups[1] > 1:
            self.line(f"let point = group.x + group.y * {groups[0]}u;")
            self.line(f"if (point >= {points}u) {{ return; }}")
        else:
            self.line("let point = group.x;")
        self.place_axes(self.kernel.domain, "point")

    # statements -----------------------------------------------------------------------------

    def fold(self, fold: Fold) -> None:
        steps = math.prod(each.extent for each in fold.axes)
        if self.alone or fold.body or steps < 2 or fold.dtype is dtypes.bool_:
            super().fold(fold)
            return
        register = carrier(fold.dtype).register
        part, name = self.fresh("p"), self.fresh("r")
        self.line(f"var {part}: {register} = {self.expressions.identity(fold.kind, fold.dtype)};")
        self.hoist((), (fold.value,))
        self._open_shared(fold.axes, steps)
        self._accumulate(fold, part)
        self._close_shared(fold.axes)
        shared = self._shared(register)
        self.line("workgroupBarrier();")
        self.line(f"{shared}[lane] = {part};")
        size = self.workgroup // 2
        while size:
            both = f"{shared}[lane]", f"{shared}[lane + {size}u]"
            joined = self.expressions.combine(fold.kind, fold.dtype, *both)
            self.line("workgroupBarrier();")
            self.line(f"if (lane < {size}u) {{ {shared}[lane] = {joined}; }}")
            size //= 2
        self.line("workgroupBarrier();")
        self.line(f"let {name} = {shared}[0];")
        self.results[fold] = name

    def _shared(self, register: str) -> str:
        name = f"shared_{register}"
        declaration = f"var<workgroup> {name}: array<{register}, {self.workgroup}>;"
        if declaration not in self.declarations:
            self.declarations.append(declaration)
        return name

    def _open_shared(self, axes: Sequence[Axis], steps: int) -> None:
        """A loop over the steps that are this thread's."""
        at = self.fresh("i")
        self.open(f"for (var {at} = lane; {at} < {steps}u; {at} += {self.workgroup}u)")
        self.place_axes(axes, at)

    def _close_shared(self, axes: Sequence[Axis]) -> None:
        self.close()
        for each in axes:
            del self.axes[each]

    def loop(self, loop: Loop) -> None:
        steps = math.prod(each.extent for each in loop.axes)
        if self.alone or not steps:
            super().loop(loop)
            return
        self.hoist(loop.body)
        self._before_stores()
        self._open_shared(loop.axes, steps)
        self.alone = True
        self.body(loop.body)
        self.alone = False
        self._close_shared(loop.axes)

    def _before_stores(self) -> None:
        """All threads have read what they need of a buffer that is written in place."""
        if self.aliased:
            self.line("workgroupBarrier();")

    def store_all(self, group: Sequence[Store]) -> None:
        if self.alone:
            super().store_all(group)
            return
        for each in group:
            self.need(roots_of(each))
        self._before_stores()
        self.open("if (lane == 0u)")
        super().store_all(group)
        self.close()

    # sorting --------------------------------------------------------------------------------

    def sort(self, sort: Sort) -> None:
        """Merge sort of positions: every element finds its place in a merged run by bisection."""
        extent = sort.axis.extent
        if not extent:
            return
        self.hoist((), roots_of(sort))
        base, stride, scratch = self.need((sort.base, sort.stride, sort.scratch_base))
        buffer = f"b{self.bindings[sort.scratch]}"
        at, width = self.fresh("i"), self.fresh("w")
        start, target = self.fresh("f"), self.fresh("t")
        self.line(f"var {start} = {scratch};")
        self.line(f"var {target} = {scratch} + {extent}i;")
        lanes = f"{at} < {extent}i; {at} += {self.workgroup}i"
        self.line(f"for (var {at} = i32(lane); {lanes}) {{ {buffer}[{start} + {at}] = {at}; }}")
        self.open(f"for (var {width} = 1i; {width} < {extent}i; {width} = {width} * 2i)")
        self.line("storageBarrier();")
        self.open(f"for (var {at} = i32(lane); {lanes})")
        self._merge(sort, buffer, start, target, at, width)
        self.close()
        swap = self.fresh("s")
        self.line(f"let {swap} = {start}; {start} = {target}; {target} = {swap};")
        self.close()
        self.line("storageBarrier();")
        wanted = f"{at} < {sort.count}i; {at} += {self.workgroup}i"
        self.open(f"for (var {at} = i32(lane); {wanted})")
        self.line(f"let place = {buffer}[{start} + {sort.first}i + {at}];")
        if sort.indices is not None:
            element = f"b{self.bindings[sort.indices]}[{base} + {at} * {stride}]"
            self.line(f"{element} = place;")
        if sort.values is not None:
            dtype = self.kernel.buffers[sort.values].dtype
            value = self.expressions.stored(self._source(sort, "place"), dtype)
            self.line(f"b{self.bindings[sort.values]}[{base} + {at} * {stride}] = {value};")
        self.close()

    def _source(self, sort: Sort, place: str) -> str:
        """The row's element at a place; names of an earlier place are forgotten."""
        self.axes[sort.axis] = place
        if sort.axis.extent == 1:
            self.axes[sort.axis] = "0i"
        for scope in self.scopes:
            for value in scope:
                if sort.axis in self.dependencies[value]:
                    self.names.pop(value, None)
        (name,) = self.need((sort.source,))
        del self.axes[sort.axis]
        return name

    def _key(self, sort: Sort, place: str) -> str:
        """A number that is ordered as the elements are: NaN last, -0 as 0."""
        name = self._source(sort, place)
        register = carrier(sort.source.dtype).register
        if register == "f32":
            return self.expressions.call("order_f32", name)
        return f"select(0u, 1u, {name})" if register == "bool" else name

    def _merge(self, sort: Sort, buffer: str, start: str, target: str, at: str, width: str) -> None:
        """Move the element at `at` to its place in the run that joins its run and the next."""
        extent = sort.axis.extent
        self.line(f"let mine = {buffer}[{start} + {at}];")
        self.line(f"let key = {self._key(sort, 'mine')};")
        self.line(f"let first = {at} / (2i * {width}) * (2i * {width});")
        self.line(f"let middle = min(first + {width}, {extent}i);")
        self.line(f"let is_left = {at} < middle;")
        self.line("var low = select(first, middle, is_left);")
        self.line(f"var high = select(middle, min(first + 2i * {width}, {extent}i), is_left);")
        self.line("let other = low;")
        self.open("while (low < high)")
        self.line("let half = (low + high) / 2i;")
        self.line(f"let its = {buffer}[{start} + half];")
        self.line(f"let its_key = {self._key(sort, 'its')};")
        before = "its_key > key" if sort.descending else "its_key < key"
        self.line(f"if (({before}) || (!is_left && its_key == key)) {{ low = half + 1i; }}")
        self.line("else { high = half; }")
        self.close()
        mine = f"{at} - select(middle, first, is_left)"
        self.line(f"{buffer}[{target} + first + ({mine}) + (low - other)] = mine;")


def suits(kernel: Kernel, most_points: int) -> int:
    """Threads of a workgroup that should share a point; 0: one thread a point is better."""
    points = math.prod(each.extent for each in kernel.domain)
    if any(isinstance(each, Sort) for each in kernel.body):
        return 256 if points else 0
    steps = max(
        (
            math.prod(axis.extent for axis in each.axes)
            for each in kernel.body
            if isinstance(each, Fold)
        ),
        default=0,
    )
    if not 0 < points <= min(most_points, MAXIMUM_GROUPS) or steps < LONG:
        return 0
    if not _can_share(kernel):
        return 0
    return 256 if steps >= 1024 else 64


def _can_share(kernel: Kernel) -> bool:
    """Whether threads may take the steps of this kernel's Folds and Loops in any order."""
    written = {number for number, each in enumerate(kernel.buffers) if each.written}
    roots = [root for each in nested(kernel.body) for root in roots_of(each)]
    if any(value.op == "load" and value.payload in written for value in postorder(roots, ())):
        return False
    return all(
        (isinstance(each, Fold) and not each.body)
        or isinstance(each, (Store, Check))
        or (isinstance(each, Loop) and _independent(each.body, each.axes))
        for each in kernel.body
    )


def _independent(body: Sequence[Statement], axes: Sequence[Axis]) -> bool:
    """Whether every point of a Loop stores elements of its own."""
    for each in body:
        if isinstance(each, Store):
            if not _injective(each, axes):
                return False
        elif isinstance(each, Loop):
            if not _independent(each.body, (*axes, *each.axes)):
                return False
        elif isinstance(each, Sort) or (isinstance(each, Fold) and each.body):
            return False
    return True


def _injective(store: Store, axes: Sequence[Axis]) -> bool:
    """Whether different points of the axes write different elements."""
    strides = []
    for each in axes:
        stride = stride_of(store.index, each)
        if stride is None:
            return False
        if each.extent > 1:
            strides.append((abs(stride), each.extent))
    span = 0
    for stride, extent in sorted(strides):
        if stride <= span:
            return False
        span += stride * (extent - 1)
    return True
