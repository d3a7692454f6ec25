"""torch.cuda.amp: autocast and GradScaler for CUDA, which is not there: they warn and are off."""

from __future__ import annotations

from typing import Any

from flambeau import amp
from flambeau.amp import custom_bwd, custom_fwd
from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]


class autocast(amp.autocast):  # noqa: N801  # PyTorch's name
    """torch.amp.autocast("cuda"): warns, and changes nothing."""

    def __init__(
        self,
        enabled: bool = True,
        dtype: DType = dtypes.float16,
        cache_enabled: bool = True,
    ) -> None:
        super().__init__("cuda", dtype, enabled, cache_enabled)


class GradScaler(amp.GradScaler):
    """torch.amp.GradScaler("cuda"): warns, and is disabled."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("cuda", *args, **kwargs)
