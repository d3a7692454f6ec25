"""The memory of tensors. PyTorch's torch.storage, and torch.FloatStorage and its like."""

from __future__ import annotations

from typing import Any

from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType
from flambeau.ops.creation import zeros
from flambeau.ops.data import tensor
from flambeau.ops.storage import TypedStorage, UntypedStorage

__all__ = ["TypedStorage", "UntypedStorage", "is_storage"]


def is_storage(obj: Any) -> bool:
    """Whether `obj` is the memory of a tensor."""
    return isinstance(obj, UntypedStorage)


class _StorageType(type):
    """A class whose calls make memory of one dtype, and whose instances are such memory."""

    dtype: DType

    def __call__(cls, *args: Any) -> TypedStorage:
        if len(args) > 1:
            raise TypeError(f"{cls.__name__}() takes a size or a sequence of numbers")
        given = args[0] if args else 0
        whole = zeros(given, dtype=cls.dtype) if isinstance(given, int) else None
        return TypedStorage(tensor(given, dtype=cls.dtype) if whole is None else whole)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, TypedStorage) and instance.dtype is cls.dtype


_NAMES = {
    "BFloat16Storage": dtypes.bfloat16,
    "BoolStorage": dtypes.bool_,
    "ByteStorage": dtypes.uint8,
    "CharStorage": dtypes.int8,
    "DoubleStorage": dtypes.float64,
    "FloatStorage": dtypes.float32,
    "HalfStorage": dtypes.float16,
    "IntStorage": dtypes.int32,
    "LongStorage": dtypes.int64,
    "ShortStorage": dtypes.int16,
}
for _name, _dtype in _NAMES.items():
    _doc = f"name(size) or name(numbers): memory of {_dtype.name}."
    globals()[_name] = _StorageType(_name, (), {"dtype": _dtype, "__doc__": _doc})
    __all__ += [_name]
Storage = globals()["FloatStorage"]
