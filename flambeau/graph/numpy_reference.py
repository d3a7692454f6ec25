"""What each primitive computes, in numpy: one small function each, `(attrs, scalars, *arrays)`.

This is the definition. Every device is tested against it, and the reference device runs it.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from flambeau.graph.dtype import DType
from flambeau.graph.shapes import gather_attrs

Array = np.ndarray[Any, np.dtype[Any]]
Attrs = tuple[Any, ...]
Scalars = tuple[Any, ...]


def decode_constant(key: Any, dtype: DType) -> Any:
    """The Python number of a constant's key (see op.encode_constant)."""
    return float.fromhex(key) if isinstance(key, str) else key


def const(attrs: Attrs, scalars: Scalars) -> Array:
    dtype = attrs[0]
    value = decode_constant(attrs[1], dtype) if len(attrs) > 1 else scalars[0]
    return np.asarray(value).astype(dtype.numpy)


def iota(attrs: Attrs, scalars: Scalars) -> Array:
    return np.arange(attrs[0]).astype(attrs[1].numpy)


def unary(function: Any) -> Any:
    def run(attrs: Attrs, scalars: Scalars, x: Array) -> Array:
        return np.asarray(function(x)).astype(x.dtype, copy=False)

    return run


def binary(function: Any) -> Any:
    def run(attrs: Attrs, scalars: Scalars, x: Array, y: Array) -> Array:
        return np.asarray(function(x, y)).astype(np.result_type(x, y), copy=False)

    return run


def fma(attrs: Attrs, scalars: Scalars, x: Array, y: Array, z: Array) -> Array:
    wide = np.float64 if x.itemsize < 8 else np.longdouble
    return np.asarray(x.astype(wide) * y + z).astype(x.dtype)


def part(function: Any) -> Any:
    def run(attrs: Attrs, scalars: Scalars, x: Array) -> Array:
        return np.asarray(function(x))

    return run


def complex_of(attrs: Attrs, scalars: Scalars, x: Array, y: Array) -> Array:
    made = np.empty(np.broadcast(x, y).shape, f"c{2 * x.itemsize}")
    made.real, made.imag = x, y
    return made


def compare(function: Any) -> Any:
    def run(attrs: Attrs, scalars: Scalars, x: Array, y: Array) -> Array:
        return np.asarray(function(x, y))

    return run


def idiv(attrs: Attrs, scalars: Scalars, x: Array, y: Array) -> Array:
    if x.dtype.kind in "iu" and np.any(y == 0):
        raise RuntimeError("ZeroDivisionError: integer division by zero")
    return np.floor_divide(x, y)


def mod(attrs: Attrs, scalars: Scalars, x: Array, y: Array) -> Array:
    if x.dtype.kind in "iu" and np.any(y == 0):
        raise RuntimeError("ZeroDivisionError: integer modulo by zero")
    return np.remainder(x, y)


def shift_left(attrs: Attrs, scalars: Scalars, x: Array, y: Array) -> Array:
    return np.left_shift(x, y)


def cast(attrs: Attrs, scalars: Scalars, x: Array) -> Array:
    target: DType = attrs[0]
    if x.dtype.kind not in "biu" and target.kind in ("int", "uint"):
        # C's conversion wraps through int64; NaN and out-of-range values are unspecified there.
        return x.astype(np.int64).astype(target.numpy)
    return x.astype(target.numpy)


def bitcast(attrs: Attrs, scalars: Scalars, x: Array) -> Array:
    return np.ascontiguousarray(x).view(attrs[0].numpy).reshape(x.shape)


def where(attrs: Attrs, scalars: Scalars, condition: Array, x: Array, y: Array) -> Array:
    return np.where(condition, x, y)


_REDUCERS = {"add": np.add, "mul": np.multiply, "max": np.maximum}


def _accumulator(kind: str, x: Array) -> Any:
    """float16 and bfloat16 accumulate in float32."""
    return np.float32 if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x.dtype


def reduce(attrs: Attrs, scalars: Scalars, x: Array) -> Array:
    kind, axes = attrs
    if not axes:
        return x
    wide = x.astype(_accumulator(kind, x))
    result = _REDUCERS[kind].reduce(wide, axis=axes, keepdims=True)
    return np.asarray(result).astype(x.dtype)


def scan(attrs: Attrs, scalars: Scalars, x: Array) -> Array:
    kind, axis = attrs
    wide = x.astype(_accumulator(kind, x))
    return np.asarray(_REDUCERS[kind].accumulate(wide, axis=axis)).astype(x.dtype)


def sort(attrs: Attrs, scalars: Scalars, x: Array) -> tuple[Array, Array]:
    """Stable; NaN is the greatest."""
    axis, descending, *places = attrs
    if descending:
        flipped = np.flip(x, axis)
        order = np.flip(np.argsort(flipped, axis=axis, kind="stable"), axis)
        order = x.shape[axis] - 1 - order
    else:
        order = np.argsort(x, axis=axis, kind="stable")
    if places:
        first, count = places
        order = np.take(order, range(first, first + count), axis)
    return np.take_along_axis(x, order, axis), order.astype(np.int64)


def matmul(attrs: Attrs, scalars: Scalars, x: Array, y: Array) -> Array:
    if x.shape[-1] == 0:
        shape = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
        return np.zeros((*shape, x.shape[-2], y.shape[-1]), x.dtype)
    wide = _accumulator("add", x)
    return np.matmul(x.astype(wide), y.astype(wide)).astype(x.dtype)


def _scores(attrs: Attrs, query: Array, key: Array, bias: tuple[Array, ...]) -> Array:
    causal, scale = attrs[:2]
    wide = np.dtype(_accumulator("add", query))
    left, right = query.astype(wide) * wide.type(scale), np.swapaxes(key.astype(wide), -1, -2)
    scores = np.matmul(left, right)
    for each in bias:
        scores = scores + each.astype(wide)
    if causal:
        later = np.arange(scores.shape[-1]) > np.arange(scores.shape[-2])[:, None]
        scores = np.where(later, -np.inf, scores)
    return scores


def attention(
    attrs: Attrs, scalars: Scalars, query: Array, key: Array, value: Array, *bias: Array
) -> tuple[Array, Array]:
    """The output, and the logarithm of each row's sum of exponentials."""
    scores = _scores(attrs, query, key, bias)
    greatest = scores.max(-1, keepdims=True)
    nothing = greatest == -np.inf
    weights = np.exp(scores - np.where(nothing, 0, greatest))
    total = np.where(nothing, 1, weights.sum(-1, keepdims=True))
    result = np.matmul(weights / total, value.astype(weights.dtype))
    normaliser = np.where(nothing, np.inf, greatest + np.log(total)).astype(weights.dtype)
    lead = result.shape[:-1]
    return result.astype(query.dtype), np.broadcast_to(normaliser, (*lead, 1))


def attention_backward(
    attrs: Attrs, scalars: Scalars, query: Array, key: Array, value: Array, *rest: Array
) -> tuple[Array, ...]:
    """The query's gradient, or the key's and the value's."""
    given, normaliser, delta, *bias = rest
    _, scale, of = attrs
    weights = np.exp(_scores(attrs, query, key, tuple(bias)) - normaliser)
    wide = weights.dtype
    query, key, value, given, delta = (
        each.astype(wide) for each in (query, key, value, given, delta)
    )
    slopes = weights * (np.matmul(given, np.swapaxes(value, -1, -2)) - delta) * wide.type(scale)
    if of == "query":
        found = [np.matmul(slopes, key)]
    else:
        turned, weights = np.swapaxes(slopes, -1, -2), np.swapaxes(weights, -1, -2)
        found = [np.matmul(turned, query), np.matmul(weights, given)]
    return tuple([each.astype(rest[0].dtype) for each in found])


def _taps(spatial: tuple[int, ...]) -> Any:
    return itertools.product(*map(range, spatial))


def _tap_slices(tap: Any, stride: Any, dilation: Any, out: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(
        slice(t * d, t * d + s * (o - 1) + 1, s)
        for t, s, d, o in zip(tap, stride, dilation, out, strict=True)
    )


def conv(attrs: Attrs, scalars: Scalars, first: Array, second: Array) -> Array:
    """mode forward: (input, weight); input: (gradient, weight); weight: (input, gradient)."""
    mode, stride, padding, dilation, groups, spatial = attrs
    kind = first.dtype
    first, second = (each.astype(_accumulator("add", each)) for each in (first, second))
    if mode == "forward":
        x, w = first, second
        out = tuple(
            (n + lo + hi - d * (k - 1) - 1) // s + 1
            for n, k, s, (lo, hi), d in zip(
                x.shape[2:], w.shape[2:], stride, padding, dilation, strict=True
            )
        )
        x = np.pad(x, [(0, 0), (0, 0), *padding])
        xg = x.reshape(x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])
        wg = w.reshape(groups, -1, *w.shape[1:])
        y = np.zeros((x.shape[0], groups, wg.shape[1], *out), x.dtype)
        for tap in _taps(w.shape[2:]):
            part = xg[(slice(None),) * 3 + _tap_slices(tap, stride, dilation, out)]
            y += np.einsum("ngc...,goc->ngo...", part, wg[(slice(None),) * 3 + tap])
        return y.reshape(x.shape[0], w.shape[0], *out).astype(kind)
    if mode == "input":
        g, w = first, second
        padded = [n + lo + hi for n, (lo, hi) in zip(spatial, padding, strict=True)]
        gg = g.reshape(g.shape[0], groups, g.shape[1] // groups, *g.shape[2:])
        wg = w.reshape(groups, -1, *w.shape[1:])
        x = np.zeros((g.shape[0], groups, w.shape[1], *padded), g.dtype)
        for tap in _taps(w.shape[2:]):
            at = (slice(None),) * 3 + _tap_slices(tap, stride, dilation, g.shape[2:])
            x[at] += np.einsum("ngo...,goc->ngc...", gg, wg[(slice(None),) * 3 + tap])
        inner = tuple(slice(lo, lo + n) for n, (lo, _) in zip(spatial, padding, strict=True))
        x = x.reshape(g.shape[0], groups * w.shape[1], *padded)[(slice(None), slice(None), *inner)]
        return x.astype(kind)
    x, g = first, second
    x = np.pad(x, [(0, 0), (0, 0), *padding])
    xg = x.reshape(x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])
    gg = g.reshape(g.shape[0], groups, g.shape[1] // groups, *g.shape[2:])
    w = np.zeros((groups, gg.shape[2], xg.shape[2], *spatial), x.dtype)
    for tap in _taps(spatial):
        part = xg[(slice(None),) * 3 + _tap_slices(tap, stride, dilation, g.shape[2:])]
        places = math.prod(part.shape[3:])
        w[(slice(None),) * 3 + tap] = np.einsum(
            "ngcs,ngos->goc",
            part.reshape(*part.shape[:3], places),
            gg.reshape(*gg.shape[:3], places),
        )
    return w.reshape(g.shape[1], xg.shape[2], *spatial).astype(kind)


def reshape(attrs: Attrs, scalars: Scalars, x: Array) -> Array:
    return x.reshape(attrs[0])


def permute(attrs: Attrs, scalars: Scalars, x: Array) -> Array:
    return x.transpose(attrs[0])


def expand(attrs: Attrs, scalars: Scalars, x: Array) -> Array:
    return np.broadcast_to(x, attrs[0])


def _strided(sizes: Attrs, steps: Attrs, starts: Scalars) -> tuple[slice, ...]:
    parts = []
    for size, step, start in zip(sizes, steps, starts, strict=True):
        stop = start + step * size
        parts.append(slice(start, stop if stop >= 0 else None, step) if size else slice(0, 0))
    return tuple(parts)


def slice_(attrs: Attrs, scalars: Scalars, x: Array) -> Array:
    sizes, steps = attrs
    return x[_strided(sizes, steps, scalars)]


def pad(attrs: Attrs, scalars: Scalars, x: Array) -> Array:
    shape, steps, fill = attrs
    result = np.full(shape, decode_constant(fill, None), x.dtype)  # type: ignore[arg-type]  # a fill needs no dtype
    result[_strided(x.shape, steps, scalars)] = x
    return result


def window(attrs: Attrs, scalars: Scalars, x: Array) -> Array:
    axes, sizes, strides, dilations = attrs
    spans = [d * (k - 1) + 1 for k, d in zip(sizes, dilations, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(x, spans, axes)
    picks: list[slice] = [slice(None)] * view.ndim
    for number, axis in enumerate(axes):
        picks[axis] = slice(None, None, strides[number])
        picks[x.ndim + number] = slice(None, None, dilations[number])
    return view[tuple(picks)]


def cat(attrs: Attrs, scalars: Scalars, *arrays: Array) -> Array:
    return np.concatenate(arrays, axis=attrs[0])


OUT_OF_BOUNDS = "index {detail} is out of bounds for dimension {axis} with size {size}"


def _check_index(index: Array, size: int, axis: int, message: str = OUT_OF_BOUNDS) -> None:
    bad = (index < 0) | (index >= size)
    if np.any(bad):
        raise IndexError(message.format(detail=int(index[bad][0]), axis=axis, size=size))


def gather(attrs: Attrs, scalars: Scalars, x: Array, index: Array) -> Array:
    axis, message, along = gather_attrs(attrs)
    _check_index(index, x.shape[axis], axis, message or OUT_OF_BOUNDS)
    if not along:
        return np.take(x, index, axis=axis)
    return x[tuple([index if place == axis else own for place, own in enumerate(_own(index))])]


def _own(index: Array) -> list[Array]:
    """Each element's coordinates."""
    return list(np.ogrid[tuple(slice(extent) for extent in index.shape)])


_SCATTERS = {"add": np.add, "mul": np.multiply, "max": np.maximum}


def scatter(attrs: Attrs, scalars: Scalars, target: Array, index: Array, value: Array) -> Array:
    """Duplicates are taken in the order of `index`: the last one wins for "set"."""
    axis, mode, *along = attrs
    _check_index(index, target.shape[axis], axis)
    if along:
        return _scatter_along(axis, mode, target, index, value)
    result = np.moveaxis(target.copy(), axis, 0)
    flat = value.reshape(*target.shape[:axis], index.size, *target.shape[axis + 1 :])
    rows = np.moveaxis(flat, axis, 0)
    for place, row in zip(index.ravel(), rows, strict=True):
        result[place] = row if mode == "set" else _SCATTERS[mode](result[place], row)
    return np.moveaxis(result, 0, axis)


def _scatter_along(axis: int, mode: str, target: Array, index: Array, value: Array) -> Array:
    result = np.moveaxis(target.copy(), axis, 0)
    places, rows = np.moveaxis(index, axis, 0), np.moveaxis(value, axis, 0)
    others = np.ogrid[tuple(slice(extent) for extent in places.shape[1:])]
    for place, row in zip(places, rows, strict=True):
        at = (place, *others)
        result[at] = row if mode == "set" else _SCATTERS[mode](result[at], row)
    return np.moveaxis(result, 0, axis)


def _writable(attrs: Attrs, scalars: Scalars, x: Array) -> Array:
    """EXPAND that may be written to: whoever does sees to it that nothing is written twice."""
    strides = np.broadcast_to(x, attrs[0]).strides
    return np.lib.stride_tricks.as_strided(x, attrs[0], strides)


def view(chain: Attrs, scalars: Scalars, x: Array) -> Array:
    """`x` through a chain of movement steps, sharing memory with `x` (which is contiguous)."""
    used = 0
    for name, *attrs in chain:
        if name == "SLICE":
            starts = scalars[used : used + len(attrs[0])]
            used += len(starts)
            x = slice_(tuple(attrs), starts, x)
        elif name == "RESHAPE":
            x = np.reshape(x, attrs[0], copy=False)  # raises rather than copies
        else:
            x = {"PERMUTE": permute, "EXPAND": _writable}[name](tuple(attrs), (), x)
    return x


def assign(attrs: Attrs, scalars: Scalars, base: Array, value: Array) -> Array:
    result = np.array(base, order="C")
    view(attrs[0], scalars, result)[...] = value
    return result


def identity(attrs: Attrs, scalars: Scalars, x: Array) -> Array:
    return x


def first_of_two(attrs: Attrs, scalars: Scalars, x: Array, history: Array) -> Array:
    return x


def several(attrs: Attrs, scalars: Scalars, *arrays: Array) -> tuple[Array, ...]:
    return arrays[: attrs[0]]


def pick(attrs: Attrs, scalars: Scalars, results: tuple[Array, ...]) -> Array:
    return results[attrs[0]]
