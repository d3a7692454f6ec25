"""Convolutions and transposed convolutions in one, two and three dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from flambeau.nn import functional as F  # noqa: N812  # as everyone calls it
from flambeau.nn import init
from flambeau.nn.modules.make import empty_parameter, repeated
from flambeau.nn.modules.module import Module
from flambeau.tensor.parameter import Parameter
from flambeau.tensor.tensor import Tensor

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
]

_PADDINGS = ("same", "valid")
_MODES = ("zeros", "reflect", "replicate", "circular")


class _ConvNd(Module):
    """What all convolutions share; subclasses say how many dimensions there are."""

    dimensions = 0
    transposed = False
    weight: Parameter
    bias: Parameter | None
    padding: str | tuple[int, ...]

    def _setup(
        self,
        channels: tuple[int, int],
        kernel: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        output_padding: Any,
        groups: int,
        bias: bool,
        mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        count = self.dimensions
        self.in_channels, self.out_channels = channels
        self.kernel_size = repeated(kernel, count)
        self.stride = repeated(stride, count)
        self.padding = padding if isinstance(padding, str) else repeated(padding, count)
        self.dilation = repeated(dilation, count)
        self.transposed = type(self).transposed
        self.output_padding = repeated(output_padding, count)
        self.groups = groups
        self.padding_mode = mode
        self._check()
        first, second = channels if self.transposed else channels[::-1]
        shape = (first, second // groups, *self.kernel_size)
        self.weight = empty_parameter(shape, device, dtype)
        self.register_parameter(
            "bias", empty_parameter((self.out_channels,), device, dtype) if bias else None
        )
        self.reset_parameters()

    def _check(self) -> None:
        """Raises ValueError where the arguments do not go together."""
        if self.groups <= 0:
            raise ValueError("groups must be a positive integer")
        if self.in_channels % self.groups:
            raise ValueError("in_channels must be divisible by groups")
        if self.out_channels % self.groups:
            raise ValueError("out_channels must be divisible by groups")
        if isinstance(self.padding, str):
            if self.padding not in _PADDINGS:
                raise ValueError(
                    f"Invalid padding string {self.padding!r}, should be one of {set(_PADDINGS)}"
                )
            if self.padding == "same" and any(each != 1 for each in self.stride):
                raise ValueError("padding='same' is not supported for strided convolutions")
        if self.padding_mode not in _MODES:
            raise ValueError(
                f"padding_mode must be one of {set(_MODES)}, but got "
                f"padding_mode='{self.padding_mode}'"
            )

    def reset_parameters(self) -> None:
        """Draw weight and bias anew: uniform in ±1/√(inputs of one output)."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0
            init.uniform_(self.bias, -bound, bound)

    def _sides(self) -> list[int]:
        """The padding as F.pad wants it: last dimension first, both sides."""
        if self.padding == "valid":
            return [0, 0] * self.dimensions
        if self.padding == "same":
            sides = []
            for size, step in zip(self.kernel_size[::-1], self.dilation[::-1], strict=True):
                total = step * (size - 1)
                sides += [total // 2, total - total // 2]
            return sides
        return [int(each) for each in self.padding[::-1] for _ in range(2)]

    def extra_repr(self) -> str:
        parts = [
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        ]
        if self.padding != (0,) * len(self.padding):
            parts.append(f"padding={self.padding}")
        if self.dilation != (1,) * len(self.dilation):
            parts.append(f"dilation={self.dilation}")
        if self.output_padding != (0,) * len(self.output_padding):
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class _ForwardConv(_ConvNd):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self._setup(
            (in_channels, out_channels),
            kernel_size,
            stride,
            padding,
            dilation,
            0,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    @staticmethod
    def _run(*args: Any) -> Tensor:
        raise NotImplementedError

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: A002  # PyTorch's name
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._sides(), mode=self.padding_mode)  # noqa: A001  # PyTorch's name
            padding = (0,) * self.dimensions
        return self._run(input, weight, bias, self.stride, padding, self.dilation, self.groups)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # PyTorch's name
        return self._conv_forward(input, self.weight, self.bias)


class Conv1d(_ForwardConv):
    """Convolution of (N, C, L) or (C, L); see functional.conv1d."""

    dimensions = 1

    @staticmethod
    def _run(*args: Any) -> Tensor:
        return F.conv1d(*args)


class Conv2d(_ForwardConv):
    """Convolution of (N, C, H, W) or (C, H, W); see functional.conv2d."""

    dimensions = 2

    @staticmethod
    def _run(*args: Any) -> Tensor:
        return F.conv2d(*args)


class Conv3d(_ForwardConv):
    """Convolution of (N, C, D, H, W) or (C, D, H, W); see functional.conv3d."""

    dimensions = 3

    @staticmethod
    def _run(*args: Any) -> Tensor:
        return F.conv3d(*args)


class _ConvTransposeNd(_ConvNd):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        self._setup(
            (in_channels, out_channels),
            kernel_size,
            stride,
            padding,
            dilation,
            output_padding,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    @staticmethod
    def _run(*args: Any) -> Tensor:
        raise NotImplementedError

    def _output_padding(self, input: Tensor, size: Sequence[int] | None) -> tuple[int, ...]:  # noqa: A002  # PyTorch's name
        """What makes the result's extents `size`. Raises ValueError where nothing does."""
        if size is None:
            return self.output_padding
        count = self.dimensions
        if len(size) == input.ndim:
            size = size[-count:]
        if len(size) != count:
            raise ValueError(
                f"{type(self).__name__}: for {input.ndim}D input, output_size must have {count} or "
                f"{count + 2} elements (got {len(size)})"
            )
        extra = []
        for axis in range(count):
            reach = self.dilation[axis] * (self.kernel_size[axis] - 1) + 1
            start = int(input.shape[axis - count]) - 1
            least = start * self.stride[axis] - 2 * int(self.padding[axis]) + reach
            most = least + self.stride[axis] - 1
            if not least <= size[axis] <= most:
                raise ValueError(
                    f"requested an output size of {tuple(size)}, but dimension {axis} can only be "
                    f"from {least} to {most} (for an input of {tuple(input.shape[2:])})"
                )
            extra.append(size[axis] - least)
        return tuple(extra)

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:  # noqa: A002  # PyTorch's name
        return self._run(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self._output_padding(input, output_size),
            self.groups,
            self.dilation,
        )


class ConvTranspose1d(_ConvTransposeNd):
    """Transposed convolution of (N, C, L) or (C, L); see functional.conv_transpose1d."""

    dimensions = 1

    @staticmethod
    def _run(*args: Any) -> Tensor:
        return F.conv_transpose1d(*args)


class ConvTranspose2d(_ConvTransposeNd):
    """Transposed convolution of (N, C, H, W) or (C, H, W); see functional.conv_transpose2d."""

    dimensions = 2

    @staticmethod
    def _run(*args: Any) -> Tensor:
        return F.conv_transpose2d(*args)


class ConvTranspose3d(_ConvTransposeNd):
    """Transposed convolution of (N, C, D, H, W); see functional.conv_transpose3d."""

    dimensions = 3

    @staticmethod
    def _run(*args: Any) -> Tensor:
        return F.conv_transpose3d(*args)
