"""Parameter and Buffer: the tensors that an nn.Module registers when they are assigned to it."""

from __future__ import annotations

from typing import Any, Self

import numpy

from flambeau.tensor.tensor import Tensor

__all__ = ["Buffer", "Parameter"]


def _share(cls: type[Any], data: Tensor) -> Any:
    """A tensor of class `cls` over the storage of `data`, cut off from its history."""
    source = data.detach()
    self = cls._make(source._storage, source._type)
    self._view, self._base = source._view, source._base
    return self


class Parameter(Tensor):
    """A tensor that becomes a parameter of the Module that it is assigned to.

    `data` is a tensor (None: an empty one), whose storage is shared. Raises RuntimeError where
    `requires_grad` is True and the dtype is not a floating-point type.
    """

    __slots__ = ()

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Self:
        if data is None:
            data = Tensor._from_numpy(numpy.zeros(0, numpy.float32))
        elif not isinstance(data, Tensor):
            raise TypeError(f"Parameter(): expected a Tensor, got {type(data).__name__}")
        self: Self = _share(cls, data)
        return self.requires_grad_(requires_grad)

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        """All is done in __new__; the signature is for help()."""

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"Parameter containing:\n{super().__repr__()}"

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        """A copy of the values; unlike a tensor's it has no gradient, as in PyTorch."""
        result = super().__deepcopy__(memo)
        result._grad = None
        return result

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _rebuild_parameter, (type(self), self.detach(), self.requires_grad, self.__dict__)


class _BufferType(type(Tensor)):  # type: ignore[misc]  # Tensor's metaclass is `type`
    """isinstance(tensor, Buffer) is true of what Buffer() returned."""

    def __instancecheck__(cls, instance: Any) -> bool:
        if super().__instancecheck__(instance):
            return True
        return isinstance(instance, Tensor) and getattr(instance, "_is_buffer", False)


class Buffer(Tensor, metaclass=_BufferType):
    """A tensor that becomes a buffer of the Module that it is assigned to.

    `persistent`: whether it is part of the Module's state_dict.
    """

    __slots__ = ()

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Any:
        if data is None:
            data = Tensor._from_numpy(numpy.zeros(0, numpy.float32))
        result = _share(Tensor, data)
        result.requires_grad_(data.requires_grad)
        result.persistent = persistent
        result._is_buffer = True
        return result


def _rebuild_parameter(
    cls: type[Parameter], data: Tensor, requires_grad: bool, state: dict[str, Any]
) -> Parameter:
    made = cls.__new__(cls, data, requires_grad)
    made.__dict__.update(state)
    return made
