"""The cpu device: kernels become LLVM IR, then machine code in memory, run by native threads.

Importing this package is cheap; LLVM is loaded when `CpuDevice` is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flambeau.device.cpu.device import CpuDevice

__all__ = ["CpuDevice", "get_num_threads", "set_num_threads"]


def __getattr__(name: str) -> Any:
    if name == "CpuDevice":
        from flambeau.device.cpu.device import CpuDevice

        return CpuDevice
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _device() -> CpuDevice:
    from flambeau.device import base

    device: Any = base.get("cpu")
    return device


def set_num_threads(count: int) -> None:
    """Run with `count` threads from now on. Raises RuntimeError where count < 1."""
    _device().runtime.set_threads(count)


def get_num_threads() -> int:
    """How many threads the cpu device runs on."""
    return _device().runtime.threads
