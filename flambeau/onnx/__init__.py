"""PyTorch's torch.onnx: what programs ask on their way; there is no exporter yet."""

from __future__ import annotations

from flambeau.onnx.symbolic_helper import register_custom_op_symbolic

__all__ = ["is_in_onnx_export", "register_custom_op_symbolic"]


def is_in_onnx_export() -> bool:
    """False: nothing is being exported."""
    return False
