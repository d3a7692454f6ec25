"""Complex tensors of real ones and back: complex, polar, view_as_real, real, imag, conj, angle."""

from __future__ import annotations

from typing import Any

from flambeau.graph import op
from flambeau.ops.axes import title
from flambeau.ops.logic import where
from flambeau.ops.promote import floating
from flambeau.ops.publish import public, publish
from flambeau.ops.shape import stack
from flambeau.ops.view import broadcast_tensors, transpose
from flambeau.tensor.attach import method
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor

# parts ------------------------------------------------------------------------------------------


def real_part(x: Tensor) -> Any:
    """The real part of a complex tensor."""
    return record(op.REAL, (x,))


def imaginary_part(x: Tensor) -> Any:
    """The imaginary part of a complex tensor."""
    return record(op.IMAG, (x,))


def made_of(x: Any, y: Any) -> Any:
    """x + y·i of two real tensors of one shape and dtype."""
    return record(op.COMPLEX_OF, (x, y))


def _check_parts(name: str, first: Tensor, second: Tensor) -> None:
    for each in (first, second):
        if not each._type.dtype.is_floating_point or each._type.dtype.itemsize == 2:
            raise RuntimeError(
                f"Expected both inputs to be Half, Float or Double tensors but got {title(first)} "
                f"and {title(second)} (in {name})"
            )
    if first._type.dtype is not second._type.dtype:
        raise RuntimeError(
            f"Expected object of scalar type {title(first)} but got scalar type {title(second)} "
            "for second argument"
        )


@public(method=False)
def complex(real: Tensor, imag: Tensor) -> Any:  # PyTorch's name
    """real + imag·i, of two floating tensors of one dtype; shapes are broadcast."""
    _check_parts("complex", real, imag)
    return made_of(*broadcast_tensors(real, imag))


@public(method=False)
def polar(abs: Tensor, angle: Tensor) -> Any:
    """abs · (cos angle + i sin angle)."""
    _check_parts("polar", abs, angle)
    return made_of(*broadcast_tensors(abs * angle.cos(), abs * angle.sin()))


@public(method=False, out=False)
def view_as_real(input: Tensor) -> Any:
    """Real and imaginary parts along a new last dimension. A copy: see docs/differences.md."""
    if not input._type.dtype.is_complex:
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return stack([real_part(input), imaginary_part(input)], -1)


@public(method=False, out=False)
def view_as_complex(input: Tensor) -> Any:
    """The complex tensor whose parts lie along the last dimension, which has two elements."""
    if not input._type.dtype.is_floating_point:
        raise RuntimeError(
            f"view_as_complex is only supported for floating point tensors, but got {title(input)}"
        )
    if not input.ndim:
        raise RuntimeError("Input tensor must have one or more dimensions")
    if input._type.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    return made_of(input.select(-1, 0), input.select(-1, 1))


@public(method=False, out=False)
def real(input: Tensor) -> Any:
    """The real part; of a real tensor itself."""
    return real_part(input) if input._type.dtype.is_complex else input


@public(method=False, out=False)
def imag(input: Tensor) -> Any:
    """The imaginary part. RuntimeError for a real tensor, as in PyTorch."""
    if not input._type.dtype.is_complex:
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return imaginary_part(input)


def _write_part(name: str, other: str) -> Any:
    """z.real = x: the part is replaced, in place."""

    def assign(self: Tensor, value: Any) -> None:
        if not self._type.dtype.is_complex:
            self.copy_(value)
            return
        parts = {"real": real_part(self), "imag": imaginary_part(self)}
        new = value if isinstance(value, Tensor) else parts[name].new_tensor(value)
        parts[name] = new.to(parts[other].dtype).expand(self._type.shape)
        self.copy_(made_of(parts["real"], parts["imag"]))

    return assign


Tensor.real = property(real, _write_part("real", "imag"))  # type: ignore[attr-defined]  # as real
Tensor.imag = property(imag, _write_part("imag", "real"))  # type: ignore[attr-defined]  # as imag


# conjugates and angles --------------------------------------------------------------------------


@public("conj_physical", out=False)
def conj(input: Tensor) -> Any:
    """The conjugate: the imaginary part has the other sign. A real tensor is its own."""
    if not input._type.dtype.is_complex:
        return input
    return made_of(real_part(input), -imaginary_part(input))


@method()
def conj_physical_(self: Tensor) -> Tensor:
    """The conjugate, in place."""
    return self.copy_(conj(self))


@public(out=False)
def resolve_conj(input: Tensor) -> Tensor:
    """input: conjugates are made at once."""
    return input


@public(out=False)
def resolve_neg(input: Tensor) -> Tensor:
    """input: negatives are made at once."""
    return input


def is_conj(input: Tensor) -> bool:
    """False: conjugates are made at once."""
    return False


def is_neg(input: Tensor) -> bool:
    """False: negatives are made at once."""
    return False


for _function in (is_conj, is_neg):
    method()(_function)
    publish(_function, _function.__name__)


@public(out=False)
def angle(input: Tensor) -> Any:
    """The angle of each number in the complex plane; of real ones 0 or π (NaN stays)."""
    if input._type.dtype.is_complex:
        return imaginary_part(input).atan2(real_part(input))
    x = input.to(floating(input.dtype))
    return where(x != x, x, where(x < 0, 3.141592653589793, 0.0).to(x.dtype))


@method("cfloat")
def _cfloat(self: Tensor, memory_format: Any = None) -> Tensor:
    """As complex64."""
    from flambeau.graph.dtype import complex64

    return self.to(complex64)


@method("cdouble")
def _cdouble(self: Tensor, memory_format: Any = None) -> Tensor:
    """As complex128."""
    from flambeau.graph.dtype import complex128

    return self.to(complex128)


def adjoint_of(input: Tensor) -> Any:
    """The last two dimensions exchanged, and conjugates."""
    return conj(transpose(input, -2, -1))
