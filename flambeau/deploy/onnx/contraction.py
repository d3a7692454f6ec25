"""Reductions, scans, sorts, products and convolutions as ONNX operators."""

from __future__ import annotations

import math
from typing import Any

import numpy

from flambeau.deploy.onnx.extents import Extent, apply, varies
from flambeau.deploy.onnx.movement import padded, reduction, sliced
from flambeau.deploy.onnx.steps import Step
from flambeau.deploy.onnx.writer import Value, Writer
from flambeau.graph.dtype import DType, bool_, int64

_REDUCERS = {"add": "ReduceSum", "mul": "ReduceProd", "max": "ReduceMax"}


def reduce(w: Writer, s: Step) -> Value:
    kind, axes = s.attrs
    return w.reduce(_REDUCERS[kind], s.inputs[0], axes, True, s.shape)


def reducer(kind: str) -> Any:
    """A composite (axes, keepdim) that is one of ONNX's reductions."""

    def rule(w: Writer, s: Step) -> Value | None:
        axes, keep = s.attrs[:2]
        (x,) = s.inputs
        if not axes or varies(axes):
            return None
        if not x.dtype.is_floating_point and x.dtype is not int64:
            return None
        if x.dtype.itemsize == 2:  # the expansion accumulates in float32
            return None
        return w.reduce(kind, x, axes, keep, s.shape)

    return rule


def least(dtype: DType) -> Any:
    return -math.inf if dtype.is_floating_point else int(numpy.iinfo(dtype.numpy).min)


def scan(w: Writer, s: Step) -> Value:
    """CumSum; other kinds in log₂ n steps, each with what is twice as far back."""
    kind, axis = s.attrs
    (x,) = s.inputs
    if kind == "add":
        return w.emit("CumSum", [x, w.constant(axis)], s.dtype, s.shape)
    extent = s.fixed(x.shape[axis], "extent")
    identity = w.constant(1 if kind == "mul" else least(s.dtype), s.dtype)
    operator = "Mul" if kind == "mul" else "Max"
    far = 1
    while far < extent:
        pairs: list[tuple[Extent, Extent]] = [(0, 0)] * x.rank
        pairs[axis] = (far, 0)
        longer = padded(w, x, pairs, identity)
        earlier = sliced(w, longer, (0,) * x.rank, x.shape, (1,) * x.rank)
        x = w.emit(operator, [x, earlier], s.dtype, s.shape)
        far *= 2
    return x


def sort(w: Writer, s: Step) -> tuple[Value, ...]:
    """TopK of all places up to the last wanted; equal elements stay in their order."""
    axis, descending, *places = s.attrs
    (x,) = s.inputs
    first, count = places or (0, x.shape[axis])
    many = apply(lambda one, other: one + other, first, count)
    shape = (*x.shape[:axis], many, *x.shape[axis + 1 :])
    found = w.several(
        "TopK",
        [x, w.extent(many)],
        [x.dtype, int64],
        [shape, shape],
        axis=axis,
        largest=int(descending),
        sorted=1,
    )
    if first == 0:
        return found
    starts = tuple([first if place == axis else 0 for place in range(x.rank)])
    return tuple([sliced(w, each, starts, s.shape, (1,) * x.rank) for each in found])


def conv(w: Writer, s: Step) -> Value:
    mode, stride, padding, dilation, groups, spatial = s.attrs
    if mode == "forward":
        s.fixed((stride, padding, dilation), "geometry")
        return _forward(w, s, s.inputs, padding, stride, dilation, groups)
    if mode == "input":
        return transposed(w, s, s.inputs, padding, stride, dilation, groups, spatial)
    return _of_weight(w, s)


def _forward(
    w: Writer,
    s: Step,
    inputs: list[Any],
    padding: Any,
    stride: Any,
    dilation: Any,
    groups: int,
    shape: Any = None,
) -> Value:
    return w.emit(
        "Conv",
        inputs,
        s.dtype,
        shape or s.shape,
        pads=[low for low, _ in padding] + [high for _, high in padding],
        strides=list(stride),
        dilations=list(dilation),
        group=groups,
    )


def transposed(
    w: Writer,
    s: Step,
    inputs: list[Any],
    padding: Any,
    stride: Any,
    dilation: Any,
    groups: int,
    spatial: Any,
) -> Value:
    """ConvTranspose: what the extents have beyond the last whole step is its output_padding."""
    s.fixed((stride, padding, dilation), "geometry")
    x, weight = inputs[:2]
    beyond = []
    for axis, wanted in enumerate(spatial):
        low, high = padding[axis]
        taps = s.fixed(weight.shape[axis + 2], "weight")
        edge = dilation[axis] * (taps - 1) + 1 - low - high
        beyond.append(
            apply(
                lambda n, out, by=stride[axis], more=edge: out - (n - 1) * by - more,
                x.shape[axis + 2],
                wanted,
            )
        )
    return w.emit(
        "ConvTranspose",
        inputs,
        s.dtype,
        s.shape,
        pads=[low for low, _ in padding] + [high for _, high in padding],
        strides=list(stride),
        dilations=list(dilation),
        output_padding=list(s.fixed(tuple(beyond), "output padding")),
        group=groups,
    )


def _of_weight(w: Writer, s: Step) -> Value:
    """A weight's gradient: a convolution of channels with the gradient, over the batch."""
    _, stride, padding, dilation, groups, spatial = s.fixed(s.attrs, "geometry")
    x, gradient = s.inputs
    turned = [1, 0, *range(2, x.rank)]
    parts = []
    for group in range(groups):
        both = []
        for each in (x, gradient):
            channels = s.fixed(each.shape[1] // groups, "channels")
            starts = (0, group * channels, *[0] * len(spatial))
            sizes = (each.shape[0], channels, *each.shape[2:])
            part = sliced(w, each, starts, sizes, (1,) * x.rank)
            both.append(w.transpose(part, turned))
        made = _forward(w, s, both, padding, dilation, stride, 1, ())
        ends = [w.constant([0] * len(spatial)), w.constant(list(spatial))]
        axes = w.constant(list(range(2, x.rank)))
        cut = w.emit("Slice", [made, *ends, axes], s.dtype)
        parts.append(w.transpose(cut, turned))
    return w.emit("Concat", parts, s.dtype, s.shape, axis=0)


def attention(w: Writer, s: Step) -> tuple[Value, Value] | None:
    """Products and a Softmax; a mask may hide whole rows, which the expansion sees to."""
    if len(s.inputs) > 3:
        return None
    query, key, value = s.inputs
    causal, scale = s.attrs
    scaled = w.emit("Mul", [query, w.constant(s.fixed(scale, "scale"), s.dtype)], s.dtype)
    turned = w.transpose(key, [*range(key.rank - 2), key.rank - 1, key.rank - 2])
    scores = w.emit("MatMul", [scaled, turned], s.dtype)
    if causal:
        scores = w.emit("Where", [_hidden(w, query, key), _infinity(w, s), scores], s.dtype)
    weights = w.emit("Softmax", [scores], s.dtype, axis=-1)
    normaliser = w.reduce("ReduceLogSumExp", scores, [-1], True, s.shapes[1])
    return w.emit("MatMul", [weights, value], s.dtype, s.shape), normaliser


def _infinity(w: Writer, s: Step) -> Value:
    return w.constant(-math.inf, s.dtype)


def _hidden(w: Writer, query: Value, key: Value) -> Value:
    """Where a key comes after its query."""
    ends = [query.shape[-2], key.shape[-2]]
    if not varies(ends):
        return w.constant(numpy.arange(ends[1]) > numpy.arange(ends[0])[:, None], bool_)
    lines = [
        w.emit("Range", [w.constant(0), w.scalar_of(each, int64), w.constant(1)], int64)
        for each in ends
    ]
    return w.emit("Less", [w.unsqueeze(lines[0], [1]), lines[1]], bool_)


# composites -------------------------------------------------------------------------------------


def convolution(w: Writer, s: Step) -> Value:
    x, weight, bias, stride, padding, dilation, groups = s.arguments()
    inputs = [x, weight] if bias is None else [x, weight, bias]
    return _forward(w, s, inputs, s.fixed(padding, "padding"), stride, dilation, groups)


def transposed_convolution(w: Writer, s: Step) -> Value | None:
    x, weight, bias, stride, padding, dilation, groups, spatial, zeros = s.arguments()
    if varies(zeros) or any(zeros):
        return None
    inputs = [x, weight] if bias is None else [x, weight, bias]
    return transposed(w, s, inputs, padding, stride, dilation, groups, spatial)


def linear(w: Writer, s: Step) -> Value:
    """Gemm of a matrix; of more axes a product and a sum."""
    x, weight, bias = s.arguments()
    if x.rank == 2 and bias is not None and s.dtype.is_floating_point:
        made = w.emit("Gemm", [x, weight, bias], s.dtype, s.shape, transB=1)
    else:
        made = w.emit("MatMul", [x, w.transpose(weight, [1, 0])], s.dtype, s.shape)
        if bias is not None:
            made = w.emit("Add", [made, bias], s.dtype, s.shape)
    made.made_of = ("linear", x, weight, bias)
    return made


def scatter_along(w: Writer, s: Step) -> Value | None:
    x, index, source = s.inputs
    axis, mode = s.attrs
    how = reduction(w, s, mode)
    source = sliced(w, source, (0,) * index.rank, index.shape, (1,) * index.rank)
    return w.emit("ScatterElements", [x, index, source], s.dtype, s.shape, axis=axis, **how)


def place(w: Writer, s: Step) -> Value:
    """argmax and argmin: the first of equal ones."""
    axis, keep, smallest = s.attrs
    kind = "ArgMin" if smallest else "ArgMax"
    return w.emit(kind, s.inputs, int64, s.shape, axis=axis, keepdims=int(keep))


def value_and_place(w: Writer, s: Step) -> tuple[Value, ...] | None:
    axis, keep, smallest = s.attrs
    (x,) = s.inputs
    if not (x.dtype.is_floating_point or x.dtype is int64):
        return None
    value = w.reduce("ReduceMin" if smallest else "ReduceMax", x, [axis], keep, s.shape)
    kind = "ArgMin" if smallest else "ArgMax"
    at = w.emit(kind, [x], int64, s.shape, axis=axis, keepdims=int(keep))
    return value, at


def over_axis(kind: str) -> Any:
    """softmax and log_softmax."""

    def rule(w: Writer, s: Step) -> Value:
        return w.emit(kind, s.inputs, s.dtype, s.shape, axis=s.attrs[0])

    return rule
