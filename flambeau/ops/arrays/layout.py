"""Strides, sizes, parts written into copies, and small things that programs ask for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from flambeau.graph.dtype import DType, float32, float64, int32, int64
from flambeau.ops.axes import axis_of, integers, title, varargs
from flambeau.ops.convert import instead_of
from flambeau.ops.creation import device_like, zeros
from flambeau.ops.gather import scatter_reduce, take
from flambeau.ops.host import differentiable, host_function
from flambeau.ops.parts import tensor_split
from flambeau.ops.places import put_places
from flambeau.ops.promote import floating, result_dtype
from flambeau.ops.publish import public, publish
from flambeau.ops.return_types import named
from flambeau.ops.shape import cat
from flambeau.ops.triangle import diag
from flambeau.ops.view import broadcast_tensors
from flambeau.tensor.attach import method
from flambeau.tensor.tensor import Tensor
from flambeau.tensor.view import contiguous_strides

frexp_ = named("frexp", "mantissa exponent")


# strides and sizes ------------------------------------------------------------------------------


def _places(size: Sequence[int], stride: Sequence[int], offset: int, like: Tensor) -> Tensor:
    """Where in the storage each element lies."""
    total = numpy.full((), offset, numpy.int64)
    for extent, step in zip(size, stride, strict=True):
        total = total[..., None] + numpy.arange(extent, dtype=numpy.int64) * step
    return Tensor._from_numpy(total.reshape(tuple(size)), like.device.type)


def _check_strides(
    input: Tensor, size: Any, stride: Any, offset: int | None
) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    extents, steps = integers(size), integers(stride, "stride")
    if len(extents) != len(steps):
        raise RuntimeError("mismatch in length of strides and shape")
    start = input.storage_offset() if offset is None else int(offset)
    last = start + sum((n - 1) * step for n, step in zip(extents, steps, strict=True))
    if min(steps, default=0) < 0 or start < 0:
        raise RuntimeError(
            "as_strided: Negative strides are not supported at the moment, got strides: "
            f"{list(steps)}"
        )
    held = input._owner().numel()
    if 0 not in extents and last >= held:
        raise RuntimeError(
            f"setStorage: sizes {list(extents)}, strides {list(steps)}, storage offset {start}, "
            f"are out of bounds for storage of {held} elements"
        )
    return extents, steps, start


@public(out=False)
def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """The storage's elements at these strides and offset (in elements).

    A view where they lie one after the other, else a copy: see docs/differences.md.
    """
    extents, steps, start = _check_strides(input, size, stride, storage_offset)
    flat = input._owner().reshape(-1)
    if steps == contiguous_strides(extents):
        return flat.narrow(0, start, math.prod(extents)).view(extents)
    if 0 in extents:
        return input.new_empty(extents)
    return take(flat, _places(extents, steps, start, input))


@public(out=False)
def as_strided_scatter(
    input: Tensor, src: Tensor, size: Any, stride: Any, storage_offset: int | None = None
) -> Tensor:
    """A copy of input with `src` written where as_strided would look."""
    copy = input.clone()
    extents, steps, start = _check_strides(copy, size, stride, storage_offset or 0)
    places = _places(extents, steps, start, input).reshape(-1)
    return put(copy, places, src.expand(extents).reshape(-1))


@method()
def resize_(self: Tensor, *sizes: Any, memory_format: Any = None) -> Tensor:
    """Another size, in place: the first elements of the storage; new ones are zeros."""
    if self.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    shape = varargs(sizes)
    if shape == self._type.shape:
        return self
    flat = self._owner().reshape(-1)[self.storage_offset() :]
    count = math.prod(shape)
    if count > flat.numel():
        flat = cat([flat, flat.new_zeros(count - flat.numel())])
    self.data = flat[:count].reshape(shape).clone()
    return self


@method()
def resize_as_(self: Tensor, the_template: Tensor, *, memory_format: Any = None) -> Tensor:
    """resize_ to another tensor's size."""
    return resize_(self, tuple(the_template.shape))


publish(resize_as_, "resize_as_")


def empty_strided(
    size: Any,
    stride: Any,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """As empty: tensors are contiguous here, whatever strides are asked for."""
    if len(integers(size)) != len(integers(stride, "stride")):
        raise RuntimeError("dimensionality of sizes must match dimensionality of strides")
    return zeros(size, dtype=dtype, device=device, requires_grad=requires_grad)


publish(empty_strided, "empty_strided")


@method()
def new_empty_strided(
    self: Tensor, size: Any, stride: Any, *, dtype: DType | None = None, device: Any = None
) -> Tensor:
    """As empty_strided, in this tensor's dtype and on its device."""
    where = device_like(self, device)
    return empty_strided(size, stride, dtype=dtype or self.dtype, device=where)


@method()
def sum_to_size(self: Tensor, *size: Any) -> Tensor:
    """Summed over the dimensions that broadcasting from `size` would have added or widened."""
    shape = varargs(size)
    lead = self.ndim - len(shape)
    own = self._type.shape
    if lead < 0 or any(n not in (1, m) for n, m in zip(shape, own[lead:], strict=True)):
        raise RuntimeError(f"size {list(shape)} is not expandable to size {list(own)}.")
    axes = [*range(lead), *[lead + at for at, n in enumerate(shape) if n == 1 != own[lead + at]]]
    if not shape:
        return self.sum()
    found = self.sum(axes, True) if axes else self
    return found.reshape(shape)


# parts written into copies ----------------------------------------------------------------------


@public(out=False)
def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy of input with `src` written at one index of a dimension."""
    copy = input.clone()
    copy.select(dim, index).copy_(_of_shape(src, copy.select(dim, index)))
    return copy


@public(out=False)
def slice_scatter(
    input: Tensor,
    src: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Tensor:
    """A copy of input with `src` written into a slice of a dimension."""
    copy = input.clone()
    axis = axis_of(dim, input.ndim)
    index = (*[slice(None)] * axis, slice(start, end, step))
    part = _of_shape(src, copy[index])
    if part._type.shape == copy._type.shape:
        return instead_of(input, part.to(copy.dtype).clone())
    copy[index] = part
    return copy


@public(out=False)
def diagonal_scatter(
    input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """A copy of input with `src` written into a diagonal."""
    copy = input.clone()
    target = copy.diagonal(offset, dim1, dim2)
    target.copy_(_of_shape(src, target))
    return copy


def _of_shape(src: Tensor, target: Tensor) -> Tensor:
    if src._type.shape != target._type.shape:
        raise RuntimeError(
            f"expected src to have a size equal to the slice of self. src size = "
            f"{list(src.shape)}, slice size = {list(target.shape)}"
        )
    return src


@public(inplace=True)
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """input, flattened, with `source` at `index`; accumulate adds, also where an index repeats."""
    if index._type.dtype is not int64:
        raise RuntimeError(f"put_(): Expected a long tensor for index, but got {title(index)}")
    if index._type.size != source._type.size:
        raise IndexError(
            "put_(): Expected source and index to have the same number of elements, but got "
            f"source.numel() = {source.numel()}, index.numel() = {index.numel()}"
        )
    flat = input.reshape(-1)
    mode = "add" if accumulate else "set"
    made = put_places(flat, [(0, index.reshape(-1))], source.reshape(-1), mode)
    return made.reshape(input._type.shape)


@public(inplace=True)
def index_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    source: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> Tensor:
    """Parts of `source` along dim folded into those of input that `index` names.

    reduce   "prod", "mean", "amax" or "amin"
    """
    axis = axis_of(dim, input.ndim)
    line = [-1 if each == axis else 1 for each in range(input.ndim)]
    places = index.long().reshape(line).expand(source._type.shape)
    return scatter_reduce(input, axis, places, source, reduce, include_self=include_self)


# diagonals and splits ---------------------------------------------------------------------------


@public(out=False)
def trace(input: Tensor) -> Tensor:
    """The sum of a matrix's diagonal."""
    if input.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.ndim}")
    return input.diagonal().sum()


@public(out=False)
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """The matrix that has the elements on a diagonal."""
    return diag(input.reshape(-1), offset)


def _splitting(name: str, least: int, axis_for: Callable[[int], int]) -> Any:
    def split(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
        if input.ndim < least:
            raise RuntimeError(
                f"torch.{name} requires a tensor with at least {least} dimension, but got a tensor "
                f"with {input.ndim} dimensions!"
            )
        axis = axis_for(input.ndim)
        extent = input._type.shape[axis]
        if isinstance(indices_or_sections, int) and extent % max(indices_or_sections, 1):
            raise RuntimeError(
                f"torch.{name} attempted to split along dimension {axis}, but the size of the "
                f"dimension {extent} is not divisible by the split_size {indices_or_sections}!"
            )
        return tensor_split(input, indices_or_sections, axis)

    split.__name__ = split.__qualname__ = name
    split.__doc__ = f"tensor_split as numpy.{name}: equal parts, or between indices."
    publish(split, name)
    return method(name)(split)


hsplit = _splitting("hsplit", 1, lambda rank: 0 if rank == 1 else 1)
vsplit = _splitting("vsplit", 2, lambda rank: 0)
dsplit = _splitting("dsplit", 3, lambda rank: 2)


# numbers ----------------------------------------------------------------------------------------


def _pairwise(name: str, function: Any, doc: str, inplace: bool = True) -> Any:
    """An elementwise function of numpy's of two tensors, without a gradient."""

    @host_function(name)
    def run(x: Any, y: Any) -> Any:
        return function(x, y)

    def call(input: Tensor, other: Tensor) -> Any:
        dtype = result_dtype((input, other))
        both = broadcast_tensors(input.to(dtype), other.to(dtype))
        return run(both, (), [(both[0]._type.shape, dtype)])[0]

    call.__name__ = call.__qualname__ = name
    call.__doc__ = doc
    return public(inplace=inplace)(call)


gcd = _pairwise("gcd", numpy.gcd, "The greatest common divisors of integers. Runs on the host.")
lcm = _pairwise("lcm", numpy.lcm, "The least common multiples of integers. Runs on the host.")


@host_function("nextafter")
def _host_next(x: Any, y: Any) -> Any:
    """The next numbers."""
    return numpy.nextafter(x, y)


def _next_gradient(arguments: Any, results: Any, gradients: Any) -> Any:
    g = gradients[0]
    return (None, None) if g is None else (g, g * 0)


@differentiable(_next_gradient)
def _next(input: Tensor, other: Tensor) -> Any:
    return _host_next([input, other], (), [(input._type.shape, input._type.dtype)])[0]


@public(inplace=True)
def nextafter(input: Tensor, other: Tensor) -> Any:
    """The next number from input towards other. Runs on the host."""
    dtype = result_dtype((input, other))
    return _next(*broadcast_tensors(input.to(dtype), other.to(dtype)))


@public(inplace=True)
def ldexp(input: Tensor, other: Tensor) -> Any:
    """input · 2^other"""
    return input * (2.0 ** other.to(floating(other.dtype)))


@host_function("frexp")
def _frexp(x: Any) -> tuple[Any, Any]:
    """(mantissa in ±[0.5, 1), exponent)"""
    mantissa, exponent = numpy.frexp(x)
    return mantissa, exponent.astype(numpy.int32)


@public(out=False)
def frexp(input: Tensor) -> Any:
    """(mantissa, exponent) with input = mantissa · 2^exponent, |mantissa| in [0.5, 1)."""
    if input._type.dtype not in (float32, float64):
        raise RuntimeError(f"torch.frexp() only supports float and double, got {input.dtype}")
    shape = input._type.shape
    _, exponent = _frexp([input], (), [(shape, input._type.dtype), (shape, int32)])
    half = exponent // 2  # in two steps, so that no power overflows
    return frexp_(
        input * 2.0 ** -half.to(input.dtype) * 2.0 ** (half - exponent).to(input.dtype), exponent
    )


# element by element on the host -------------------------------------------------------------------


@method()
def apply_(self: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """callable(element) for each element, on the host, in place."""
    values = [callable(each) for each in self.detach().reshape(-1).tolist()]
    return self.copy_(self.new_tensor(values).reshape(self._type.shape))


@method()
def map_(self: Tensor, tensor: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
    """callable(element, other's element) for each pair, on the host, in place."""
    pairs = zip(
        self.detach().reshape(-1).tolist(),
        tensor.detach().expand(self._type.shape).reshape(-1).tolist(),
        strict=True,
    )
    values = [callable(*each) for each in pairs]
    return self.copy_(self.new_tensor(values).reshape(self._type.shape))


@method()
def nonzero_static(self: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """The first `size` coordinates of elements that are not 0, filled up with fill_value."""
    found = self.nonzero()[:size]
    rest = found.new_full((size - found._type.shape[0], self.ndim), fill_value)
    return cat([found, rest])


publish(nonzero_static, "nonzero_static")
