"""From tensors to Python and numpy, to other dtypes and devices, and copies."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator
from typing import Any

import numpy

from flambeau.autograd.mode import STATE
from flambeau.graph import build, op
from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType
from flambeau.ops.axes import DTYPE_TITLES
from flambeau.ops.promote import number_node
from flambeau.ops.publish import publish, write
from flambeau.tensor.attach import method
from flambeau.tensor.device import device as Device  # noqa: N812  # the class
from flambeau.tensor.device import resolve
from flambeau.tensor.record import copied, derive, record
from flambeau.tensor.tensor import Tensor

HOST = frozenset({"cpu", "reference"})

# reading ----------------------------------------------------------------------------------------


@method()
def item(self: Tensor) -> Any:
    """The only element as a Python number. Raises RuntimeError where there are more, or none."""
    if self._type.size != 1:
        raise RuntimeError(
            f"a Tensor with {self._type.size} elements cannot be converted to Scalar"
        )
    value = self._element()
    return value if self._type.dtype is not dtypes.bfloat16 else float(value)


@method()
def tolist(self: Tensor) -> Any:
    """Nested lists of Python numbers; a number for a 0-d tensor."""
    array = self._to_numpy()
    if self._type.dtype is dtypes.bfloat16:
        array = array.astype(numpy.float32)
    return array.tolist()


def _numpy(self: Tensor, *, force: bool = False) -> Any:
    """The elements as a numpy array, which shares memory where the device has it on the host.

    Raises RuntimeError where the tensor requires grad and TypeError where it lives on a device
    that the host cannot read or has a dtype that numpy lacks; force=True detaches and copies.
    """
    if force:
        return numpy.array(self.detach()._to_numpy())
    if self.requires_grad and STATE.enabled:
        raise RuntimeError(
            "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
        )
    where = self._storage.node.device
    if where is not None and where not in HOST:
        raise TypeError(
            f"can't convert {where} device type tensor to numpy. Use Tensor.cpu() to copy the "
            "tensor to host memory first."
        )
    if self._type.dtype is dtypes.bfloat16:
        raise TypeError("Got unsupported ScalarType BFloat16: convert with .float() first")
    return self._to_numpy()


_numpy.__name__ = "numpy"  # in this module that is the package
method("numpy")(_numpy)


@method("__array__")
def to_array(self: Tensor, dtype: Any = None, copy: bool | None = None) -> Any:
    """numpy's protocol: np.asarray(tensor)."""
    array = self.numpy()
    if dtype is not None and array.dtype != dtype:
        return array.astype(dtype)
    return array.copy() if copy else array


@method("__bool__")
def to_bool(self: Tensor) -> bool:
    """Whether the only element is not zero. Raises RuntimeError where there are more, or none."""
    if self._type.size != 1:
        kind = "no values" if self._type.size == 0 else "more than one value"
        raise RuntimeError(f"Boolean value of Tensor with {kind} is ambiguous")
    return bool(self._element())


def _single(self: Tensor) -> Any:
    if self._type.size != 1:
        raise ValueError("only one element tensors can be converted to Python scalars")
    return self._element()


@method("__float__")
def to_float(self: Tensor) -> float:
    """The only element as a float."""
    return float(_single(self))


@method("__int__")
def to_int(self: Tensor) -> int:
    """The only element as an int."""
    return int(_single(self))


@method("__complex__")
def to_complex(self: Tensor) -> complex:
    """The only element as a complex number."""
    return complex(_single(self))


@method("__index__")
def to_index(self: Tensor) -> int:
    """The only element of an integer tensor, as an index."""
    if self._type.size != 1 or self._type.dtype.is_floating_point:
        raise TypeError("only integer tensors of a single element can be converted to an index")
    return int(self._element())


@method("__iter__")
def iterate(self: Tensor) -> Iterator[Tensor]:
    """Over the first dimension."""
    if not self._type.shape:
        raise TypeError("iteration over a 0-d tensor")
    return iter(self.unbind(0))


# dtype and device -------------------------------------------------------------------------------


def converted(self: Tensor, dtype: DType, device: str | None, copy: bool) -> Tensor:
    """The tensor itself where nothing changes and no copy is asked for."""
    result = self
    if dtype is not self._type.dtype:
        result = record(op.CAST, (result,), (dtype,))
    here = self._storage.node.device
    if device is not None and here is not None and device != here:
        result = Tensor._own(copied(result._read(), device))
    if result is self and copy:
        return record(op.MATERIALIZE, (self,))
    return result


@method()
def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """to(dtype), to(device), to(device, dtype) or to(other): itself where nothing changes.

    copy=True copies even then; non_blocking and memory_format are taken and change nothing.
    """
    dtype, device = kwargs.pop("dtype", None), kwargs.pop("device", None)
    copy = kwargs.pop("copy", False)
    other = kwargs.pop("other", None)
    kwargs.pop("non_blocking", None)
    kwargs.pop("memory_format", None)
    if kwargs:
        raise TypeError(f"to() got an unexpected keyword argument '{next(iter(kwargs))}'")
    booleans = []
    for each in args:
        if isinstance(each, DType):
            dtype = each
        elif isinstance(each, (str, Device)):
            device = each
        elif isinstance(each, Tensor):
            other = each
        elif isinstance(each, builtins.bool):
            booleans.append(each)
        elif each is not None:
            raise TypeError(
                f"to() expects a dtype, a device or a tensor, got {type(each).__name__}"
            )
    if len(booleans) > 1:  # non_blocking, copy
        copy = booleans[1]
    if other is not None:
        dtype, device = other._type.dtype, other._storage.node.device
    where = None if device is None else resolve(device)
    return converted(self, dtype or self._type.dtype, where, copy)


def _conversion(name: str, dtype: DType) -> Callable[..., Tensor]:
    def convert(self: Tensor, memory_format: Any = None) -> Tensor:
        return self if self._type.dtype is dtype else record(op.CAST, (self,), (dtype,))

    convert.__name__ = name
    convert.__doc__ = f"The tensor as {dtype.name}; itself where it is that."
    return convert


CONVERSIONS = {
    "bool": dtypes.bool_,
    "byte": dtypes.uint8,
    "char": dtypes.int8,
    "short": dtypes.int16,
    "int": dtypes.int32,
    "long": dtypes.int64,
    "half": dtypes.float16,
    "bfloat16": dtypes.bfloat16,
    "float": dtypes.float32,
    "double": dtypes.float64,
}
for _name, _dtype in CONVERSIONS.items():
    setattr(Tensor, _name, _conversion(_name, _dtype))

_LEGACY_TYPES = {f"{title}Tensor": name for name, title in DTYPE_TITLES.items()}


def legacy_type(name: str) -> tuple[DType, str | None]:
    """The dtype (and device) of a name such as "torch.FloatTensor"."""
    *_, last = name.split(".")
    found = _LEGACY_TYPES.get(last)
    if found is None:
        raise ValueError(f"invalid type: '{name}'; expected like 'torch.FloatTensor'")
    return dtypes.DTYPES[found], None


@method("type")
def type_(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The name of the tensor's type ("torch.FloatTensor"), or the tensor as another type."""
    if dtype is None:
        where = self.device.type
        prefix = "torch" if where in HOST else f"torch.{where}"
        return f"{prefix}.{DTYPE_TITLES[self._type.dtype.name]}Tensor"
    if isinstance(dtype, str):
        dtype = legacy_type(dtype)[0]
    elif not isinstance(dtype, DType):
        dtype = dtype.dtype  # a legacy class such as torch.FloatTensor
    return converted(self, dtype, None, False)


@method()
def type_as(self: Tensor, other: Tensor) -> Tensor:
    """The tensor in the dtype and on the device of `other`."""
    return converted(self, other._type.dtype, other._storage.node.device, False)


@method()
def cpu(self: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor on the host; on the reference device that is where it is."""
    if self._storage.node.device in (None, *HOST):
        return self
    return converted(self, self._type.dtype, "cpu", False)


@method()
def cuda(self: Tensor, device: Any = None, non_blocking: bool = False) -> Tensor:
    """Raises AssertionError: GPUs are used through the device "webgpu"."""
    raise AssertionError(
        "Torch not compiled with CUDA enabled: Flambeau uses GPUs through WebGPU, .to('webgpu')"
    )


@method()
def pin_memory(self: Tensor, device: Any = None) -> Tensor:
    """The tensor itself: there is no pinned memory."""
    return self


# copies -----------------------------------------------------------------------------------------


@method()
def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy, through which gradients pass."""
    return record(op.MATERIALIZE, (input,))


@method()
def contiguous(self: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor itself where its elements lie in row-major order, else a copy that does."""
    return self if self.is_contiguous() else record(op.MATERIALIZE, (self,))


@method()
def detach_(self: Tensor) -> Tensor:
    """Cut the tensor off from what computed it; it becomes a leaf without gradient."""
    if self._base is not None:
        raise RuntimeError(
            "Can't detach views in-place: use detach() instead, or clone() the view first"
        )
    held = self._storage.node
    if self._leaf:
        self._leaf = False
    elif held.requires_grad:
        self._tracks = False
    self._read_cache = None
    return self


def detach(input: Tensor) -> Tensor:
    """The same storage without gradient."""
    return input.detach()


@method()
def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Write `src`, broadcast and converted, into this tensor. Other devices are allowed."""
    if not isinstance(src, Tensor):
        raise TypeError(f"copy_(): argument 'src' must be Tensor, not {type(src).__name__}")
    if src is self:
        return self
    if src._type.shape != self._type.shape:
        src = src.expand(self._type.shape)
    return write(self, src)


@method()
def fill_(self: Tensor, value: Any) -> Tensor:
    """Write one number, or a 0-d tensor, into all elements."""
    if isinstance(value, Tensor):
        if value._type.shape:
            raise RuntimeError(
                "fill_ only supports 0-dimension value tensor but got tensor with "
                f"{len(value._type.shape)} dimensions."
            )
        return copy_(self, value)
    check_fits(value, self._type.dtype)
    constant = number_node(value, self._type.dtype)
    where = self._storage.node.device
    filled = record(op.EXPAND, (constant,), (self._type.shape,), device=where)
    return write(self, instead_of(self, filled))


def instead_of(input: Tensor, value: Tensor) -> Tensor:
    """`value`, which does not depend on `input`, of the same type: its gradient there is zeros."""
    if not (STATE.enabled and input.requires_grad):
        return value
    never = derive(op.EXPAND, (build.constant(False, dtypes.bool_),), (input._type.shape,))
    made: Tensor = record(op.WHERE, (never, input, value))
    return made


def check_fits(value: Any, dtype: DType) -> None:
    """Raises RuntimeError where a number is out of the range of `dtype`."""
    from flambeau.ops.limits import finfo, iinfo

    if dtype.kind == "bool":
        return
    fits = True
    if dtype.is_complex:
        return
    if dtype.is_floating_point:
        limits: Any = finfo(dtype)
        fits = abs(value) <= limits.max or abs(value) == float("inf") or value != value
    else:
        limits = iinfo(dtype)
        fits = value == value and limits.min <= value <= limits.max
    if not fits:
        raise RuntimeError(f"value cannot be converted to type {dtype.name} without overflow")


@method()
def zero_(self: Tensor) -> Tensor:
    """Write 0 into all elements."""
    return fill_(self, 0)


for _function in (clone, detach):
    publish(_function, _function.__name__)
publish(zero_, "zero_")
publish(fill_, "fill_")
