"""Arrays handed to and from other libraries. PyTorch's torch.utils.dlpack."""

from __future__ import annotations

from typing import Any

from flambeau.ops.exchange import from_dlpack
from flambeau.tensor.tensor import Tensor

__all__ = ["from_dlpack", "to_dlpack"]


def to_dlpack(tensor: Tensor) -> Any:
    """The DLPack capsule of a tensor's values, which one other library may take."""
    return tensor.__dlpack__()
