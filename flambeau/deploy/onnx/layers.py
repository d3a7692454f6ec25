"""Normalisation, pooling and recurrent layers as ONNX operators."""

from __future__ import annotations

from typing import Any

import numpy

from flambeau.deploy.onnx.extents import apply, varies
from flambeau.deploy.onnx.steps import Step
from flambeau.deploy.onnx.writer import Value, Writer
from flambeau.graph import dtype as dtypes

# normalisation ----------------------------------------------------------------------------------


def _vector(w: Writer, value: Value | None, fill: float, channels: Any, s: Step) -> Value:
    if value is not None:
        return value
    return w.constant(numpy.full(s.fixed(channels, "number of channels"), fill), s.dtype)


def batch_norm(w: Writer, s: Step) -> Value:
    x, weight, bias, mean, variance, epsilon = s.arguments()
    scale = _vector(w, weight, 1.0, x.shape[1], s)
    offset = _vector(w, bias, 0.0, x.shape[1], s)
    inputs = [x, scale, offset, mean, variance]
    return w.emit("BatchNormalization", inputs, s.dtype, s.shape, epsilon=epsilon)


def layer_norm(w: Writer, s: Step) -> Value | None:
    x, weight, bias, axes, epsilon = s.arguments()
    if w.opset < 17:
        return None
    if weight is None:
        if varies(x.shape[axes[0] :]):
            return None
        weight = w.constant(numpy.ones(x.shape[axes[0] :]), x.dtype)
    inputs = [x, weight] if bias is None else [x, weight, bias]
    return w.emit("LayerNormalization", inputs, s.dtype, s.shape, axis=axes[0], epsilon=epsilon)


def instance_norm(w: Writer, s: Step) -> Value:
    x, weight, bias, epsilon = s.arguments()
    scale = _vector(w, weight, 1.0, x.shape[1], s)
    offset = _vector(w, bias, 0.0, x.shape[1], s)
    return w.emit("InstanceNormalization", [x, scale, offset], s.dtype, s.shape, epsilon=epsilon)


# pooling ----------------------------------------------------------------------------------------


def _fits(x: Value, g: Any, axis: int, high: int, up: bool) -> bool:
    """Whether ONNX places as many windows along an axis, with `high` elements of padding behind."""
    span = g.dilation[axis] * (g.kernel[axis] - 1) + 1
    beside, by = g.before[axis] + high - span, g.stride[axis]

    def agrees(extent: int, count: int) -> bool:
        room = extent + beside
        return (-(-room // by) if up else room // by) + 1 == count

    return apply(agrees, x.shape[axis + 2], g.places[axis]) == 1


def _pads(x: Value, g: Any) -> tuple[list[int], list[int]] | None:
    """Padding before and after with which ONNX places as many windows; None where none does."""
    before, after = list(g.before), []
    for axis, low in enumerate(before):
        fixed = [each for each in (low, g.after[axis]) if not varies(each)]
        fitting = [each for each in fixed if _fits(x, g, axis, each, False)]
        if not fitting:
            return None
        after.append(fitting[0])
    return before, after


def max_pool(w: Writer, s: Step) -> Value | None:
    x, g = s.arguments()
    ours = x.rank == len(g.kernel) + 2 and s.dtype.is_floating_point
    if not ours or varies((g.kernel, g.stride, g.before, g.dilation)):
        return _global(w, s, x, g, "GlobalMaxPool") if ours else None
    pads = _pads(x, g)
    axes = range(len(g.kernel))
    rounded = pads is None and all(_fits(x, g, axis, g.before[axis], True) for axis in axes)
    if pads is None and not rounded:
        return None
    before, after = pads or (list(g.before), list(g.before))
    return w.emit(
        "MaxPool",
        [x],
        s.dtype,
        s.shape,
        kernel_shape=list(g.kernel),
        strides=list(g.stride),
        dilations=list(g.dilation),
        pads=before + after,
        ceil_mode=int(rounded),
    )


def _global(w: Writer, s: Step, x: Value, g: Any, kind: str) -> Value | None:
    """One window of all there is, whatever the size."""
    whole = g.kernel == tuple(x.shape[2:]) and set(g.places) == {1}
    return w.emit(kind, [x], s.dtype, s.shape) if whole else None


def mean_pool(w: Writer, s: Step) -> Value | None:
    x, g, include, divisor = s.arguments()
    if x.rank != len(g.kernel) + 2 or not s.dtype.is_floating_point or divisor is not None:
        return None
    found = _global(w, s, x, g, "GlobalAveragePool")
    if found is not None:
        return found
    if varies((g.kernel, g.stride, g.before)):
        return None
    pads = _pads(x, g)
    if pads is None or pads[0] != pads[1]:  # ONNX and PyTorch count padding behind differently
        return None
    return w.emit(
        "AveragePool",
        [x],
        s.dtype,
        s.shape,
        kernel_shape=list(g.kernel),
        strides=list(g.stride),
        pads=pads[0] + pads[1],
        count_include_pad=int(include),
    )


# resizing ---------------------------------------------------------------------------------------

_NEAREST = {
    "nearest": ("asymmetric", "floor"),
    "nearest-exact": ("half_pixel", "round_prefer_ceil"),
}


def _resized(w: Writer, s: Step, x: Value, axis: int, method: Any) -> Value | None:
    """Resize of one axis; axes that follow one another in one mode are one operator."""
    mode, how, antialias = method
    if antialias or s.dtype is not dtypes.float32 or varies(mode):
        return None
    options: dict[str, Any] = {"mode": "nearest"}
    if mode in _NEAREST:
        options["coordinate_transformation_mode"], options["nearest_mode"] = _NEAREST[mode]
    else:
        corners = s.fixed(how.align_corners, "align_corners")
        options = {"mode": mode, "cubic_coeff_a": -0.75}
        options["coordinate_transformation_mode"] = "align_corners" if corners else "half_pixel"
    axes = {axis: how}
    made = x.made_of
    if made is not None and made[:2] == ("resized", options) and axis not in made[3]:
        x, axes = made[2], {**made[3], axis: how}
    factors = [each.factor for each in axes.values()]
    empty = None
    if all(isinstance(each, float) for each in factors):
        scales = numpy.ones(x.rank, numpy.float32)
        for at, each in axes.items():
            scales[at] = each.factor
        inputs = [x, empty, w.constant(scales, dtypes.float32)]
    elif all(each is None for each in factors):
        inputs = [x, empty, empty, w.vector(s.shape)]
    else:
        return None
    result = w.emit("Resize", inputs, s.dtype, s.shape, **options)
    result.made_of = ("resized", options, x, axes)
    return result


def resample(w: Writer, s: Step) -> Value | None:
    axis, method = s.attrs[-2][0], s.attrs[-1][0]
    return _resized(w, s, s.inputs[0], axis, method)


# recurrent --------------------------------------------------------------------------------------

_GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}
"""The order in which ONNX has the gates: i, o, f, c; z, r, h."""


def _ordered(w: Writer, value: Value, kind: str, size: int) -> Value:
    """Rows of gates in ONNX's order, with a first axis for the direction."""
    gates = _GATES[kind]
    if len(gates) > 1:
        rows = numpy.concatenate([numpy.arange(size) + gate * size for gate in gates])
        value = w.emit("Gather", [value, w.constant(rows)], value.dtype, value.shape, axis=0)
    return w.unsqueeze(value, [0])


def _input(w: Writer, s: Step, projected: Value, size: int) -> tuple[Value, Value, Value]:
    """The sequence, its weight and its bias; where these are not known, what came of them."""
    width = s.fixed(projected.shape[2], "width")
    made = projected.made_of
    bias = None
    if made is not None and made[0] == "linear":
        _, x, weight, bias = made
    else:
        x, weight = projected, w.constant(numpy.eye(width), s.dtype)
    if bias is None:
        bias = w.constant(numpy.zeros(width), s.dtype)
    return x, weight, bias


def recurrent(kind: str) -> Any:
    """One layer and direction; the inputs after the weights are the loop's steps."""

    def rule(w: Writer, s: Step) -> tuple[Value, ...] | None:
        projected, hidden = s.inputs[:2]
        size = s.fixed(hidden.shape[1], "hidden size")
        cell = s.inputs[2:3] if kind == "LSTM" else []
        weight = s.inputs[2 + len(cell)]
        x, by_input, bias = _input(w, s, projected, size)
        second = s.inputs[3] if kind == "GRU" else None
        if second is None:
            second = w.constant(numpy.zeros(len(_GATES[kind]) * size), s.dtype)
        both = [_ordered(w, each, kind, size) for each in (bias, second)]
        inputs = [
            x,
            _ordered(w, by_input, kind, size),
            _ordered(w, weight, kind, size),
            w.emit("Concat", both, s.dtype, axis=1),
            None,
            *[w.unsqueeze(each, [0]) for each in (hidden, *cell)],
        ]
        reverse = s.attrs[-1]
        options: dict[str, Any] = {"hidden_size": size}
        options["direction"] = "reverse" if reverse else "forward"
        if kind == "RNN":
            options["activations"] = ["Tanh" if s.attrs[0] == "tanh" else "Relu"]
        if kind == "GRU":
            options["linear_before_reset"] = 1
        count = 2 + len(cell)
        made = w.several(kind, inputs, [s.dtype] * count, [None] * count, **options)
        first = w.squeeze(made[0], [1], s.shapes[0])
        return first, *[w.squeeze(each, [0], s.shapes[1]) for each in made[1:]]

    return rule
