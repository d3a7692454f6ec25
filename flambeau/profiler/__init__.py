"""torch.profiler: how long the parts of a program that are named take, on the host's clock.

Operations are recorded and computed together, so there is no time of a single one; what is pending
is computed at the end of each named part, so that its time is its own.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self

from flambeau.stand_in import stand_in

__all__ = [
    "ProfilerAction",
    "ProfilerActivity",
    "emit_itt",
    "emit_nvtx",
    "kineto_available",
    "profile",
    "record_function",
    "schedule",
]


class ProfilerActivity(enum.Enum):
    """What PyTorch can watch; here the host is."""

    CPU = 0
    XPU = 1
    CUDA = 2


class ProfilerAction(enum.Enum):
    """What a schedule says of a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0
) -> Callable[[int], ProfilerAction]:
    """Cycles of `wait` steps without, `warmup` to warm up and `active` steps that are recorded."""

    def action(step: int) -> ProfilerAction:
        step -= skip_first
        length = wait + warmup + active
        if step < 0 or (repeat and step // length >= repeat):
            return ProfilerAction.NONE
        place = step % length
        if place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        last = place == length - 1
        return ProfilerAction.RECORD_AND_SAVE if last else ProfilerAction.RECORD

    return action


@dataclass
class Event:
    """All runs of a part of one name. Times in microseconds, as PyTorch's."""

    key: str
    count: int = 0
    cpu_time_total: float = 0.0

    @property
    def cpu_time(self) -> float:
        """The mean of a run."""
        return self.cpu_time_total / self.count if self.count else 0.0


class Averages(list[Event]):
    """Events by name."""

    def table(self, sort_by: str | None = None, row_limit: int = 100, **_: Any) -> str:
        """The events as text, longest first."""
        rows = sorted(self, key=lambda each: -each.cpu_time_total)[: max(row_limit, 0) or None]
        width = max([4, *(len(each.key) for each in rows)])
        lines = [f"{'Name':<{width}}  {'Calls':>6}  {'CPU total':>12}  {'CPU time avg':>12}"]
        lines += [
            f"{each.key:<{width}}  {each.count:>6}  {each.cpu_time_total / 1e3:>9.3f} ms  "
            f"{each.cpu_time / 1e3:>9.3f} ms"
            for each in rows
        ]
        return "\n".join(lines)


_running: list[profile] = []


class record_function:  # noqa: N801  # PyTorch's name
    """Names the part of a program within; a context, or a decorator."""

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name = name

    def __enter__(self) -> Self:
        self._begin = _now() if _running else 0.0
        return self

    def __exit__(self, *exception: object) -> None:
        if _running:
            took = _now() - self._begin
            for each in _running:
                each._add(self.name, took)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        import functools

        @functools.wraps(function)
        def within(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name):
                return function(*args, **kwargs)

        return within


def _now() -> float:
    """The clock, after what is pending is computed."""
    from flambeau.schedule.flush import flush

    flush()
    return time.perf_counter()


class profile:  # noqa: N801  # PyTorch's name
    """Measures what record_function names within, and each step().

    schedule(step) says which steps are recorded, on_trace_ready(self) is called after the last of a
    cycle. `activities` and what only PyTorch's operations have (shapes, stacks, memory) are taken.
    """

    def __init__(
        self,
        *,
        activities: Iterable[ProfilerActivity] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[..., Any] | None = None,
        **_: Any,
    ) -> None:
        self._schedule = schedule or (lambda step: ProfilerAction.RECORD)
        self._ready = on_trace_ready
        self._events: dict[str, Event] = {}
        self.step_num = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to measure."""
        self._begin = _now()
        _running.append(self)

    def stop(self) -> None:
        """End. Without a schedule on_trace_ready is called."""
        _running.remove(self)
        if self._ready is not None and self.step_num == 0:
            self._ready(self)

    def step(self) -> None:
        """A step of the program is over."""
        now = _now()
        self._add("ProfilerStep", now - self._begin)
        self._begin = now
        done = self._schedule(self.step_num)
        self.step_num += 1
        if done is ProfilerAction.RECORD_AND_SAVE and self._ready is not None:
            self._ready(self)

    def _add(self, name: str, seconds: float) -> None:
        recorded = (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)
        if self._schedule(self.step_num) in recorded:
            event = self._events.setdefault(name, Event(name))
            event.count += 1
            event.cpu_time_total += seconds * 1e6

    def key_averages(self, group_by_input_shape: bool = False, **_: Any) -> Averages:
        """What was measured, by name."""
        return Averages(self._events.values())


@stand_in("False")
def kineto_available() -> bool:
    """False: the host's clock is read."""
    return False


@stand_in("a block in which nothing changes")
class emit_nvtx:  # noqa: N801  # PyTorch's name
    """Marks for NVIDIA's profilers, of which there are none here."""

    def __init__(self, enabled: bool = True, record_shapes: bool = False) -> None:
        self.enabled = enabled

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None


@stand_in("a block in which nothing changes")
class emit_itt(emit_nvtx):  # noqa: N801  # PyTorch's name
    """Marks for Intel's profilers, of which there are none here."""
