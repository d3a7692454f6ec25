"""The library `onnx`, imported when a model is written."""

from __future__ import annotations

import enum
from typing import Any

from flambeau.graph.dtype import DType


def library() -> Any:
    """The module onnx. Raises ImportError that names the extra where it is missing."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            "torch.onnx.export writes its files with the library onnx, which is not installed: "
            "pip install 'flambeau[onnx]'"
        ) from error
    return onnx


class TensorProtoDataType(enum.Enum):
    """ONNX's element types by ONNX's names."""

    UNDEFINED = 0
    FLOAT = 1
    UINT8 = 2
    INT8 = 3
    UINT16 = 4
    INT16 = 5
    INT32 = 6
    INT64 = 7
    STRING = 8
    BOOL = 9
    FLOAT16 = 10
    DOUBLE = 11
    UINT32 = 12
    UINT64 = 13
    COMPLEX64 = 14
    COMPLEX128 = 15
    BFLOAT16 = 16


ELEMENT_TYPES = {
    "float32": 1,
    "uint8": 2,
    "int8": 3,
    "int16": 5,
    "int32": 6,
    "int64": 7,
    "bool": 9,
    "float16": 10,
    "float64": 11,
    "uint32": 12,
    "bfloat16": 16,
}
"""TensorProto.DataType of the dtypes that both have; complex numbers ONNX cannot compute with."""


def element_type(dtype: DType) -> int:
    return ELEMENT_TYPES[dtype.name]
