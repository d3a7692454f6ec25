"""A graph for lengths up to a capacity, made of the graphs at the capacity and at two lengths.

See lengths.py. Extents, starts and numbers that differ between the graphs are functions of n; the
graphs are alike in all else, or there is no padded graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy

from flambeau.graph import build as b
from flambeau.graph import op
from flambeau.graph.attention import plain
from flambeau.graph.dtype import DType, bool_, int64
from flambeau.graph.graph import Graph
from flambeau.graph.node import Node, ScalarRef, Shape, TensorType, node, walk
from flambeau.graph.shapes import gather_attrs


class NotShown(Exception):  # noqa: N818  # an answer, not a mistake
    """That one plan is right for all lengths could not be shown; the text says why."""


class Extent(NamedTuple):
    """factor · n + offset."""

    factor: int
    offset: int


@dataclass(frozen=True, slots=True)
class Number:
    """A runtime scalar that n decides: factor · n + offset, or one over that."""

    dtype: DType
    factor: int
    offset: int
    inverse: bool = False

    def at(self, n: int) -> Any:
        value = self.factor * n + self.offset
        if self.inverse:
            return 1 / value
        return float(value) if self.dtype.is_floating_point else value


class Slice(NamedTuple):
    """start, size, step and the extent of the fixed array of a slice that grows."""

    start: Any
    size: int
    step: int
    extent: int


@dataclass(slots=True)
class Padded:
    """The padded graph and how it is used.

    `inputs` are (number, type at the capacity) of the inputs to be laid into larger arrays;
    `outputs` has such a type for each output that is to be cut, else None. `most` is the greatest
    n for which all slices of fixed arrays with fixed starts fit.
    """

    graph: Graph
    numbers: list[Number]
    inputs: list[tuple[int, TensorType]]
    outputs: list[TensorType | None]
    slices: list[Slice]
    most: int


def padded(samples: Sequence[Graph], known: Sequence[int], whole: Graph, capacity: int) -> Padded:
    """The padded graph. Raises NotShown.

    samples   the graphs at the two lengths `known`
    whole     the graph at the capacity
    """
    return _Padding(samples, known, whole, capacity).run()


_IDENTITY = {"add": 0, "mul": 1}
_RANGES = frozenset({op.BUFFER, op.IOTA, op.RESHAPE, op.EXPAND, op.PAD, op.SLICE})
"""Primitives whose attributes may have sizes that grow."""

_FREE = frozenset({op.PERMUTE, op.EXPAND, op.MATERIALIZE, op.SCAN, op.PICK, op.IOTA})
"""Primitives whose first elements come of their inputs' first elements alone."""


class _Padding:
    def __init__(
        self, samples: Sequence[Graph], known: Sequence[int], whole: Graph, capacity: int
    ) -> None:
        self.known = known
        self.capacity = capacity
        self.whole = whole
        self.most = capacity
        graphs = [self._plain(each) for each in (*samples, whole)]
        orders = [walk([*graph.inputs, *outputs]) for graph, outputs in graphs]
        if len({len(each) for each in orders}) > 1:
            raise NotShown("graphs of different sizes have different operations")
        self.orders = orders
        self.outputs = graphs[-1][1]
        self.alike: dict[Node, tuple[Node, ...]] = {
            each[-1]: each for each in zip(*orders, strict=True)
        }
        self.made: dict[Node, Node] = {}
        self.numbers: dict[Number, ScalarRef] = {}
        self.slices: list[Slice] = []
        self._check_wiring()

    @staticmethod
    def _plain(graph: Graph) -> tuple[Graph, tuple[Node, ...]]:
        """ATTENTION in other primitives, but where it is causal and of as many queries as keys."""
        made: dict[Node, Node] = {}
        for each in walk([*graph.inputs, *graph.outputs]):
            inputs = tuple([made[source] for source in each.inputs])
            same = inputs == each.inputs
            made[each] = each if same else _again(each, inputs)
            if each.op is op.PICK and inputs[0].op is op.ATTENTION and not _square(inputs[0]):
                made[each] = plain(inputs[0])[each.attrs[0]]
        return graph, tuple([made[each] for each in graph.outputs])

    def _check_wiring(self) -> None:
        places = [{each: place for place, each in enumerate(order)} for order in self.orders]
        for nodes in zip(*self.orders, strict=True):
            wiring = {
                (each.op, tuple([place[source] for source in each.inputs]))
                for each, place in zip(nodes, places, strict=True)
            }
            if len(wiring) > 1:
                raise NotShown(f"{nodes[0].op.name} is made otherwise at another size")

    def run(self) -> Padded:
        for each in self.orders[-1]:
            self.made[each] = self._padded(each)
        inputs = [
            (number, each.type)
            for number, each in enumerate(self.whole.inputs)
            if any(self.extents(each))
        ]
        numbers = list(self.numbers)
        graph = Graph(
            self.whole.inputs,
            tuple([self.made[each] for each in self.outputs]),
            (*self.whole.scalars, *[each.dtype for each in numbers]),
            self.whole.donatable,
        )
        outputs = [each.type if any(self.extents(each)) else None for each in self.outputs]
        return Padded(graph, numbers, inputs, outputs, self.slices, self.most)

    # what grows

    def line(self, values: Sequence[int]) -> Extent:
        """The function of n that a number is: at the known lengths and at the capacity."""
        (first, second), last = self.known, values[-1]
        factor, rest = divmod(last - values[0], self.capacity - first or 1)
        if self.capacity == first:
            factor, rest = divmod(last - values[1], self.capacity - second)
        found = Extent(factor, last - factor * self.capacity)
        lengths = (first, second, self.capacity)
        if rest or any(
            found.factor * n + found.offset != value
            for n, value in zip(lengths, values, strict=True)
        ):
            raise NotShown(f"{list(values)} at {list(lengths)} is no line")
        return found

    def extents(self, each: Node) -> list[Extent | None]:
        """For each axis its extent where it grows, None where it is fixed."""
        shapes = [_type(other).shape for other in self.alike.get(each, (each,) * 3)]
        found: list[Extent | None] = []
        for values in zip(*shapes, strict=True):
            line = self.line(values)
            found.append(line if line.factor else None)
        if any(line is not None and line.factor < 0 for line in found):
            raise NotShown("an extent falls where another grows")
        return found

    def number(self, number: Number) -> Node:
        """A runtime scalar."""
        return Node(node(op.CONST, (), (number.dtype,), (0,)).signature, (), (self.scalar(number),))

    def scalar(self, number: Number) -> ScalarRef:
        if number not in self.numbers:
            self.numbers[number] = ScalarRef(len(self.whole.scalars) + len(self.numbers))
        return self.numbers[number]

    def inside(self, shape: Shape, extents: Sequence[Extent | None]) -> Node:
        """Where all growing axes are within their extents."""
        found: Node | None = None
        for axis, extent in enumerate(extents):
            if extent is None:
                continue
            line = tuple([shape[axis] if place == axis else 1 for place in range(len(shape))])
            at = b.reshape(b.iota(shape[axis]), line)
            within = b.less(at, self.number(Number(int64, *extent)))
            found = within if found is None else b.and_(found, within)
        assert found is not None
        return found

    def kept(self, original: Node, axes: Sequence[int], fill: Any) -> Node:
        """A Node with `fill` beyond the extents of those of the axes that grow."""
        extents = self.extents(original)
        wanted = [each if axis in axes else None for axis, each in enumerate(extents)]
        x = self.made[original]
        if not any(wanted):
            return x
        within = self.inside(x.shape, wanted)
        return b.where(within, x, b.constant(fill, x.dtype))

    # Nodes

    def _padded(self, each: Node) -> Node:
        self._check_attributes(each)
        inputs = tuple([self.made[source] for source in each.inputs])
        rule = _RULES.get(each.op)
        if rule is not None:
            return rule(self, each)
        if each.op in op.ELEMENTWISE:
            self._check_division(each)
        elif each.op not in _FREE and each.op is not op.BUFFER and self._any_grows(each):
            raise NotShown(f"{each.op.name} of what grows")
        return each if inputs == each.inputs else _again(each, inputs)

    def _any_grows(self, each: Node) -> bool:
        types = [each, *each.inputs]
        return any(any(self.extents(one)) for one in types if not _several(one))

    def _check_attributes(self, each: Node) -> None:
        """Attributes and fixed numbers are the same at all lengths, but sizes."""
        nodes = self.alike[each]
        if each.op is op.CONST or each.op in _RANGES:
            return
        if any(other.attrs != each.attrs or other.scalars != each.scalars for other in nodes):
            raise NotShown(f"{each.op.name} has other attributes at another size")

    def _check_division(self, each: Node) -> None:
        if each.op in (op.IDIV, op.MOD) and not each.dtype.is_floating_point:
            divisor = each.inputs[1]
            while divisor.op in (op.EXPAND, op.RESHAPE, op.CAST):
                divisor = divisor.inputs[0]
            if divisor.op is not op.CONST and any(self.extents(each)):
                raise NotShown("a division of integers beyond what is there")

    def constant(self, each: Node) -> Node:
        """A number that differs between the lengths becomes a runtime scalar."""
        nodes = self.alike[each]
        if all(other.attrs == each.attrs for other in nodes):
            return each
        dtype = each.dtype
        values = [_value(other) for other in nodes]
        if all(float(value).is_integer() for value in values):
            return self.number(Number(dtype, *self.line([int(value) for value in values])))
        inverses = [1 / value if value else math.inf for value in values]
        near = [round(value) if math.isfinite(value) else 0 for value in inverses]
        number = Number(dtype, *self.line(near), inverse=True)
        lengths = (*self.known, self.capacity)
        if any(number.at(n) != value for n, value in zip(lengths, values, strict=True)):
            raise NotShown(f"the number {values} at {lengths}")
        return self.number(number)

    def starts(self, each: Node) -> tuple[Any, ...]:
        """Those of a SLICE or PAD: runtime scalars, fixed, or functions of n."""
        found = []
        for values in zip(*[other.scalars for other in self.alike[each]], strict=True):
            if len(set(values)) == 1:
                found.append(values[0])
            elif any(isinstance(value, ScalarRef) for value in values):
                raise NotShown("starts are numbered otherwise at another size")
            else:
                found.append(self.scalar(Number(int64, *self.line(values))))
        return tuple(found)

    def slice(self, each: Node) -> Node:
        (source,) = each.inputs
        if len({other.attrs[1] for other in self.alike[each]}) > 1:
            raise NotShown("a slice has other steps at another size")
        starts = self.starts(each)
        sizes, steps = each.attrs
        for axis, line in enumerate(self.extents(each)):
            if line is None:
                continue
            if steps[axis] < 0:
                raise NotShown("what grows is turned round")
            self._bound(starts[axis], sizes[axis], steps[axis], source.shape[axis], line)
        return node(op.SLICE, (self.made[source],), each.attrs, starts)

    def _bound(self, start: Any, size: int, step: int, extent: int, line: Extent) -> None:
        """Reading at the capacity stays within the array, for all n up to `most`."""
        if isinstance(start, ScalarRef):
            self.slices.append(Slice(start, size, step, extent))
            start = 0
        most = (extent - start - 1) // step + 1
        if size > most:
            self.most = min(self.most, (most - line.offset) // line.factor)

    def pad(self, each: Node) -> Node:
        (source,) = each.inputs
        if len({other.attrs[1:] for other in self.alike[each]}) > 1:
            raise NotShown("a pad has other steps at another size")
        _shape, _steps, fill = each.attrs
        x = self.kept(source, range(len(source.shape)), _decoded(fill, each.dtype))
        return node(op.PAD, (x,), each.attrs, self.starts(each))

    def reduce(self, each: Node) -> Node:
        (source,) = each.inputs
        kind, axes = each.attrs
        fill = _IDENTITY.get(kind, _least(each.dtype))
        return b.reduce(kind, self.kept(source, axes, fill), axes)

    def matmul(self, each: Node) -> Node:
        left, right = each.inputs
        return b.matmul(
            self.kept(left, (len(left.shape) - 1,), 0), self.kept(right, (len(right.shape) - 2,), 0)
        )

    def reshape(self, each: Node) -> Node:
        """Sound where what grows is the first axis of its group on both sides."""
        (source,) = each.inputs
        before, after = self.extents(source), self.extents(each)
        for rows, columns in _groups(source.shape, each.shape):
            one = _run_of(rows, before, source.shape)
            if one != _run_of(columns, after, each.shape):
                raise NotShown("what grows is mixed with another axis")
        return node(op.RESHAPE, (self.made[source],), each.attrs)

    def cat(self, each: Node) -> Node:
        """Each part laid where it begins for this n."""
        (axis,) = each.attrs
        lines = [self.extents(part)[axis] for part in each.inputs]
        if not any(lines[:-1]):
            return _again(each, tuple([self.made[part] for part in each.inputs]))
        start, found = Extent(0, 0), None
        for part, line in zip(each.inputs, lines, strict=True):
            starts: list[Any] = [0] * len(each.shape)
            begin = Number(int64, *start)
            if start != (0, 0):
                starts[axis] = self.scalar(begin)
            x = self.made[part]
            laid = node(
                op.PAD,
                (x,),
                (each.shape, (1,) * len(starts), op.encode_constant(0, x.dtype)),
                tuple(starts),
            )
            if found is None:
                found = laid
            else:
                line_shape = tuple(
                    [n if place == axis else 1 for place, n in enumerate(each.shape)]
                )
                at = b.reshape(b.iota(each.shape[axis]), line_shape)
                found = b.where(b.less(at, self.number(begin)), found, laid)
            own = line or Extent(0, part.shape[axis])
            start = Extent(start.factor + own.factor, start.offset + own.offset)
        assert found is not None
        return found

    def gather(self, each: Node) -> Node:
        source, index = each.inputs
        axis, _message, along = gather_attrs(each.attrs)
        if self.extents(source)[axis] is not None or along:
            raise NotShown("an index into what grows")
        inside = self.kept(index, range(len(index.shape)), 0)
        return _again(each, (self.made[source], inside))

    def conv(self, each: Node) -> Node:
        mode = each.attrs[0]
        first, second = each.inputs
        growing = [self.extents(one) for one in (first, second)]
        if any(any(extents[1:]) for extents in growing) or growing[1][0]:
            raise NotShown("a convolution of images that grow")
        if mode == "weight" and growing[0][0]:
            raise NotShown("a convolution's weight from a batch that grows")
        return _again(each, (self.made[first], self.made[second]))

    def same(self, each: Node) -> Node:
        return self.made[each.inputs[0]]

    def attention(self, each: Node) -> Node:
        """Causal, of as many queries as keys: no key beyond n is before a query within n."""
        query, key, value, *bias = each.inputs
        rows = [self.extents(one)[-2] for one in (query, key, value)]
        if len(set(rows)) > 1:
            raise NotShown("attention of queries and keys that grow otherwise")
        kept = [self.kept(one, (len(one.shape) - 2,), 0) for one in (key, value)]
        return _again(each, (self.made[query], *kept, *[self.made[one] for one in bias]))


_RULES: dict[Any, Callable[[_Padding, Node], Node]] = {
    op.CONST: _Padding.constant,
    op.SLICE: _Padding.slice,
    op.PAD: _Padding.pad,
    op.REDUCE: _Padding.reduce,
    op.MATMUL: _Padding.matmul,
    op.RESHAPE: _Padding.reshape,
    op.CAT: _Padding.cat,
    op.GATHER: _Padding.gather,
    op.CONV: _Padding.conv,
    op.ATTENTION: _Padding.attention,
    op.DETACH: _Padding.same,
}


def _square(attention: Node) -> bool:
    query, key = (each.shape[-2] for each in attention.inputs[:2])
    return bool(attention.attrs[0] and query == key)


def _run_of(
    axes: Sequence[int], extents: Sequence[Extent | None], shape: Shape
) -> tuple[int, int] | None:
    """The elements of a group of axes as a line, where what grows is their first part."""
    grows = [axis for axis in axes if extents[axis] is not None]
    if not grows:
        return None
    if len(grows) > 1 or any(shape[axis] != 1 for axis in axes if axis < grows[0]):
        raise NotShown("what grows is mixed with another axis")
    line = extents[grows[0]]
    assert line is not None
    rest = math.prod(shape[axis] for axis in axes if axis > grows[0])
    return line.factor * rest, line.offset * rest


def _again(each: Node, inputs: tuple[Node, ...]) -> Node:
    return node(each.op, inputs, each.attrs, each.scalars, each.site)


def _several(each: Node) -> bool:
    return not hasattr(each.type, "shape")


def _type(each: Node) -> Any:
    return each.type.items[0] if _several(each) else each.type


def _value(constant: Node) -> float:
    if len(constant.attrs) < 2:
        raise NotShown("a number that is given at one size and fixed at another")
    return float(_decoded(constant.attrs[1], constant.dtype))


def _decoded(encoded: Any, dtype: DType) -> Any:
    return float.fromhex(encoded) if dtype.is_floating_point else encoded


def _least(dtype: DType) -> Any:
    if dtype.is_floating_point:
        return -math.inf
    return False if dtype is bool_ else int(numpy.iinfo(dtype.numpy).min)


def _groups(before: Shape, after: Shape) -> list[tuple[list[int], list[int]]]:
    """Axes of both shapes that have the same elements, row-major, in the smallest groups."""
    if 0 in before:
        raise NotShown("nothing is reshaped")
    groups, i, j = [], 0, 0
    while i < len(before) or j < len(after):
        rows, columns = (
            list(range(i, min(i + 1, len(before)))),
            list(range(j, min(j + 1, len(after)))),
        )
        i, j = i + len(rows), j + len(columns)
        one, other = math.prod(before[a] for a in rows), math.prod(after[a] for a in columns)
        while one != other:
            if one < other:
                one, i = one * before[i], i + 1
                rows.append(i - 1)
            else:
                other, j = other * after[j], j + 1
                columns.append(j - 1)
        groups.append((rows, columns))
    return groups
