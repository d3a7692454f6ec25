"""Tensors filled with one number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flambeau.graph import build, op
from flambeau.graph.dtype import DType
from flambeau.ops.axes import integers, varargs
from flambeau.ops.convert import check_fits
from flambeau.ops.promote import number_dtype, number_node
from flambeau.ops.publish import publish, write_out
from flambeau.tensor.device import get_default_dtype, resolve
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


def size_and(size: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[int, ...]:
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
        shape = size_and(size, keywords)
        refuse(name, keywords)
        if dtype is None:
            dtype = get_default_dtype() if out is None else out.dtype
        return finished(filled(shape, value, dtype, placed(device)), requires_grad, out, name)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = doc
    publish(make, name)
    return make


def refuse(name: str, keywords: dict[str, Any]) -> None:
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
    where = device_like(input, device)
    made = filled(input._type.shape, value, dtype or input._type.dtype, where)
    return finished(made, requires_grad, None, name)


def device_like(input: Tensor, device: Any) -> str | None:
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
):
    publish(_function, _function.__name__)
