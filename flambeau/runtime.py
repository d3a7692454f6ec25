"""torch's settings of how things run: threads, determinism, precision of products."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from flambeau.device import base
from flambeau.stand_in import stand_in

__all__ = [
    "are_deterministic_algorithms_enabled",
    "get_deterministic_debug_mode",
    "get_device_module",
    "get_float32_matmul_precision",
    "get_num_threads",
    "is_deterministic_algorithms_warn_only_enabled",
    "set_deterministic_debug_mode",
    "set_float32_matmul_precision",
    "set_num_threads",
    "use_deterministic_algorithms",
]


def _assert(condition: Any, message: str) -> None:
    """assert of a condition, a tensor or a bool. AssertionError with this message."""
    assert condition, message


def _checking(name: str, error: type[Exception]) -> Callable[..., None]:
    def check(cond: Any, message: Callable[[], object] | None = None) -> None:
        if not isinstance(cond, bool):
            raise TypeError(f"{name}: cond must be a bool, but got {type(cond).__name__}")
        if not cond:
            raise error(str(message()) if message is not None else "Expected cond to be True")

    check.__name__ = name
    check.__doc__ = f"Raises {error.__name__} with what `message` returns unless `cond` is True."
    return check


_check = _checking("_check", RuntimeError)
_check_index = _checking("_check_index", IndexError)
_check_value = _checking("_check_value", ValueError)
_check_type = _checking("_check_type", TypeError)
_check_not_implemented = _checking("_check_not_implemented", NotImplementedError)


def _threads() -> Any:
    """The cpu device's native threads; it is started here if it has not been used yet."""
    return base.get("cpu").runtime  # type: ignore[attr-defined]  # CpuDevice's


def get_num_threads() -> int:
    """How many threads the cpu device uses; FLAMBEAU_THREADS sets it from outside."""
    return int(_threads().threads)


def set_num_threads(threads: int) -> None:
    """Use this many threads on the cpu device. Results do not depend on it.

    Raises TypeError where `threads` is no integer, RuntimeError where it is below 1.
    """
    if not isinstance(threads, int) or isinstance(threads, bool):
        raise TypeError(f"set_num_threads expects an int, but got {type(threads).__name__}")
    if threads < 1:
        raise RuntimeError(f"set_num_threads expects a positive integer, got {threads}")
    _threads().set_threads(threads)


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accepted: Flambeau has deterministic algorithms only, whatever `mode` is."""


def are_deterministic_algorithms_enabled() -> bool:
    """True, always."""
    return True


_DEBUG_MODES = {"default": 0, "warn": 1, "error": 2}
_debug_mode = 0


@stand_in("kept; only deterministic algorithms exist")
def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """0 or "default", 1 or "warn", 2 or "error": kept for get_deterministic_debug_mode."""
    global _debug_mode
    found = _DEBUG_MODES.get(debug_mode, -1) if isinstance(debug_mode, str) else debug_mode
    if isinstance(found, bool) or not isinstance(found, int):
        raise TypeError(f"debug_mode must be str or int, but got {type(debug_mode)}")
    if found not in _DEBUG_MODES.values():
        raise RuntimeError(
            "invalid value of debug_mode, expected one of `default`, `warn`, `error` (0, 1, 2), "
            f"but got {debug_mode}"
        )
    _debug_mode = found


def get_deterministic_debug_mode() -> int:
    """What set_deterministic_debug_mode was given last, as a number."""
    return _debug_mode


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Whether the debug mode is 1, "warn"."""
    return _debug_mode == 1


def get_device_module(device: Any = None) -> Any:
    """torch.cpu, torch.cuda, …: the module of a device's type, by default the accelerator's.

    Raises RuntimeError where there is none.
    """
    name = device if isinstance(device, str) else getattr(device, "type", "cpu")
    name = name.partition(":")[0]
    if name not in ("cpu", "cuda", "mps", "xpu"):
        raise RuntimeError(
            f"Device '{name}' does not have a corresponding module registered as torch.{name}"
        )
    return importlib.import_module(f"flambeau.{name}")


_PRECISIONS = ("highest", "high", "medium")
_precision = "highest"


def get_float32_matmul_precision() -> str:
    """What set_float32_matmul_precision was given last."""
    return _precision


def set_float32_matmul_precision(precision: str) -> None:
    """Allow less precise float32 products. Products stay in float32: a permission is no order.

    Raises RuntimeError for anything but "highest", "high" and "medium".
    """
    global _precision
    if precision not in _PRECISIONS:
        raise RuntimeError(
            f"float32 matmul precision must be one of {', '.join(_PRECISIONS)}; got {precision!r}"
        )
    _precision = precision
