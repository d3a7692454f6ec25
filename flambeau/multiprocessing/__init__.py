"""torch.multiprocessing: Python's multiprocessing, and `spawn`.

Tensors travel between processes by value: each process has memory of its own.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from multiprocessing import *  # noqa: F403  # this module is Python's, with more
from typing import Any

from flambeau.stand_in import stand_in

__all__ = [*multiprocessing.__all__]
__all__ += [
    "ProcessException",
    "ProcessExitedException",
    "ProcessRaisedException",
    "SpawnContext",
    "get_all_sharing_strategies",
    "get_sharing_strategy",
    "set_sharing_strategy",
    "spawn",
    "start_processes",
]

_STRATEGY = "by value"


@stand_in("accepted: tensors travel by value")
def set_sharing_strategy(new_strategy: str) -> None:
    """Ignored: tensors travel by value."""


@stand_in("one strategy: by value")
def get_sharing_strategy() -> str:
    """ "by value"."""
    return _STRATEGY


@stand_in("one strategy: by value")
def get_all_sharing_strategies() -> set[str]:
    """{"by value"}."""
    return {_STRATEGY}


class ProcessException(Exception):  # noqa: N818  # PyTorch's name
    """A process that `spawn` started has failed."""

    def __init__(self, message: str, error_index: int, error_pid: int | None) -> None:
        super().__init__(message)
        self.msg = message
        self.error_index = error_index
        self.pid = error_pid


class ProcessRaisedException(ProcessException):
    """A process raised; the message has its traceback."""


class ProcessExitedException(ProcessException):
    """A process ended with another status than 0, or was killed."""

    def __init__(
        self, message: str, error_index: int, error_pid: int | None, exit_code: int | None
    ) -> None:
        super().__init__(message, error_index, error_pid)
        self.exit_code = exit_code


class SpawnContext:
    """The processes that `spawn` started."""

    def __init__(self, processes: Sequence[Any], errors: Sequence[Any]) -> None:
        self.processes = list(processes)
        self._errors = list(errors)

    def pids(self) -> list[int | None]:
        """The processes' numbers."""
        return [each.pid for each in self.processes]

    def join(self, timeout: float | None = None) -> bool:
        """Wait; True when all are done.

        Raises ProcessRaisedException or ProcessExitedException where one has failed; the others are
        ended then.
        """
        from multiprocessing.connection import wait

        running = [each for each in self.processes if each.is_alive()]
        if running:
            wait([each.sentinel for each in running], timeout)
        failed = [
            number for number, each in enumerate(self.processes) if each.exitcode not in (None, 0)
        ]
        if failed:
            self._fail(failed[0])
        if all(each.exitcode == 0 for each in self.processes):
            return True
        return self.join() if timeout is None else False

    def _fail(self, number: int) -> None:
        for each in self.processes:
            if each.is_alive():
                each.terminate()
            each.join()
        process, errors = self.processes[number], self._errors[number]
        if not errors.empty():
            raise ProcessRaisedException(
                f"process {number} raised:\n{errors.get()}", number, process.pid
            )
        raise ProcessExitedException(
            f"process {number} ended with status {process.exitcode}",
            number,
            process.pid,
            process.exitcode,
        )


def _guarded(function: Callable[..., Any], number: int, args: tuple[Any, ...], errors: Any) -> None:
    import sys
    import traceback

    try:
        function(number, *args)
    except Exception:  # noqa: BLE001  # whatever it is, the starting process raises it
        errors.put(traceback.format_exc())
        sys.exit(1)


def start_processes(
    fn: Callable[..., Any],
    args: tuple[Any, ...] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> SpawnContext | None:
    """Run fn(i, *args) in processes i = 0 … nprocs - 1.

    With `join` waits for them and returns None, else returns their SpawnContext. Raises what
    SpawnContext.join raises.
    """
    context: Any = multiprocessing.get_context(start_method)
    errors = [context.SimpleQueue() for _ in range(nprocs)]
    processes = [
        context.Process(target=_guarded, args=(fn, number, args, errors[number]), daemon=daemon)
        for number in range(nprocs)
    ]
    for each in processes:
        each.start()
    started = SpawnContext(processes, errors)
    if not join:
        return started
    while not started.join():
        continue
    return None


def spawn(
    fn: Callable[..., Any],
    args: tuple[Any, ...] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> SpawnContext | None:
    """start_processes with the method "spawn"."""
    return start_processes(fn, args, nprocs, join, daemon, start_method)
