"""torch.cpu.amp: autocast and GradScaler for the cpu device."""

from __future__ import annotations

from typing import Any

from flambeau import amp
from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType

__all__ = ["GradScaler", "autocast"]


class autocast(amp.autocast):  # noqa: N801  # PyTorch's name
    """torch.amp.autocast("cpu")."""

    def __init__(
        self, enabled: bool = True, dtype: DType = dtypes.bfloat16, cache_enabled: bool = True
    ) -> None:
        super().__init__("cpu", dtype, enabled, cache_enabled)


class GradScaler(amp.GradScaler):
    """torch.amp.GradScaler("cpu")."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("cpu", *args, **kwargs)
