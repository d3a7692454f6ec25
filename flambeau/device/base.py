"""What every device offers, and the registry of devices."""

from __future__ import annotations

import builtins
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

from flambeau.device.buffer import Buffer as Buffer
from flambeau.device.executable import Executable as Executable
from flambeau.graph.node import Location, TensorType
from flambeau.kernel.ir import Kernel
from flambeau.kernel.limits import Limits
from flambeau.kernel.program import Program

DIVISION_BY_ZERO = "ZeroDivisionError: integer division by zero"
"""The message, PyTorch's, of a RuntimeError that no Check stands for."""


@dataclass(slots=True)
class Failure:
    """A bad value that a launch met. The exception that a run raises carries it as `failure`.

    step: the launch's number among the launches and host calls that have work; kind and message: as
    in Launch.errors; detail: what the Check recorded; location: of the program that was compiled
    first, which another place of the user's may share; outputs: the output buffers, where the run
    went on to its end.
    """

    step: int
    kind: str
    message: str
    detail: int
    location: Location | None
    outputs: list[Any] | None = None

    def exception(self) -> Exception:
        """What to raise."""
        where = "" if self.location is None else f" (at {self.location[0]}:{self.location[1]})"
        kind = getattr(builtins, self.kind, RuntimeError)
        error: Exception = kind(self.message.replace("{detail}", str(self.detail)) + where)
        error.failure = self  # type: ignore[attr-defined]  # read by schedule/failure.py
        return error


class Device(ABC):
    """One place where programs run. `name` is PyTorch's device type ("cpu", "webgpu", …).

    `limits` bounds the kernels that are made for it.
    """

    name: str
    limits: Limits = Limits()
    host_memory = False
    """Whether buffers lie in the host's memory, so that they can be copied there at once."""
    computes = True
    """False where arrays have no values: what is recorded is never run."""

    @abstractmethod
    def from_numpy(self, array: numpy.ndarray[Any, Any], of: TensorType, copy: bool) -> Any:
        """A buffer holding `array` (contiguous, of the type's shape and dtype).

        With copy=False the buffer may share the array's memory, where the device can.
        """

    @abstractmethod
    def to_numpy(self, buffer: Any) -> numpy.ndarray[Any, Any]:
        """The buffer's content; shares its memory where the device can. Shape as its type."""

    def element(self, buffer: Any, place: int) -> Any:
        """One element of a buffer, counted from its first, as a Python number."""
        return self.to_numpy(buffer).reshape(-1)[place].item()

    @abstractmethod
    def compile(self, program: Program) -> Executable:
        """Compile all kernels of a program. Raises NotImplementedError naming op and device."""

    def deserialize(self, data: bytes) -> Executable | None:
        """An Executable from `serialize`; None where the data do not fit this machine."""
        return None

    def supports(self, dtype: Any) -> str | None:
        """None where arrays of this dtype can live here, else why not and what to do."""
        return None

    def code(self, kernel: Kernel) -> str:
        """One kernel as this device's code, to look at; "" where `Executable.describe` has it."""
        return ""

    def fingerprint(self) -> str:
        """What compiled code depends on (processor, features, versions): part of cache keys."""
        return self.name

    def synchronize(self) -> None:  # noqa: B027  # nothing to wait for where runs are synchronous
        """Wait until all submitted work is done."""

    def information(self) -> dict[str, str]:
        """Facts for `flambeau info`."""
        return {}


_FACTORIES: dict[str, Callable[[], Device]] = {}
_DEVICES: dict[str, Device] = {}


def register(name: str, factory: Callable[[], Device]) -> None:
    """Make `name` a device; `factory` is called at its first use and may raise RuntimeError."""
    _FACTORIES[name] = factory


def names() -> tuple[str, ...]:
    return tuple(_FACTORIES)


def get(name: str) -> Device:
    """The device of this name, started at first use.

    Raises RuntimeError where there is none, or where it cannot run on this machine.
    """
    known = _DEVICES
    found = known.get(name)
    if found is None:
        factory = _FACTORIES.get(name)
        if factory is None:
            raise RuntimeError(
                f"Expected one of {', '.join(_FACTORIES)} device type at start of device string: "
                f"{name}"
            )
        found = known[name] = factory()
    return found
