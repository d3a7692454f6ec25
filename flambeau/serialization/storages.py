"""Tensors rebuilt from the storages of a checkpoint, each checked before it is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from flambeau.graph.dtype import DTYPES, DType
from flambeau.serialization.files import Array, CorruptError, Placement
from flambeau.serialization.names import TENSOR, StorageType
from flambeau.tensor.parameter import Parameter
from flambeau.tensor.tensor import Tensor
from flambeau.tensor.view import contiguous_strides, strided

ReadStorage = Callable[[str], "bytes | memoryview"]


class StorageReference:
    """One storage of the file: read when the first tensor needs it, shared by all."""

    def __init__(self, name: str, of: StorageType, location: str, count: int) -> None:
        self.name = name
        self.dtype = of.dtype
        self.location = location
        self.count = count  # of elements; of bytes where it is untyped
        self.whole: dict[str, Tensor] = {}


class Rebuilder:
    """The functions that a checkpoint names to make tensors, over the storages of one file."""

    def __init__(self, read: ReadStorage, place: Placement) -> None:
        self._read = read
        self._place = place
        self._storages: dict[str, StorageReference] = {}
        self.functions: dict[str, Callable[..., Any]] = {
            "torch._utils._rebuild_tensor": self.tensor,
            "torch._utils._rebuild_tensor_v2": self.tensor,
            "torch._utils._rebuild_tensor_v3": self.typed_tensor,
            "torch._utils._rebuild_parameter": self.parameter,
            "torch._utils._rebuild_parameter_with_state": self.parameter_with_state,
            "torch._tensor._rebuild_from_type_v2": self.from_type,
        }

    def storage(self, identity: Any) -> StorageReference:
        """What a persistent id of a checkpoint stands for."""
        if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
            raise CorruptError(f"it refers to {identity!r:.80}, which is not a storage")
        of, name, location, count = identity[1:5]
        if not (
            isinstance(of, StorageType)
            and isinstance(name, str)
            and isinstance(location, str)
            and isinstance(count, int)
            and count >= 0
        ):
            raise CorruptError(f"it refers to a storage in a way that is not right: {identity!r}")
        if len(identity) > 5 and identity[5] is not None:
            raise CorruptError("it has views of storages as versions before 0.4 wrote them")
        known = self._storages.get(name)
        if known is None:
            known = self._storages[name] = StorageReference(name, of, location, count)
        elif known.dtype != of.dtype or known.count != count:
            raise CorruptError(
                f"storage '{name}' has {known.count} elements of {known.dtype} in one place, and "
                f"{count} of {of.dtype} in another"
            )
        return known

    # the functions ------------------------------------------------------------------------------

    def tensor(
        self,
        storage: Any,
        offset: int,
        size: tuple[int, ...],
        stride: tuple[int, ...],
        requires_grad: bool = False,
        backward_hooks: Any = None,
        metadata: Any = None,
    ) -> Tensor:
        """A view of a storage."""
        of = _reference(storage).dtype
        if of is None:
            raise CorruptError(f"a tensor of storage '{storage.name}' does not say its dtype")
        if of not in DTYPES:
            raise CorruptError(f"storage '{storage.name}' has dtype {of}, which is not available")
        return self._view(storage, DTYPES[of], offset, size, stride, requires_grad)

    def typed_tensor(
        self,
        storage: Any,
        offset: int,
        size: tuple[int, ...],
        stride: tuple[int, ...],
        requires_grad: bool,
        backward_hooks: Any,
        dtype: Any,
        metadata: Any = None,
    ) -> Tensor:
        """A view of an untyped storage."""
        if not isinstance(dtype, DType):
            raise CorruptError(f"a tensor of storage '{_reference(storage).name}' has no dtype")
        return self._view(_reference(storage), dtype, offset, size, stride, requires_grad)

    def parameter(self, data: Any, requires_grad: bool, backward_hooks: Any = None) -> Parameter:
        """A Parameter over a tensor."""
        return Parameter(_tensor(data), bool(requires_grad))

    def parameter_with_state(
        self, data: Any, requires_grad: bool, backward_hooks: Any, state: Any
    ) -> Parameter:
        """A Parameter with attributes of its own."""
        return _attributed(Parameter(_tensor(data), bool(requires_grad)), state)

    def from_type(self, function: Any, kind: Any, arguments: tuple[Any, ...], state: Any) -> Tensor:
        """A tensor with attributes of its own; subclasses become plain tensors."""
        if function not in self.functions.values():
            raise CorruptError("it rebuilds a tensor with a function that rebuilds none")
        made = function(*arguments)
        if kind is Parameter and not isinstance(made, Parameter):
            made = Parameter(made, made.requires_grad)
        elif kind is not TENSOR and kind is not Parameter:
            raise CorruptError(f"it has a tensor of the class {kind!r}, which is refused")
        return _attributed(made, state)

    # how ----------------------------------------------------------------------------------------

    def _view(
        self,
        storage: StorageReference,
        dtype: DType,
        offset: int,
        size: tuple[int, ...],
        stride: tuple[int, ...],
        requires_grad: bool,
    ) -> Tensor:
        size, stride = tuple(size), tuple(stride)
        available = storage.count
        if storage.dtype is None:
            available //= dtype.itemsize
        _check_range(storage.name, available, offset, size, stride)
        whole = self._whole(storage, dtype, available, offset, size, stride)
        view = strided(whole._type.shape, size, stride, offset)
        if view is None:  # no chain of movements gives it: right values, no shared memory
            flat = whole.detach()._to_numpy().reshape(-1)
            steps = tuple(each * flat.itemsize for each in stride)
            seen = numpy.lib.stride_tricks.as_strided(flat[offset:], size, steps)
            made = self._place(numpy.ascontiguousarray(seen).reshape(size), storage.location)
        elif not view.steps:
            made = Tensor._make(whole._storage, whole._type)
        else:
            made = whole._view_as(view)
        return made.requires_grad_(bool(requires_grad))

    def _whole(
        self,
        storage: StorageReference,
        dtype: DType,
        available: int,
        offset: int,
        size: tuple[int, ...],
        stride: tuple[int, ...],
    ) -> Tensor:
        """The tensor that is the whole storage, of the shape of the first that sees all of it."""
        found = storage.whole.get(dtype.name)
        if found is None:
            content = self._read(storage.name)
            wanted = storage.count * (1 if storage.dtype is None else dtype.itemsize)
            if len(content) != wanted:
                raise CorruptError(
                    f"storage '{storage.name}' should have {wanted} bytes, but has {len(content)}"
                )
            array = array_of(content, dtype, available)
            if offset == 0 and array.size == _product(size) and stride == contiguous_strides(size):
                array = array.reshape(size)
            found = storage.whole[dtype.name] = self._place(array, storage.location)
        return found


def array_of(content: bytes | memoryview, dtype: DType, count: int) -> Array:
    """The elements of a storage; a byte of a boolean may be anything in a corrupt file."""
    if dtype.kind == "bool":
        return numpy.frombuffer(content, numpy.uint8, count) != 0
    return numpy.frombuffer(content, dtype.numpy, count)


def _reference(storage: Any) -> StorageReference:
    if not isinstance(storage, StorageReference):
        raise CorruptError(f"it makes a tensor of a {type(storage).__name__}, not of a storage")
    return storage


def _tensor(data: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise CorruptError(f"it makes a Parameter of a {type(data).__name__}, not of a tensor")
    return data


def _attributed(made: Any, state: Any) -> Any:
    plain = state[0] if isinstance(state, tuple) and state else state
    for name, value in (plain or {}).items():
        if not isinstance(name, str) or (name.startswith("__") or hasattr(type(made), name)):
            raise CorruptError(f"it gives a tensor the attribute {name!r}, which is refused")
        made.__dict__[name] = value
    return made


def _product(size: tuple[int, ...]) -> int:
    result = 1
    for each in size:
        result *= each
    return result


def _check_range(
    name: str, available: int, offset: int, size: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    """Raises CorruptError for a tensor that would reach out of its storage."""
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or not all(isinstance(each, int) and each >= 0 for each in numbers):
        raise CorruptError(
            f"a tensor of storage '{name}' has offset {offset}, size {size} and stride {stride}"
        )
    last = offset + sum((extent - 1) * step for extent, step in zip(size, stride, strict=True))
    if (0 not in size and last >= available) or offset > available:
        raise CorruptError(
            f"a tensor of size {size}, stride {stride} and offset {offset} reaches element "
            f"{last} of storage '{name}', which has {available}"
        )
