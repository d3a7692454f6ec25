"""Names that programs ask for: _assert, typename, range, fill, and copies of views."""

from __future__ import annotations

import math
from typing import Any

from flambeau.ops.axes import DTYPE_TITLES, integers
from flambeau.ops.convert import fill_
from flambeau.ops.creation import zeros
from flambeau.ops.publish import public, publish, write_out
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
    """A tensor of input's shape and dtype, filled with one number or a 0-d tensor."""
    return fill_(input.clone(), value)


def _copying(name: str, own: str) -> None:
    """torch.expand_copy and its like: what Tensor.name gives, which are views, as copies."""

    def copy(input: Tensor, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        found = getattr(input, name)(*args, **kwargs)
        if not isinstance(found, tuple):
            made = found.clone()
            return made if out is None else write_out(own, out, made)
        parts = tuple([each.clone() for each in found])
        if out is not None:
            write_out(own, out, parts)
        return None if out is not None else parts

    copy.__name__ = copy.__qualname__ = own
    copy.__doc__ = f"What Tensor.{name} gives, copied."
    globals()[own] = copy
    publish(copy, own)


for _name in (
    "as_strided",
    "detach",
    "diagonal",
    "expand",
    "narrow",
    "permute",
    "select",
    "split",
    "split_with_sizes",
    "squeeze",
    "t",
    "transpose",
    "unbind",
    "unfold",
    "unsqueeze",
    "view",
):
    _copying(_name, f"{_name}_copy")
for _name in ("chunk", "split", "split_with_sizes"):
    _copying(_name, f"unsafe_{_name}")
    method()(globals()[f"unsafe_{_name}"])
method()(globals()["narrow_copy"])


@public(method=False)
def alias_copy(input: Tensor) -> Tensor:
    """A copy."""
    return input.clone()


def empty_permuted(size: Any, physical_layout: Any, **options: Any) -> Tensor:
    """As empty: tensors are contiguous here, whatever order of dimensions is asked for."""
    order = sorted(integers(physical_layout, "physical_layout"))
    if len(order) != len(integers(size)) or any(at != each for at, each in enumerate(order)):
        raise RuntimeError(
            f"Number of dimensions in size does not match the dimension permutation {order}"
        )
    return zeros(size, **options)


publish(empty_permuted, "empty_permuted")


@public(method=False)
def constant_pad_nd(input: Tensor, pad: Any, value: float = 0) -> Tensor:
    """torch.nn.functional.pad with mode "constant"."""
    from flambeau.ops.pad import pad as padded

    return padded(input, pad, "constant", value)
