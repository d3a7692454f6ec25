"""The ONNX graph while it is written: values, constants, nodes, and extents as expressions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy

from flambeau.deploy.onnx.errors import OnnxExporterError
from flambeau.deploy.onnx.extents import (
    Affine,
    Dim,
    Extent,
    Extents,
    Quotient,
    Sum,
    explain,
    varies,
)
from flambeau.deploy.onnx.library import element_type
from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType, int64

Array = numpy.ndarray[Any, numpy.dtype[Any]]


@dataclass(eq=False, slots=True)
class Value:
    """An array of the ONNX graph.

    `shape` is None for what only the rule that made it uses. `array` are the values where they are
    known and no parameter's. `made_of` is what the composite that made it was given.
    """

    name: str
    dtype: DType
    shape: Any = None
    array: Array | None = None
    made_of: Any = None

    @property
    def rank(self) -> int:
        return len(self.shape)


@dataclass(slots=True)
class Record:
    """One node of the graph."""

    kind: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]


@dataclass(slots=True)
class Writer:
    """Collects what becomes a GraphProto. Equal nodes are written once."""

    opset: int
    records: list[Record] = field(default_factory=list)
    arrays: dict[str, tuple[Array, DType]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    _equal: dict[Any, list[str]] = field(default_factory=dict)
    _known: dict[Dim, tuple[Value, int]] = field(default_factory=dict)
    _extents: dict[Dim, Value] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def name(self, wanted: str, exact: bool = False) -> str:
        """A name that nothing has yet. exact: raises ValueError where something has it."""
        if wanted not in self.names and (exact or not wanted.endswith("_")):
            self.names.add(wanted)
            return wanted
        if exact:
            raise ValueError(f"torch.onnx.export: two inputs or outputs are named '{wanted}'")
        while True:
            number = self._counts[wanted] = self._counts.get(wanted, -1) + 1
            found = f"{wanted.rstrip('_')}_{number}"
            if found not in self.names:
                self.names.add(found)
                return found

    # values ------------------------------------------------------------------------------------

    def constant(self, array: Any, dtype: DType = int64) -> Value:
        """Fixed values; equal small ones are stored once."""
        array = numpy.asarray(array, dtype.numpy)
        key = (dtype, array.shape, array.tobytes()) if array.size <= 1024 else None
        found = self._equal.get(key) if key is not None else None
        if found is None:
            found = [self.name("constant_")]
            self.arrays[found[0]] = (array, dtype)
            if key is not None:
                self._equal[key] = found
        return Value(found[0], dtype, array.shape, array)

    def emit(
        self,
        kind: str,
        inputs: Sequence[Value | None],
        dtype: DType,
        shape: Extents | None = None,
        **attributes: Any,
    ) -> Value:
        """One node with one result."""
        return self.several(kind, inputs, [dtype], [shape], **attributes)[0]

    def several(
        self,
        kind: str,
        inputs: Sequence[Value | None],
        types: Sequence[DType],
        shapes: Sequence[Extents | None],
        fresh: bool = False,
        **attributes: Any,
    ) -> tuple[Value, ...]:
        """One node with several results. fresh: it is not taken for an equal one (random)."""
        names = ["" if each is None else each.name for each in inputs]
        key = (kind, *names, repr(sorted(attributes.items())), len(types))
        found = None if fresh else self._equal.get(key)
        if found is None:
            found = [self.name(f"{kind.lower()}_") for _ in types]
            self._equal[key] = found
            self.records.append(Record(kind, names, found, attributes))
        parts = zip(found, types, shapes, strict=True)
        made = tuple([Value(name, dtype, shape) for name, dtype, shape in parts])
        for each in made:
            self.learn(each)
        return made

    def cast(self, value: Value, dtype: DType) -> Value:
        if value.dtype is dtype:
            return value
        if value.array is not None:
            return self.constant(value.array.astype(dtype.numpy), dtype)
        return self.emit("Cast", [value], dtype, value.shape, to=element_type(dtype))

    # extents -----------------------------------------------------------------------------------

    def learn(self, value: Value) -> None:
        """The extents of an array are known from now on, by asking for its shape."""
        for axis, extent in enumerate(value.shape or ()):
            if isinstance(extent, Dim) and extent not in self._known:
                self._known[extent] = (value, axis)

    def extent(self, extent: Extent) -> Value:
        """As an int64 array of one element. Raises OnnxExporterError for what is no expression."""
        if isinstance(extent, int):
            return self.constant([extent])
        found = self._extents.get(extent)
        if found is None:
            found = self._extents[extent] = self._expressed(extent)
        return found

    def define(self, extent: Extent, base: Extent, offset: int, divisor: int, more: int) -> None:
        """An extent is ⌊(base + offset) / divisor⌋ + more: for rules that know it."""
        if isinstance(extent, Dim) and extent not in self._known and extent not in self._extents:
            total = self._plus(self.extent(base), offset)
            if divisor != 1:
                total = self.emit("Div", [total, self.constant([divisor])], int64)
            self._extents[extent] = self._plus(total, more)

    def _expressed(self, extent: Dim) -> Value:
        if extent in self._known:
            value, axis = self._known[extent]
            shape = self.emit("Shape", [value], int64)
            return self.emit("Gather", [shape, self.constant([axis])], int64, axis=0)
        found = explain(extent, list(self._known))
        if found is None:
            raise OnnxExporterError(
                f"the sizes {extent.values} that it has for the sizes of the inputs that were "
                "tried are no linear expression, product, sum or quotient of extents"
            )
        if isinstance(found, Affine):
            total = self._times(self.extent(found.base), found.factor)
            total = self._plus(total, found.offset)
            if found.divisor == 1:
                return total
            return self.emit("Div", [total, self.constant([found.divisor])], int64)
        if isinstance(found, Quotient):
            total = self._plus(self.extent(found.base), found.offset)
            return self.emit("Div", [total, self.constant([found.divisor])], int64)
        if isinstance(found, Sum):
            both = [self.extent(found.first), self.extent(found.second)]
            return self._plus(self.emit("Add", both, int64), found.offset)
        total = self.extent(found.bases[0])
        for each in found.bases[1:]:
            total = self.emit("Mul", [total, self.extent(each)], int64)
        return self._times(total, found.factor)

    def _times(self, value: Value, factor: int) -> Value:
        if factor == 1:
            return value
        return self.emit("Mul", [value, self.constant([factor])], int64)

    def _plus(self, value: Value, offset: int) -> Value:
        if offset == 0:
            return value
        return self.emit("Add", [value, self.constant([offset])], int64)

    def vector(self, extents: Sequence[Extent]) -> Value:
        """Several numbers as an int64 vector."""
        if not varies(list(extents)):
            return self.constant(numpy.array(extents, numpy.int64))
        parts = [self.extent(each) for each in extents]
        return parts[0] if len(parts) == 1 else self.emit("Concat", parts, int64, axis=0)

    # what is often needed ----------------------------------------------------------------------

    def reshape(self, value: Value, shape: Extents) -> Value:
        """With 0 for extents that stay and -1 for one that follows, where that can be said."""
        if value.shape == shape:
            return value
        if value.array is not None and not varies(shape):
            return self.constant(value.array.reshape(shape), value.dtype)
        target: list[Extent] = list(shape)
        if 0 in shape and self.opset >= 14:  # nothing to reshape: no 0 means "as before"
            return self.emit(
                "Reshape", [value, self.vector(target)], value.dtype, shape, allowzero=1
            )
        if varies(shape):
            for axis, extent in enumerate(shape):
                same = value.shape is not None and axis < value.rank and value.shape[axis] == extent
                if same and isinstance(extent, Dim):
                    target[axis] = 0
            left = [axis for axis, extent in enumerate(target) if isinstance(extent, Dim)]
            if len(left) == 1 and 0 not in shape:
                target[left[0]] = -1
        return self.emit("Reshape", [value, self.vector(target)], value.dtype, shape)

    def transpose(self, value: Value, axes: Sequence[int], shape: Extents | None = None) -> Value:
        if list(axes) == list(range(len(axes))):
            return value
        if shape is None and value.shape is not None:
            shape = tuple([value.shape[axis] for axis in axes])
        return self.emit("Transpose", [value], value.dtype, shape, perm=list(axes))

    def expand(self, value: Value, shape: Extents) -> Value:
        """Broadcast to a shape: 1 where the array has the extent already."""
        if value.shape == shape:
            return value
        lead = len(shape) - value.rank
        target = [
            1 if axis >= lead and value.shape[axis - lead] == extent else extent
            for axis, extent in enumerate(shape)
        ]
        return self.emit("Expand", [value, self.vector(target)], value.dtype, shape)

    def squeeze(self, value: Value, axes: Sequence[int], shape: Extents | None = None) -> Value:
        return self.emit("Squeeze", [value, self.constant(list(axes))], value.dtype, shape)

    def unsqueeze(self, value: Value, axes: Sequence[int], shape: Extents | None = None) -> Value:
        return self.emit("Unsqueeze", [value, self.constant(list(axes))], value.dtype, shape)

    def reduce(
        self,
        kind: str,
        value: Value,
        axes: Sequence[int],
        keep: bool,
        shape: Extents | None = None,
    ) -> Value:
        """ReduceSum and the like, whose axes became an input with opset 18 (the sum's with 13)."""
        if not axes:
            return value
        if kind == "ReduceSum" or self.opset >= 18:
            inputs, attributes = [value, self.constant(list(axes))], {}
        else:
            inputs, attributes = [value], {"axes": list(axes)}
        return self.emit(kind, inputs, value.dtype, shape, keepdims=int(keep), **attributes)

    def scalar_of(self, extent: Extent, dtype: DType) -> Value:
        """A number as a 0-d array."""
        return self.cast(self.squeeze(self.extent(extent), [0]), dtype)

    def not_(self, value: Value) -> Value:
        return self.emit("Not", [value], dtypes.bool_, value.shape)


def identifier(name: str) -> str:
    """A name without what some readers of ONNX do not take."""
    return re.sub(r"[^A-Za-z0-9_.:/]", "_", name) or "value"
