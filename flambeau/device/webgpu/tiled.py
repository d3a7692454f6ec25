"""Matrix products and convolutions: a workgroup computes a tile of the result.

Where a kernel's first statement is a Fold of products of two factors, one of which varies with
some axes of the domain (rows) and the other with others (columns), the workgroup's threads fetch
parts of both factors into shared memory and every thread adds up several elements. Whatever else
the factors contain (views, guards, elementwise work) is done as they are fetched, and the Stores
that follow run for each element at the end. Sums go through the Fold's axes in order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flambeau.device.webgpu.render import Rendered, Renderer, grid
from flambeau.device.webgpu.scopes import postorder, roots_of
from flambeau.graph import dtype as dtypes
from flambeau.kernel.ir import Axis, Check, Fold, Kernel, Store, Value, stride_of

SIDE = 16  # threads along each side of a tile, and steps of the Fold that are fetched at a time
ROW = 4 * SIDE + 1  # floats of a row in shared memory: odd, so that columns lie in other banks
FLUSH = 256  # steps that are summed before they go into the total
FILL = 64  # workgroups that keep a GPU busy


@dataclass(frozen=True, slots=True)
class Product:
    """A Fold of left · right and the domain's axes by the factor that they belong to."""

    fold: Fold
    left: Value
    right: Value
    batch: tuple[Axis, ...]
    rows: tuple[Axis, ...]
    columns: tuple[Axis, ...]


def axes_of(value: Value) -> frozenset[Axis]:
    """The axes that a value depends on."""
    found = {each.payload for each in postorder((value,), ()) if each.op == "axis"}
    return frozenset(found)


def product_of(kernel: Kernel) -> Product | None:
    """The kernel as a product of factors with axes of their own; None where it is not one."""
    if not kernel.body or not isinstance(fold := kernel.body[0], Fold):
        return None
    value = fold.value
    if fold.kind != "add" or fold.dtype is not dtypes.float32 or fold.body or value.op != "MUL":
        return None
    if not all(isinstance(each, (Store, Check)) for each in kernel.body[1:]):
        return None
    if any(each.op == "result" for each in postorder((value,), ())):
        return None
    written = {number for number, each in enumerate(kernel.buffers) if each.written}
    roots = [fold.value, *(root for each in kernel.body[1:] for root in roots_of(each))]
    if any(each.op == "load" and each.payload in written for each in postorder(roots, ())):
        return None
    left, right = value.args
    mine, its = axes_of(left), axes_of(right)
    batch: list[Axis] = []
    rows: list[Axis] = []
    columns: list[Axis] = []
    for axis in kernel.domain:
        if axis.extent > 1:
            place = rows if axis not in its else columns if axis not in mine else batch
            place.append(axis)
    return Product(fold, left, right, tuple(batch), tuple(rows), tuple(columns))


def extent(axes: Iterable[Axis]) -> int:
    return math.prod(each.extent for each in axes)


def worth(product: Product, fill: int) -> tuple[int, int] | None:
    """Elements along rows and columns that a thread computes; None where tiles do not pay."""
    rows, columns = extent(product.rows), extent(product.columns)
    if min(rows, columns) < 8 or extent(product.fold.axes) < 8 or rows * columns < 1024:
        return None
    sizes = [min(4, 1 << max(0, (each - 1).bit_length() - 4)) for each in (rows, columns)]

    def count() -> int:
        down, across = -(-rows // (SIDE * sizes[0])), -(-columns // (SIDE * sizes[1]))
        return down * across * extent(product.batch)

    while count() < fill and max(sizes) > 1:
        sizes[sizes.index(max(sizes))] //= 2
    return sizes[0], sizes[1]


class TiledRenderer(Renderer):
    """One workgroup for each tile of the result."""

    workgroup = SIDE * SIDE
    builtins = "@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32"

    def __init__(
        self,
        kernel: Kernel,
        bindings: Sequence[int],
        product: Product,
        each: tuple[int, int],
    ) -> None:
        super().__init__(kernel, bindings)
        self.product = product
        self.each = each
        self.rows, self.columns = extent(product.rows), extent(product.columns)
        self.steps = extent(product.fold.axes)
        self.down = -(-self.rows // (SIDE * each[0]))
        self.across = -(-self.columns // (SIDE * each[1]))

    def render(self) -> Rendered:
        groups = grid(self.down * self.across * extent(self.product.batch))
        self._place_tile(groups)
        self.hoist((), (self.product.left, self.product.right))
        self._accumulators()
        self._contract()
        self._finish()
        access = "".join(
            "w" if number in self.written else "r" for number in range(len(self.storage))
        )
        return Rendered(self._text(access), access, groups, self.codes)

    def _place_tile(self, groups: tuple[int, int]) -> None:
        for axis in (*self.kernel.domain, *self.product.fold.axes):
            if axis.extent == 1:
                self.axes[axis] = "0i"
        total = self.down * self.across * extent(self.product.batch)
        self.line(f"let tile = group.x + group.y * {groups[0]}u;")
        if groups[1] > 1:
            self.line(f"if (tile >= {total}u) {{ return; }}")
        self.line(f"let column0 = tile % {self.across}u * {SIDE * self.each[1]}u;")
        self.line(f"let row0 = tile / {self.across}u % {self.down}u * {SIDE * self.each[0]}u;")
        if self.product.batch:
            self.line(f"let batch = tile / {self.across * self.down}u;")
            self.place_axes(self.product.batch, "batch")
        self.line(f"let x = lane % {SIDE}u;")
        self.line(f"let y = lane / {SIDE}u;")

    def _pairs(self) -> list[tuple[int, int]]:
        return [(i, j) for i in range(self.each[0]) for j in range(self.each[1])]

    def _accumulators(self) -> None:
        for name in ("left_tile", "right_tile"):
            self.declarations.append(f"var<workgroup> {name}: array<f32, {SIDE * ROW}>;")
        for i, j in self._pairs():
            self.line(f"var sum{i}{j} = 0.0f;")
            if self.steps > 2 * FLUSH:
                self.line(f"var total{i}{j} = 0.0f;")

    # the sums -------------------------------------------------------------------------------

    def _contract(self) -> None:
        product = self.product
        sides = [
            self._prepare("left_tile", product.left, product.rows, "row0", self.each[0]),
            self._prepare("right_tile", product.right, product.columns, "column0", self.each[1]),
        ]
        self.open(f"for (var step0 = 0u; step0 < {self.steps}u; step0 += {SIDE}u)")
        for side in sides:
            for slot in side:
                self._fetch(slot)
        self.line("workgroupBarrier();")
        self._multiply()
        self.line("workgroupBarrier();")
        if self.steps > 2 * FLUSH:
            self.open(f"if (step0 % {FLUSH}u == {FLUSH - SIDE}u)")
            for i, j in self._pairs():
                self.line(f"total{i}{j} += sum{i}{j}; sum{i}{j} = 0.0f;")
            self.close()
        self.close()
        if self.steps > 2 * FLUSH:
            for i, j in self._pairs():
                self.line(f"sum{i}{j} += total{i}{j};")

    def _prepare(
        self, tile: str, value: Value, axes: tuple[Axis, ...], start: str, count: int
    ) -> list[_Slot]:
        """The elements of a tile that this thread fetches; what stays is computed here."""
        slots = []
        size = extent(axes)
        for number in range(count):
            step, place, inside = self.fresh("s"), self.fresh("l"), self.fresh("g")
            if self._along_steps(value, axes):
                self.line(f"let {step} = lane % {SIDE}u;")
                self.line(f"let {place} = lane / {SIDE}u + {number * SIDE}u;")
            else:
                self.line(f"let {step} = lane / {SIDE}u;")
                self.line(f"let {place} = lane % {SIDE}u + {number * SIDE}u;")
            point = self.fresh("q")
            self.line(f"let {inside} = {start} + {place} < {size}u;")
            self.line(f"let {point} = min({start} + {place}, {size - 1}u);")
            before = len(self.scopes[-1])
            self.place_axes(axes, point)
            self.hoist((), (value,))
            kept = {each: self.names.pop(each) for each in self.scopes[-1][before:]}
            del self.scopes[-1][before:]
            named = {each: self.axes.pop(each) for each in axes}
            slots.append(_Slot(tile, value, step, place, inside, kept, named))
        return slots

    def _along_steps(self, value: Value, axes: tuple[Axis, ...]) -> bool:
        """Whether neighbours in memory are neighbouring steps, rather than rows or columns."""
        inner = [each for each in self.product.fold.axes if each.extent > 1]
        for each in postorder((value,), ()):
            if each.op == "load" and inner and stride_of(each.args[0], inner[-1]) == 1:
                return True
        return False

    def _fetch(self, slot: _Slot) -> None:
        """Put one element into shared memory; 0 outside of the factor."""
        element = f"{slot.tile}[{slot.step} * {ROW}u + {slot.place}]"
        fetched, at = self.fresh("e"), self.fresh("k")
        self.line(f"var {fetched} = 0.0f;")
        self.line(f"let {at} = step0 + {slot.step};")
        bound = "" if self.steps % SIDE == 0 else f" && {at} < {self.steps}u"
        self.open(f"if ({slot.inside}{bound})")
        self.names.update(slot.kept)
        self.axes.update(slot.axes)
        self.place_axes(self.product.fold.axes, at)
        (name,) = self.need((slot.value,))
        self.line(f"{fetched} = {name};")
        self.close()
        for each in slot.kept:
            del self.names[each]
        for axis in (*slot.axes, *self.product.fold.axes):
            if axis.extent > 1:
                del self.axes[axis]
        self.line(f"{element} = {fetched};")

    def _multiply(self) -> None:
        self.open(f"for (var step = 0u; step < {SIDE}u; step++)")
        for i in range(self.each[0]):
            self.line(f"let a{i} = left_tile[step * {ROW}u + y + {i * SIDE}u];")
        for j in range(self.each[1]):
            self.line(f"let b{j}_ = right_tile[step * {ROW}u + x + {j * SIDE}u];")
        for i, j in self._pairs():
            self.line(f"sum{i}{j} = fma(a{i}, b{j}_, sum{i}{j});")
        self.close()

    # the results ----------------------------------------------------------------------------

    def _finish(self) -> None:
        """Run what follows the Fold for each of the thread's elements."""
        for i, j in self._pairs():
            row, column = self.fresh("m"), self.fresh("n")
            self.line(f"let {row} = row0 + y + {i * SIDE}u;")
            self.line(f"let {column} = column0 + x + {j * SIDE}u;")
            self.open(f"if ({row} < {self.rows}u && {column} < {self.columns}u)")
            self.place_axes(self.product.rows, row)
            self.place_axes(self.product.columns, column)
            self.results[self.product.fold] = f"sum{i}{j}"
            self.body(self.kernel.body[1:])
            self.close()
            del self.results[self.product.fold]
            for axis in (*self.product.rows, *self.product.columns):
                del self.axes[axis]


@dataclass(frozen=True, slots=True)
class _Slot:
    """One element of a tile: where it goes, whether it exists, and names that are known."""

    tile: str
    value: Value
    step: str
    place: str
    inside: str
    kept: dict[Value, str]
    axes: dict[Axis, str]
