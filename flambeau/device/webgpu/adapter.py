"""Finding an adapter and starting wgpu: everything that can be missing on a machine.

wgpu is imported here only, and late: it takes a tenth of a second.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

INSTALL = (
    "install a Vulkan driver (Debian: apt install mesa-vulkan-drivers; it runs on the processor "
    "where there is no GPU)"
)

BROWSER_LIMITS: dict[str, int] = {
    "max-storage-buffers-per-shader-stage": 8,
    "max-compute-workgroup-storage-size": 16384,
    "max-compute-invocations-per-workgroup": 256,
    "max-compute-workgroup-size-x": 256,
    "max-compute-workgroup-size-y": 256,
    "max-compute-workgroup-size-z": 64,
    "max-compute-workgroups-per-dimension": 65535,
    "max-storage-buffer-binding-size": 128 << 20,
    "max-uniform-buffer-binding-size": 64 << 10,
    "max-buffer-size": 256 << 20,
    "min-storage-buffer-offset-alignment": 256,
    "min-uniform-buffer-offset-alignment": 256,
}
"""What every browser grants; nothing beyond is asked for."""

_forked = False


def _after_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def check_fork(started: int) -> None:
    """Raise RuntimeError where this process was forked after process `started` began using wgpu."""
    if _forked and os.getpid() != started:
        raise RuntimeError(
            "webgpu cannot be used in a process forked after it was started: use "
            'multiprocessing\'s start method "spawn", or device cpu'
        )


def _import() -> Any:
    try:
        import wgpu
        import wgpu.backends.wgpu_native
    except (ImportError, OSError) as error:
        raise RuntimeError(
            f"webgpu needs the package wgpu, which cannot be imported ({error}): pip install wgpu"
        ) from error
    return wgpu


def _restrict_backends() -> None:
    """No OpenGL: its drivers compute negative remainders wrongly."""
    from wgpu.backends.wgpu_native import extras

    wanted = {"darwin": ["Metal"], "win32": ["DX12", "Vulkan"]}.get(sys.platform, ["Vulkan"])
    try:
        extras.set_instance_extras(backends=wanted)
    except RuntimeError:
        # The program has used wgpu before us: its instance serves, and `_choose` filters.
        return


def _choose(wgpu: Any) -> Any:
    """The best adapter: a discrete GPU first, a processor last."""
    ranks = {"DiscreteGPU": 0, "IntegratedGPU": 1, "VirtualGPU": 2, "Unknown": 3, "CPU": 4}
    backends = {"Vulkan": 0, "Metal": 0, "D3D12": 1}
    found = [
        each for each in wgpu.gpu.enumerate_adapters_sync() if each.info["backend_type"] in backends
    ]
    if not found:
        raise RuntimeError(f"no WebGPU adapter was found: {INSTALL}")
    return min(
        found,
        key=lambda each: (
            ranks.get(each.info["adapter_type"], 3),
            backends[each.info["backend_type"]],
        ),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Drivers look for a display and complain on stderr where a machine has none."""
    absent = "XDG_RUNTIME_DIR" not in os.environ
    if absent:
        os.environ["XDG_RUNTIME_DIR"] = tempfile.gettempdir()
    try:
        yield
    finally:
        if absent:
            del os.environ["XDG_RUNTIME_DIR"]


@cache
def find() -> tuple[Any, Any]:
    """(the wgpu module, the adapter). Raises RuntimeError that says what to install."""
    wgpu = _import()
    _restrict_backends()
    try:
        with _quiet():
            return wgpu, _choose(wgpu)
    except RuntimeError:
        raise
    except Exception as error:  # wgpu raises many types where a driver is broken
        raise RuntimeError(f"no WebGPU adapter was found ({error}): {INSTALL}") from error


@cache
def problem() -> str | None:
    """None where there is an adapter, else the reason why there is none. Never raises."""
    try:
        find()
    except RuntimeError as error:
        return str(error)
    return None


def request(wgpu: Any, adapter: Any) -> Any:
    """A wgpu device with browser limits, and float16 where there is one."""
    features = [each for each in ("shader-f16",) if each in adapter.features]
    try:
        return adapter.request_device_sync(
            label="flambeau", required_features=features, required_limits=BROWSER_LIMITS
        )
    except Exception as error:  # wgpu raises many types where a driver is broken
        raise RuntimeError(
            f"the WebGPU adapter {adapter.info['device']} does not start ({error}): update its "
            f"driver, or {INSTALL}"
        ) from error
