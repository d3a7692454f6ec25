"""The worker processes of a DataLoader.

Workers are processes, as in PyTorch: each has its own copy of the dataset and its own random
state, and Python code that prepares samples runs at the same time as training. They are forked
where the system can (datasets need not be picklable then); the cpu device's native threads do not
exist in a forked child and are started anew there, one thread for each worker. A WebGPU device
must not be used after a fork, so workers make tensors on the cpu and send plain arrays.
"""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

from flambeau.device import base as devices
from flambeau.tensor.device import default_device_name, set_default_device
from flambeau.utils.data.fetch import make_fetcher
from flambeau.utils.data.randomness import seed_everything

__all__ = ["WorkerInfo", "get_worker_info"]

_HOST = frozenset({"cpu", "reference"})


@dataclass(frozen=True)
class WorkerInfo:
    """Which worker this is: its number, how many there are, its seed and copy of the dataset."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


class _Here:
    info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """The WorkerInfo of this worker process; None in the main process."""
    return _Here.info


@dataclass(frozen=True)
class Job:
    """What all workers of one DataLoader have in common."""

    dataset: Any
    iterable: bool
    batched: bool
    collate_fn: Callable[..., Any]
    drop_last: bool
    init_fn: Callable[[int], Any] | None
    num_workers: int
    base_seed: int


@dataclass(frozen=True)
class Failure:
    """An exception in a worker, as it travels to the main process."""

    kind: type[BaseException]
    message: str

    def reraise(self) -> None:
        """Raise it here: of the same type where that can be made from a message."""
        try:
            error = self.kind(self.message)
        except TypeError:
            error = RuntimeError(self.message)
        raise error


class Ended:
    """A worker's iterable dataset has no more samples."""


class Resume:
    """Start a new epoch (persistent workers), with this base seed."""

    def __init__(self, base_seed: int) -> None:
        self.base_seed = base_seed


def failure(number: int) -> Failure:
    """The exception that is being handled."""
    import sys

    kind = sys.exc_info()[0]
    assert kind is not None
    text = traceback.format_exc()
    return Failure(
        kind, f"Caught {kind.__name__} in DataLoader worker process {number}.\nOriginal {text}"
    )


def _settle() -> None:
    """One thread, and no device that cannot live in a forked process."""
    if default_device_name() not in _HOST:
        set_default_device("cpu")
    if default_device_name() == "cpu":
        runtime = getattr(devices.get("cpu"), "runtime", None)
        if runtime is not None:
            runtime.set_threads(1)


def run(job: Job, number: int, tasks: Any, results: Any) -> None:
    """The worker's loop: (batch number, indices) in, (batch number, batch) out; None ends it."""
    seed = job.base_seed + number
    trouble: Failure | None = None
    fetcher: Any = None
    try:
        _settle()
        random.seed(seed)
        seed_everything(seed)
        words = numpy.random.SeedSequence(
            [number, job.base_seed & 0xFFFFFFFF, job.base_seed >> 32, 0]
        )
        numpy.random.seed(words.generate_state(4))
        _Here.info = WorkerInfo(number, job.num_workers, seed, job.dataset)
        if job.init_fn is not None:
            job.init_fn(number)
    except Exception:  # noqa: BLE001  # it travels to the main process
        trouble = failure(number)
    try:
        while True:
            task = tasks.get()
            if task is None:
                return
            if isinstance(task, Resume):
                fetcher = None
                continue
            place, indices = task
            if trouble is not None:
                results.put((place, trouble))
                continue
            try:
                if fetcher is None:
                    fetcher = make_fetcher(
                        job.dataset, job.iterable, job.batched, job.collate_fn, job.drop_last
                    )
                batch = fetcher.fetch(indices)
            except StopIteration:
                batch = Ended() if job.iterable else failure(number)
            except Exception:  # noqa: BLE001  # it travels to the main process
                batch = failure(number)
            results.put((place, batch))
    except KeyboardInterrupt:  # the main process handles it
        return
