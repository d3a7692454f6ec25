"""The library `onnx`, imported when a model is written."""

from __future__ import annotations

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
