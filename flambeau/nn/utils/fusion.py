"""A batch normalisation folded into the layer before it, for evaluation."""

from __future__ import annotations

import copy
from typing import Any

from flambeau.nn.modules.module import Module
from flambeau.ops.creation import ones_like, zeros_like
from flambeau.tensor.parameter import Parameter

__all__ = [
    "fuse_conv_bn_eval",
    "fuse_conv_bn_weights",
    "fuse_linear_bn_eval",
    "fuse_linear_bn_weights",
]


def _fused(
    weight: Any,
    bias: Any,
    mean: Any,
    variance: Any,
    eps: float,
    scale: Any,
    shift: Any,
    shape: list[int],
) -> tuple[Parameter, Parameter]:
    before = zeros_like(mean) if bias is None else bias
    scale = ones_like(mean) if scale is None else scale
    shift = zeros_like(mean) if shift is None else shift
    factor = scale * (variance + eps).rsqrt()
    made_weight = (weight * factor.reshape(shape)).to(weight.dtype)
    made_bias = ((before - mean) * factor + shift).to((weight if bias is None else bias).dtype)
    needs = True if bias is None else bias.requires_grad
    return (
        Parameter(made_weight.detach(), weight.requires_grad),
        Parameter(made_bias.detach(), needs),
    )


def fuse_conv_bn_weights(
    conv_w: Any,
    conv_b: Any,
    bn_rm: Any,
    bn_rv: Any,
    bn_eps: float,
    bn_w: Any,
    bn_b: Any,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """(weight, bias) of a convolution that is the convolution and the normalisation after it."""
    shape = [1] * conv_w.ndim
    shape[1 if transpose else 0] = -1
    return _fused(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, shape)


def fuse_linear_bn_weights(
    linear_w: Any, linear_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any, bn_b: Any
) -> tuple[Parameter, Parameter]:
    """(weight, bias) of a Linear that is the Linear and the normalisation after it."""
    return _fused(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, [-1, 1])


def _copy_for(layer: Module, norm: Module) -> Module:
    if layer.training or norm.training:
        raise AssertionError("Fusion only for eval! Call eval() on both modules first")
    if norm.running_mean is None or norm.running_var is None:
        raise AssertionError("the normalisation has no running statistics to fold in")
    return copy.deepcopy(layer)


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """A copy of the convolution that includes the batch normalisation. Both in eval mode."""
    made = _copy_for(conv, bn)
    made.weight, made.bias = fuse_conv_bn_weights(
        made.weight,
        made.bias,
        bn.running_mean,
        bn.running_var,
        bn.eps,
        bn.weight,
        bn.bias,
        transpose,
    )
    return made


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """A copy of the Linear that includes the batch normalisation. Both in eval mode."""
    made = _copy_for(linear, bn)
    if linear.out_features != bn.num_features and bn.num_features != 1:
        raise AssertionError(
            "To fuse, linear.out_features == bn.num_features or bn.num_features == 1"
        )
    made.weight, made.bias = fuse_linear_bn_weights(
        made.weight, made.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return made
