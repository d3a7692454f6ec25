"""tensor[index] and tensor[index] = value, in all of PyTorch's forms.

Numbers, slices, None and … give views (basic indexing). Tensors, lists and masks gather, or scatter
when written. An int is a select, not an advanced index; advanced indices that are separated by
others move their dimensions to the front.
"""

from __future__ import annotations

import functools
import operator
from typing import Any, NamedTuple

import numpy

from flambeau.graph import op
from flambeau.graph.dtype import bool_, int8, int16, int32, int64, uint8
from flambeau.graph.node import Node, Shape
from flambeau.ops.axes import title
from flambeau.ops.places import Advanced, fits, put_places, take_places
from flambeau.ops.promote import number_node
from flambeau.tensor.attach import method
from flambeau.tensor.record import copied, derive, record
from flambeau.tensor.tensor import Tensor
from flambeau.tensor.view import View

_INDICES = frozenset({int64, int32, int16, int8})
_MASKS = frozenset({bool_, uint8})


class Parsed(NamedTuple):
    """What basic indexing sees of a tensor, and the tensors that index its dimensions, if any."""

    seen: Tensor
    advanced: Advanced


# parsing ----------------------------------------------------------------------------------------


class _Builder:
    """Collects the parts of an index: one slice over all dimensions, then the new shape."""

    def __init__(self, self_: Tensor) -> None:
        self.tensor = self_
        self.shape = self_._type.shape
        self.starts = [0] * len(self.shape)
        self.sizes = list(self.shape)
        self.steps = [1] * len(self.shape)
        self.result: list[int] = []
        self.advanced: list[tuple[int, Tensor]] = []
        self.axis = 0

    def integer(self, index: int) -> None:
        extent = self.shape[self.axis]
        if not -extent <= index < extent:
            raise IndexError(
                f"index {index} is out of bounds for dimension {self.axis} with size {extent}"
            )
        self.starts[self.axis] = index + extent if index < 0 else index
        self.sizes[self.axis] = 1
        self.axis += 1

    def slice(self, index: slice) -> None:
        extent = self.shape[self.axis]
        if index.step is not None and operator.index(index.step) <= 0:
            raise ValueError("step must be greater than zero")
        start, stop, step = index.indices(extent)
        size = max(0, -((start - stop) // step))
        self.starts[self.axis] = start if size else min(start, max(extent - 1, 0))
        self.sizes[self.axis] = size
        self.steps[self.axis] = step
        self.result.append(size)
        self.axis += 1

    def skip(self, count: int) -> None:
        self.result.extend(self.shape[self.axis : self.axis + count])
        self.axis += count

    def truth(self, index: bool) -> None:
        """True or False: a new dimension of 1 or 0 elements."""
        self.result.append(1)
        place = numpy.zeros(1 if index else 0, numpy.int64)
        self.advanced.append((len(self.result) - 1, self.from_numpy(place)))

    def tensor_index(self, index: Tensor) -> None:
        at, shape = len(self.result), index._type.shape
        if index._type.dtype not in _MASKS:
            self.advanced.append((at, index))
            self.skip(1)
            return
        for place, (extent, own) in enumerate(
            zip(shape, self.shape[self.axis : self.axis + len(shape)], strict=True)
        ):
            if extent != own:
                raise IndexError(
                    f"The shape of the mask {list(shape)} at index {place} does not match the "
                    f"shape of the indexed tensor {list(self.shape)} at index {self.axis + place}"
                )
        self.advanced.append((at, index))
        self.skip(len(shape))

    def from_numpy(self, array: Any) -> Tensor:
        return Tensor._from_numpy(array, self.tensor.device.type, copy=False)

    def view(self) -> View:
        layout = self.tensor._layout()
        sizes = tuple(self.sizes)
        if sizes != self.shape:
            layout = layout.sliced(tuple(self.starts), sizes, tuple(self.steps))
        shape = tuple(self.result)
        if shape == sizes:
            return layout
        reshaped = layout.reshaped(shape)
        assert reshaped is not None  # dimensions of extent 1 come and go freely
        return reshaped


def _as_index(builder: _Builder, each: Any) -> Any:
    """Numbers as int, lists and arrays as tensors; what stands for nothing raises IndexError."""
    if isinstance(each, Tensor):
        return _tensor_part(each)
    if isinstance(each, (bool, slice)) or each is None or each is Ellipsis:
        return each
    if isinstance(each, numpy.bool_):
        return bool(each)
    if isinstance(each, (list, tuple, range, numpy.ndarray)):
        return _array_part(builder, each)
    if isinstance(each, str):
        raise TypeError("new(): invalid data type 'str'")
    try:
        return operator.index(each)
    except TypeError:
        raise IndexError(
            "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are "
            f"valid indices (got {type(each).__name__})"
        ) from None


def _tensor_part(each: Tensor) -> Any:
    dtype = each._type.dtype
    if dtype not in _INDICES and dtype not in _MASKS:
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    if each._type.shape:
        return each
    value = each.detach()._to_numpy().item()
    return bool(value) if dtype in _MASKS else value


def _array_part(builder: _Builder, each: Any) -> Any:
    if not isinstance(each, numpy.ndarray) and any(isinstance(item, Tensor) for item in each):
        from flambeau.ops.shape import stack

        return _tensor_part(
            stack([item if isinstance(item, Tensor) else _from(builder, item) for item in each])
        )
    array = numpy.asarray(each)
    if array.size == 0 and array.dtype.kind == "f":
        array = array.astype(numpy.int64)
    if array.dtype.kind not in "biu":
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    if array.ndim == 0:
        return array.item()
    if array.dtype.kind == "u" and array.dtype != numpy.uint8:
        array = array.astype(numpy.int64)
    return builder.from_numpy(array)


def _from(builder: _Builder, number: Any) -> Tensor:
    return builder.from_numpy(numpy.asarray(number))


def _consumes(part: Any) -> int:
    """How many dimensions a part of an index takes."""
    if part is None or part is Ellipsis or isinstance(part, bool):
        return 0
    if isinstance(part, Tensor) and part._type.dtype in _MASKS:
        return part.ndim
    return 1


def parse(self: Tensor, index: Any) -> Parsed:
    """The basic and the advanced part of an index. Raises IndexError as PyTorch does."""
    kind, shape = type(index), self._type.shape
    if index is None:
        return Parsed(self._view_as(self._layout().unsqueezed(0)), ())
    if shape and kind is int:
        return Parsed(_row(self, shape, index), ())
    if shape and kind is slice and index.step is None:
        return Parsed(_rows(self, shape, index), ())
    if shape and isinstance(index, Tensor) and index._type.shape:
        of = index._type
        if of.dtype in _INDICES or (of.dtype is bool_ and of.shape == shape[: len(of.shape)]):
            return Parsed(self, ((0, index),))
    return _parse_any(self, index)


def _row(self: Tensor, shape: Shape, index: int) -> Tensor:
    """self[index], as `_parse_any` gives it, along a shorter way."""
    extent, rest = shape[0], shape[1:]
    if not -extent <= index < extent:
        raise IndexError(f"index {index} is out of bounds for dimension 0 with size {extent}")
    layout = self._layout()
    return _cut(self, layout, index + extent if index < 0 else index, 1, rest, layout.strides[1:])


def _rows(self: Tensor, shape: Shape, index: slice) -> Tensor:
    """self[start:stop], likewise."""
    layout, extent = self._layout(), shape[0]
    start, stop, _ = index.indices(extent)
    count = max(stop - start, 0)
    if count == extent:
        return self._view_as(layout)
    first = start if count else min(start, max(extent - 1, 0))
    return _cut(self, layout, first, count, (count, *shape[1:]), layout.strides)


def _cut(
    self: Tensor, layout: View, start: int, count: int, shape: Shape, strides: Shape
) -> Tensor:
    """`count` elements from `start` along the first dimension, which is left out of `shape` where
    one was asked for by its number."""
    steps, zeros = _cut_steps(layout.shape[1:], count, shape)
    starts = (*layout.starts, start, *zeros)
    offset = layout.offset + start * layout.strides[0]
    return self._view_as(View((*layout.steps, *steps), starts, shape, strides, offset))


@functools.cache
def _cut_steps(rest: Shape, count: int, shape: Shape) -> tuple[tuple[Any, ...], Shape]:
    """The steps of such a view, and the starts along the dimensions behind the first."""
    sizes = (count, *rest)
    step = ("SLICE", sizes, (1,) * len(sizes))
    return (step,) if shape == sizes else (step, ("RESHAPE", shape)), (0,) * len(rest)


def _parse_any(self: Tensor, index: Any) -> Parsed:
    builder = _Builder(self)
    parts = [_as_index(builder, each) for each in (index if type(index) is tuple else (index,))]
    taken = sum(map(_consumes, parts))
    rank = len(builder.shape)
    if taken > rank:
        if rank == 0 and len(parts) == 1 and isinstance(parts[0], int):
            raise IndexError(
                "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or "
                "`tensor.item<T>()` in C++ to convert a 0-dim tensor to a number"
            )
        raise IndexError(f"too many indices for tensor of dimension {rank}")
    for part in parts:
        if part is None:
            builder.result.append(1)
        elif part is Ellipsis:
            builder.skip(rank - taken)
            taken = rank  # a second … stands for nothing
        elif isinstance(part, bool):
            builder.truth(part)
        elif isinstance(part, int):
            builder.integer(part)
        elif isinstance(part, slice):
            builder.slice(part)
        else:
            builder.tensor_index(part)
    builder.skip(rank - builder.axis)
    return Parsed(self._view_as(builder.view()), builder.advanced)


# reading and writing ----------------------------------------------------------------------------


@method("__getitem__")
def getitem(self: Tensor, index: Any) -> Tensor:
    """self[index]: a view for numbers, slices, None and …; a copy for tensors, lists and masks."""
    seen, advanced = parse(self, index)
    return take_places(seen, advanced) if advanced else seen


@method("__setitem__")
def setitem(self: Tensor, index: Any, value: Any) -> None:
    """self[index] = value; `value` is broadcast."""
    seen, advanced = parse(self, index)
    if not advanced:
        assign(seen, value)
        return
    if len(advanced) == 1 and _assign_mask(seen, *advanced[0], value):
        return
    new = _value(seen, value)
    if new.type.dtype is not seen._type.dtype:
        raise RuntimeError(
            "Index put requires the source and destination dtypes match, got "
            f"{title(seen)} for the destination and {title(new)} for the source."
        )
    seen._write(put_places(seen, advanced, new, "set")._read())


def _assign_mask(self: Tensor, axis: int, mask: Tensor, value: Any) -> bool:
    """A mask whose elements all get the same: chosen element by element, nothing is read."""
    if mask._type.dtype is not bool_:
        return False
    behind = self.ndim - axis - mask.ndim
    if isinstance(value, Tensor):
        if value.ndim > behind and value._type.size != 1:
            return False
        lead = value.ndim - behind
        new = record(op.RESHAPE, (value,), (value._type.shape[lead:],)) if lead > 0 else value
        node = _converted(new, self)
    elif isinstance(value, (bool, int, float, complex)):
        node = number_node(value, self._type.dtype)
    else:
        return False
    if not fits(node.shape, self._type.shape):
        return False
    condition = _on_device(mask._read(), self)
    if behind:
        condition = derive(op.RESHAPE, (condition,), ((*mask._type.shape, *(1,) * behind),))
    self._write(record(op.WHERE, (condition, node, self))._read())
    return True


def _on_device(node: Node, like: Tensor) -> Node:
    target = like._storage.node.device
    return copied(node, target) if node.device not in (None, target) else node


def _converted(value: Tensor, like: Tensor) -> Node:
    """A value on the device and in the dtype of what it is written into."""
    node = _on_device(value._read(), like)
    wanted = like._type.dtype
    return derive(op.CAST, (node,), (wanted,)) if node.dtype is not wanted else node


def _value(self: Tensor, value: Any) -> Node:
    if isinstance(value, Tensor):
        return _on_device(value._read(), self)
    return _number(self, value)


def _number(self: Tensor, value: Any) -> Node:
    """A value that is no tensor, as a Node of this tensor's dtype."""
    if isinstance(value, (bool, int, float, numpy.number, numpy.bool_)):
        return number_node(value, self._type.dtype)
    if isinstance(value, (list, tuple, numpy.ndarray)):
        array = numpy.asarray(value).astype(self._type.dtype.numpy)
        return Tensor._from_numpy(array, self.device.type)._read()
    raise TypeError(f"can't assign a {type(value).__name__} to a torch.{title(self)}Tensor")


def assign(self: Tensor, value: Any) -> Tensor:
    """Write `value`, broadcast and converted, into all of `self`."""
    node = _converted(value, self) if isinstance(value, Tensor) else _number(self, value)
    shape = self._type.shape
    if node.shape != shape:
        node = _broadcast(node, shape)
    if self._view is None or not self._view.steps:  # a storage's Node is its own
        node = record(op.MATERIALIZE, (node,), device=self._storage.node.device)._read()
    return self._write(node)


def _broadcast(node: Node, shape: Shape) -> Node:
    given = node.shape
    while len(given) > len(shape) and given[0] == 1:
        given = given[1:]
    if given != node.shape:
        node = derive(op.RESHAPE, (node,), (given,))
    for back, extent in enumerate(reversed(given), 1):
        if back > len(shape) or extent not in (1, shape[-back]):
            wanted = shape[-back] if back <= len(shape) else 1
            raise RuntimeError(
                f"The expanded size of the tensor ({wanted}) must match the existing size "
                f"({extent}) at non-singleton dimension {len(shape) - back}.  Target sizes: "
                f"{list(shape)}.  Tensor sizes: {list(given)}"
            )
    return derive(op.EXPAND, (node,), (shape,)) if given != shape else node


@method("__iter__")
def iterate(self: Tensor) -> Any:
    """The elements along the first dimension: views. Raises TypeError for 0-d tensors."""
    if not self._type.shape:
        raise TypeError("iteration over a 0-d tensor")
    return iter([getitem(self, place) for place in range(self._type.shape[0])])


@method("__contains__")
def contains(self: Tensor, element: Any) -> bool:
    """Whether any element equals `element`."""
    return bool((self == element).any())
