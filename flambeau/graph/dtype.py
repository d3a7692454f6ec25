"""Element types. A DType is interned: compare with `is`."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy


class DType:
    """One element type: its PyTorch name, size in bytes, kind and numpy equivalent."""

    __slots__ = (
        "__dict__",
        "has_gradient",
        "is_complex",
        "is_floating_point",
        "is_signed",
        "itemsize",
        "kind",
        "name",
    )

    def __init__(self, name: str, kind: str, itemsize: int) -> None:
        self.name = name
        self.kind = kind  # "bool", "uint", "int", "float" or "complex"
        self.itemsize = itemsize
        self.is_floating_point = kind == "float"
        self.is_complex = kind == "complex"
        self.has_gradient = kind in ("float", "complex")
        self.is_signed = kind in ("int", "float", "complex")

    @property
    def real(self) -> DType:
        """The dtype of the real and imaginary parts; of a real dtype itself."""
        if not self.is_complex:
            return self
        return float64 if self is complex128 else float32

    def to_real(self) -> DType:
        """PyTorch's name of `real`."""
        return self.real

    def to_complex(self) -> DType:
        """The complex dtype whose parts have this dtype, or hold it."""
        if self.is_complex:
            return self
        return complex128 if self is float64 else complex64

    @cached_property
    def numpy(self) -> numpy.dtype[Any]:
        """The numpy dtype; bfloat16 and float8 come from ml_dtypes."""
        if self is bfloat16 or self.name.startswith("float8"):
            import ml_dtypes

            return numpy.dtype(getattr(ml_dtypes, self.name))
        return numpy.dtype(self.name)

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_by_name, (self.name,))


bool_ = DType("bool", "bool", 1)
uint8 = DType("uint8", "uint", 1)
uint32 = DType("uint32", "uint", 4)
int8 = DType("int8", "int", 1)
int16 = DType("int16", "int", 2)
int32 = DType("int32", "int", 4)
int64 = DType("int64", "int", 8)
float16 = DType("float16", "float", 2)
bfloat16 = DType("bfloat16", "float", 2)
float32 = DType("float32", "float", 4)
float64 = DType("float64", "float", 8)
complex64 = DType("complex64", "complex", 8)
complex128 = DType("complex128", "complex", 16)

DTYPES: dict[str, DType] = {
    dtype.name: dtype
    for dtype in (
        bool_,
        uint8,
        uint32,
        int8,
        int16,
        int32,
        int64,
        float16,
        bfloat16,
        float32,
        float64,
        complex64,
        complex128,
    )
}
_OF_NUMPY: dict[Any, DType] = {}  # what from_numpy has found

NAMED: dict[str, DType] = {
    name: DType(name, kind, itemsize)
    for name, kind, itemsize in (
        ("float8_e4m3fn", "float", 1),
        ("float8_e4m3fnuz", "float", 1),
        ("float8_e5m2", "float", 1),
        ("float8_e5m2fnuz", "float", 1),
        ("float8_e8m0fnu", "float", 1),
        ("uint16", "uint", 2),
        ("uint64", "uint", 8),
    )
}
"""Dtypes that can be named and compared: no device has tensors of them."""

_INTEGER_ORDER = (uint8, int8, int16, int32, uint32, int64)
_FLOAT_ORDER = (float16, bfloat16, float32, float64)


def _by_name(name: str) -> DType:
    return DTYPES.get(name) or NAMED[name]


def check_usable(dtype: DType) -> None:
    """Raises TypeError where no device has tensors of the dtype."""
    if dtype.name in NAMED:
        raise TypeError(f"{dtype!r} can be named, but no device has tensors of it")


def from_numpy(dtype: Any) -> DType:
    """The DType of a numpy dtype. Raises TypeError where there is none."""
    found = _OF_NUMPY.get(dtype)
    if found is not None:
        return found
    name = numpy.dtype(dtype).name  # of other byte orders, too
    found = DTYPES.get(name)
    if found is None:
        supported = ", ".join(DTYPES)
        raise TypeError(
            f"can't convert a numpy array of type {name}. The supported types are: {supported}."
        )
    _OF_NUMPY[dtype] = found
    return found


def promote(first: DType, second: DType) -> DType:
    """The dtype that holds both, by PyTorch's lattice (uint8 with int8 is int16, …)."""
    if first is second:
        return first
    if first.kind == "bool":
        return second
    if second.kind == "bool":
        return first
    if first.is_complex or second.is_complex:
        return promote(first.real, second.real).to_complex()
    if first.is_floating_point and second.is_floating_point:
        if {first, second} == {float16, bfloat16}:
            return float32
        return max(first, second, key=_FLOAT_ORDER.index)
    if first.is_floating_point:
        return first
    if second.is_floating_point:
        return second
    if {first, second} == {uint8, int8}:
        return int16
    return max(first, second, key=_INTEGER_ORDER.index)
