"""DLPack: a tensor's values handed to other libraries, and theirs taken.

https://dmlc.github.io/dlpack/latest/. Values cross through host memory. What comes in is copied,
as from_numpy does; what goes out is a snapshot, as numpy() is.
"""

from __future__ import annotations

from typing import Any

import numpy

from flambeau.ops.data import array_of
from flambeau.ops.publish import publish
from flambeau.tensor.attach import method
from flambeau.tensor.tensor import Tensor

_CPU = (1, 0)  # kDLCPU, the first


@method("__dlpack__")
def _to_dlpack(
    self: Tensor,
    *,
    stream: Any = None,
    max_version: Any = None,
    dl_device: Any = None,
    copy: bool | None = None,
) -> Any:
    """A capsule of the values. BufferError for bfloat16, and where a gradient is required."""
    if self.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    if self.dtype.numpy.kind not in "biufc":
        raise BufferError(f"{self.dtype} cannot be handed to other libraries through numpy")
    array = self._to_numpy()
    if copy or not array.flags.writeable:
        array = numpy.array(array)
    return array.__dlpack__()


@method("__dlpack_device__")
def _dlpack_device(self: Tensor) -> tuple[int, int]:
    """The host: values of all devices cross through its memory."""
    return _CPU


class _Capsule:
    """A bare capsule, as to_dlpack gives it, in the form that numpy takes."""

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return _CPU


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor of another library's array, or of a DLPack capsule; the values are copied."""
    if isinstance(ext_tensor, Tensor):
        return ext_tensor.detach().clone()
    source = ext_tensor if hasattr(ext_tensor, "__dlpack__") else _Capsule(ext_tensor)
    return Tensor._from_numpy(array_of(numpy.from_dlpack(source), None), device)


publish(from_dlpack, "from_dlpack")
