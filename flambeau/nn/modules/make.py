"""Making the tensors that modules start with, and small argument helpers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy

from flambeau.tensor.device import get_default_dtype, resolve
from flambeau.tensor.parameter import Parameter
from flambeau.tensor.tensor import Tensor


def filled(shape: Any, value: float, device: Any = None, dtype: Any = None) -> Tensor:
    """A computed tensor of one number, so that building a model leaves nothing pending."""
    kind = get_default_dtype() if dtype is None else dtype
    where = resolve(device)
    if where == "meta":
        array = numpy.broadcast_to(numpy.array(value, kind.numpy), tuple(shape))  # one number
    else:
        array = numpy.full(tuple(shape), value, kind.numpy)
    return Tensor._from_numpy(array, where, copy=False)


def empty_parameter(shape: Any, device: Any = None, dtype: Any = None) -> Parameter:
    """A parameter that an init function fills next; zeros until then."""
    return Parameter(filled(shape, 0, device, dtype))


def repeated(value: Any, count: int) -> tuple[Any, ...]:
    """`count` numbers from one number or a sequence (which is taken as it is)."""
    if isinstance(value, Iterable):
        return tuple(value)
    return (value,) * count
