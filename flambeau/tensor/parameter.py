"""Parameter and Buffer: the tensors that an nn.Module registers when they are assigned to it."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy

from flambeau.graph.node import Node
from flambeau.tensor import override
from flambeau.tensor.device import get_default_dtype, resolve
from flambeau.tensor.record import serve_as_plain
from flambeau.tensor.size import Size
from flambeau.tensor.tensor import Tensor

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter", "is_lazy"]


def _share(cls: type[Any], data: Tensor) -> Any:
    """A tensor of class `cls` over the storage of `data`, cut off from its history."""
    source = data.detach()
    self = cls._make(source._storage, source._type)
    self._view, self._base = source._view, source._base
    if self.requires_grad:  # what the storage holds was computed from something that does
        self._tracks = False
    return self


class Parameter(Tensor):
    """A tensor that becomes a parameter of the Module that it is assigned to.

    `data` is a tensor (None: an empty one), whose storage is shared. Raises RuntimeError where
    `requires_grad` is True and the dtype is not a floating-point type.
    """

    __slots__ = ()
    __torch_function__ = staticmethod(override.disabled)

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
        return _rebuild_parameter, (
            type(self),
            self.detach(),
            self.requires_grad,
            self._attributes(),
        )


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
    __torch_function__ = staticmethod(override.disabled)

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Any:
        if data is None:
            data = Tensor._from_numpy(numpy.zeros(0, numpy.float32))
        result = _share(Tensor, data)
        result.requires_grad_(data.requires_grad)
        result.persistent = persistent
        result._is_buffer = True
        return result


# tensors whose shape is not known yet ------------------------------------------------------------

_NO_SHAPE = (
    "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in "
    "`load_state_dict` when trying to load an uninitialized parameter into an initialized one. "
    "Call `forward` to initialize the parameters before accessing their attributes."
)


def _empty(device: Any, dtype: Any) -> Tensor:
    kind = get_default_dtype() if dtype is None else dtype
    return Tensor._from_numpy(numpy.zeros(0, kind.numpy), resolve(device), copy=False)


serve_as_plain(Parameter)


class UninitializedTensorMixin:
    """A tensor that has a dtype and a device, and gets its shape by materialize().

    Until then reading its value raises ValueError, its shape RuntimeError.
    """

    __slots__ = ()
    cls_to_become: ClassVar[type[Tensor]]

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Become a Parameter or a tensor of this shape; the values are for the caller to set."""
        tensor: Any = self
        kind = tensor.dtype if dtype is None else dtype
        where = tensor.device if device is None else device
        array = numpy.zeros(tuple(shape), kind.numpy)
        tensor.data = Tensor._from_numpy(array, resolve(where), copy=False)
        tensor.__class__ = self.cls_to_become

    @property
    def shape(self) -> Size:
        raise RuntimeError(_NO_SHAPE)

    @property
    def ndim(self) -> int:
        raise RuntimeError(_NO_SHAPE)

    def numel(self) -> int:
        """Raises ValueError: there is no shape yet."""
        raise ValueError(_NO_SHAPE)

    def size(self, dim: int | None = None) -> Any:
        """Raises RuntimeError: there is no shape yet."""
        raise RuntimeError(_NO_SHAPE)

    def _read(self) -> Node:
        raise ValueError(
            f"Attempted to use an uninitialized {type(self).__name__}: it has no values until the "
            "module is called for the first time, or its state is loaded"
        )

    def share_memory_(self) -> Any:
        """Raises RuntimeError: there is no memory yet."""
        raise RuntimeError(
            "Can't share memory on an uninitialized parameter or buffer. Call `forward` to "
            "initialize the parameters before calling `module.share_memory()`."
        )

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self, protocol: Any) -> Any:
        tensor: Any = self
        return type(self), (tensor.requires_grad,)


class UninitializedParameter(UninitializedTensorMixin, Parameter):  # type: ignore[misc]  # repr
    """A Parameter without a shape, as lazy modules have until their first call."""

    __slots__ = ()
    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> Self:
        self: Self = _share(cls, _empty(device, dtype))
        return self.requires_grad_(requires_grad)

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        """All is done in __new__; the signature is for help()."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.requires_grad, self.device, self.dtype)
        return memo[id(self)]


class UninitializedBuffer(UninitializedTensorMixin, Tensor):
    """A buffer without a shape, as lazy modules have until their first call."""

    __slots__ = ()
    __torch_function__ = staticmethod(override.disabled)
    cls_to_become = Tensor

    def __new__(
        cls,
        requires_grad: bool = False,
        device: Any = None,
        dtype: Any = None,
        persistent: bool = True,
    ) -> Self:
        self: Any = _share(cls, _empty(device, dtype))
        self.persistent = persistent
        self._is_buffer = True
        return self.requires_grad_(requires_grad)

    def __init__(
        self,
        requires_grad: bool = False,
        device: Any = None,
        dtype: Any = None,
        persistent: bool = True,
    ) -> None:
        """All is done in __new__; the signature is for help()."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if id(self) not in memo:
            memo[id(self)] = type(self)(
                self.requires_grad, self.device, self.dtype, self.persistent
            )
        return memo[id(self)]


def is_lazy(param: Any) -> bool:
    """Whether it is a parameter or buffer that has no shape yet."""
    return isinstance(param, UninitializedTensorMixin)


def _rebuild_parameter(
    cls: type[Parameter], data: Tensor, requires_grad: bool, state: dict[str, Any]
) -> Parameter:
    made = cls.__new__(cls, data, requires_grad)
    made.__dict__.update(state)
    return made
