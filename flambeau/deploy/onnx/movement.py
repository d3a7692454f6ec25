"""Movement and indexing primitives as ONNX operators."""

from __future__ import annotations

import math
from typing import Any

import numpy

from flambeau.deploy.onnx.extents import Dim, Extent, Extents, apply, product, varies
from flambeau.deploy.onnx.steps import Step, number_of
from flambeau.deploy.onnx.writer import Value, Writer
from flambeau.graph import numpy_reference
from flambeau.graph.dtype import int64
from flambeau.graph.shapes import gather_attrs

_END = (1 << 63) - 1
_START = -(1 << 63)


def reshape(w: Writer, s: Step) -> Value:
    return w.reshape(s.inputs[0], s.shape)


def permute(w: Writer, s: Step) -> Value:
    return w.transpose(s.inputs[0], s.attrs[0], s.shape)


def expand(w: Writer, s: Step) -> Value:
    return w.expand(s.inputs[0], s.shape)


def cat(w: Writer, s: Step) -> Value:
    return w.emit("Concat", s.inputs, s.dtype, s.shape, axis=s.attrs[0])


# slices -----------------------------------------------------------------------------------------


def _from_end(place: Extent, extent: Extent) -> Extent:
    """A place as a fixed number: from the start or, where it depends on the extent, from the end.

    Else the Dim that it is.
    """
    if not isinstance(place, Dim):
        return place
    behind = apply(lambda at, n: at - n, place, extent)
    return behind if isinstance(behind, int) and behind < 0 else place


def _bounds(start: Extent, size: Extent, step: Extent, extent: Extent) -> tuple[Extent, Extent]:
    """First and stop of ONNX's Slice along one axis."""
    stop = apply(lambda at, n, by: at + n * by, start, size, step)
    if isinstance(step, Dim) or step > 0:  # steps that depend on extents are theirs
        past = apply(lambda end, n: int(end >= n), stop, extent)
        return _from_end(start, extent), _END if past == 1 else _from_end(stop, extent)
    before = apply(lambda end: int(end < 0), stop)
    return _from_end(start, extent), _START if before == 1 else _from_end(stop, extent)


def sliced(w: Writer, x: Value, starts: Extents, sizes: Extents, steps: Extents) -> Value:
    """SLICE of an array whose shape is known."""
    axes = [
        axis
        for axis, extent in enumerate(x.shape)
        if not (starts[axis] == 0 and sizes[axis] == extent and steps[axis] == 1)
    ]
    if not axes:
        return x
    pairs = [_bounds(starts[axis], sizes[axis], steps[axis], x.shape[axis]) for axis in axes]
    empty = [axis for axis in axes if sizes[axis] == 0]
    if empty:
        pairs = [(0, 0) if axis in empty else pair for axis, pair in zip(axes, pairs, strict=True)]
    inputs = [
        x,
        w.vector([first for first, _ in pairs]),
        w.vector([stop for _, stop in pairs]),
        w.constant(axes),
        w.vector([1 if axis in empty else steps[axis] for axis in axes]),
    ]
    return w.emit("Slice", inputs, x.dtype, sizes)


def slice_(w: Writer, s: Step) -> Value:
    sizes, steps = s.attrs
    return sliced(w, s.inputs[0], s.scalars, sizes, steps)


# pad --------------------------------------------------------------------------------------------


def padded(w: Writer, x: Value, pairs: list[tuple[Extent, Extent]], fill: Value) -> Value:
    """With (before, after) elements of `fill` for each axis."""
    if all(pair == (0, 0) for pair in pairs):
        return x
    shape = tuple(
        [
            apply(lambda n, low, high: n + low + high, extent, *pair)
            for extent, pair in zip(x.shape, pairs, strict=True)
        ]
    )
    pads = w.vector([low for low, _ in pairs] + [high for _, high in pairs])
    return w.emit("Pad", [x, pads, fill], x.dtype, shape, mode="constant")


def _spread(w: Writer, x: Value, axis: int, step: int, fill: Value) -> Value:
    """step - 1 elements of `fill` between any two along an axis."""
    rank = x.rank
    extent = x.shape[axis]
    longer = apply(lambda n: n * step, extent)
    one = w.reshape(x, (*x.shape[: axis + 1], 1, *x.shape[axis + 1 :]))
    pairs: list[tuple[Extent, Extent]] = [(0, 0)] * (rank + 1)
    pairs[axis + 1] = (0, step - 1)
    flat = w.reshape(padded(w, one, pairs, fill), (*x.shape[:axis], longer, *x.shape[axis + 1 :]))
    sizes = list(flat.shape)
    sizes[axis] = apply(lambda n: max(n - step + 1, 0), longer)
    return sliced(w, flat, (0,) * rank, tuple(sizes), (1,) * rank)


def pad(w: Writer, s: Step) -> Value:
    """x laid into an array of `fill` at starts with steps."""
    shape, steps, fill = s.attrs
    s.fixed(steps, "steps")
    x = s.inputs[0]
    value = w.constant(s.fixed(number_of(fill), "fill"), s.dtype)
    starts = list(s.scalars)
    for axis, step in enumerate(steps):
        extent = x.shape[axis]
        if step < 0:
            backwards = [
                apply(lambda n: n - 1, extent) if at == axis else 0 for at in range(x.rank)
            ]
            turned = tuple([-1 if at == axis else 1 for at in range(x.rank)])
            x = sliced(w, x, tuple(backwards), x.shape, turned)
            starts[axis] = apply(lambda at, n, by=step: at + by * (n - 1), starts[axis], extent)
        if abs(step) > 1 and extent != 0 and extent != 1:
            x = _spread(w, x, axis, abs(step), value)
    pairs = [
        (start, apply(lambda whole, low, n: whole - low - n, total, start, extent))
        for total, start, extent in zip(shape, starts, x.shape, strict=True)
    ]
    return padded(w, x, pairs, value)


# windows ----------------------------------------------------------------------------------------


def _places(w: Writer, count: Extent, taps: int, stride: int, dilation: int) -> Value:
    """(count, taps): which elements each window reads."""
    row = numpy.arange(taps) * dilation
    if isinstance(count, int):
        return w.constant(numpy.arange(count)[:, None] * stride + row)
    bounds = [w.constant(0), w.scalar_of(count, int64), w.constant(1)]
    line = w.emit("Range", bounds, int64, (count,))
    if stride != 1:
        line = w.emit("Mul", [line, w.constant(stride)], int64, (count,))
    column = w.unsqueeze(line, [1], (count, 1))
    return w.emit("Add", [column, w.constant(row[None])], int64, (count, taps))


def window(w: Writer, s: Step) -> Value:
    """One Gather an axis, then the taps' axes go to the end."""
    axes, sizes, strides, dilations = s.fixed(s.attrs, "windows")
    (x,) = s.inputs
    rank = x.rank
    for number in sorted(range(len(axes)), key=lambda each: -axes[each]):
        axis = axes[number]
        span = dilations[number] * (sizes[number] - 1) + 1
        w.define(s.shape[axis], x.shape[axis], -span, strides[number], 1)
        at = _places(w, s.shape[axis], sizes[number], strides[number], dilations[number])
        shape = (*x.shape[:axis], s.shape[axis], sizes[number], *x.shape[axis + 1 :])
        x = w.emit("Gather", [x, at], s.dtype, shape, axis=axis)
    # each axis has its taps behind it now
    own = [axis + sum(each < axis for each in axes) for axis in range(rank)]
    taps = [own[axis] + 1 for axis in axes]
    return w.transpose(x, [*own, *taps], s.shape)


# indexing ---------------------------------------------------------------------------------------


def gather(w: Writer, s: Step) -> Value:
    axis, _message, along = gather_attrs(s.attrs)
    kind = "GatherElements" if along else "Gather"
    return w.emit(kind, s.inputs, s.dtype, s.shape, axis=axis)


_REDUCTIONS = {"set": "none", "add": "add", "mul": "mul", "max": "max"}
_REDUCTIONS_SINCE = {"set": 13, "add": 16, "mul": 16, "max": 18}


def reduction(w: Writer, s: Step, mode: str) -> dict[str, Any]:
    """The attribute of Scatter operators, which had none before opset 16."""
    if w.opset < _REDUCTIONS_SINCE[mode]:
        raise s.refuse(f'mode "{mode}" needs opset_version={_REDUCTIONS_SINCE[mode]}')
    return {} if mode == "set" else {"reduction": _REDUCTIONS[mode]}


def scatter(w: Writer, s: Step) -> Value:
    axis, mode, *along = s.attrs
    how = reduction(w, s, mode)
    target, index, value = s.inputs
    if along:
        return w.emit("ScatterElements", s.inputs, s.dtype, s.shape, axis=axis, **how)
    rank = target.rank
    count = product(index.shape)
    front = [axis, *[each for each in range(rank) if each != axis]]
    back = [front.index(each) for each in range(rank)]
    rows = w.transpose(target, front)
    places = w.reshape(index, (count, 1))
    flat = w.reshape(value, (*target.shape[:axis], count, *target.shape[axis + 1 :]))
    made = w.emit("ScatterND", [rows, places, w.transpose(flat, front)], s.dtype, rows.shape, **how)
    return w.transpose(made, back, s.shape)


def assign(w: Writer, s: Step) -> Value:
    """base with value written through a view: at the places that the view has of all."""
    base, value = s.inputs
    (chain,) = s.attrs
    if not chain:
        return w.expand(value, s.shape)
    size = product(base.shape)
    places = _viewed(w, s, base.shape, size)
    values = w.reshape(w.expand(value, places.shape), (product(places.shape),))
    at = w.reshape(places, (product(places.shape), 1))
    flat = w.emit("ScatterND", [w.reshape(base, (size,)), at, values], s.dtype, (size,))
    return w.reshape(flat, s.shape)


def _viewed(w: Writer, s: Step, shape: Extents, size: Extent) -> Value:
    """The numbers of the elements that a view of an array of this shape has."""
    (chain,) = s.attrs
    if not varies((chain, s.scalars, shape)):
        fixed: Any = shape
        numbers = numpy.arange(math.prod(fixed)).reshape(fixed)
        return w.constant(numpy_reference.view(chain, s.scalars, numbers))
    bounds = [w.constant(0), w.scalar_of(size, int64), w.constant(1)]
    x = w.reshape(w.emit("Range", bounds, int64, (size,)), shape)
    used = 0
    for name, *attrs in chain:
        if name == "SLICE":
            starts = s.scalars[used : used + len(attrs[0])]
            used += len(starts)
            x = sliced(w, x, starts, attrs[0], attrs[1])
        elif name == "RESHAPE":
            x = w.reshape(x, attrs[0])
        elif name == "PERMUTE":
            x = w.transpose(x, attrs[0])
        else:
            x = w.expand(x, attrs[0])
    return x


# composites -------------------------------------------------------------------------------------


def embedding(w: Writer, s: Step) -> Value:
    index, weight, *_ = s.arguments()
    return w.emit("Gather", [weight, index], s.dtype, s.shape, axis=0)


def constant_pad(w: Writer, s: Step) -> Value:
    x, pairs, value = s.arguments()
    fill = w.constant(s.fixed(value, "value"), s.dtype)
    cut = [(max(-low, 0), max(-high, 0)) for low, high in s.fixed(pairs, "padding")]
    sizes = [
        apply(lambda n, less=low + high: n - less, extent)
        for extent, (low, high) in zip(x.shape, cut, strict=True)
    ]
    x = sliced(w, x, tuple([low for low, _ in cut]), tuple(sizes), (1,) * x.rank)
    return padded(w, x, [(max(low, 0), max(high, 0)) for low, high in pairs], fill)


_PADS = {"reflect": "reflect", "replicate": "edge"}


def continued_pad(w: Writer, s: Step) -> Value | None:
    x, pairs, mode = s.arguments()
    if mode not in _PADS or varies(pairs) or min(low for pair in pairs for low in pair) < 0:
        return None
    pads = w.vector([low for low, _ in pairs] + [high for _, high in pairs])
    return w.emit("Pad", [x, pads], s.dtype, s.shape, mode=_PADS[mode])
