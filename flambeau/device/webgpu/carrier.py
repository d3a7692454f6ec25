"""How each dtype lives on a WebGPU device: one table, and the conversions at its border.

WGSL has 32-bit integers and floats, and float16 as an extension. Narrow integers and bools take
one 32-bit word an element (so that two threads never write one word); int64 is carried as int32
and checked when it is uploaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy

from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType
from flambeau.graph.node import TensorType

INT32_LEAST = -(2**31)
INT32_MOST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Carrier:
    """`register`: WGSL type of a value; `storage`: of an element; `word`: its numpy type."""

    register: str
    storage: str
    word: str

    @property
    def itemsize(self) -> int:
        return 2 if self.storage == "f16" else 4


CARRIERS: dict[DType, Carrier] = {
    dtypes.float32: Carrier("f32", "f32", "float32"),
    dtypes.float16: Carrier("f32", "f16", "float16"),
    dtypes.int64: Carrier("i32", "i32", "int32"),
    dtypes.int32: Carrier("i32", "i32", "int32"),
    dtypes.int16: Carrier("i32", "i32", "int32"),
    dtypes.int8: Carrier("i32", "i32", "int32"),
    dtypes.uint32: Carrier("u32", "u32", "uint32"),
    dtypes.uint8: Carrier("u32", "u32", "uint32"),
    dtypes.bool_: Carrier("bool", "u32", "uint32"),
}


def unsupported(dtype: DType, has_half: bool) -> str | None:
    """None where arrays of `dtype` can live on the device, else why not and what to do."""
    if dtype is dtypes.float16 and not has_half:
        return (
            "torch.float16 is not available on webgpu here: the adapter lacks the feature "
            "shader-f16. Use torch.float32, or device cpu."
        )
    if dtype in CARRIERS:
        return None
    reason = (
        "WGSL has no 64-bit floats"
        if dtype is dtypes.float64
        else f"WGSL has no type for {dtype.name}"
    )
    return f"{dtype!r} is not available on webgpu: {reason}. Use torch.float32, or device cpu."


def carrier(dtype: DType) -> Carrier:
    """The table's entry. Raises RuntimeError where there is none."""
    found = CARRIERS.get(dtype)
    if found is None:
        raise RuntimeError(unsupported(dtype, True))
    return found


def nbytes(of: TensorType) -> int:
    """Bytes of an array on the device: whole words, and never none."""
    return max(4, (of.size * carrier(of.dtype).itemsize + 3) & ~3)


def check_int64(value: int, what: str) -> int:
    """`value`, which must fit int32. Raises OverflowError."""
    if not INT32_LEAST <= value <= INT32_MOST:
        raise OverflowError(
            f"{what} {value} does not fit: webgpu carries int64 as int32 "
            f"({INT32_LEAST} to {INT32_MOST}). Keep such values on device cpu."
        )
    return value


def encode(array: numpy.ndarray[Any, Any], dtype: DType) -> bytes | memoryview:
    """The device's bytes of an array of `dtype`, whole words.

    Raises OverflowError where an int64 element does not fit int32.
    """
    if dtype is dtypes.int64 and array.size:
        check_int64(int(array.min()), "the int64 element")
        check_int64(int(array.max()), "the int64 element")
    words = numpy.ascontiguousarray(array, dtype=carrier(dtype).word).reshape(-1)
    if words.nbytes % 4:
        words = numpy.append(words, numpy.zeros(1, words.dtype))
    return words.view(numpy.uint8).data


def decode(data: Any, of: TensorType) -> numpy.ndarray[Any, Any]:
    """An array from the device's bytes; shares their memory where no conversion is needed."""
    words = numpy.frombuffer(data, dtype=carrier(of.dtype).word, count=of.size)
    target = of.dtype.numpy
    converted = words if words.dtype == target else words.astype(target)
    return converted.reshape(of.shape)


def scalar_word(value: Any, dtype: DType) -> int:
    """The 32 bits of a runtime scalar, as an unsigned number. Raises OverflowError for int64."""
    kind = carrier(dtype).register
    if kind == "bool":
        return int(bool(value))
    if kind == "f32":
        with numpy.errstate(over="ignore"):
            rounded = numpy.asarray(value).astype(dtype.numpy).astype(numpy.float32)
        return int(rounded.view(numpy.uint32))
    if dtype is dtypes.int64:
        return check_int64(int(value), "the int64 scalar") & 0xFFFFFFFF
    return int(numpy.asarray(int(value)).astype(dtype.numpy).astype(numpy.int64)) & 0xFFFFFFFF
