"""Tensors over other memory: set_, from_file, swap_tensors; and dequantize."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy

from flambeau.autograd.mode import STATE
from flambeau.graph.dtype import DType, float32
from flambeau.ops.axes import integers
from flambeau.ops.publish import publish
from flambeau.ops.storage import UntypedStorage
from flambeau.stand_in import stand_in
from flambeau.tensor.attach import method
from flambeau.tensor.device import get_default_dtype, resolve
from flambeau.tensor.fields import FIELDS
from flambeau.tensor.tensor import Tensor


def seen(storage: Any, offset: int, size: Any, stride: Any = None) -> Tensor:
    """What sees a storage's elements from an offset on (contiguous, without strides)."""
    if not isinstance(storage, UntypedStorage):
        raise TypeError(f"expected a storage, but got {type(storage).__name__}")
    from flambeau.tensor.view import contiguous_strides

    shape = integers(size)
    steps = contiguous_strides(shape) if not stride and shape else integers(stride or (), "stride")
    found: Tensor = storage._whole.detach().as_strided(shape, steps, offset)
    return found


@method()
def set_(
    self: Tensor,
    source: Any = None,
    storage_offset: int = 0,
    size: Any = None,
    stride: Any = None,
) -> Tensor:
    """Make this tensor see the memory of another tensor or of a storage; without one it is empty.

    Raises RuntimeError for a leaf that requires a gradient, outside no_grad, and for another dtype.
    """
    if STATE.enabled and self._leaf:
        raise RuntimeError(
            "a leaf Variable that requires grad is being used in an in-place operation. Change it "
            "inside no_grad()."
        )
    if source is None:
        made = self.new_empty(0)
    elif isinstance(source, Tensor):
        made = source
        if size is not None:
            made = source.as_strided(size, stride or _strides(size), storage_offset)
    else:
        whole = source._whole
        made = seen(source, storage_offset, (whole.numel(),) if size is None else size, stride)
    if made._type.dtype is not self._type.dtype:
        raise RuntimeError(
            f"Could not set tensor of type {self.dtype} to a tensor or storage of type {made.dtype}"
        )
    self.data = made
    return self


def _strides(size: Any) -> Any:
    from flambeau.tensor.view import contiguous_strides

    return contiguous_strides(integers(size))


@method()
def dequantize(self: Tensor) -> Tensor:
    """float32: there are no quantised tensors here."""
    found: Tensor = self.to(float32)
    return found


publish(dequantize, "dequantize")


@stand_in("accepted: there is one order of work")
def record_stream(self: Tensor, stream: Any) -> None:
    """Nothing to do."""


method()(record_stream)


def from_file(
    filename: str,
    shared: bool | None = None,
    size: int = 0,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """`size` elements read from a file of nothing but elements. What is written stays in memory.

    Raises RuntimeError where the file is smaller.
    """
    kind = get_default_dtype() if dtype is None else dtype
    data = numpy.fromfile(Path(filename), kind.numpy, size)
    if data.size < size:
        raise RuntimeError(
            f"from_file: {filename} holds {data.size} elements of {kind!r}, and {size} were asked "
            "for"
        )
    made = Tensor._from_numpy(data, resolve(device), copy=False)
    return made.requires_grad_() if requires_grad else made


publish(from_file, "from_file")


def swap_tensors(t1: Tensor, t2: Tensor) -> None:
    """Exchange two tensors: class, memory, gradient and attributes. References see the other."""
    t1.__class__, t2.__class__ = t2.__class__, t1.__class__
    t1.__dict__, t2.__dict__ = t2.__dict__, t1.__dict__
    for name in FIELDS:
        first, second = getattr(t1, name), getattr(t2, name)
        setattr(t1, name, second)
        setattr(t2, name, first)
    t1._read_cache = t2._read_cache = None
