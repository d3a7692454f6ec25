"""Evenly spaced numbers and the identity."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy

from flambeau.graph import build, op
from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType
from flambeau.ops.creation import finished, placed
from flambeau.ops.promote import number_node
from flambeau.ops.publish import publish
from flambeau.tensor.device import get_default_dtype, resolve
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor


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
    if not dtype.is_floating_point:
        start, end = int(start), int(end)
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
    if not dtype.is_floating_point:
        start, end = int(_number(start)), int(_number(end))
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


for _function in (
    arange,
    linspace,
    logspace,
    eye,
):
    publish(_function, _function.__name__)
