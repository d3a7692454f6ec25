"""From recorded Nodes to the steps that are written: one walk over all traces together.

Every place of the graph is a tuple of Nodes, one of each trace, which must be the same operation.
A composite for which the table has an ONNX operator is one step; any other is walked through its
expansion, the same that a plan is made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from flambeau.deploy.onnx.errors import OnnxExporterError, OtherGraphError, refusal
from flambeau.deploy.onnx.extents import Extents, Mixed, merge, varies
from flambeau.deploy.onnx.trace import Trace
from flambeau.deploy.onnx.writer import Value, Writer
from flambeau.device import base as devices
from flambeau.graph import op
from flambeau.graph.attention import plain
from flambeau.graph.composite import Composite, placeholder, template_of
from flambeau.graph.dtype import DType
from flambeau.graph.node import Location, Node, TupleType
from flambeau.graph.op import Primitive
from flambeau.ops.composite import _Number

Joint = tuple[Node, ...]
Made = Any  # a Value, or a tuple of Values where an operation has several results


@dataclass(slots=True)
class Step:
    """One operation to write: what all traces have of it; what differs is a Dim."""

    operation: Any
    attrs: tuple[Any, ...]
    scalars: tuple[Any, ...]
    inputs: list[Value]
    shapes: list[Extents]
    dtypes: list[DType]
    location: Location | None

    @property
    def shape(self) -> Extents:
        return self.shapes[0]

    @property
    def dtype(self) -> DType:
        return self.dtypes[0]

    @property
    def name(self) -> str:
        return self.operation.name

    def refuse(self, reason: str) -> OnnxExporterError:
        return refusal(self.name, self.location, reason)

    def fixed(self, value: Any, what: str) -> Any:
        """The value. Raises OnnxExporterError where it depends on the extents of the inputs."""
        if varies(value):
            raise self.refuse(
                f"its {what} depends on the size of a dynamic axis, which ONNX's operator does "
                "not take: export with fixed sizes"
            )
        return value

    def arguments(self) -> list[Any]:
        """A @composite's arguments: Values, lists of Values, and fixed ones; see ops/composite."""
        left = iter(self.inputs)
        found: list[Any] = []
        for each in self.attrs:
            if each is None:
                found.append(next(left))
            elif isinstance(each, int):
                found.append([next(left) for _ in range(each)])
            else:
                found.append(each[0])
        return found


def plain_attrs(value: Any) -> Any:
    """Attributes with numbers as they are."""
    if isinstance(value, _Number):
        return value.value
    if type(value) is tuple:
        return tuple([plain_attrs(each) for each in value])
    return value


class Walker:
    """Writes what all traces together mean. `table` has the rules, see table.py."""

    def __init__(self, writer: Writer, traces: Sequence[Trace], table: Any, fold: bool) -> None:
        self.writer = writer
        self.table = table
        self.fold = fold
        self.links = {node: link for each in traces for node, link in each.links.items()}
        self.drawn = {node for each in traces for node in each.drawn}
        self.by_values = {node: at for each in traces for node, at in each.by_values.items()}
        self.leaves: dict[Joint, Value] = {}

    def run(self, roots: Sequence[Joint]) -> list[Made]:
        """The values of recorded Nodes."""
        return self._write(roots, dict(self.leaves), None)

    def _write(
        self, roots: Sequence[Joint], known: dict[Joint, Made], place: Location | None
    ) -> list[Made]:
        stack = list(reversed(roots))
        users: dict[Joint, Location | None] = {}  # what has no line of its own names its user's
        while stack:
            joint = stack[-1]
            if joint in known:
                stack.pop()
                continue
            sources = self._sources(joint, place)
            missing = [each for each in sources if each not in known]
            if missing:
                stack += reversed(missing)
                for each in missing:
                    users.setdefault(each, place or joint[0].location)
                continue
            stack.pop()
            inputs = [known[each] for each in sources]
            known[joint] = self._step(joint, inputs, place or users.get(joint))
        return [known[each] for each in roots]

    def _sources(self, joint: Joint, place: Location | None) -> list[Joint]:
        """The places that this one takes. Raises OnnxExporterError where the traces differ."""
        first = joint[0]
        location = place or first.location
        leaf = self._is_leaf(first)
        if any(each.op is not first.op or self._is_leaf(each) != leaf for each in joint):
            names = " and ".join(sorted({each.op.name for each in joint}))
            told = refusal(
                names, location, "the model does other things for other sizes of its dynamic axes"
            )
            raise OtherGraphError(str(told))
        if leaf:
            return []
        rows = [self.links.get(each, (each.inputs, ()))[0] for each in joint]
        count = self.table.inputs_taken(first.op)
        if count is not None and not self._equal_tables([row[count:] for row in rows]):
            rows = [row[:count] for row in rows]
        if any(len(row) != len(rows[0]) for row in rows):
            raise refusal(
                first.op.name, location, "it takes more inputs where a dynamic axis is longer"
            )
        return list(zip(*rows, strict=True))

    def _equal_tables(self, rows: Sequence[Sequence[Node]]) -> bool:
        """Whether what an operation takes beside its inputs is the same in all traces."""
        if any(len(row) != len(rows[0]) for row in rows):
            return False
        return all(
            all(map(self._is_leaf, joint)) and _all_equal([_array(each) for each in joint])
            for joint in zip(*rows, strict=True)
        )

    def _is_leaf(self, node: Node) -> bool:
        return node.op is op.BUFFER or (node.buffer is not None and node not in self.links)

    def _step(self, joint: Joint, inputs: list[Made], place: Location | None) -> Made:
        first = joint[0]
        if self._is_leaf(first):
            return self._leaf(joint, place)
        location = first.location or place
        passed = self._passed(joint, inputs)
        if passed is not None:
            return passed
        step = self._described(joint, inputs, location)
        if any(each.is_complex for each in step.dtypes):
            raise step.refuse("its result is complex, and ONNX's operators take no complex numbers")
        if isinstance(first.op, Primitive):
            folded = self._folded(step)
            if folded is not None:
                return folded
        rule = self.table.find(first.op, self.writer.opset)
        if rule is not None and not self._foldable(step):
            try:
                made = rule(self.writer, step)
            except OnnxExporterError as error:
                if str(error).startswith("torch.onnx.export"):
                    raise
                raise step.refuse(str(error)) from None
            if made is not None:
                return self._learnt(made, step)
        return self._expanded(joint, inputs, step)

    def _passed(self, joint: Joint, inputs: list[Made]) -> Made | None:
        """What exists for autograd or the schedule alone is its first input."""
        operation = joint[0].op
        if operation is op.PICK:
            return inputs[0][joint[0].attrs[0]]
        if operation is op.FUNCTION:
            return tuple(inputs[: joint[0].attrs[0]])
        if operation in (op.DETACH, op.GRAFT, op.MATERIALIZE, op.COPY):
            return inputs[0]
        return None

    def _described(self, joint: Joint, inputs: list[Made], location: Location | None) -> Step:
        first = joint[0]
        types = [
            each.type.items if isinstance(each.type, TupleType) else (each.type,) for each in joint
        ]
        scalars = [self.links.get(each, ((), each.scalars))[1] for each in joint]
        return Step(
            first.op,
            merge([plain_attrs(each.attrs) for each in joint]),
            merge([tuple(each) for each in scalars]),
            inputs,
            [merge([each.shape for each in row]) for row in zip(*types, strict=True)],
            [each.dtype for each in types[0]],
            location,
        )

    def _folded(self, step: Step) -> Value | None:
        """The values of a primitive of constants."""
        source = step.operation in (op.CONST, op.IOTA)
        if not (self.fold or source) or step.operation in _NEVER_FOLDED:
            return None
        if varies((step.attrs, step.scalars)) or varies(step.shape):
            return None
        if not all(_is_constant(each) for each in step.inputs) or len(step.shapes) > 1:
            return None
        size = int(numpy.prod(step.shape))
        given = sum([each.array.size for each in step.inputs if each.array is not None])
        if size > max(_FOLDED_SIZE, given):
            return None
        arrays = [each.array for each in step.inputs]
        with numpy.errstate(all="ignore"):
            found = step.operation.reference(step.attrs, step.scalars, *arrays)
        return self.writer.constant(found, step.dtype)

    def _foldable(self, step: Step) -> bool:
        """Whether a composite is of constants alone: the primitives that it is made of fold."""
        return (
            self.fold
            and isinstance(step.operation, Composite)
            and self.table.inputs_taken(step.operation) is None
            and bool(step.inputs)
            and all(_is_constant(each) for each in step.inputs)
        )

    def _learnt(self, made: Made, step: Step) -> Made:
        """The shapes that inference found, where the rule left them out."""
        values = made if isinstance(made, tuple) else (made,)
        for value, shape in zip(values, step.shapes, strict=False):
            if value.shape is None:
                value.shape = shape
                self.writer.learn(value)
        return made

    def _expanded(self, joint: Joint, inputs: list[Made], step: Step) -> Made:
        if not isinstance(step.operation, Composite) and step.operation not in _ATTENTIONS:
            raise step.refuse(self.table.reason(step.operation, self.writer.opset))
        expansions = [_expansion(each) for each in joint]
        if any(len(each[0]) != len(inputs) for each in expansions):
            raise step.refuse(
                "a loop or table in it is longer where a dynamic axis is: fix its size"
            )
        places = list(zip(*[each[0] for each in expansions], strict=True))
        roots = list(zip(*[each[1] for each in expansions], strict=True))
        found = self._write(roots, dict(zip(places, inputs, strict=True)), step.location)
        return found[0] if len(found) == 1 else tuple(found)

    # leaves ------------------------------------------------------------------------------------

    def _leaf(self, joint: Joint, location: Location | None) -> Value:
        known = [self.leaves.get((each,) * len(joint)) for each in joint]
        if known[0] is not None and all(each is known[0] for each in known):
            return known[0]
        first = joint[0]
        if any(each in self.drawn for each in joint):
            raise refusal(
                "a random number",
                location,
                "it would be the same in every run of the file: make it outside and pass it in",
            )
        if any(each in self.by_values for each in joint):
            raise refusal(
                "an operation on the host",
                self.by_values.get(first, location),
                "it reads values that depend on the inputs, and its result would be fixed "
                "(nonzero, boolean masks as indices, unique, tolist): use where or masked_fill",
            )
        if first.op is op.COPY:
            raise refusal(
                "COPY", location, "the model copies between devices: move all of it to one first"
            )
        if first.dtype.is_complex:
            raise refusal("a complex tensor", location, "ONNX's operators take no complex numbers")
        arrays = [_array(each) for each in joint]
        if _all_equal(arrays):
            return self.writer.constant(arrays[0], first.dtype)
        try:
            return self._of_extents(arrays, first.dtype)
        except OnnxExporterError as error:
            raise refusal("a tensor of values from Python", location, str(error)) from None

    def _of_extents(self, arrays: Sequence[Any], dtype: DType) -> Value:
        """A few whole numbers, some of them extents: torch.tensor(x.shape)."""
        whole = all(numpy.array_equal(each, numpy.floor(each)) for each in arrays)
        if len({each.shape for each in arrays}) > 1 or arrays[0].size > 64 or not whole:
            raise OnnxExporterError(
                "its values depend on the size of a dynamic axis: export with fixed sizes"
            )
        rows = zip(*[each.ravel().tolist() for each in arrays], strict=True)
        numbers = [merge([int(each) for each in row]) for row in rows]
        vector = self.writer.vector(numbers)
        vector.shape = (len(numbers),)
        return self.writer.cast(self.writer.reshape(vector, arrays[0].shape), dtype)


def _array(leaf: Node) -> Any:
    return devices.get(leaf.device).to_numpy(leaf.buffer)


def _all_equal(arrays: Sequence[Any]) -> bool:
    floats = arrays[0].dtype.kind == "f"
    return all(numpy.array_equal(each, arrays[0], equal_nan=floats) for each in arrays)


def _is_constant(value: Made) -> bool:
    return isinstance(value, Value) and value.array is not None


def _expansion(node: Node) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """Placeholders and results of a composite, or of attention in other primitives."""
    if isinstance(node.op, Composite):
        return template_of(node.signature)
    places = tuple([placeholder(each) for each in node.signature.inputs])
    return places, plain(Node(node.signature, places))


_ATTENTIONS = (op.ATTENTION, op.ATTENTION_BACKWARD)
_NEVER_FOLDED = frozenset({op.CALL, op.BUFFER, op.SORT, *_ATTENTIONS})
_FOLDED_SIZE = 1 << 16


def number_of(value: Any) -> Any:
    """The Python number of a fixed CONST's key, in each trace."""
    if isinstance(value, Mixed):
        return Mixed(tuple([number_of(each) for each in value.values]))
    return float.fromhex(value) if isinstance(value, str) else value
