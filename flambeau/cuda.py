"""torch.cuda, as far as programs ask whether it is there: it is not. See torch.accelerator."""

from __future__ import annotations

from typing import Any


def is_available() -> bool:
    """False: Flambeau reaches NVIDIA's GPUs, like all others, through WebGPU."""
    return False


def is_initialized() -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0


def manual_seed(seed: int) -> None:
    """Ignored, as in PyTorch where there is no CUDA."""


def manual_seed_all(seed: int) -> None:
    """Ignored, as in PyTorch where there is no CUDA."""


def empty_cache() -> None:
    """Ignored, as in PyTorch where there is no CUDA."""


def __getattr__(name: str) -> Any:
    raise AttributeError(
        f"flambeau.cuda has no '{name}': there is no CUDA in Flambeau. GPUs are reached through "
        "WebGPU: use device 'webgpu' and torch.accelerator"
    )
