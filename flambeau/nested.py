"""torch.nested: tensors of different lengths as one batch.

A nested tensor is one flat tensor and the shapes of its parts. Making, taking apart, padding and
plain arithmetic are here; for everything else unbind() it, or pad it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Self

import numpy

from flambeau.graph.dtype import DType
from flambeau.graph.node import Node
from flambeau.ops.creation import empty
from flambeau.ops.data import as_tensor
from flambeau.ops.data import tensor as new_tensor
from flambeau.ops.legacy import jagged, strided
from flambeau.ops.logic import where
from flambeau.ops.shape import cat
from flambeau.tensor.tensor import Tensor
from flambeau.tensor.view import View

__all__ = ["as_nested_tensor", "nested_tensor", "nested_tensor_from_jagged", "to_padded_tensor"]

Shape = tuple[int, ...]


class NestedTensor(Tensor):
    """Parts of one number of dimensions; `layout` is torch.strided or torch.jagged.

    In torch.jagged, parts differ in their first extent only, and values() has their rows.
    """

    __slots__ = ("_content", "_kind", "_shapes")

    _content: Tensor
    _shapes: list[Shape]
    _kind: Any
    is_nested = True

    @classmethod
    def make(cls, content: Tensor, shapes: list[Shape], kind: Any) -> NestedTensor:
        """A nested tensor of a flat tensor."""
        made = cls._make(content._storage, content._type)
        assert isinstance(made, NestedTensor)
        made._content, made._shapes, made._kind = content, shapes, kind
        return made

    def like(self, content: Tensor) -> NestedTensor:
        """Other values in the same parts."""
        return self.make(content, self._shapes, self._kind)

    # what dense operations ask for --------------------------------------------------------------

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            "this operation is not available for nested tensors: unbind() it into its parts, pad "
            "it with to_padded_tensor(), or use values() of a torch.jagged one"
        )

    def _read(self) -> Node:
        return self._refuse()

    @property
    def _type(self) -> Any:
        return self._refuse()

    @_type.setter
    def _type(self, value: Any) -> None:
        """_make sets it."""

    def _layout(self) -> View:
        return self._refuse()

    def _view_as(self, view: View) -> Tensor:
        return self._refuse()

    def _to_numpy(self) -> numpy.ndarray[Any, Any]:
        return self._refuse()

    # facts --------------------------------------------------------------------------------------

    @property
    def layout(self) -> Any:
        return self._kind

    @property
    def dtype(self) -> DType:
        return self._content.dtype

    def numel(self) -> int:
        """The number of elements of all parts."""
        return self._content.numel()

    @property
    def shape(self) -> Any:
        raise RuntimeError(
            "a nested tensor has no shape: its parts have their own. Ask for size(dim), or unbind()"
        )

    @property
    def ndim(self) -> int:
        return 1 + (len(self._shapes[0]) if self._shapes else 0)

    def dim(self) -> int:
        """The number of dimensions: one more than the parts have."""
        return self.ndim

    def size(self, dim: int | None = None) -> Any:
        """How many parts there are (dim 0), or an extent that all have. RuntimeError otherwise."""
        if dim is None:
            return self.shape
        axis = dim + self.ndim if dim < 0 else dim
        if not 0 <= axis < self.ndim:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [{-self.ndim}, "
                f"{self.ndim - 1}], but got {dim})"
            )
        if axis == 0:
            return len(self._shapes)
        extents = {each[axis - 1] for each in self._shapes}
        if len(extents) > 1:
            raise RuntimeError(f"Given dimension {dim} is irregular and does not have a size.")
        return extents.pop()

    def _nested_tensor_size(self) -> Tensor:
        """The shapes of the parts, one in each row."""
        return new_tensor(self._shapes).view(len(self._shapes), self.ndim - 1)

    @property
    def requires_grad(self) -> bool:
        return self._content.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self._content.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        self._content.requires_grad_(requires_grad)
        return self

    @property
    def is_leaf(self) -> bool:
        return self._content.is_leaf

    @property
    def grad(self) -> Tensor | None:
        found = self._content.grad
        return None if found is None else self.like(found)

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        self._content.grad = value._content if isinstance(value, NestedTensor) else value

    # parts --------------------------------------------------------------------------------------

    def _starts(self) -> list[int]:
        """Where each part begins in the flat tensor, and where the last one ends."""
        sizes = [math.prod(each) for each in self._shapes]
        return [0, *numpy.cumsum(sizes, dtype=numpy.int64).tolist()]

    def unbind(self, dim: int = 0) -> tuple[Tensor, ...]:
        """The parts; they share the nested tensor's memory and carry gradients to it."""
        if dim != 0:
            raise RuntimeError(f"unbind(): a nested tensor has parts along dim 0, got dim={dim}")
        starts = self._starts()
        return tuple(
            [
                self._content[start : start + math.prod(shape)].view(shape)
                for start, shape in zip(starts, self._shapes, strict=False)
            ]
        )

    def __iter__(self) -> Any:
        return iter(self.unbind())

    def __len__(self) -> int:
        return len(self._shapes)

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, int):
            return self._refuse()
        return self.unbind()[index]

    def values(self) -> Tensor:
        """The rows of all parts one after the other; of a strided one its flat tensor."""
        if self._kind is strided:
            return self._content
        return self._content.view(-1, *self._shapes[0][1:])

    def offsets(self) -> Tensor:
        """Where each part begins among values(), and where the last one ends. torch.jagged only."""
        if self._kind is strided:
            raise AttributeError("'Tensor' object has no attribute 'offsets': layout=torch.jagged")
        counts = [each[0] for each in self._shapes]
        return new_tensor([0, *numpy.cumsum(counts).tolist()], device=self.device)

    def lengths(self) -> None:
        """None: parts have no gaps between them, offsets() says all."""

    def to_padded_tensor(self, padding: float, output_size: Sequence[int] | None = None) -> Any:
        """(parts, greatest extents …), `padding` where a part has nothing.

        `output_size`: this shape instead. RuntimeError where a part does not fit into it.
        """
        if not self._shapes:
            raise RuntimeError("to_padded_tensor: at least one constituent tensor is needed")
        greatest = [max(extents) for extents in zip(*self._shapes, strict=True)]
        shape = [len(self._shapes), *greatest]
        if output_size is not None:
            if len(output_size) != len(shape):
                raise RuntimeError(
                    f"Length of output_size does not match NestedTensor dims. output_size has "
                    f"{len(output_size)} elements, the tensor {len(shape)} dimensions"
                )
            if any(wanted < least for wanted, least in zip(output_size, shape, strict=True)):
                raise RuntimeError(
                    "Value in output_size is less than NestedTensor padded size. Truncation is not "
                    f"supported: at least {shape}, got {list(output_size)}"
                )
            shape = list(output_size)
        places = numpy.full(shape, -1, numpy.int64)
        for number, (start, part) in enumerate(zip(self._starts(), self._shapes, strict=False)):
            inside: Any = (number, *[slice(extent) for extent in part])
            places[inside] = numpy.arange(start, start + math.prod(part)).reshape(part)
        index = new_tensor(places, device=self.device)
        if not self._content.numel():
            return where(index < 0, padding, empty(shape, dtype=self.dtype, device=self.device))
        return where(index < 0, padding, self._content[index.clamp(min=0)]).to(self.dtype)

    # the same parts -----------------------------------------------------------------------------

    def to(self, *args: Any, **kwargs: Any) -> NestedTensor:
        """To another dtype or device."""
        return self.like(self._content.to(*args, **kwargs))

    def detach(self) -> NestedTensor:
        return self.like(self._content.detach())

    def clone(self, *, memory_format: Any = None) -> NestedTensor:
        return self.like(self._content.clone())

    def contiguous(self, memory_format: Any = None) -> Self:
        return self

    def is_contiguous(self, memory_format: Any = None) -> bool:
        return True

    def _combined(self, function: Callable[[Any, Any], Any], other: Any) -> NestedTensor:
        """function of the values and a number, or of two nested tensors of the same parts."""
        if isinstance(other, NestedTensor):
            if other._shapes != self._shapes:
                raise RuntimeError(
                    f"nested tensors of different parts: {self._shapes} and {other._shapes}"
                )
            return self.like(function(self._content, other._content))
        if isinstance(other, Tensor) and other.ndim:
            return self._refuse()
        return self.like(function(self._content, other))

    def __add__(self, other: Any) -> NestedTensor:
        return self._combined(lambda x, y: x + y, other)

    def __sub__(self, other: Any) -> NestedTensor:
        return self._combined(lambda x, y: x - y, other)

    def __rsub__(self, other: Any) -> NestedTensor:
        return self._combined(lambda x, y: y - x, other)

    def __mul__(self, other: Any) -> NestedTensor:
        return self._combined(lambda x, y: x * y, other)

    def __truediv__(self, other: Any) -> NestedTensor:
        return self._combined(lambda x, y: x / y, other)

    def __neg__(self) -> NestedTensor:
        return self.like(-self._content)

    __radd__ = add = __add__
    __rmul__ = mul = __mul__
    sub = __sub__
    div = __truediv__

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if id(self) not in memo:
            memo[id(self)] = self.like(copy.deepcopy(self._content, memo))
        return memo[id(self)]

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        if self._kind is strided:
            parts = ",\n".join(f"  {each!r}".replace("\n", "\n  ") for each in self.unbind())
            return f"nested_tensor([\n{parts}\n])"
        extents = [self._extent(dim) for dim in range(self.ndim)]
        return f"NestedTensor(size=({', '.join(extents)}), offsets={self.offsets()!r})"

    def _extent(self, dim: int) -> str:
        return "j" if dim == 1 else str(self.size(dim))


# making them ------------------------------------------------------------------------------------


def _nested(parts: list[Any], kind: Any) -> NestedTensor:
    """From tensors, whose history is kept. RuntimeError where they do not go together."""
    shapes = [tuple(int(extent) for extent in each.shape) for each in parts]
    for number, shape in enumerate(shapes):
        if len(shape) != len(shapes[0]):
            raise RuntimeError(
                "All Tensors given to nested_tensor must have the same dimension. Found dimension "
                f"{len(shape)} for Tensor at index {number} and dimension {len(shapes[0])} for "
                "Tensor at index 0."
            )
        if kind is jagged and (not shape or shape[1:] != shapes[0][1:]):
            raise RuntimeError(
                "torch.jagged: the tensors may differ in their first extent only, got "
                f"{shapes[0]} and {shape}"
            )
    if not parts:
        return NestedTensor.make(empty(0), [], kind)
    return NestedTensor.make(cat([each.reshape(-1) for each in parts]), shapes, kind)


def _layout_of(layout: Any) -> Any:
    if layout not in (None, strided, jagged):
        raise RuntimeError(f"nested tensors are torch.strided or torch.jagged, got {layout}")
    return strided if layout is None else layout


def nested_tensor(
    tensor_list: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> NestedTensor:
    """A new leaf of the values of a list of tensors (or of lists of numbers).

    `layout` torch.strided (the default) takes tensors of any shapes of one number of dimensions,
    torch.jagged those that differ in their first extent only. TypeError for what is no list,
    RuntimeError where the tensors do not go together.
    """
    if not isinstance(tensor_list, (list, tuple)):
        raise TypeError(
            "Only lists (List[Tensor] and List[List...[Scalar]]) are accepted in nested_tensor, "
            f"got {type(tensor_list).__name__}"
        )
    parts = [
        (each.detach() if isinstance(each, Tensor) else new_tensor(each)).to(
            device=device, dtype=dtype
        )
        for each in tensor_list
    ]
    made = _nested(parts, _layout_of(layout))
    leaf = made.like(made._content.detach().clone())
    return leaf.requires_grad_(requires_grad)


def as_nested_tensor(
    ts: Any, dtype: Any = None, device: Any = None, layout: Any = None
) -> NestedTensor:
    """As nested_tensor, of tensors whose gradients are wanted: they are reached through it.

    `ts` may also be one tensor, whose first dimension numbers the parts.
    """
    if isinstance(ts, NestedTensor):
        return ts.to(device=device, dtype=dtype)
    given = list(ts.unbind(0)) if isinstance(ts, Tensor) else ts
    if not isinstance(given, (list, tuple)):
        raise TypeError(
            "as_nested_tensor(): Expected first argument to be a tensor or a list / tuple of "
            f"tensors, got {type(ts).__name__}"
        )
    parts = [as_tensor(each).to(device=device, dtype=dtype) for each in given]
    return _nested(parts, _layout_of(layout))


def nested_tensor_from_jagged(
    values: Tensor,
    offsets: Tensor | None = None,
    lengths: Tensor | None = None,
    jagged_dim: int | None = None,
    min_seqlen: int | None = None,
    max_seqlen: int | None = None,
) -> NestedTensor:
    """The torch.jagged nested tensor whose values() are these rows.

    `offsets`: where each part begins, and where the last ends; or `lengths`: of the parts, one
    after the other. RuntimeError where neither is given.
    """
    if jagged_dim not in (None, 1):
        raise NotImplementedError(f"the parts' first dimension is the jagged one, got {jagged_dim}")
    if offsets is None and lengths is None:
        raise RuntimeError(
            "nested_tensor_from_jagged(): At least one of offsets or lengths is required."
        )
    if offsets is not None and lengths is not None:
        raise NotImplementedError("parts with gaps between them (offsets and lengths) are not here")
    if offsets is not None:
        starts = offsets.tolist()
        counts = [end - start for start, end in pairwise(starts)]
        first = starts[0]
    else:
        assert lengths is not None
        counts, first = lengths.tolist(), 0
    rest = tuple(int(extent) for extent in values.shape[1:])
    rows = values[first : first + sum(counts)]
    return NestedTensor.make(rows.reshape(-1), [(count, *rest) for count in counts], jagged)


def to_padded_tensor(
    input: Any,  # noqa: A002  # PyTorch's name
    padding: float,
    output_size: Sequence[int] | None = None,
) -> Any:
    """NestedTensor.to_padded_tensor."""
    if not isinstance(input, NestedTensor):
        raise TypeError(f"to_padded_tensor: expected a nested tensor, got {type(input).__name__}")
    return input.to_padded_tensor(padding, output_size)
