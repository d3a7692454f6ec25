"""PyTorch's torch.onnx: models as ONNX files (flambeau/deploy/onnx/). See docs/onnx.md."""

from __future__ import annotations

from flambeau.deploy.onnx.errors import OnnxExporterError
from flambeau.deploy.onnx.export import (
    OperatorExportTypes,
    TrainingMode,
    export,
    is_in_onnx_export,
    select_model_mode_for_export,
)
from flambeau.deploy.onnx.library import TensorProtoDataType
from flambeau.deploy.onnx.program import ONNXProgram
from flambeau.onnx.symbolic_helper import register_custom_op_symbolic

__all__ = [
    "ONNXProgram",
    "OnnxExporterError",
    "OperatorExportTypes",
    "TensorProtoDataType",
    "TrainingMode",
    "export",
    "is_in_onnx_export",
    "register_custom_op_symbolic",
    "select_model_mode_for_export",
]
