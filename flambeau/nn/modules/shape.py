"""Modules that change shapes: flatten, unflatten and padding."""

from __future__ import annotations

from typing import Any

from flambeau.nn import functional as F  # noqa: N812  # as everyone calls it
from flambeau.nn.modules.make import repeated
from flambeau.nn.modules.module import Module
from flambeau.tensor.tensor import Tensor

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "Flatten",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "Unflatten",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


class Flatten(Module):
    """Merge the dimensions from start_dim to end_dim."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # PyTorch's name
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Split dimension `dim` into `unflattened_size`."""

    def __init__(self, dim: int, unflattened_size: Any) -> None:
        super().__init__()
        if not isinstance(dim, int):
            raise TypeError(f"expected dim to be an int, but got {type(dim).__name__}")
        if not isinstance(unflattened_size, (tuple, list)):
            raise TypeError(
                "unflattened_size must be a tuple of ints, but found type "
                f"{type(unflattened_size).__name__}"
            )
        for place, each in enumerate(unflattened_size):
            if not isinstance(each, int):
                raise TypeError(
                    f"unflattened_size must be tuple of ints, but found element of type "
                    f"{type(each).__name__} at pos {place}"
                )
        self.dim = dim
        self.unflattened_size = unflattened_size

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # PyTorch's name
        return input.unflatten(self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class _Pad(Module):
    """Padding of the last `dimensions` dimensions; one number pads all sides alike."""

    dimensions = 0
    mode = "constant"
    value: float | None = None

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = repeated(padding, 2 * self.dimensions)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # PyTorch's name
        return F.pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """Pad the last dimension with a number."""

    dimensions = 1


class ConstantPad2d(_ConstantPad):
    """Pad the last two dimensions with a number."""

    dimensions = 2


class ConstantPad3d(_ConstantPad):
    """Pad the last three dimensions with a number."""

    dimensions = 3


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad1d(_ZeroPad):
    """Pad the last dimension with zeros."""

    dimensions = 1


class ZeroPad2d(_ZeroPad):
    """Pad the last two dimensions with zeros."""

    dimensions = 2


class ZeroPad3d(_ZeroPad):
    """Pad the last three dimensions with zeros."""

    dimensions = 3


class ReflectionPad1d(_Pad):
    """Pad the last dimension with its mirror image."""

    dimensions = 1
    mode = "reflect"


class ReflectionPad2d(_Pad):
    """Pad the last two dimensions with their mirror image."""

    dimensions = 2
    mode = "reflect"


class ReplicationPad1d(_Pad):
    """Pad the last dimension with its border."""

    dimensions = 1
    mode = "replicate"


class ReplicationPad2d(_Pad):
    """Pad the last two dimensions with their border."""

    dimensions = 2
    mode = "replicate"


class ReflectionPad3d(_Pad):
    """Pad the last three dimensions with their mirror image."""

    dimensions = 3
    mode = "reflect"


class ReplicationPad3d(_Pad):
    """Pad the last three dimensions with their border."""

    dimensions = 3
    mode = "replicate"


class CircularPad1d(_Pad):
    """Pad the last dimension with what lies at the other end."""

    dimensions = 1
    mode = "circular"


class CircularPad2d(_Pad):
    """Pad the last two dimensions with what lies at the other end."""

    dimensions = 2
    mode = "circular"


class CircularPad3d(_Pad):
    """Pad the last three dimensions with what lies at the other end."""

    dimensions = 3
    mode = "circular"
