"""torch.cpu: the processor as a device, with the names that torch.cuda has."""

from __future__ import annotations

from typing import Any

from flambeau.cuda import Event as Event
from flambeau.cuda import Stream as Stream
from flambeau.cuda import current_stream as current_stream
from flambeau.cuda import stream as stream
from flambeau.stand_in import stand_in

__all__ = [
    "Event",
    "Stream",
    "current_device",
    "current_stream",
    "device_count",
    "is_available",
    "is_initialized",
    "set_device",
    "stream",
    "synchronize",
]


def is_available() -> bool:
    """True."""
    return True


def is_initialized() -> bool:
    """True."""
    return True


def device_count() -> int:
    """1."""
    return 1


def current_device() -> str:
    """ "cpu", as in PyTorch."""
    return "cpu"


@stand_in("accepted: there is one")
def set_device(device: Any) -> None:
    """Nothing to do."""


def synchronize(device: Any = None) -> None:
    """Compute what is pending."""
    from flambeau.schedule.flush import flush

    flush()


def __getattr__(name: str) -> Any:
    if name == "amp":
        import importlib

        return importlib.import_module("flambeau.cpu.amp")
    raise AttributeError(f"module 'flambeau.cpu' has no attribute '{name}'")
