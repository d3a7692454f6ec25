"""What a tensor is: its kind of numbers, its sizes in bytes, where it lies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.ops.convert import HOST, to_bool
from flambeau.ops.publish import publish
from flambeau.tensor.attach import method
from flambeau.tensor.tensor import Tensor


@method()
def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is a floating-point one."""
    return input._type.dtype.is_floating_point


@method()
def is_complex(input: Tensor) -> bool:
    """Whether the dtype is a complex one."""
    return input._type.dtype.is_complex


@method()
def is_signed(self: Tensor) -> bool:
    """Whether the dtype has negative numbers."""
    return self._type.dtype.is_signed


@method()
def is_nonzero(input: Tensor) -> bool:
    """Whether the only element is not zero."""
    return to_bool(input)


def numel(input: Tensor) -> int:
    """The number of elements."""
    return input._type.size


_FUNCTIONS: tuple[Any, ...] = (is_floating_point, is_complex, is_nonzero, numel)
for _function in _FUNCTIONS:
    publish(_function, _function.__name__)


def _fact(name: str, of: Callable[[Tensor], Any]) -> None:
    if not hasattr(Tensor, name):
        setattr(Tensor, name, property(of))


_fact("is_cuda", lambda self: False)
_fact("is_mps", lambda self: False)
_fact("is_xpu", lambda self: False)
_fact("is_nested", lambda self: False)
_fact("is_meta", lambda self: self.device.type == "meta")
Tensor.is_sparse = False  # type: ignore[attr-defined]  # a plain fact: matrix products ask for it
Tensor.is_nested = False  # type: ignore[attr-defined]  # see flambeau/nested
_fact("is_sparse_csr", lambda self: False)
_fact("is_quantized", lambda self: False)
_fact("is_cpu", lambda self: self.device.type in HOST)
_fact("itemsize", lambda self: self._type.dtype.itemsize)
_fact("nbytes", lambda self: self._type.nbytes)


@method()
def element_size(self: Tensor) -> int:
    """Bytes of one element."""
    return self._type.dtype.itemsize


@method()
def get_device(self: Tensor) -> int:
    """The device's index; -1 on the host."""
    return -1 if self.device.type in HOST else 0


@method()
def is_pinned(self: Tensor) -> bool:
    """False: there is no pinned memory."""
    return False


@method()
def nelement(self: Tensor) -> int:
    """The number of elements."""
    return self._type.size
