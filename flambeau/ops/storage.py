"""storage() and untyped_storage(): the memory that tensors share, as PyTorch shows it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy

from flambeau.graph.dtype import DType
from flambeau.tensor.attach import method
from flambeau.tensor.tensor import Tensor


class UntypedStorage:
    """The memory of a tensor and of its views, in bytes. Equal where it is the same memory."""

    def __init__(self, tensor: Tensor) -> None:
        owner = tensor._owner()
        self._held = owner._storage
        self._whole = Tensor._make(owner._storage, owner._type)

    @classmethod
    def from_file(cls, filename: str, shared: bool = False, nbytes: int = 0) -> UntypedStorage:
        """The first `nbytes` bytes of a file, which are read. RuntimeError for shared=True."""
        if shared:
            raise RuntimeError("UntypedStorage.from_file: memory is not shared with files")
        content = numpy.fromfile(filename, dtype=numpy.uint8, count=nbytes or -1)
        return cls(Tensor._from_numpy(content, "cpu", copy=False))

    def _bytes(self) -> Any:
        return numpy.ascontiguousarray(self._whole._to_numpy()).reshape(-1).view(numpy.uint8)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """The bytes, for torch.asarray."""
        return numpy.array(self._bytes(), dtype=dtype)

    def __getitem__(self, index: Any) -> Any:
        """A byte, or the storage of a copy of some."""
        if isinstance(index, slice):
            return UntypedStorage(Tensor._from_numpy(self._bytes()[index], "cpu"))
        return int(self._bytes()[index])

    def nbytes(self) -> int:
        """The number of bytes."""
        return self._whole.numel() * self._whole.dtype.itemsize

    def size(self) -> int:
        """The number of bytes."""
        return self.nbytes()

    def data_ptr(self) -> int:
        """The address of the first element on the host; computes the tensor."""
        return self._whole.data_ptr()

    def untyped(self) -> UntypedStorage:
        """The storage itself."""
        return self

    _untyped = untyped

    @property
    def device(self) -> Any:
        """Where the memory is."""
        return self._whole.device

    @property
    def _cdata(self) -> int:
        """A number that is equal for the same memory, whatever is written to it."""
        return id(self._held)

    def is_shared(self) -> bool:
        """False: tensors travel between processes by value."""
        return False

    def tolist(self) -> list[int]:
        """The bytes."""
        return list(self._whole._to_numpy().tobytes())

    def __len__(self) -> int:
        return self.size()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UntypedStorage) and self._held is other._held

    def __hash__(self) -> int:
        return id(self._held)


class TypedStorage(UntypedStorage):
    """The memory of a tensor and of its views, in elements."""

    @property
    def dtype(self) -> DType:
        """The elements' type."""
        return self._whole.dtype

    def size(self) -> int:
        """The number of elements."""
        return self._whole.numel()

    def element_size(self) -> int:
        """The number of bytes of an element."""
        return self.dtype.itemsize

    def untyped(self) -> UntypedStorage:
        """The same memory in bytes."""
        return UntypedStorage(self._whole)

    def tolist(self) -> list[Any]:
        """The elements."""
        return self._whole._to_numpy().reshape(-1).tolist()

    def __getitem__(self, index: Any) -> Any:
        return self._whole._to_numpy().reshape(-1)[index].item()


@method()
def untyped_storage(self: Tensor) -> UntypedStorage:
    """The memory that this tensor sees, shared with its views, in bytes."""
    return UntypedStorage(self)


@method()
def storage(self: Tensor) -> TypedStorage:
    """The memory that this tensor sees, shared with its views, in elements."""
    return TypedStorage(self)


Tensor._typed_storage = storage  # type: ignore[attr-defined]  # PyTorch's name without a warning


Tensor._cdata = property(id)  # type: ignore[attr-defined]  # a number that is this tensor's alone


@method()
def share_memory_(self: Tensor) -> Tensor:
    """The tensor itself, with a warning: tensors travel between processes by value."""
    warnings.warn(
        "share_memory_() shares nothing here: another process gets a copy, and what it writes is "
        "not seen by this one. Send results back, through a queue for example.",
        UserWarning,
        stacklevel=2,
    )
    return self


@method()
def is_shared(self: Tensor) -> bool:
    """False: tensors travel between processes by value."""
    return False
