"""Normalisation: batch, layer, group, instance, RMS, local response.

Most are `standardized`: two passes (mean, then variance of what is centred) that fuse into one
kernel over rows; its gradient is written by hand so that the same holds for backward. 16-bit floats
are computed in float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from flambeau.graph import build as b
from flambeau.graph import dtype as dtypes
from flambeau.graph import op
from flambeau.graph.dtype import DType
from flambeau.graph.node import Node
from flambeau.graph.node import node as make
from flambeau.ops.axes import integers
from flambeau.ops.composite import composite
from flambeau.ops.publish import public
from flambeau.tensor.device import get_default_dtype
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor

Axes = tuple[int, ...]


def wide(node: Node) -> Node:
    """16-bit floats as float32, in which sums are exact enough."""
    narrow = node.dtype.is_floating_point and node.dtype.itemsize == 2
    return b.cast(node, dtypes.float32) if narrow else node


def mean(x: Node, axes: Axes) -> Node:
    """The mean over axes, which stay as 1."""
    count = math.prod([x.shape[axis] for axis in axes])
    return b.div(b.reduce("add", x, axes), b.constant(count, x.dtype))


def moments(x: Node, axes: Axes) -> tuple[Node, Node]:
    """x without its mean, and the (biased) variance over axes."""
    centred = b.sub(x, mean(x, axes))
    return centred, mean(b.mul(centred, centred), axes)


def inverse_deviation(variance: Node, eps: float) -> Node:
    """1 / sqrt(variance + eps)"""
    root = b.sqrt(b.add(variance, b.constant(eps, variance.dtype)))
    return b.div(b.constant(1.0, variance.dtype), root)


def _standardized_gradient(
    attrs: Any, inputs: Sequence[Node], results: Any, gradients: Sequence[Node | None]
) -> tuple[Node | None]:
    """(g - mean g - x̂ · mean(g · x̂)) / σ, over the same axes (Ioffe and Szegedy, 2015)."""
    (x,), (g,) = inputs, gradients
    if g is None:
        return (None,)
    axes, eps = attrs[1][0], attrs[2][0].value
    centred, variance = moments(wide(x), axes)
    scale = inverse_deviation(variance, eps)
    unit = b.mul(centred, scale)
    g = wide(g)
    inner = b.sub(b.sub(g, mean(g, axes)), b.mul(unit, mean(b.mul(g, unit), axes)))
    return (b.cast(b.mul(inner, scale), x.dtype),)


@composite(saves="inputs", gradient=_standardized_gradient)
def standardized(input: Tensor, axes: Axes, eps: float) -> Tensor:
    """(x - mean) / sqrt(variance + eps) over axes; 16-bit floats give float32."""
    x = wide(input._read())
    centred, variance = moments(x, axes)
    return Tensor._traced(b.mul(centred, inverse_deviation(variance, eps)))


def _unit(x: Node, axes: Axes, eps: float) -> Node:
    """standardized, in a dtype that holds sums."""
    result: Node = standardized(Tensor._traced(x), axes, eps)._read()
    return result


def _line(vector: Tensor | None, axis: int, rank: int, dtype: DType) -> Node | None:
    """A vector along one axis of an array."""
    if vector is None:
        return None
    node = b.cast(vector._read(), dtype)
    shape = tuple([node.shape[0] if place == axis else 1 for place in range(rank)])
    return b.reshape(node, shape)


def _affine(unit: Node, weight: Node | None, bias: Node | None, dtype: DType) -> Tensor:
    if weight is not None:
        unit = b.mul(unit, weight)
    if bias is not None:
        unit = b.add(unit, bias)
    return Tensor._traced(b.cast(unit, dtype))


# batch ------------------------------------------------------------------------------------------


def _others(rank: int, axis: int = 1) -> Axes:
    return tuple([place for place in range(rank) if place != axis])


def _running(old: Tensor, new: Node, momentum: Node) -> Tensor:
    """(1 - momentum) · old + momentum · new"""
    before = old._read()
    new = b.cast(b.reshape(new, before.shape), before.dtype)
    share = b.cast(momentum, before.dtype)
    rest = b.sub(b.constant(1.0, before.dtype), share)
    return Tensor._traced(b.detach(b.add(b.mul(rest, before), b.mul(share, new))))


@composite(saves="0", scalars=("momentum",))  # input 1 is a statistic where there is no weight
def batch_norm_training(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    momentum: Any,
    eps: float,
) -> Any:
    """Normalised by the batch's own moments; with running statistics also their new values."""
    x = input._read()
    rank, axes = len(x.shape), _others(len(x.shape))
    unit = _unit(x, axes, eps)
    dtype = unit.dtype
    result = _affine(unit, _line(weight, 1, rank, dtype), _line(bias, 1, rank, dtype), x.dtype)
    if running_mean is None or running_var is None:
        return result
    values = wide(x)
    count = math.prod([x.shape[axis] for axis in axes])
    _, variance = moments(values, axes)
    unbiased = b.mul(variance, b.constant(count / max(count - 1, 1), dtype))
    share = momentum._read()
    return (
        result,
        _running(running_mean, mean(values, axes), share),
        _running(running_var, unbiased, share),
    )


@composite(saves="0,1")
def batch_norm_evaluation(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor,
    running_var: Tensor,
    eps: float,
) -> Tensor:
    """Normalised by the running statistics."""
    x = input._read()
    values, rank = wide(x), len(x.shape)
    dtype = values.dtype
    centre, variance = (_line(each, 1, rank, dtype) for each in (running_mean, running_var))
    assert centre is not None
    assert variance is not None
    scale = inverse_deviation(variance, eps)
    factor = _line(weight, 1, rank, dtype)
    if factor is not None:
        scale = b.mul(scale, factor)
    return _affine(b.mul(b.sub(values, centre), scale), None, _line(bias, 1, rank, dtype), x.dtype)


def _check_channels(channels: int, **vectors: Tensor | None) -> None:
    for name, each in vectors.items():
        if each is not None and each._type.size != channels:
            raise RuntimeError(f"{name} should contain {channels} elements not {each._type.size}")


def _check_floating(input: Tensor, name: str) -> None:
    if not input._type.dtype.is_floating_point:
        raise NotImplementedError(f'"{name}" not implemented for {input._type.dtype!r}')


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel (dimension 1) normalised over the batch and all positions.

    In training by the batch's own moments, and the running statistics are updated in place:
    (1 - momentum) · old + momentum · new, with the unbiased variance. Else by the running
    statistics. Ioffe and Szegedy, Batch Normalization, 2015.
    """
    _check_floating(input, "batch_norm")
    shape = input._type.shape
    if len(shape) < 2:
        if input._type.size == 0:
            return record(op.MATERIALIZE, (input,))
        raise RuntimeError(f"batch_norm expects at least 2 dimensions, got {list(shape)}")
    if training and math.prod(shape) // max(shape[1], 1) == 1:
        raise ValueError(
            "Expected more than 1 value per channel when training, got input size "
            f"torch.Size({list(shape)})"
        )
    _check_channels(
        shape[1], running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    if not training:
        if running_mean is None or running_var is None:
            name = "running_mean" if running_mean is None else "running_var"
            raise RuntimeError(f"{name} must be defined in evaluation mode")
        return batch_norm_evaluation(input, weight, bias, running_mean, running_var, eps)
    if running_mean is None or running_var is None:
        return batch_norm_training(input, weight, bias, None, None, 0.0, eps)
    result, new_mean, new_var = batch_norm_training(
        input, weight, bias, running_mean, running_var, float(momentum), eps
    )
    for old, new in ((running_mean, new_mean), (running_var, new_var)):
        old._write(make(op.DETACH, (new._read(),)))
    return result


@composite(saves="0")
def _instance_norm(input: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    x = input._read()
    rank = len(x.shape)
    unit = _unit(x, tuple(range(2, rank)), eps)
    factor, offset = (_line(each, 1, rank, unit.dtype) for each in (weight, bias))
    return _affine(unit, factor, offset, x.dtype)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel of each sample normalised over its positions. Ulyanov et al., 2016."""
    _check_floating(input, "instance_norm")
    shape = input._type.shape
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if math.prod(shape[2:]) == 1:
        raise ValueError(
            "Expected more than 1 spatial element when training, got input size "
            f"torch.Size({list(shape)})"
        )
    _check_channels(
        shape[1], running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    if running_mean is not None and running_var is not None:
        _update_instance(input, running_mean, running_var, float(momentum))
    return _instance_norm(input, weight, bias, eps)


@composite(saves="", scalars=("momentum",))
def _instance_statistics(
    input: Tensor, running_mean: Tensor, running_var: Tensor, momentum: Any
) -> tuple[Tensor, Tensor]:
    x = wide(input._read())
    axes = tuple(range(2, len(x.shape)))
    count = math.prod(x.shape[2:])
    _, variance = moments(x, axes)
    unbiased = b.mul(variance, b.constant(count / (count - 1), x.dtype))
    share = momentum._read()
    over = (mean(each, (0,)) for each in (mean(x, axes), unbiased))
    first, second = over
    return _running(running_mean, first, share), _running(running_var, second, share)


def _update_instance(
    input: Tensor, running_mean: Tensor, running_var: Tensor, momentum: float
) -> None:
    found = _instance_statistics(input, running_mean, running_var, momentum)
    for old, new in zip((running_mean, running_var), found, strict=True):
        old._write(make(op.DETACH, (new._read(),)))


# layer, group, RMS ------------------------------------------------------------------------------


def _check_normalized(
    input: Tensor, normalized_shape: Any, weight: Tensor | None, bias: Tensor | None
) -> Axes:
    """The last axes that normalized_shape names."""
    wanted = integers(normalized_shape, "normalized_shape")
    if not wanted:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least "
            "one element, but got normalized_shape = []"
        )
    shape = input._type.shape
    for name, each in (("weight", weight), ("bias", bias)):
        if each is not None and each._type.shape != wanted:
            raise RuntimeError(
                f"Expected {name} to be of same shape as normalized_shape, but got {name} of "
                f"shape {list(each._type.shape)} and normalized_shape = {list(wanted)}"
            )
    if shape[len(shape) - len(wanted) :] != wanted or len(shape) < len(wanted):
        raise RuntimeError(
            f"Given normalized_shape={list(wanted)}, expected input with shape "
            f"[*, {', '.join(map(str, wanted))}], but got input of size{list(shape)}"
        )
    return tuple(range(len(shape) - len(wanted), len(shape)))


@composite(saves="0,1")
def _layer_norm(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, axes: Axes, eps: float
) -> Tensor:
    x = input._read()
    unit = _unit(x, axes, eps)
    factor, offset = (
        None if each is None else b.cast(each._read(), unit.dtype) for each in (weight, bias)
    )
    return _affine(unit, factor, offset, x.dtype)


@public(method=False, out=False)
def layer_norm(
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:
    """Normalised over the last dimensions, those of normalized_shape. Ba et al., 2016."""
    _check_floating(input, "LayerNormKernelImpl")
    axes = _check_normalized(input, normalized_shape, weight, bias)
    return _layer_norm(input, weight, bias, axes, eps)


@composite(saves="0,1")
def _rms_norm(input: Tensor, weight: Tensor | None, axes: Axes, eps: float) -> Tensor:
    x = input._read()
    values = wide(x)
    scale = inverse_deviation(mean(b.mul(values, values), axes), eps)
    factor = None if weight is None else b.cast(weight._read(), values.dtype)
    return _affine(b.mul(values, scale), factor, None, x.dtype)


_EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}


@public(method=False, out=False)
def rms_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Divided by the root of the mean square over the last dimensions. Zhang, Sennrich, 2019.

    eps is the dtype's own (finfo(dtype).eps) where it is None.
    """
    _check_floating(input, "rms_norm")
    axes = _check_normalized(input, normalized_shape, weight, None)
    found = _EPSILON[input._type.dtype.name] if eps is None else eps
    return _rms_norm(input, weight, axes, float(found))


@composite(saves="0,1")
def _group_norm(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, groups: int, eps: float
) -> Tensor:
    x = input._read()
    rank, channels = len(x.shape), x.shape[1]
    rest = math.prod(x.shape[2:])
    rows = b.reshape(x, (x.shape[0], groups, channels // groups * rest))
    unit = b.reshape(_unit(rows, (2,), eps), x.shape)
    factor, offset = (_line(each, 1, rank, unit.dtype) for each in (weight, bias))
    return _affine(unit, factor, offset, x.dtype)


@public(method=False, out=False)
def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Tensor:
    """Channels normalised in groups, for each sample. Wu and He, 2018."""
    _check_floating(input, "group_norm")
    shape = input._type.shape
    if len(shape) < 2 or shape[1] % num_groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of "
            f"shape {list(shape)} and num_groups={num_groups}"
        )
    for name, each in (("weight", weight), ("bias", bias)):
        if each is not None and each._type.shape != (shape[1],):
            raise RuntimeError(
                f"Expected {name} to be a vector of size equal to the number of channels in input, "
                f"but got {name} of shape {list(each._type.shape)} and input of shape {list(shape)}"
            )
    return _group_norm(input, weight, bias, num_groups, eps)


@composite(saves="inputs")
def _local_response(input: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    x = input._read()
    square = b.mul(x, x)
    before = size // 2
    shape = (x.shape[0], x.shape[1] + size - 1, *x.shape[2:])
    padded = b.pad(square, shape, (0, before) + (0,) * (len(shape) - 2))
    near = b.window(padded, (1,), (size,), (1,), (1,))
    if x.dtype.is_floating_point:
        average = b.reshape(mean(near, (len(shape),)), x.shape)
    else:  # a whole number, as PyTorch's mean of whole numbers
        total = b.reshape(b.reduce("add", near, (len(shape),)), x.shape)
        x = b.cast(x, get_default_dtype())
        average = b.cast(b.idiv(total, b.constant(size, total.dtype)), x.dtype)
    base = b.add(b.mul(average, b.constant(alpha, x.dtype)), b.constant(k, x.dtype))
    power = b.exp(b.mul(b.log(base), b.constant(-beta, x.dtype)))
    return Tensor._traced(b.mul(x, power))


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Divided by (k + alpha · mean of the squares of `size` channels near) ** beta."""
    if input.ndim < 3:
        raise ValueError(
            f"Expected 3D or higher dimensionality input (got {input.ndim} dimensions)"
        )
    if not input._type.size:
        return input
    return _local_response(input, size, float(alpha), float(beta), float(k))
