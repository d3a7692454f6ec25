"""Writes objects as PyTorch pickles them: tensors refer to storages, ours have PyTorch's names."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from typing import Any, ClassVar

import numpy

from flambeau.graph.compiled import FUNCTIONS
from flambeau.graph.dtype import DType
from flambeau.serialization.names import STORAGE_TYPES, public_name
from flambeau.tensor.device import device
from flambeau.tensor.parameter import Parameter, is_lazy
from flambeau.tensor.size import Size
from flambeau.tensor.tensor import Tensor

_STORAGE_OF = {dtype: name for name, dtype in STORAGE_TYPES.items()}


class _Name:
    """A global that the file names, and which need not be here."""

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    def __call__(self, *args: Any) -> Any:
        raise TypeError(f"{self.module}.{self.name} stands in a file only")


_TENSOR = _Name("torch._utils", "_rebuild_tensor_v2")
_TYPED_TENSOR = _Name("torch._utils", "_rebuild_tensor_v3")
_PARAMETER = _Name("torch._utils", "_rebuild_parameter")
_PARAMETER_WITH_STATE = _Name("torch._utils", "_rebuild_parameter_with_state")
_UNTYPED = _Name("torch.storage", "UntypedStorage")
_DEVICE = _Name("torch", "device")
_SIZE = _Name("torch", "Size")
_ORDERED = _Name("collections", "OrderedDict")  # a state_dict of ours is a subclass
_STORAGE_NAMES = {name: _Name("torch", name) for name in STORAGE_TYPES}


class StoredStorage:
    """A storage on its way into a file, as the tensors that see it refer to it."""

    def __init__(self, tensor: Tensor, key: str) -> None:
        self._owner = tensor._owner()
        dtype = tensor.dtype
        count = self._owner.numel()
        name = _STORAGE_OF.get(dtype.name)
        of = _UNTYPED if name is None else _STORAGE_NAMES[name]
        self.typed = name is not None
        self.identity = ("storage", of, key, "cpu", count * (1 if name else dtype.itemsize))

    def content(self) -> memoryview:
        """The bytes of the whole storage."""
        whole = Tensor._make(self._owner._storage, self._owner._type)
        array = numpy.ascontiguousarray(whole._to_numpy())
        return array.reshape(-1).view(numpy.uint8).data


_Base: Any = pickle._Pickler  # typeshed does not list its methods


class Pickler(_Base):  # type: ignore[misc]  # see above
    """Python's pickler, in which globals are written by name and storages by reference."""

    def __init__(self, file: Any, protocol: int) -> None:
        super().__init__(file, protocol)
        self.storages: list[StoredStorage] = []
        self._by_storage: dict[Any, StoredStorage] = {}

    def persistent_id(self, obj: Any) -> Any:
        return obj.identity if type(obj) is StoredStorage else None

    def reducer_override(self, obj: Any) -> Any:
        """How what pickle does not know as PyTorch writes it is taken apart."""
        if is_lazy(obj):
            return _Name("torch.nn.parameter", type(obj).__name__), (obj.requires_grad,)
        if isinstance(obj, Tensor):
            return self._parameter(obj) if isinstance(obj, Parameter) else self._tensor(obj)
        kind = type(obj)
        if kind is _Name:
            return obj.name
        if kind is DType:
            return obj.name
        if kind is device:
            return _DEVICE, (str(obj),)
        if kind is Size:
            return _SIZE, (tuple(obj),)
        if isinstance(obj, OrderedDict) and kind.__module__.startswith("flambeau."):
            return _ORDERED, (), dict(obj.__dict__) or None, None, iter(obj.items())
        return NotImplemented

    def save_global(self, obj: Any, name: str | None = None) -> None:
        """Name a global; ours as PyTorch's, without looking whether they can be imported."""
        if type(obj) is _Name:
            self._named(obj, obj.module, obj.name)
        elif type(obj) is DType:
            self._named(obj, "torch", obj.name)
        elif getattr(obj, "__module__", "").startswith("flambeau.") and not name:
            module, _, last = public_name(obj).rpartition(".")
            self._named(obj, module, last)
        else:
            super().save_global(obj, name)

    def save_type(self, obj: Any) -> None:
        """Classes; None's and Ellipsis' are written as pickle writes them."""
        if obj.__module__.startswith("flambeau."):
            self.save_global(obj)
        else:
            super().save_type(obj)

    dispatch: ClassVar[dict[type, Any]] = {
        **_Base.dispatch,
        **dict.fromkeys(FUNCTIONS, save_global),
        type: save_type,
    }

    def _named(self, obj: Any, module: str, name: str) -> None:
        self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
        self.memoize(obj)

    def _tensor(self, value: Tensor) -> Any:
        storage = self._storage(value)
        layout = value.storage_offset(), tuple(value.shape), tuple(value.stride())
        rest: tuple[Any, ...] = (value.requires_grad, OrderedDict())
        if storage.typed:
            return _TENSOR, (storage, *layout, *rest)
        return _TYPED_TENSOR, (storage, *layout, *rest, value.dtype)

    def _parameter(self, value: Parameter) -> Any:
        data = value.detach()
        if value.__dict__:
            state = dict(value.__dict__)
            return _PARAMETER_WITH_STATE, (data, value.requires_grad, OrderedDict(), state)
        return _PARAMETER, (data, value.requires_grad, OrderedDict())

    def _storage(self, value: Tensor) -> StoredStorage:
        known = self._by_storage.get(value._storage)
        if known is None:
            known = StoredStorage(value, str(len(self.storages)))
            self._by_storage[value._storage] = known
            self.storages.append(known)
        return known
