"""torch.fft: discrete Fourier transforms on the host, through numpy, with gradients.

Three host functions do all: complex to complex, real to half of the complex result, and back. Each
one's gradient is another of them, so every order can be differentiated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy

from flambeau.graph.dtype import DType
from flambeau.ops.axes import axes_of, integers, title
from flambeau.ops.host import differentiable, host_function
from flambeau.ops.pad import pad
from flambeau.ops.promote import floating
from flambeau.ops.publish import public, publish
from flambeau.ops.ranges import arange
from flambeau.ops.shape import roll
from flambeau.tensor.tensor import Tensor

Axes = tuple[int, ...]

# the three --------------------------------------------------------------------------------------


@host_function("fft")
def _host_fft(z: Any, axes: Axes, inverse: bool, scale: float) -> Any:
    """Σ z exp(∓2πi jk/n) · scale over axes."""
    run = numpy.fft.ifftn if inverse else numpy.fft.fftn
    found = run(z, axes=axes, norm="forward" if inverse else "backward")
    return found * found.dtype.type(scale) if scale != 1 else found


@host_function("rfft")
def _host_rfft(x: Any, axes: Axes, scale: float) -> Any:
    """The first half, along the last of the axes, of a real array's transform."""
    found = numpy.fft.rfftn(x, axes=axes)
    return found * found.dtype.type(scale) if scale != 1 else found


@host_function("irfft")
def _host_irfft(z: Any, axes: Axes, extent: int, scale: float) -> Any:
    """The real array whose transform's first half is z; `extent` along the last of the axes."""
    sizes = [*[z.shape[axis] for axis in axes[:-1]], extent]
    found = numpy.fft.irfftn(z, s=sizes, axes=axes, norm="forward")
    return found * found.dtype.type(scale) if scale != 1 else found


def _complex_gradient(arguments: Any, results: Any, gradients: Any) -> Any:
    _, axes, inverse, scale = arguments
    return (
        None if gradients[0] is None else complex_transform(gradients[0], axes, not inverse, scale)
    )


@differentiable(_complex_gradient)
def complex_transform(z: Tensor, axes: Axes, inverse: bool, scale: float) -> Any:
    """The transform of complex numbers over axes."""
    return _host_fft([z], (axes, inverse, scale), [(z._type.shape, z._type.dtype)])[0]


def _forward_gradient(arguments: Any, results: Any, gradients: Any) -> Any:
    """The missing half is zeros: it was not made."""
    x, axes, scale = arguments
    if gradients[0] is None:
        return None
    whole = resized(gradients[0], axes[-1:], (x._type.shape[axes[-1]],))
    return complex_transform(whole, axes, True, scale).real


@differentiable(_forward_gradient)
def forward_half(x: Tensor, axes: Axes, scale: float) -> Any:
    """The transform of real numbers: half of it along the last of the axes."""
    shape = list(x._type.shape)
    shape[axes[-1]] = shape[axes[-1]] // 2 + 1
    return _host_rfft([x], (axes, scale), [(tuple(shape), x._type.dtype.to_complex())])[0]


def _backward_gradient(arguments: Any, results: Any, gradients: Any) -> Any:
    """Twice the transform where an element stands for its mirror image, too."""
    z, axes, extent, scale = arguments
    if gradients[0] is None:
        return None
    found = forward_half(gradients[0], axes, scale)
    count = z._type.shape[axes[-1]]
    places = arange(count, device=z.device)
    twice = ((places > 0) & (2 * places < extent)).to(gradients[0].dtype) + 1
    line = [1] * z.ndim
    line[axes[-1]] = count
    return found * twice.reshape(line)


@differentiable(_backward_gradient)
def backward_half(z: Tensor, axes: Axes, extent: int, scale: float) -> Any:
    """Real numbers of half of their transform."""
    shape = list(z._type.shape)
    shape[axes[-1]] = extent
    attrs = (axes, extent, scale)
    return _host_irfft([z], attrs, [(tuple(shape), z._type.dtype.real)])[0]


# arguments --------------------------------------------------------------------------------------


def resized(x: Any, axes: Axes, sizes: Sequence[int]) -> Any:
    """Cut, or filled up with zeros, to these extents."""
    for axis, size in zip(axes, sizes, strict=True):
        if size < 1:
            raise RuntimeError(f"Invalid number of data points ({size}) specified")
        extent = x._type.shape[axis]
        if size < extent:
            x = x.narrow(axis, 0, size)
        elif size > extent:
            x = pad(x, [0, 0] * (x.ndim - 1 - axis) + [0, size - extent])
    return x


def _scale(norm: str | None, count: int, inverse: bool) -> float:
    """What the plain sum is multiplied with."""
    norm = "backward" if norm is None else norm
    if norm not in ("forward", "backward", "ortho"):
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')
    if norm == "ortho":
        return 1 / math.sqrt(count)
    return 1 / count if inverse == (norm == "backward") else 1.0


def _floating(x: Tensor, name: str) -> Tensor:
    dtype = x._type.dtype
    if dtype.itemsize == 2 and dtype.is_floating_point:
        raise RuntimeError(f"Unsupported dtype {title(x)} (in fft.{name})")
    return x if dtype.has_gradient else x.to(floating(dtype))


def _several(x: Tensor, s: Any, dim: Any, last: int | None) -> tuple[Axes, tuple[int, ...]]:
    """Axes and extents; `last` is the default extent of the last axis."""
    if dim is None:
        count = x.ndim if s is None else len(integers(s))
        if count > x.ndim:
            raise RuntimeError(
                f"Got shape with {count} values but input tensor only has {x.ndim} dimensions."
            )
        dim = tuple(range(x.ndim - count, x.ndim))
    axes = axes_of(dim, x.ndim)
    if s is None:
        given: Sequence[int] = [-1] * len(axes)
    else:
        given = integers(s)
        if len(given) != len(axes):
            raise RuntimeError("When given, dim and shape arguments must have the same length")
    sizes = [x._type.shape[axis] if n == -1 else n for axis, n in zip(axes, given, strict=True)]
    if last is not None and axes and given[-1] == -1:
        sizes[-1] = 2 * (x._type.shape[axes[-1]] - 1) if last == 0 else last
    return axes, tuple(sizes)


def _complex(x: Tensor, s: Any, dim: Any, norm: Any, inverse: bool, name: str) -> Any:
    x = _floating(x, name)
    axes, sizes = _several(x, s, dim, None)
    if not axes:
        return x.to(x.dtype.to_complex())
    whole = resized(x.to(x.dtype.to_complex()), axes, sizes)
    return complex_transform(whole, axes, inverse, _scale(norm, math.prod(sizes), inverse))


def _real(x: Tensor, s: Any, dim: Any, norm: Any, inverse: bool, name: str) -> Any:
    if x._type.dtype.is_complex:
        raise RuntimeError(f"{name} expects a real input tensor, but got {title(x)}")
    x = _floating(x, name)
    axes, sizes = _several(x, s, dim, None)
    if not axes:
        raise RuntimeError(f"{name} must transform at least one axis")
    scale = _scale(norm, math.prod(sizes), inverse)
    return forward_half(resized(x, axes, sizes), axes, scale)


def _to_real(x: Tensor, s: Any, dim: Any, norm: Any, inverse: bool, name: str) -> Any:
    x = _floating(x, name)
    x = x.to(x.dtype.to_complex())
    axes, sizes = _several(x, s, dim, 0)
    if not axes:
        raise RuntimeError(f"{name} must transform at least one axis")
    if sizes[-1] < 1:
        raise RuntimeError(f"Invalid number of data points ({sizes[-1]}) specified")
    whole = resized(x, axes, (*sizes[:-1], sizes[-1] // 2 + 1))
    return backward_half(whole, axes, sizes[-1], _scale(norm, math.prod(sizes), inverse))


def _one(n: int | None) -> Any:
    return None if n is None else (n,)


# the public functions ---------------------------------------------------------------------------


@public(method=False)
def fft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Any:
    """The transform along dim, cut or filled up with zeros to n elements.

    norm   "backward" (the default: as it is), "ortho" (divided by √n) or "forward" (by n)
    """
    return _complex(input, _one(n), (dim,), norm, False, "fft")


@public(method=False)
def ifft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Any:
    """The inverse of fft: with norm "backward" divided by n."""
    return _complex(input, _one(n), (dim,), norm, True, "ifft")


@public(method=False)
def fftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Any:
    """The transform over several dimensions, by default all."""
    return _complex(input, s, dim, norm, False, "fftn")


@public(method=False)
def ifftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Any:
    """The inverse of fftn."""
    return _complex(input, s, dim, norm, True, "ifftn")


@public(method=False)
def fft2(input: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Any:
    """The transform over two dimensions."""
    return _complex(input, s, dim, norm, False, "fft2")


@public(method=False)
def ifft2(input: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Any:
    """The inverse of fft2."""
    return _complex(input, s, dim, norm, True, "ifft2")


@public(method=False)
def rfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Any:
    """The first n // 2 + 1 elements of a real tensor's transform: the others mirror them."""
    return _real(input, _one(n), (dim,), norm, False, "rfft")


@public(method=False)
def rfftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Any:
    """rfft along the last dimension, fft along the others."""
    return _real(input, s, dim, norm, False, "rfftn")


@public(method=False)
def rfft2(input: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Any:
    """rfftn over two dimensions."""
    return _real(input, s, dim, norm, False, "rfft2")


@public(method=False)
def irfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Any:
    """The real inverse of rfft, with n elements: by default 2 · (the input's - 1)."""
    return _to_real(input, _one(n), (dim,), norm, True, "irfft")


@public(method=False)
def irfftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Any:
    """The real inverse of rfftn."""
    return _to_real(input, s, dim, norm, True, "irfftn")


@public(method=False)
def irfft2(input: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Any:
    """The real inverse of rfft2."""
    return _to_real(input, s, dim, norm, True, "irfft2")


@public(method=False)
def hfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Any:
    """The real transform of a signal of which the input is the first half, the rest its mirror."""
    return _to_real(input.conj(), _one(n), (dim,), norm, False, "hfft")


@public(method=False)
def ihfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Any:
    """The inverse of hfft."""
    return _real(input, _one(n), (dim,), norm, True, "ihfft").conj()


@public(method=False)
def hfftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Any:
    """hfft along the last dimension, fft along the others."""
    return _to_real(input.conj(), s, dim, norm, False, "hfftn")


@public(method=False)
def hfft2(input: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Any:
    """hfftn over two dimensions."""
    return _to_real(input.conj(), s, dim, norm, False, "hfft2")


@public(method=False)
def ihfftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Any:
    """The inverse of hfftn."""
    return _real(input, s, dim, norm, True, "ihfftn").conj()


@public(method=False)
def ihfft2(input: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Any:
    """The inverse of hfft2."""
    return _real(input, s, dim, norm, True, "ihfft2").conj()


# frequencies ------------------------------------------------------------------------------------


def fftfreq(
    n: int,
    d: float = 1.0,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """The frequencies of fft's elements, for samples that are d apart: 0, 1, …, -1 over n · d."""
    places = arange(n, dtype=dtype or floating_default(), device=device)
    found = (places - (places >= (n + 1) // 2).to(places.dtype) * n) * (1 / (n * d))
    return found.requires_grad_() if requires_grad else found


def rfftfreq(
    n: int,
    d: float = 1.0,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """The frequencies of rfft's elements."""
    places = arange(n // 2 + 1, dtype=dtype or floating_default(), device=device)
    found = places * (1 / (n * d))
    return found.requires_grad_() if requires_grad else found


def floating_default() -> DType:
    from flambeau.tensor.device import get_default_dtype

    return get_default_dtype()


publish(fftfreq, "fftfreq")
publish(rfftfreq, "rfftfreq")


@public(method=False, out=False)
def fftshift(input: Tensor, dim: Any = None) -> Any:
    """The frequency 0 moved to the middle."""
    axes = tuple(range(input.ndim)) if dim is None else axes_of(dim, input.ndim)
    return roll(input, [input._type.shape[axis] // 2 for axis in axes], axes)


@public(method=False, out=False)
def ifftshift(input: Tensor, dim: Any = None) -> Any:
    """The inverse of fftshift."""
    axes = tuple(range(input.ndim)) if dim is None else axes_of(dim, input.ndim)
    return roll(input, [-(input._type.shape[axis] // 2) for axis in axes], axes)
