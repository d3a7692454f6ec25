"""Tensors from numbers, nested sequences, numpy arrays and buffers."""

from __future__ import annotations

import builtins
from typing import Any

import numpy

from flambeau.graph import dtype as dtypes
from flambeau.graph import op
from flambeau.graph.dtype import DType
from flambeau.ops.axes import varargs
from flambeau.ops.convert import check_fits, converted
from flambeau.ops.creation import device_like, filled, full, placed
from flambeau.ops.promote import number_dtype, number_node
from flambeau.ops.publish import publish
from flambeau.schedule import watch
from flambeau.tensor.attach import method
from flambeau.tensor.device import default_device_name, get_default_dtype, resolve
from flambeau.tensor.record import is_tracing, record
from flambeau.tensor.tensor import Tensor


def array_of(data: Any, dtype: DType | None) -> numpy.ndarray[Any, Any]:
    """Numbers, nested sequences and arrays as one numpy array of a dtype that tensors have."""
    if isinstance(data, numpy.ndarray):
        array = data
    elif isinstance(data, (numpy.generic, numpy.bool_)):
        array = numpy.asarray(data)
    elif isinstance(data, (bool, int, float, complex)):
        _check_integers(data, data, dtype)
        return _cast(numpy.asarray(data), (dtype or number_dtype(data)).numpy)
    else:
        return _from_sequence(data, dtype)
    if array.dtype == numpy.object_ or array.dtype.kind in "USM":
        raise TypeError(
            f"can't convert np.ndarray of type {array.dtype}. The supported types are: "
            f"{', '.join(dtypes.DTYPES)}."
        )
    return array if dtype is None else array.astype(dtype.numpy)


def _check_integers(least: Any, greatest: Any, dtype: DType | None) -> None:
    """Raises where numbers between these do not fit an integer dtype.

    Negative numbers wrap around in an unsigned one, down to minus its greatest.
    """
    if dtype is None:
        if isinstance(greatest, int) and not -(1 << 63) <= least <= greatest < 1 << 63:
            raise ValueError("Overflow when unpacking long long")
    elif not dtype.has_gradient:
        for each in (least, greatest):
            check_fits(each if dtype.is_signed else builtins.abs(each), dtype)


def _cast(array: numpy.ndarray[Any, Any], kind: Any) -> numpy.ndarray[Any, Any]:
    """Too great a float is infinite, without a warning."""
    with numpy.errstate(over="ignore"):
        return array.astype(kind)


def _from_sequence(data: Any, dtype: DType | None) -> numpy.ndarray[Any, Any]:
    if isinstance(data, str):
        raise TypeError(f"new(): invalid data type '{type(data).__name__}'")
    if not hasattr(data, "__len__") or not hasattr(data, "__getitem__"):
        raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")
    found: set[Any] = set()
    plain = _plain(data, found)
    try:
        array = numpy.array(plain)
        if array.dtype == numpy.object_ and float in found:  # with integers that are too great
            array = numpy.array(plain, numpy.float64)
    except (ValueError, OverflowError, TypeError):
        raise _ragged(data) from None
    if array.dtype == numpy.object_:
        raise _ragged(data)
    if array.dtype == numpy.uint64 and dtype is None:
        raise ValueError("Overflow when unpacking long long")
    if dtype is None:
        dtype = _inferred(found, array)
    elif array.size and dtype.itemsize < 8:
        _check_integers(array.min(), array.max(), dtype)
    return _cast(array, dtype.numpy)


def _plain(data: Any, found: set[Any]) -> Any:
    """Tensors within sequences as arrays; `found` collects the dtypes that elements name."""
    if isinstance(data, Tensor):
        found.add(data.dtype)
        return data.detach()._to_numpy()
    if isinstance(data, (numpy.ndarray, numpy.generic)):
        watch.refuse("an array is copied into a tensor")
        found.add(dtypes.from_numpy(data.dtype))
        return data
    if isinstance(data, (bool, int, float, complex)):
        found.add(type(data))
        return data
    if isinstance(data, (str, bytes)) or not hasattr(data, "__len__"):
        if data is None or isinstance(data, (str, bytes)) or not hasattr(data, "__index__"):
            raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")
        found.add(int)
        return data.__index__()
    if isinstance(data, list) and {*map(type, data)} == {float}:
        found.add(float)
        return data  # the usual case, quickly
    return [_plain(each, found) for each in data]


def _inferred(found: set[Any], array: numpy.ndarray[Any, Any]) -> DType:
    """The dtype of a sequence's elements, promoted; Python's floats have the default dtype."""
    real = get_default_dtype()
    own = {bool: dtypes.bool_, int: dtypes.int64, float: real, complex: real.to_complex()}
    result: DType | None = None
    for each in found:
        dtype = own.get(each, each)
        result = dtype if result is None else dtypes.promote(result, dtype)
    if result is not None:
        return result
    return get_default_dtype() if array.dtype.kind == "f" else dtypes.from_numpy(array.dtype)


def _ragged(data: Any) -> Exception:
    """What PyTorch raises for a sequence of sequences of unequal lengths."""
    rows: list[Any] = [data]
    depth = 0
    while rows and builtins.all(hasattr(each, "__len__") for each in rows):
        lengths = [len(each) for each in rows]
        for length in lengths:
            if length != lengths[0]:
                return ValueError(
                    f"expected sequence of length {lengths[0]} at dim {depth} (got {length})"
                )
        rows = [each for row in rows for each in row]
        depth += 1
    if builtins.any(hasattr(each, "__len__") for each in rows):
        return TypeError("not a sequence")
    return ValueError("Overflow when unpacking long long")


def tensor(
    data: Any,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    names: Any = None,
) -> Tensor:
    """A new leaf tensor that holds a copy of `data`: a number, nested sequences, an array.

    Python's ints give int64, its floats the default dtype; numpy's arrays keep theirs. Raises
    ValueError for sequences of unequal lengths.
    """
    if isinstance(data, Tensor):
        made = converted(data.detach(), dtype or data.dtype, device_like(data, device), True)
    elif is_tracing():
        made = _traced(data, dtype)
    else:
        made = Tensor._from_numpy(array_of(data, dtype), resolve(device))
    return made.requires_grad_() if requires_grad else made


def _traced(data: Any, dtype: DType | None) -> Tensor:
    """Within a composite's expansion only numbers can be made: they are part of the plan."""
    if not isinstance(data, (bool, int, float, complex)):
        raise RuntimeError("a composite's body can make tensors of single numbers only")
    return record(op.EXPAND, (number_node(data, dtype or number_dtype(data)),), ((),))


def as_tensor(data: Any, dtype: DType | None = None, device: Any = None) -> Tensor:
    """`data` itself where it is a tensor of that dtype and device, else a tensor of it."""
    if isinstance(data, Tensor):
        where = None if device is None else resolve(device)
        return converted(data, dtype or data.dtype, where, False)
    return tensor(data, dtype=dtype, device=device)


def asarray(
    obj: Any,
    *,
    dtype: DType | None = None,
    device: Any = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """As as_tensor; copy=True always copies."""
    made = tensor(obj, dtype=dtype, device=device) if copy else as_tensor(obj, dtype, device)
    return made.requires_grad_() if requires_grad else made


def from_numpy(ndarray: numpy.ndarray[Any, Any]) -> Tensor:
    """A tensor of the array's dtype and content.

    It holds a copy, so that what was recorded before the array is written again stays as it was:
    docs/differences.md.
    """
    if not isinstance(ndarray, numpy.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    return Tensor._from_numpy(array_of(ndarray, None), default_device_name())


def frombuffer(
    buffer: Any,
    *,
    dtype: DType,
    count: int = -1,
    offset: int = 0,
    requires_grad: bool = False,
) -> Tensor:
    """A 1-d tensor of a buffer's bytes read as `dtype`."""
    made = Tensor._from_numpy(numpy.frombuffer(buffer, dtype.numpy, count, offset), None)
    return made.requires_grad_() if requires_grad else made


def scalar_tensor(
    s: Any, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A 0-d tensor, of the default dtype where none is named."""
    return full(
        (), s, dtype=dtype or get_default_dtype(), device=device, requires_grad=requires_grad
    )


@method()
def new_tensor(
    self: Tensor,
    data: Any,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """As tensor(data), in this tensor's dtype and on its device."""
    where = self._storage.node.device if device is None else device
    return tensor(data, dtype=dtype or self.dtype, device=where, requires_grad=requires_grad)


@method("new")
def _new_legacy(self: Tensor, *args: Any, device: Any = None) -> Tensor:
    """The legacy constructor: sizes or data, in this tensor's dtype."""
    where = self._storage.node.device if device is None else device
    return legacy(args, self.dtype, where)


def legacy(args: tuple[Any, ...], dtype: DType, device: Any) -> Tensor:
    """Tensor(2, 3) is a tensor of that size, Tensor([…]) one of that data."""
    if not args:
        return filled((0,), 0, dtype, placed(device))
    if len(args) == 1 and not isinstance(args[0], int):
        data = args[0]
        if isinstance(data, tuple) and type(data).__name__ == "Size":
            return filled(tuple(data), 0, dtype, placed(device))
        if isinstance(data, Tensor):
            return converted(data.detach(), dtype, None, False)
        return tensor(data, dtype=dtype, device=device)
    return filled(varargs(args), 0, dtype, placed(device))


def _legacy(*args: Any, device: Any = None) -> Tensor:
    return legacy(args, get_default_dtype(), device)


Tensor._legacy = staticmethod(_legacy)  # type: ignore[attr-defined]  # what Tensor(…) calls


for _function in (
    tensor,
    as_tensor,
    asarray,
    from_numpy,
    frombuffer,
    scalar_tensor,
):
    publish(_function, _function.__name__)
