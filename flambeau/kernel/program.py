"""What a flush hands to a device: launches over numbered buffers, with everything known but the
buffers' addresses and the scalars' values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flambeau.graph.dtype import DType
from flambeau.graph.node import Location, TensorType
from flambeau.kernel.ir import Kernel


@dataclass(slots=True)
class Slot:
    """One buffer of a program.

    role: "input" (given to each run), "output" (allocated by each run; or, where `alias` is set,
    the buffer of that input slot, written in place) or "temporary" (lies in the program's arena at
    `offset`, a multiple of 64; lifetimes overlap only where the planner knows it to be safe).
    """

    type: TensorType
    role: str
    alias: int | None = None
    offset: int = 0


@dataclass(slots=True)
class Launch:
    """Run a kernel: its buffers are slots, its scalars are program scalars, both by number.

    Launches run in order; each sees all that earlier ones wrote. One that is `independent` may run
    at the same time as those before it, back to the last that is not: it reads nothing that they
    write, and writes nothing that they read or write. `locations` are the users' lines
    that the kernel computes, for errors and `explain`; `errors` says what a Check's code means:
    code -> (exception name, message with {detail}, location).
    """

    kernel: Kernel
    slots: tuple[int, ...]
    scalars: tuple[int, ...] = ()
    locations: tuple[Location, ...] = ()
    errors: dict[int, tuple[str, str, Location | None]] = field(default_factory=dict)
    independent: bool = False


@dataclass(slots=True)
class HostCall:
    """Run a registered host function on numpy arrays between launches."""

    function: str
    attrs: tuple[Any, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(slots=True)
class Program:
    """A plan before a device compiles it. `inputs` and `outputs` are slot numbers, in order."""

    slots: list[Slot]
    launches: list[Launch | HostCall]
    scalars: tuple[DType, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    arena: int = 0  # bytes
