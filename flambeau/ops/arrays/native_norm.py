"""torch.native_layer_norm and its like: normalisations that return their statistics, too."""

from __future__ import annotations

from typing import Any

from flambeau.ops.norm import batch_norm, group_norm, layer_norm
from flambeau.ops.publish import public
from flambeau.ops.spread import var_mean
from flambeau.tensor.tensor import Tensor


def _statistics(x: Any, axes: Any, eps: float) -> tuple[Any, Any]:
    """(mean, 1 / √(variance + eps)) over axes, which stay as 1."""
    variance, centre = var_mean(x, axes, correction=0, keepdim=True)
    return centre, (variance + eps).rsqrt()


@public(method=False, out=False)
def native_layer_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Any:
    """(layer_norm, means, inverse deviations); gradients flow through the first alone."""
    result = layer_norm(input, normalized_shape, weight, bias, eps)
    axes = list(range(input.ndim - len(normalized_shape), input.ndim))
    return (result, *_statistics(input.detach(), axes, eps))


@public(method=False, out=False)
def native_group_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    N: int,
    C: int,
    HxW: int,
    group: int,
    eps: float,
) -> Any:
    """(group_norm, means, inverse deviations of each sample's groups)"""
    result = group_norm(input, group, weight, bias, eps)
    rows = input.reshape(N, group, C // group * HxW)
    return (result, *[each.squeeze(-1) for each in _statistics(rows, [-1], eps)])


@public(method=False)
def native_batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Any:
    """(batch_norm, means, inverse deviations of the batch): both empty unless `training`."""
    result = batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    if not training:
        return result, input.new_empty(0), input.new_empty(0)
    axes = [axis for axis in range(input.ndim) if axis != 1]
    return (result, *[each.flatten() for each in _statistics(input.detach(), axes, eps)])
