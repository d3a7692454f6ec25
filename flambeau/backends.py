"""torch.backends, as far as programs ask what is there or set what they would like."""

from __future__ import annotations

import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Backend(types.SimpleNamespace):
    """A library that PyTorch may use and Flambeau does not: settings are kept, nothing follows."""

    def is_available(self) -> bool:
        return False

    def is_built(self) -> bool:
        return False

    def __repr__(self) -> str:
        settings: dict[str, Any] = vars(self)
        return f"backend (not used by Flambeau): {settings}"


cudnn = _Backend(enabled=False, benchmark=False, deterministic=True, allow_tf32=False)


class _Attention:
    """Which kernels PyTorch may take for attention: kept, for there is one implementation here."""

    def __init__(self) -> None:
        self.enabled = dict.fromkeys(("flash", "mem_efficient", "math", "cudnn"), True)

    def flash_sdp_enabled(self) -> bool:
        return self.enabled["flash"]

    def mem_efficient_sdp_enabled(self) -> bool:
        return self.enabled["mem_efficient"]

    def math_sdp_enabled(self) -> bool:
        return self.enabled["math"]

    def cudnn_sdp_enabled(self) -> bool:
        return self.enabled["cudnn"]

    def enable_flash_sdp(self, enabled: bool) -> None:
        self.enabled["flash"] = enabled

    def enable_mem_efficient_sdp(self, enabled: bool) -> None:
        self.enabled["mem_efficient"] = enabled

    def enable_math_sdp(self, enabled: bool) -> None:
        self.enabled["math"] = enabled

    def enable_cudnn_sdp(self, enabled: bool) -> None:
        self.enabled["cudnn"] = enabled

    @contextmanager
    def sdp_kernel(
        self,
        enable_flash: bool = True,
        enable_math: bool = True,
        enable_mem_efficient: bool = True,
        enable_cudnn: bool = True,
    ) -> Iterator[None]:
        """Keep other settings within the block."""
        before = dict(self.enabled)
        self.enabled.update(
            flash=enable_flash,
            math=enable_math,
            mem_efficient=enable_mem_efficient,
            cudnn=enable_cudnn,
        )
        try:
            yield
        finally:
            self.enabled.update(before)


def _public_methods(thing: Any) -> dict[str, Any]:
    return {name: getattr(thing, name) for name in dir(thing) if "sdp" in name}


cuda = _Backend(**_public_methods(_Attention()), matmul=types.SimpleNamespace(allow_tf32=False))
mps = _Backend()
mkl = _Backend()
mkldnn = _Backend(enabled=False)
openmp = _Backend()
