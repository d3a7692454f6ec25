"""PyTorch's torch.onnx: what programs ask on their way; there is no exporter yet."""

from __future__ import annotations

__all__ = ["is_in_onnx_export"]


def is_in_onnx_export() -> bool:
    """False: nothing is being exported."""
    return False
