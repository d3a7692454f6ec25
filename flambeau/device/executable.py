"""What a device makes of a program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Executable:
    """A compiled program."""

    def run(self, inputs: Sequence[Any], scalars: Sequence[Any]) -> list[Any]:
        """Run on input buffers and runtime scalars; returns the output buffers, in order.

        An output that aliases an input is that input's buffer object, now holding the new value.
        Raises what a Check recorded (IndexError, RuntimeError), naming the user's line. Where the
        run went on to its end, the error's `failure` has the output buffers.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how it runs")

    def fits(self, scalars: Sequence[Any]) -> bool:
        """Whether it can run with these scalars; one that serves many lengths may not."""
        return True

    def program(self) -> Any:
        """The program that runs, where it is not the one of the graph that was asked for."""
        return None

    def describe(self) -> str:
        """Launches and code, for `explain`."""
        return repr(self)

    def serialize(self) -> bytes | None:
        """For the disk cache: what Device.deserialize takes; None where it cannot be stored."""
        return None
