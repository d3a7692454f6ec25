"""torch.accelerator: the device beside the processor, which here is WebGPU."""

from __future__ import annotations

import functools
from typing import Any

from flambeau.device import base
from flambeau.tensor.device import device, device_of

_NAME = "webgpu"


@functools.cache
def _reason() -> str | None:
    """None where WebGPU can be used, else why not and what to do."""
    try:
        base.get(_NAME)
    except RuntimeError as error:
        return str(error)
    return None


def is_available() -> bool:
    """Whether there is a WebGPU adapter. Starts the device."""
    return _reason() is None


def device_count() -> int:
    """1 where there is an adapter, else 0."""
    return int(is_available())


def current_accelerator(check_available: bool = False) -> device | None:
    """device("webgpu"); with check_available, None where there is no adapter."""
    if check_available and not is_available():
        return None
    return device_of(_NAME)


def current_device_index() -> int:
    """0. Raises RuntimeError where there is no adapter."""
    _require()
    return 0


def set_device_index(of: Any) -> None:
    """Accepts index 0 or device("webgpu"). Raises RuntimeError for anything else."""
    index = of.index or 0 if isinstance(of, device) else of
    if isinstance(of, device) and of.type != _NAME:
        raise RuntimeError(f"{of} is not the current accelerator, which is {_NAME}")
    if index != 0:
        raise RuntimeError(f"there is one {_NAME} device, index 0; got index {index}")
    _require()


class device_index:  # noqa: N801  # PyTorch's name
    """`with device_index(0)`: there is one device of index 0. RuntimeError for another index."""

    def __init__(self, device: int | None, /) -> None:
        self._index = device

    def __enter__(self) -> None:
        if self._index is not None:
            set_device_index(self._index)

    def __exit__(self, *error: object) -> None:
        return None


def synchronize(of: Any = None) -> None:
    """Wait until all work that was submitted is done; what is pending stays pending."""
    _require()
    base.get(_NAME).synchronize()


def _require() -> None:
    reason = _reason()
    if reason is not None:
        raise RuntimeError(reason)
