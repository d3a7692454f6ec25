"""Filling tensors with starting values, in place and without recording. PyTorch's torch.nn.init.

The random numbers are PyTorch's: the same seed gives the same values.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy

from flambeau.autograd.mode import no_grad
from flambeau.tensor.tensor import Tensor
from flambeau.utils.data.randomness import permutation

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

Function = TypeVar("Function", bound=Callable[..., Any])
Array = numpy.ndarray[Any, Any]

_GAINS = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0,
    "conv_transpose3d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5.0 / 3,
    "relu": math.sqrt(2.0),
    "selu": 3.0 / 4,
}


def calculate_gain(nonlinearity: str, param: Any = None) -> float:
    """The recommended gain of a nonlinearity; `param` is leaky_relu's negative slope."""
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + slope**2))
    found = _GAINS.get(nonlinearity)
    if found is None:
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}")
    return found


def _draw(tensor: Tensor, name: str, first: float, second: float, generator: Any) -> Tensor:
    """tensor.uniform_ or tensor.normal_, without recording."""
    with no_grad():
        return getattr(tensor, name)(first, second, generator=generator)


def _set(tensor: Tensor, values: Array) -> Tensor:
    """Copy an array into the tensor."""
    wanted = numpy.ascontiguousarray(values, tensor.dtype.numpy)
    with no_grad():
        tensor.copy_(Tensor._from_numpy(wanted, tensor.device.type, copy=False))
    return tensor


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Fill with numbers uniform in [a, b)."""
    return _draw(tensor, "uniform_", a, b, generator)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Fill with normal numbers."""
    return _draw(tensor, "normal_", mean, std, generator)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one number."""
    if tensor.is_meta:
        return tensor
    return _set(tensor, numpy.full(tuple(tensor.shape), val, tensor.dtype.numpy))


def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """Ones on the diagonal of a matrix, zeros elsewhere."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    return _set(tensor, numpy.eye(tensor._type.shape[0], tensor._type.shape[1]))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution's weight that passes its input through, channel by channel."""
    if tensor.ndim not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    shape = tuple(tensor.shape)
    if shape[0] % groups:
        raise ValueError("dim 0 must be divisible by groups")
    values = numpy.zeros(shape)
    each = shape[0] // groups
    middle = tuple(extent // 2 for extent in shape[2:])
    for group in range(groups):
        for channel in range(min(each, shape[1])):
            values[(group * each + channel, channel, *middle)] = 1
    return _set(tensor, values)


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """How many inputs one output has, and how many outputs one input has."""
    shape = tensor._type.shape
    if len(shape) < 2:
        raise ValueError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions"
        )
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return fan_in if mode == "fan_in" else fan_out


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform with variance 2·gain² / (fan_in + fan_out) (Glorot & Bengio, 2010)."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    std = gain * math.sqrt(2.0 / float(fan_in + fan_out))
    bound = math.sqrt(3.0) * std
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Normal with variance 2·gain² / (fan_in + fan_out) (Glorot & Bengio, 2010)."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    std = gain * math.sqrt(2.0 / float(fan_in + fan_out))
    return normal_(tensor, 0.0, std, generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float | None:
    """The standard deviation; None (and a warning) for an empty tensor."""
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return None
    return calculate_gain(nonlinearity, a) / math.sqrt(_calculate_correct_fan(tensor, mode))


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Uniform with variance gain² / fan (He et al., 2015)."""
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    if std is None:
        return tensor
    bound = math.sqrt(3.0) * std
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Normal with variance gain² / fan (He et al., 2015)."""
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    return tensor if std is None else normal_(tensor, 0, std, generator)


def _sample(tensor: Tensor, name: str, first: float, second: float, generator: Any) -> Array:
    """Numbers like the tensor's, drawn into a tensor of their own."""
    values = numpy.zeros(tuple(tensor.shape), tensor.dtype.numpy)
    drawn = Tensor._from_numpy(values, tensor.device.type, copy=False)
    return _draw(drawn, name, first, second, generator)._to_numpy()


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Any = None,
) -> Tensor:
    """Normal numbers within [a, b]: what lies outside is drawn again."""
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. The distribution of "
            "values may be incorrect.",
            stacklevel=2,
        )

    def below(x: float) -> float:
        return (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0

    if tensor.is_meta:
        return tensor
    inside = below((b - mean) / std) - below((a - mean) / std)
    if inside > 0.3:
        return _set(tensor, _redrawn(tensor, mean, std, a, b, generator))
    return _set(tensor, _accepted(tensor, mean, std, a, b, generator))


def _redrawn(tensor: Tensor, mean: float, std: float, a: float, b: float, generator: Any) -> Array:
    """Most of the distribution is inside: draw until all is."""
    low, high = numpy.array([a, b], tensor.dtype.numpy)
    values = _sample(tensor, "normal_", mean, std, generator)
    while True:
        outside = (values < low) | (values > high)
        if not outside.any():
            return values
        values = numpy.where(outside, _sample(tensor, "normal_", mean, std, generator), values)


def _accepted(tensor: Tensor, mean: float, std: float, a: float, b: float, generator: Any) -> Array:
    """Little of it is inside: accept uniform numbers in proportion to the density."""
    peak = -0.5 * ((max(a, min(mean, b)) - mean) / std) ** 2
    number = tensor.dtype.numpy.type

    def log_density(x: Array) -> Array:
        return ((x - number(mean)) / number(std)) ** 2 * number(-0.5) - number(peak)

    values = _sample(tensor, "uniform_", a, b, generator)
    candidates = values
    pending = numpy.ones(values.shape, bool)
    while True:
        with numpy.errstate(divide="ignore"):
            chance = numpy.log(_sample(tensor, "uniform_", 0.0, 1.0, generator))
        pending = pending & (chance > log_density(candidates))
        if not pending.any():
            return values
        candidates = _sample(tensor, "uniform_", a, b, generator)
        values = numpy.where(pending, candidates, values)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None) -> Tensor:
    """A (semi-)orthogonal matrix; further dimensions are flattened (Saxe et al., 2013)."""
    if tensor.ndim < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if tensor.numel() == 0 or tensor.is_meta:
        return tensor
    values = _sample(tensor, "normal_", 0, 1, generator)
    matrix = values.reshape(values.shape[0], -1)
    wide = matrix.shape[0] < matrix.shape[1]
    q, r = numpy.linalg.qr(matrix.T if wide else matrix)
    q = q * numpy.sign(numpy.diag(r))
    return _set(tensor, (q.T if wide else q).reshape(values.shape) * gain)


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Tensor:
    """Normal numbers, a part of each column zero (Martens, 2010)."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    if tensor.is_meta:
        return tensor
    values = _sample(tensor, "normal_", 0, std, generator).copy()
    rows, columns = values.shape
    zeros = math.ceil(sparsity * rows)
    for column in range(columns):
        values[permutation(rows, None)[:zeros], column] = 0
    return _set(tensor, values)


def _old_name(function: Function) -> Function:
    """The name without the underscore, which warns."""
    name = function.__name__

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        warnings.warn(
            f"`nn.init.{name[:-1]}` is now deprecated in favor of `nn.init.{name}`.",
            FutureWarning,
            stacklevel=2,
        )
        return function(*args, **kwargs)

    return call  # type: ignore[return-value]  # wraps keeps the signature


uniform = _old_name(uniform_)
normal = _old_name(normal_)
constant = _old_name(constant_)
eye = _old_name(eye_)
dirac = _old_name(dirac_)
xavier_uniform = _old_name(xavier_uniform_)
xavier_normal = _old_name(xavier_normal_)
kaiming_uniform = _old_name(kaiming_uniform_)
kaiming_normal = _old_name(kaiming_normal_)
orthogonal = _old_name(orthogonal_)
sparse = _old_name(sparse_)
