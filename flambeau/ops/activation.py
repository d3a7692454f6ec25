"""Activations: torch.nn.functional's, and those of them that torch itself has."""

from __future__ import annotations

import math
from typing import Any

import numpy

from flambeau.graph import op
from flambeau.graph.dtype import bool_
from flambeau.ops.axes import DTYPE_TITLES, axis_of
from flambeau.ops.fused import fused, real
from flambeau.ops.logic import where
from flambeau.ops.math import erf, exp, expm1, log1p
from flambeau.ops.promote import as_node, elementwise
from flambeau.ops.publish import assign, public
from flambeau.ops.random import engine_of
from flambeau.ops.trigonometry import tanh
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor


def into(input: Tensor, result: Any, inplace: bool) -> Any:
    """What inplace=True means."""
    return assign(input, result) if inplace else result


def float_only(name: str, input: Tensor) -> Tensor:
    if not input._type.dtype.is_floating_point:
        title = DTYPE_TITLES[input.dtype.name]
        raise NotImplementedError(f"\"{name}\" not implemented for '{title}'")
    return input


# rectifiers -------------------------------------------------------------------------------------


def _relu_gradient(y: Any, g: Any) -> Any:
    return where(y == 0, 0.0, g)


@fused(saves="result", gradient=_relu_gradient, wide=False)
def _relu(x: Any) -> Any:
    return record(op.MAX, (x, as_node(0, x.dtype)))


@public(out=False)
def relu(input: Tensor, inplace: bool = False) -> Any:
    """max(x, 0). The gradient at 0 is 0. Raises RuntimeError for bools."""
    if input._type.dtype is bool_:
        raise RuntimeError("Boolean inputs not supported for relu")
    return into(input, record(_relu, (input,)), inplace)


@public(method=False, out=False)
def relu_(input: Tensor) -> Any:
    """As relu, written into input."""
    return relu(input, True)


Tensor.relu_ = relu_  # type: ignore[attr-defined]  # attached


@fused()
def _leaky_relu(x: Any, slope: Any) -> Any:
    return where(x > 0, x, x * slope)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """x where it is positive, else negative_slope · x."""
    return into(input, elementwise(_leaky_relu, input, negative_slope), inplace)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Any:
    """As leaky_relu, written into input."""
    return leaky_relu(input, negative_slope, True)


@public(out=False)
def prelu(input: Tensor, weight: Tensor) -> Any:
    """As leaky_relu; the slope is one tensor's element, or one for each channel (dimension 1)."""
    if weight.numel() != 1:
        channels = input._type.shape[1] if input.ndim > 1 else 1
        if weight.ndim != 1 or weight.numel() != channels:
            raise RuntimeError(
                f"Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                f"{weight.numel()} and channel size = {channels}."
            )
    shape = (-1, *[1] * (input.ndim - 2)) if input.ndim > 1 else ((1,) * input.ndim)
    return elementwise(_leaky_relu, input, weight.reshape(shape))


def _slopes(input: Tensor, lower: float, upper: float, generator: Any) -> Any:
    """1 for elements that are positive, a number of the stream for each other one, in order."""
    values = input.detach()._to_numpy()
    low = values <= 0
    drawn = engine_of(generator).uniform(int(low.sum()), 53) * (upper - lower) + lower
    slopes = numpy.ones(values.shape, input._type.dtype.numpy)
    slopes[low] = drawn
    return Tensor._from_numpy(slopes, input.device.type, copy=False)


@public(out=False, inplace=True)
def rrelu(
    input: Tensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
    generator: Any = None,
) -> Any:
    """As leaky_relu; the slope is drawn for each element in training, else it is the middle."""
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    slopes = _slopes(input, lower, upper, generator)
    return into(input, elementwise(_leaky_relu, input, slopes), inplace)


@fused()
def _elu(x: Any, below: float, above: float, within: float) -> Any:
    low = where(x > 0, 0.0, x)
    return where(x > 0, x * above, expm1(low * within) * below)


def _scaled_elu(input: Tensor, below: float, above: float, within: float, inplace: bool) -> Any:
    """above · x where it is positive, else below · (exp(within · x) - 1).

    The numbers are part of the formula: 16-bit floats would round them.
    """
    numbers = (float(below), float(above), float(within))
    return into(input, record(_elu, (float_only("elu_cpu", input),), numbers), inplace)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where it is positive, else alpha (eˣ - 1)."""
    return _scaled_elu(input, alpha, 1.0, 1.0, inplace)


def elu_(input: Tensor, alpha: float = 1.0) -> Any:
    """As elu, written into input."""
    return elu(input, alpha, True)


@public(out=False, method=False, inplace=True)
def selu(input: Tensor, inplace: bool = False) -> Any:
    """elu with the constants of self-normalizing networks (G. Klambauer and others, 2017)."""
    alpha, scale = 1.6732632423543772, 1.0507009873554805
    return _scaled_elu(input, alpha * scale, scale, 1.0, inplace)


@public(out=False, method=False, inplace=True)
def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where it is positive, else alpha (exp(x / alpha) - 1)."""
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return _scaled_elu(input, alpha, 1.0, 1.0 / alpha, inplace)


# sigmoids ---------------------------------------------------------------------------------------


@fused(saves="result", gradient=lambda y, g: g * (y * (1 - y)))
def _sigmoid(x: Any) -> Any:
    return 1 / (1 + exp(-x))


@public(inplace=True)
def sigmoid(input: Tensor) -> Any:
    """1 / (1 + e⁻ˣ)."""
    return real(_sigmoid, input)


def _log_sigmoid_gradient(x: Any, g: Any) -> Any:
    return g * sigmoid(-x)


@fused(gradient=_log_sigmoid_gradient)
def _log_sigmoid(x: Any) -> Any:
    return -record(op.MAX, (-x, as_node(0, x.dtype))) - log1p(exp(-x.abs()))


def logsigmoid(input: Tensor) -> Any:
    """log of sigmoid, without overflow."""
    return record(_log_sigmoid, (float_only("log_sigmoid_cpu", input),))


def _silu_gradient(x: Any, g: Any) -> Any:
    s = sigmoid(x)
    return g * (s * (1 + x * (1 - s)))


@fused(gradient=_silu_gradient)
def _silu(x: Any) -> Any:
    return x / (1 + exp(-x))


def silu(input: Tensor, inplace: bool = False) -> Any:
    """x · sigmoid x (S. Elfwing and others, 2017)."""
    return into(input, record(_silu, (float_only("silu_cpu", input),)), inplace)


@fused()
def _mish(x: Any) -> Any:
    return x * tanh(record(_softplus, (x, as_node(1, x.dtype), as_node(20, x.dtype))))


def mish(input: Tensor, inplace: bool = False) -> Any:
    """x · tanh(softplus x) (D. Misra, 2019)."""
    return into(input, record(_mish, (float_only("mish_cpu", input),)), inplace)


def _softplus_gradient(x: Any, beta: Any, threshold: Any, g: Any) -> Any:
    return where(x * beta > threshold, g, g * sigmoid(x * beta)), None, None


@fused(gradient=_softplus_gradient)
def _softplus(x: Any, beta: Any, threshold: Any) -> Any:
    scaled = x * beta
    linear = scaled > threshold
    return where(linear, x, log1p(exp(where(linear, 0.0, scaled))) / beta)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + exp(beta · x)) / beta; x itself where beta · x is above the threshold."""
    return elementwise(_softplus, float_only("softplus_cpu", input), beta, threshold)


def _gelu_gradient(x: Any, g: Any, approximate: str) -> Any:
    if approximate == "none":
        share = 0.5 * (1 + erf(x * math.sqrt(0.5)))
        density = exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))
        return g * (share + x * density)
    curve = tanh(_gelu_curve(x))
    slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * (x * x))
    return g * (0.5 * (1 + curve) + 0.5 * x * ((1 - curve * curve) * slope))


def _gelu_curve(x: Any) -> Any:
    return math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))


@fused(gradient=_gelu_gradient)
def _gelu(x: Any, approximate: str) -> Any:
    if approximate == "none":
        return x * 0.5 * (1 + erf(x * math.sqrt(0.5)))
    return 0.5 * x * (1 + tanh(_gelu_curve(x)))


def gelu(input: Tensor, approximate: str = "none") -> Any:
    """x · P(X ≤ x) for a standard normal X; approximate="tanh" is a formula with tanh.

    D. Hendrycks and K. Gimpel, 2016.
    """
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    return record(_gelu, (float_only("GeluKernelImpl", input),), (approximate,))


# piecewise linear -------------------------------------------------------------------------------


def _hardtanh_gradient(x: Any, low: Any, high: Any, g: Any) -> Any:
    return where((low < x) & (x < high), g, 0.0), None, None


@fused(gradient=_hardtanh_gradient, wide=False)
def _hardtanh(x: Any, low: Any, high: Any) -> Any:
    return -record(op.MAX, (-record(op.MAX, (x, low)), -high))


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Any:
    """x within [min_val, max_val]; the gradient at the bounds is 0."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    dtype = input._type.dtype
    result = elementwise(_hardtanh, input, min_val, max_val, dtype=dtype)
    return into(input, result, inplace)


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """hardtanh, in place."""
    return hardtanh(input, min_val, max_val, True)


def relu6(input: Tensor, inplace: bool = False) -> Any:
    """x within [0, 6]."""
    return hardtanh(input, 0, 6, inplace)


def _hardsigmoid_gradient(x: Any, g: Any) -> Any:
    return where((x > -3) & (x < 3), g * (1 / 6), 0.0)


@fused(gradient=_hardsigmoid_gradient)
def _hardsigmoid(x: Any) -> Any:
    return (x + 3).clamp(0, 6) / 6


def hardsigmoid(input: Tensor, inplace: bool = False) -> Any:
    """(x + 3) / 6 within [0, 1]."""
    return into(input, record(_hardsigmoid, (float_only("hardsigmoid_cpu", input),)), inplace)


def _hardswish_gradient(x: Any, g: Any) -> Any:
    return where(x <= -3, 0.0, where(x < 3, g * (x / 3 + 0.5), g))


@fused(gradient=_hardswish_gradient)
def _hardswish(x: Any) -> Any:
    return x * (x + 3).clamp(0, 6) / 6


def hardswish(input: Tensor, inplace: bool = False) -> Any:
    """x · hardsigmoid x (A. Howard and others, 2019)."""
    return into(input, record(_hardswish, (float_only("hardswish_cpu", input),)), inplace)


@fused()
def _threshold(x: Any, limit: Any, value: Any) -> Any:
    return where(x <= limit, value, x)


@public(out=False, method=False, inplace=True)
def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Any:
    """x where it is above the threshold, else `value`."""
    result = elementwise(_threshold, input, threshold, value, dtype=input._type.dtype)
    return into(input, result, inplace)


@fused()
def _hardshrink(x: Any, limit: Any) -> Any:
    return where((-limit <= x) & (x <= limit), 0.0, x)


@public(out=False)
def hardshrink(input: Tensor, lambd: float = 0.5) -> Any:
    """x, but 0 within [-lambd, lambd]."""
    return elementwise(_hardshrink, input, lambd)


@fused()
def _softshrink(x: Any, limit: Any) -> Any:
    return where(limit < x, x - limit, where(x < -limit, x + limit, x * 0.0))


def softshrink(input: Tensor, lambd: float = 0.5) -> Any:
    """x moved towards 0 by lambd, and 0 within [-lambd, lambd]."""
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd}.")
    return elementwise(_softshrink, input, lambd)


@fused()
def _softsign(x: Any) -> Any:
    return x / (1 + x.abs())


def softsign(input: Tensor) -> Any:
    """x / (1 + |x|)."""
    return real(_softsign, input)


def tanhshrink(input: Tensor) -> Any:
    """x - tanh x."""
    return input - tanh(input)


@fused()
def _glu(x: Any, y: Any) -> Any:
    return x * sigmoid(y)


def glu(input: Tensor, dim: int = -1) -> Any:
    """The first half along `dim` times the sigmoid of the second half."""
    axis = axis_of(dim, input.ndim)
    if input.ndim == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    extent = input._type.shape[axis]
    if extent % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {axis} is size {extent}")
    return record(_glu, input.chunk(2, axis))
