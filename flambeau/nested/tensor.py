"""NestedTensor: one flat tensor and the shapes of its parts."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy

from flambeau.graph.dtype import DType
from flambeau.graph.node import Node
from flambeau.ops.creation import empty
from flambeau.ops.data import tensor as new_tensor
from flambeau.ops.legacy import strided
from flambeau.ops.logic import where
from flambeau.tensor.tensor import Tensor
from flambeau.tensor.view import View

__all__ = ["NestedTensor"]

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

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """What torch's functions do with nested tensors: see nested/rows.py."""
        from flambeau.nested.rows import computed

        return computed(func, args, dict(kwargs or {}))

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

    def _element(self) -> Any:
        return self._to_numpy().item()

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
