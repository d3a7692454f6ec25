"""Names that programs ask for: _assert, typename, range, fill, and copies of views."""

from __future__ import annotations

import math
from typing import Any

from flambeau.ops.axes import DTYPE_TITLES
from flambeau.ops.convert import fill_
from flambeau.ops.creation import zeros
from flambeau.ops.publish import public, publish
from flambeau.ops.ranges import arange
from flambeau.tensor.attach import method
from flambeau.tensor.tensor import Tensor


def _assert(condition: Any, message: str) -> None:
    """Raises AssertionError with the message where the condition (a bool or a tensor) is false."""
    if not condition:
        raise AssertionError(message)


def typename(obj: Any) -> str:
    """The name of an object's type: "torch.FloatTensor" for a float32 tensor."""
    if isinstance(obj, Tensor):
        return f"torch.{DTYPE_TITLES[obj.dtype.name]}Tensor"
    kind = obj if isinstance(obj, type) else type(obj)
    module = getattr(obj, "__module__", None) or kind.__module__
    name = getattr(obj, "__qualname__", None) or kind.__qualname__
    return name if module in ("", "builtins") else f"{module}.{name}"


def range_(start: Any = 0, end: Any = None, step: Any = 1, **options: Any) -> Tensor:
    """As arange, with the end; PyTorch's older name."""
    low, high = (0, start) if end is None else (start, end)
    if options.get("dtype") is None:
        options["dtype"] = zeros(0).dtype
    count = math.floor((high - low) / step) + 1
    return arange(count, **options) * step + low


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape."""
    return input._type.shape == other._type.shape


method()(is_same_size)
for _function in (_assert, typename, is_same_size):
    publish(_function, _function.__name__)
publish(range_, "range")


@public(method=False)
def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor of input's shape and dtype, filled with one number."""
    return fill_(input.clone(), value)


def _copying(name: str) -> None:
    """torch.expand_copy and its like: a view's copy."""

    def copy(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        return getattr(input, name)(*args, **kwargs).clone()

    copy.__name__ = copy.__qualname__ = f"{name}_copy"
    copy.__doc__ = f"A copy of Tensor.{name}."
    globals()[copy.__name__] = copy
    publish(copy, copy.__name__)


for _name in ("detach", "expand", "permute", "squeeze", "t", "transpose", "unsqueeze", "view"):
    _copying(_name)
