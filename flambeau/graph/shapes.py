"""Shape and dtype rules of the primitives, one small function each.

A shape rule takes (attrs, shapes) and gives the result's shape; a dtype rule takes (attrs, dtypes).
Both raise what PyTorch raises: RuntimeError for shapes and dtypes that do not fit, IndexError for
axes that do not exist.
"""

from __future__ import annotations

import math
from typing import Any

from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType
from flambeau.graph.node import TensorType, tensor_type

Attrs = tuple[Any, ...]
Shape = tuple[int, ...]


def broadcast(*shapes: Shape) -> Shape:
    """The shape that all broadcast to, aligned at the last axis."""
    if len(shapes) == 2 and shapes[0] == shapes[1]:
        return shapes[0]
    rank = max(map(len, shapes), default=0)
    result = [1] * rank
    for shape in shapes:
        for back, extent in enumerate(reversed(shape), 1):
            if extent == 1 or extent == result[-back]:
                continue
            if result[-back] != 1:
                raise RuntimeError(
                    f"The size of tensor a ({result[-back]}) must match the size of tensor b "
                    f"({extent}) at non-singleton dimension {rank - back}: cannot broadcast "
                    f"{' with '.join(str(list(each)) for each in shapes)}"
                )
            result[-back] = extent
    return tuple(result)


def elementwise(attrs: Attrs, shapes: list[Shape]) -> Shape:
    return broadcast(*shapes)


def scalar(attrs: Attrs, shapes: list[Shape]) -> Shape:
    return ()


def iota(attrs: Attrs, shapes: list[Shape]) -> Shape:
    return (attrs[0],)


def buffer(attrs: Attrs, shapes: list[Shape]) -> Shape:
    return attrs[0]


def reduce(attrs: Attrs, shapes: list[Shape]) -> Shape:
    kind, axes = attrs
    (shape,) = shapes
    for axis in axes:
        if not 0 <= axis < len(shape):
            raise IndexError(f"reduction axis {axis} is out of range for shape {list(shape)}")
        if kind == "max" and shape[axis] == 0:
            raise IndexError(f"max over axis {axis} of size 0 has no value, shape {list(shape)}")
    return tuple(1 if axis in axes else extent for axis, extent in enumerate(shape))


def same(attrs: Attrs, shapes: list[Shape]) -> Shape:
    return shapes[0]


def sort(attrs: Attrs, shapes: list[Shape]) -> Shape:
    axis, _descending, *places = attrs
    (shape,) = shapes
    if not places:
        return shape
    first, count = places
    if first < 0 or count < 0 or first + count > shape[axis]:
        raise RuntimeError(
            f"places {first} … {first + count - 1} of a sort over {shape[axis]} elements"
        )
    return (*shape[:axis], count, *shape[axis + 1 :])


def matmul(attrs: Attrs, shapes: list[Shape]) -> Shape:
    left, right = shapes
    if len(left) < 2 or len(right) < 2 or left[-1] != right[-2]:
        raise RuntimeError(
            "mat1 and mat2 shapes cannot be multiplied "
            f"({'x'.join(map(str, left))} and {'x'.join(map(str, right))})"
        )
    return (*broadcast(left[:-2], right[:-2]), left[-2], right[-1])


def attention(attrs: Attrs, shapes: list[Shape]) -> Shape:
    """(…, l, d), (…, s, d), (…, s, e) → (…, l, e)."""
    query, key, value = shapes[:3]
    if query[-1] != key[-1] or key[-2] != value[-2]:
        raise RuntimeError(f"attention does not fit {query}, {key} and {value}")
    lead = broadcast(broadcast(query[:-2], key[:-2]), value[:-2])
    return (*lead, query[-2], value[-1])


def attention_results(name: str, attrs: Attrs, types: Any) -> tuple[TensorType, ...]:
    """The results of ATTENTION and of ATTENTION_BACKWARD."""
    query, key, value = types[:3]
    shape = attention(attrs, [each.shape for each in types])
    lead, dtype = shape[:-2], query.dtype
    if name == "ATTENTION":
        wide = dtypes.float32 if dtype.itemsize == 2 else dtype
        return tensor_type(shape, dtype), tensor_type((*shape[:-1], 1), wide)
    own = (query,) if attrs[2] == "query" else (key, value)
    return tuple([tensor_type((*lead, *each.shape[-2:]), dtype) for each in own])


def conv_extent(extent: int, taps: int, stride: int, pad: tuple[int, int], dilation: int) -> int:
    """How many places a kernel of `taps` takes along an axis; may be negative where none fits."""
    return (extent + pad[0] + pad[1] - dilation * (taps - 1) - 1) // stride + 1


def conv(attrs: Attrs, shapes: list[Shape]) -> Shape:
    mode, stride, padding, dilation, groups, spatial = attrs
    first, second = shapes
    if mode == "input":  # (gradient, weight) -> input
        return (first[0], second[1] * groups, *spatial)
    if mode == "weight":  # (input, gradient) -> weight
        return (second[1], first[1] // groups, *spatial)
    if first[1] != second[1] * groups or second[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, weight of size {list(second)}, expected input"
            f"{list(first)} to have {second[1] * groups} channels, but got {first[1]} channels "
            "instead"
        )
    out = [
        conv_extent(*each)
        for each in zip(first[2:], second[2:], stride, padding, dilation, strict=True)
    ]
    if min(out, default=1) < 1:
        raise RuntimeError(
            f"Calculated output size per channel: {out}. Kernel size {list(second[2:])} can't be "
            f"greater than the padded input size of {list(first[2:])} (padding {padding})"
        )
    return (first[0], second[0], *out)


def reshape(attrs: Attrs, shapes: list[Shape]) -> Shape:
    (target,) = attrs
    if math.prod(target) != math.prod(shapes[0]):
        raise RuntimeError(
            f"shape '{list(target)}' is invalid for input of size {math.prod(shapes[0])} "
            f"(shape {list(shapes[0])})"
        )
    return target


def permute(attrs: Attrs, shapes: list[Shape]) -> Shape:
    (axes,) = attrs
    if sorted(axes) != list(range(len(shapes[0]))):
        raise RuntimeError(
            f"permute(dims): {axes} is not an order of the {len(shapes[0])} dimensions of "
            f"{list(shapes[0])}"
        )
    return tuple(shapes[0][axis] for axis in axes)


def expand(attrs: Attrs, shapes: list[Shape]) -> Shape:
    (target,) = attrs
    if len(target) < len(shapes[0]) or broadcast(shapes[0], target) != target:
        raise RuntimeError(
            f"The expanded size {list(target)} must match the existing size {list(shapes[0])} "
            "at non-singleton dimensions"
        )
    return target


def slice_(attrs: Attrs, shapes: list[Shape]) -> Shape:
    sizes, _steps = attrs
    return sizes


def pad(attrs: Attrs, shapes: list[Shape]) -> Shape:
    shape, _steps, _fill = attrs
    return shape


def window(attrs: Attrs, shapes: list[Shape]) -> Shape:
    axes, sizes, strides, dilations = attrs
    shape = list(shapes[0])
    for axis, taps, stride, dilation in zip(axes, sizes, strides, dilations, strict=True):
        places = conv_extent(shape[axis], taps, stride, (0, 0), dilation)
        if places < 1:
            raise RuntimeError(
                f"a window of {taps} (dilation {dilation}) does not fit axis {axis} of "
                f"{list(shapes[0])}"
            )
        shape[axis] = places
    return (*shape, *sizes)


def cat(attrs: Attrs, shapes: list[Shape]) -> Shape:
    (axis,) = attrs
    first = shapes[0]
    for number, shape in enumerate(shapes):
        if len(shape) != len(first) or any(
            extent != other
            for place, (extent, other) in enumerate(zip(shape, first, strict=True))
            if place != axis
        ):
            raise RuntimeError(
                f"Sizes of tensors must match except in dimension {axis}. Expected "
                f"{list(first)} but got {list(shape)} for tensor number {number} in the list."
            )
    return (*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :])


def gather_attrs(attrs: Attrs) -> tuple[int, str | None, bool]:
    """A GATHER's axis, message and along."""
    axis, *more = attrs
    return axis, more[0] if more else None, len(more) > 1


def _check_along(index: Shape, whole: Shape, axis: int) -> None:
    """Raises RuntimeError where an index of elements has coordinates that an array has not."""
    if len(index) != len(whole) or any(
        extent > most
        for place, (extent, most) in enumerate(zip(index, whole, strict=True))
        if place != axis
    ):
        raise RuntimeError(
            f"an index of shape {list(index)} does not go along axis {axis} of {list(whole)}"
        )


def gather(attrs: Attrs, shapes: list[Shape]) -> Shape:
    axis, _message, along = gather_attrs(attrs)
    source, index = shapes
    if along:
        _check_along(index, source, axis)
        return index
    return (*source[:axis], *index, *source[axis + 1 :])


def scatter(attrs: Attrs, shapes: list[Shape]) -> Shape:
    axis, _mode, *along = attrs
    target, index, value = shapes
    expected = (*target[:axis], *index, *target[axis + 1 :])
    if along:
        fits = zip(index, target, strict=True)
        small = all(n <= most for at, (n, most) in enumerate(fits) if at != axis)
        expected = index if small else target
    if value != expected:
        raise RuntimeError(
            f"shape mismatch: values of shape {list(value)} cannot be scattered into "
            f"{list(target)} at index of shape {list(index)}: expected {list(expected)}"
        )
    return target


def assign(attrs: Attrs, shapes: list[Shape]) -> Shape:
    return shapes[0]


# dtype rules ------------------------------------------------------------------------------------


def uniform(attrs: Attrs, types: list[DType]) -> DType:
    if any(each is not types[0] for each in types):
        raise RuntimeError(
            "expected all operands to have the same dtype, but got "
            f"{', '.join(map(repr, types))}; convert one with .to()"
        )
    return types[0]


def floating(attrs: Attrs, types: list[DType]) -> DType:
    if not types[0].is_floating_point:
        raise RuntimeError(f"expected a floating point dtype, got {types[0]!r}")
    return uniform(attrs, types)


def field(attrs: Attrs, types: list[DType]) -> DType:
    """Numbers that can be divided: floats and complex numbers."""
    return uniform(attrs, types) if types[0].is_complex else floating(attrs, types)


def real(attrs: Attrs, types: list[DType]) -> DType:
    if not types[0].is_complex:
        raise RuntimeError(f"expected a complex dtype, got {types[0]!r}")
    return types[0].real


def complex_(attrs: Attrs, types: list[DType]) -> DType:
    return floating(attrs, types).to_complex()


def boolean(attrs: Attrs, types: list[DType]) -> DType:
    uniform(attrs, types)
    return dtypes.bool_


def bits(attrs: Attrs, types: list[DType]) -> DType:
    if types[0].is_floating_point:
        raise RuntimeError(f"bitwise operation is not implemented for {types[0]!r}")
    return uniform(attrs, types)


def where(attrs: Attrs, types: list[DType]) -> DType:
    if types[0] is not dtypes.bool_:
        raise RuntimeError(f"where expected condition to be a boolean tensor, got {types[0]!r}")
    return uniform(attrs, types[1:])


def first_attr(attrs: Attrs, types: list[DType]) -> DType:
    return attrs[0]


def second_attr(attrs: Attrs, types: list[DType]) -> DType:
    return attrs[1]


def bitcast(attrs: Attrs, types: list[DType]) -> DType:
    if attrs[0].itemsize != types[0].itemsize:
        raise RuntimeError(f"cannot view {types[0]!r} as {attrs[0]!r}: their sizes differ")
    return attrs[0]


def gathered(attrs: Attrs, types: list[DType]) -> DType:
    if types[1] is not dtypes.int64:
        raise IndexError(f"an index must be int64, got {types[1]!r}")
    return types[0]


def scattered(attrs: Attrs, types: list[DType]) -> DType:
    gathered(attrs, types)
    return uniform(attrs, [types[0], types[2]])
