"""torch.device and the default device and dtype."""

from __future__ import annotations

import sys
from typing import Any

from flambeau import config
from flambeau.device import base as devices
from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType

ELSEWHERE = frozenset(
    {"cuda", "hip", "hpu", "ipu", "mps", "mtia", "privateuseone", "ve", "vulkan", "xla"} | {"xpu"}
)
"""PyTorch's device types that can be named and compared, and not used."""


class _NotHereError(AssertionError, RuntimeError):
    """A device of another machine was used: PyTorch's error, and that of devices that fail here."""


class device:  # noqa: N801  # PyTorch's name
    """Where a tensor lives: a type ("cpu", "webgpu", "reference", "meta") and an index (0 or None).

    PyTorch's other types ("cuda", "mps", …) can be named; using one is the error. Raises
    RuntimeError where there is no such device type. Also a context manager: inside, it is
    the default device.
    """

    __slots__ = ("_outer", "index", "type")

    type: str
    index: int | None

    def __init__(self, type: str | device, index: int | None = None) -> None:  # noqa: A002  # PyTorch's name
        name = type.type if isinstance(type, device) else type
        if not isinstance(name, str):
            raise TypeError(f"device(): expected a device or a string, got {name!r}")
        if ":" in name:
            name, _, number = name.partition(":")
            if not number.isdigit():
                raise RuntimeError(
                    f"Invalid device string: '{type}'; expected like 'cpu' or 'cpu:0'"
                )
            index = int(number)
        if name not in devices.names():
            if name not in ELSEWHERE:
                raise RuntimeError(
                    f"Expected one of {', '.join(devices.names())} device type at start of device "
                    f"string: {name}"
                )
        elif index not in (None, 0):
            raise RuntimeError(f"device {name} has one unit, index 0; got index {index}")
        self.type = sys.intern(name)  # Nodes compare devices with `is`
        self.index = index
        self._outer: list[str | None] = []

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{index})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __reduce__(self) -> Any:
        return (device, (self.type, self.index))

    def __enter__(self) -> device:
        self._outer.append(_default.device)
        _default.device = resolve(self)
        return self

    def __exit__(self, *error: object) -> None:
        _default.device = self._outer.pop()


class _Default:
    device: str | None = None  # None: config.DEVICE, checked at first use
    dtype: DType = dtypes.float32


_default = _Default()
_interned: dict[str, device] = {}


def device_of(name: str) -> device:
    """The device object of a Node's device name."""
    found = _interned.get(name)
    if found is None:
        found = _interned[name] = device(name)
    return found


def default_device_name() -> str:
    if _default.device is None:
        try:
            _default.device = resolve(device(config.DEVICE))
        except (RuntimeError, AssertionError) as error:
            raise type(error)(f"FLAMBEAU_DEVICE={config.DEVICE}: {error}") from None
    return _default.device


def resolve(of: Any) -> str:
    """The device name for a `device=` argument; None is the default device.

    Raises RuntimeError where the device cannot run here, and AssertionError, as PyTorch, for
    those of other machines: at this call, not when it is computed.
    """
    if of is None:
        return default_device_name()
    name = of.type if isinstance(of, device) else device(of).type
    if name in ELSEWHERE:
        raise _NotHereError(
            f"Torch not compiled with {name.upper()} enabled: Flambeau uses GPUs through WebGPU, "
            f"device 'webgpu'; the devices are {', '.join(devices.names())}"
        )
    devices.get(name)
    return name


def get_default_device() -> device:
    """The device on which tensors are made where none is named."""
    return device_of(default_device_name())


def set_default_device(of: device | str | None) -> None:
    """Make tensors on this device where none is named; None: what FLAMBEAU_DEVICE says."""
    if of is not None:
        _default.device = resolve(of)
    else:
        _default.device = None


def get_default_dtype() -> DType:
    """The dtype of floating-point numbers made from Python floats."""
    return _default.dtype


def set_default_dtype(dtype: DType) -> None:
    """Raises TypeError where `dtype` is not a floating-point type."""
    if not dtype.is_floating_point:
        raise TypeError(f"only floating-point types are supported as the default type, got {dtype}")
    _default.dtype = dtype
