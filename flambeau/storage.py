"""The memory of tensors. PyTorch's torch.storage."""

from __future__ import annotations

from flambeau.ops.storage import TypedStorage, UntypedStorage

__all__ = ["TypedStorage", "UntypedStorage"]
