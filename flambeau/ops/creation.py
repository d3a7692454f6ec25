"""Making tensors: from numbers, lists and numpy arrays, filled, and as ranges."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from flambeau.graph import build, op
from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType
from flambeau.ops.axes import integers, varargs
from flambeau.ops.convert import check_fits, converted
from flambeau.ops.promote import number_dtype, number_node
from flambeau.ops.publish import publish, write_out
from flambeau.tensor.attach import method
from flambeau.tensor.device import default_device_name, get_default_dtype, resolve
from flambeau.tensor.record import is_tracing, record
from flambeau.tensor.tensor import Tensor


def placed(device: Any) -> str | None:
    """The device name for a source; none within a composite's expansion."""
    return None if is_tracing() else resolve(device)


def finished(result: Tensor, requires_grad: bool, out: Tensor | None, name: str) -> Tensor:
    """What all functions that make tensors do last: out= and requires_grad."""
    if out is not None:
        result = write_out(name, out, result)
    return result.requires_grad_() if requires_grad else result


def filled(shape: Any, value: Any, dtype: DType, device: str | None) -> Tensor:
    """An array of one number: 0 and 1 are part of the plan, others may change without a new one."""
    if min(shape, default=0) < 0:
        raise RuntimeError(
            f"Trying to create tensor with negative dimension {min(shape)}: {list(shape)}"
        )
    plain = type(value) is int and value in (0, 1)
    node = build.constant(value, dtype) if plain else number_node(value, dtype)
    return record(op.EXPAND, (node,), (tuple(shape),), device=device)


# filled -----------------------------------------------------------------------------------------


def _size_and(size: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[int, ...]:
    return varargs((keywords.pop("size"),) if not size and "size" in keywords else size)


def _filling(name: str, value: int, doc: str) -> Callable[..., Tensor]:
    """torch.zeros and its like."""

    def make(
        *size: Any,
        out: Tensor | None = None,
        dtype: DType | None = None,
        layout: Any = None,
        device: Any = None,
        pin_memory: bool = False,
        requires_grad: bool = False,
        memory_format: Any = None,
        names: Any = None,
        **keywords: Any,
    ) -> Tensor:
        shape = _size_and(size, keywords)
        _refuse(name, keywords)
        if dtype is None:
            dtype = get_default_dtype() if out is None else out.dtype
        return finished(filled(shape, value, dtype, placed(device)), requires_grad, out, name)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = doc
    publish(make, name)
    return make


def _refuse(name: str, keywords: dict[str, Any]) -> None:
    if keywords:
        raise TypeError(f"{name}() got an unexpected keyword argument '{next(iter(keywords))}'")


zeros = _filling("zeros", 0, "A tensor of zeros; sizes as arguments or as one sequence.")
ones = _filling("ones", 1, "A tensor of ones; sizes as arguments or as one sequence.")
empty = _filling(
    "empty",
    0,
    "A tensor whose content means nothing; here it is zeros, so that every run is the same.",
)


def full(
    size: Sequence[int],
    fill_value: Any,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    names: Any = None,
) -> Tensor:
    """A tensor of one number, whose type gives the dtype where none is named."""
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    dtype = number_dtype(fill_value) if dtype is None else dtype
    check_fits(fill_value, dtype)
    made = filled(integers(size), fill_value, dtype, placed(device))
    return finished(made, requires_grad, out, "full")


def _like(
    name: str,
    input: Tensor,
    value: Any,
    dtype: DType | None,
    device: Any,
    requires_grad: bool,
) -> Tensor:
    where = _where(input, device)
    made = filled(input._type.shape, value, dtype or input._type.dtype, where)
    return finished(made, requires_grad, None, name)


def _where(input: Tensor, device: Any) -> str | None:
    """The device of a tensor that is made like another."""
    if is_tracing():
        return None
    return input._storage.node.device if device is None else resolve(device)


def zeros_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """Zeros of input's shape, dtype and device."""
    return _like("zeros_like", input, 0, dtype, device, requires_grad)


def ones_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """Ones of input's shape, dtype and device."""
    return _like("ones_like", input, 1, dtype, device, requires_grad)


def empty_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor of input's shape, dtype and device whose content means nothing (zeros here)."""
    return _like("empty_like", input, 0, dtype, device, requires_grad)


def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """One number in input's shape, dtype and device."""
    check_fits(fill_value, dtype or input._type.dtype)
    return _like("full_like", input, fill_value, dtype, device, requires_grad)


def _new(name: str, make: Callable[..., Tensor]) -> None:
    """Tensor.new_zeros and its like: the dtype and device are this tensor's."""

    def create(self: Tensor, *args: Any, **keywords: Any) -> Tensor:
        if keywords.get("dtype") is None:
            keywords["dtype"] = self._type.dtype
        if keywords.get("device") is None:
            keywords["device"] = self._storage.node.device
        return make(*args, **keywords)

    create.__name__ = name
    create.__doc__ = f"As {make.__name__}, in this tensor's dtype and on its device."
    setattr(Tensor, name, create)


# from data --------------------------------------------------------------------------------------


def array_of(data: Any, dtype: DType | None) -> numpy.ndarray[Any, Any]:
    """Numbers, nested sequences and arrays as one numpy array of a dtype that tensors have."""
    if isinstance(data, numpy.ndarray):
        array = data
    elif isinstance(data, (numpy.generic, numpy.bool_)):
        array = numpy.asarray(data)
    elif isinstance(data, (bool, int, float)):
        _check_integers(data, dtype)
        return numpy.asarray(data, (dtype or number_dtype(data)).numpy)
    elif isinstance(data, complex):
        raise TypeError("complex tensors are not available: keep real and imaginary parts apart")
    else:
        return _from_sequence(data, dtype)
    if array.dtype == numpy.object_ or array.dtype.kind in "USM":
        raise TypeError(
            f"can't convert np.ndarray of type {array.dtype}. The supported types are: "
            f"{', '.join(dtypes.DTYPES)}."
        )
    return array if dtype is None else array.astype(dtype.numpy)


def _check_integers(data: int | float, dtype: DType | None) -> None:
    if isinstance(data, int) and not -(1 << 63) <= data < 1 << 63:
        raise RuntimeError("Overflow when unpacking long long")
    if dtype is not None:
        check_fits(data, dtype)


def _from_sequence(data: Any, dtype: DType | None) -> numpy.ndarray[Any, Any]:
    if isinstance(data, str):
        raise TypeError(f"new(): invalid data type '{type(data).__name__}'")
    if not hasattr(data, "__len__") or not hasattr(data, "__getitem__"):
        raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")
    found: set[Any] = set()
    plain = _plain(data, found)
    try:
        array = numpy.array(plain)
    except (ValueError, OverflowError):
        raise _ragged(data) from None
    if array.dtype == numpy.object_:
        raise _ragged(data)
    if array.dtype == numpy.uint64:
        raise RuntimeError("Overflow when unpacking long long")
    if dtype is None:
        dtype = _inferred(found, array)
    return array.astype(dtype.numpy)


def _plain(data: Any, found: set[Any]) -> Any:
    """Tensors within sequences as arrays; `found` collects the dtypes that elements name."""
    if isinstance(data, Tensor):
        found.add(data.dtype)
        return data.detach()._to_numpy()
    if isinstance(data, (numpy.ndarray, numpy.generic)):
        found.add(dtypes.from_numpy(data.dtype))
        return data
    if isinstance(data, (bool, int, float)):
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
    own = {bool: dtypes.bool_, int: dtypes.int64, float: get_default_dtype()}
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
    return RuntimeError("Overflow when unpacking long long")


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
        made = converted(data.detach(), dtype or data.dtype, _where(data, device), True)
    elif is_tracing():
        made = _traced(data, dtype)
    else:
        made = Tensor._from_numpy(array_of(data, dtype), resolve(device))
    return made.requires_grad_() if requires_grad else made


def _traced(data: Any, dtype: DType | None) -> Tensor:
    """Within a composite's expansion only numbers can be made: they are part of the plan."""
    if not isinstance(data, (bool, int, float)):
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


# ranges -----------------------------------------------------------------------------------------


def arange(
    start: Any = 0,
    end: Any = None,
    step: Any = 1,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, … below end. ints give int64, floats the default dtype.

    Raises RuntimeError where step is 0 or leads away from end.
    """
    if end is None:
        start, end = 0, start
    start, end, step = (
        each.item() if isinstance(each, (Tensor, numpy.generic)) else each
        for each in (start, end, step)
    )
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) / step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    if dtype is None:
        whole = builtins.all(isinstance(each, int) for each in (start, end, step))
        dtype = dtypes.int64 if whole else get_default_dtype()
    count = math.ceil((end - start) / step)
    if not dtype.is_floating_point:
        count = _integer_count(start, end, step, count)
        start, step = int(start), int(step)
    made = _range(count, start, step, dtype, placed(device))
    return finished(made, requires_grad, out, "arange")


def _integer_count(start: Any, end: Any, step: Any, count: int) -> int:
    if builtins.all(isinstance(each, int) for each in (start, end, step)):
        return -(-(end - start) // step)  # exact, also where float64 is not
    return count


def _range(count: int, start: Any, step: Any, dtype: DType, device: str | None) -> Tensor:
    """start + step · i. Floats beyond float32's exact sums are rounded once, on the host."""
    if dtype.is_floating_point and not _exact(count, start, step):
        values = (start + step * numpy.arange(count)).astype(dtype.numpy)
        return Tensor._from_numpy(values, device)
    places = record(op.IOTA, (), (count, dtype), device=device)
    if step != 1:
        places = record(op.MUL, (places, number_node(step, dtype)))
    return places if start == 0 else record(op.ADD, (places, number_node(start, dtype)))


def _exact(count: int, start: Any, step: Any) -> bool:
    """Whether all steps and sums are whole numbers that every float dtype but bfloat16 holds."""
    whole = float(start).is_integer() and float(step).is_integer()
    return whole and abs(start) + abs(step) * count <= 1 << 8


def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """`steps` evenly spaced numbers from start to end, both included, mirrored about the middle."""
    values = _spaced(start, end, steps, dtype or get_default_dtype())
    made = Tensor._from_numpy(values, resolve(device))
    return finished(made, requires_grad, out, "linspace")


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, (Tensor, numpy.generic)) else value


def _spaced(start: Any, end: Any, steps: int, dtype: DType) -> numpy.ndarray[Any, Any]:
    """From both ends towards the middle, in the dtype's own arithmetic, as PyTorch computes it."""
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    start, end = _number(start), _number(end)
    own: Any = dtype.numpy if dtype.is_floating_point and dtype.itemsize >= 4 else numpy.float32
    if not dtype.is_floating_point:
        own = numpy.float64
    places = numpy.arange(steps)
    first, last = numpy.asarray(start, own), numpy.asarray(end, own)
    step = (last - first) / numpy.asarray(builtins.max(steps - 1, 1), own)
    rising = first + step * places.astype(own)
    falling = last - step * (steps - 1 - places).astype(own)
    return numpy.where(places < steps // 2 if steps > 1 else True, rising, falling).astype(
        dtype.numpy
    )


def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Powers of `base` with evenly spaced exponents."""
    dtype = dtype or get_default_dtype()
    values = numpy.power(float(base), _spaced(start, end, steps, dtypes.float64))
    made = Tensor._from_numpy(values.astype(dtype.numpy), resolve(device))
    return finished(made, requires_grad, out, "logspace")


def eye(
    n: int,
    m: int | None = None,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """Ones on the diagonal, zeros elsewhere."""
    m = n if m is None else m
    for name, each in (("n", n), ("m", m)):
        if each < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {each}")
    rows = build.reshape(build.iota(n), (n, 1))
    made = record(op.EQ, (rows, build.iota(m)), device=placed(device))
    made = record(op.CAST, (made,), (dtype or get_default_dtype(),))
    return finished(made, requires_grad, out, "eye")


_new("new_zeros", zeros)
_new("new_ones", ones)
_new("new_empty", empty)
_new("new_full", full)

for _function in (
    full,
    zeros_like,
    ones_like,
    empty_like,
    full_like,
    tensor,
    as_tensor,
    asarray,
    from_numpy,
    frombuffer,
    scalar_tensor,
    arange,
    linspace,
    logspace,
    eye,
):
    publish(_function, _function.__name__)
