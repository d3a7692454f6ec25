"""Batches from worker processes, in the order in which they were asked for."""

from __future__ import annotations

import contextlib
import queue
import weakref
from typing import Any

from flambeau.utils.data.fetch import _BaseDataLoaderIter
from flambeau.utils.data.randomness import draw_seed
from flambeau.utils.data.worker import Ended, Failure, Job, Resume, run

_PATIENCE = 2.0
"""Seconds after which a silent worker is looked at."""


def _end(processes: list[Any], tasks: list[Any], results: Any) -> None:
    """Tell the workers to end; those that do not are terminated."""
    for each in tasks:
        with contextlib.suppress(ValueError, OSError):
            each.put(None)
    for process in processes:
        process.join(_PATIENCE)
        if process.is_alive():
            process.terminate()
            process.join()
    for each in (*tasks, results):
        each.cancel_join_thread()
        each.close()


class WorkerIterator(_BaseDataLoaderIter):
    """One pass over a DataLoader with workers (several where they are persistent)."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._persistent = loader.persistent_workers
        self._indices = iter(loader._index_sampler)
        job = Job(
            loader.dataset,
            loader._iterable,
            loader._auto_collation,
            loader.collate_fn,
            loader.drop_last,
            loader.worker_init_fn,
            loader.num_workers,
            draw_seed(loader.generator),
        )
        context = loader.multiprocessing_context
        self._results = context.Queue()
        self._tasks = [context.Queue() for _ in range(loader.num_workers)]
        self._processes = [
            context.Process(target=run, args=(job, number, tasks, self._results), daemon=True)
            for number, tasks in enumerate(self._tasks)
        ]
        for process in self._processes:
            process.start()
        self._finalizer = weakref.finalize(self, _end, self._processes, self._tasks, self._results)
        self._begin()

    def _begin(self) -> None:
        self._sent = 0  # batches asked for
        self._given = 0  # batches handed out
        self._worker_of: dict[int, int] = {}
        self._arrived: dict[int, Any] = {}
        self._active = [True] * len(self._tasks)
        self._turn = 0
        for _ in range(self._loader.prefetch_factor * len(self._tasks)):
            self._ask()

    def restart(self, loader: Any) -> None:
        """A new pass with the same workers."""
        while self._worker_of:  # what an unfinished pass has asked for
            self._receive()
        self._loader = loader
        self._indices = iter(loader._index_sampler)
        again = Resume(draw_seed(loader.generator))
        for each in self._tasks:
            each.put(again)
        self._begin()

    def __iter__(self) -> WorkerIterator:
        return self

    def __len__(self) -> int:
        return len(self._loader._index_sampler)

    def _ask(self) -> None:
        """Ask the next worker that has samples for a batch."""
        for _ in self._tasks:
            number = self._turn
            self._turn = (number + 1) % len(self._tasks)
            if self._active[number]:
                break
        else:
            return
        try:
            indices = next(self._indices)
        except StopIteration:
            return
        self._tasks[number].put((self._sent, indices))
        self._worker_of[self._sent] = number
        self._sent += 1

    def __next__(self) -> Any:
        while True:
            place = self._next_place()
            if place is None:
                if not self._persistent:
                    self._finalizer()
                raise StopIteration
            batch = self._arrived.pop(place)
            if self._loader.in_order:
                self._given = place + 1
            if isinstance(batch, Ended):
                continue
            self._ask()
            if isinstance(batch, Failure):
                if not self._persistent:
                    self._finalizer()
                batch.reraise()
            return batch

    def _next_place(self) -> int | None:
        """The number of the batch that comes next; None at the end."""
        while True:
            if self._loader.in_order:
                if self._given in self._arrived:
                    return self._given
                if self._given >= self._sent:
                    return None
            elif self._arrived:
                return next(iter(self._arrived))
            elif not self._worker_of:
                return None
            self._receive()

    def _receive(self) -> None:
        """Wait for one answer of a worker."""
        place, batch = self._get()
        number = self._worker_of.pop(place)
        self._arrived[place] = batch
        if isinstance(batch, Ended) and self._active[number]:
            self._active[number] = False
            self._ask()

    def _get(self) -> tuple[int, Any]:
        waited, limit = 0.0, self._loader.timeout
        while True:
            patience = min(_PATIENCE, limit - waited) if limit else _PATIENCE
            try:
                return self._results.get(timeout=patience)
            except queue.Empty:
                self._check_alive()
            waited += patience
            if limit and waited >= limit:
                self._finalizer()
                raise RuntimeError(f"DataLoader timed out after {limit} seconds")

    def _check_alive(self) -> None:
        dead = [str(each.pid) for each in self._processes if not each.is_alive()]
        if dead:
            self._finalizer()
            raise RuntimeError(f"DataLoader worker (pid(s) {', '.join(dead)}) exited unexpectedly")
