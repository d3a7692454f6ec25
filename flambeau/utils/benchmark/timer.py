"""Timer and Measurement: a statement timed with what it records computed."""

from __future__ import annotations

import ast
import statistics
import textwrap
import timeit
from collections.abc import Callable
from typing import Any

from flambeau.schedule import flush
from flambeau.tensor.tensor import Tensor
from flambeau.utils._pytree import tree_leaves

__all__ = ["Measurement", "Timer"]


class Measurement:
    """Times of runs, in seconds: `raw_times` of whole runs, `times` of one execution."""

    def __init__(
        self,
        number_per_run: int,
        raw_times: list[float],
        task_spec: dict[str, Any],
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self.number_per_run = number_per_run
        self.raw_times = raw_times
        self.task_spec = task_spec
        self.metadata = metadata

    @property
    def times(self) -> list[float]:
        """Seconds of one execution, for each run."""
        return [each / self.number_per_run for each in self.raw_times]

    @property
    def mean(self) -> float:
        """The mean of `times`."""
        return statistics.fmean(self.times)

    @property
    def median(self) -> float:
        """The median of `times`."""
        return statistics.median(self.times)

    @property
    def iqr(self) -> float:
        """The distance between the quartiles of `times`."""
        if len(self.times) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.times, n=4, method="inclusive")
        return high - low

    @property
    def title(self) -> str:
        """The label and sub-label, or the statement."""
        words = (self.task_spec.get("label"), self.task_spec.get("sub_label"))
        return ": ".join(str(each) for each in words if each) or str(self.task_spec["stmt"])

    def __repr__(self) -> str:
        unit, scale = time_unit(self.median)
        runs, number = len(self.times), self.number_per_run
        lines = [f"<{type(self).__name__} object>", self.title]
        if runs > 1:
            lines.append(f"  Median: {self.median * scale:.2f} {unit}")
            lines.append(f"  IQR:    {self.iqr * scale:.2f} {unit}")
            lines.append(f"  {runs} measurements, {number} runs per measurement")
        else:
            lines.append(f"  {self.median * scale:.2f} {unit}")
            lines.append(f"  1 measurement, {number} runs")
        return "\n".join(lines)


def time_unit(seconds: float) -> tuple[str, float]:
    """A unit in which a time reads well, and how many of it are a second."""
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1:
            return unit, scale
    return "ns", 1e9


class Timer:
    """Times a statement; the value of its last line is computed, and is part of the time.

    `stmt` and `setup` are Python code that sees `globals`. `label`, `sub_label`, `description` and
    `env` name the measurement. `num_threads` is accepted: threads are set by set_num_threads.
    """

    def __init__(
        self,
        stmt: str = "pass",
        setup: str = "pass",
        global_setup: str = "",
        timer: Callable[[], float] = timeit.default_timer,
        globals: dict[str, Any] | None = None,  # noqa: A002  # PyTorch's name
        label: str | None = None,
        sub_label: str | None = None,
        description: str | None = None,
        env: str | None = None,
        num_threads: int = 1,
        language: Any = "python",
    ) -> None:
        if str(language).lower() not in ("python", "language.python", "0"):
            raise ValueError("Timer: only statements in Python can be timed here")
        self._space = dict(globals or {})
        self._clock = timer
        self._setup = textwrap.dedent(setup)
        self._statement = _compiled(textwrap.dedent(stmt))
        self._spec = {
            "stmt": stmt,
            "setup": setup,
            "label": label,
            "sub_label": sub_label,
            "description": description,
            "env": env,
            "num_threads": num_threads,
        }

    def _time(self, number: int) -> float:
        space = self._space
        exec(self._setup, space)  # the caller's code, as timeit runs it
        exec(self._statement, space)  # defines the function that follows
        run = space["__timed"]
        flush.flush()
        begin = self._clock()
        for _ in range(number):
            _compute(run())
        flush.flush()
        return self._clock() - begin

    def timeit(self, number: int = 1000000) -> Measurement:
        """The time of `number` executions, after some to warm up."""
        self._time(max(number // 100, 2))
        return Measurement(number, [self._time(number)], self._spec)

    def repeat(self, repeat: int = -1, number: int = -1) -> Any:
        """Not available, as in PyTorch: use timeit or blocked_autorange."""
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    def blocked_autorange(
        self, callback: Callable[[int, float], Any] | None = None, min_run_time: float = 0.2
    ) -> Measurement:
        """Runs of as many executions as take a hundredth of `min_run_time`, until that is over."""
        self._time(2)
        number = 1
        while (took := self._time(number)) < min_run_time / 100 and number < 1 << 24:
            number *= 10 if took <= 0 else max(2, min(10, int(min_run_time / 100 / took)))
        times: list[float] = []
        while sum(times) < min_run_time:
            times.append(self._time(number))
            if callback is not None:
                callback(number, times[-1])
        return Measurement(number, times, self._spec)

    def adaptive_autorange(
        self,
        threshold: float = 0.1,
        *,
        min_run_time: float = 0.01,
        max_run_time: float = 10.0,
        callback: Callable[[int, float], Any] | None = None,
    ) -> Measurement:
        """Runs until the distance of the quartiles is below `threshold` of the median."""
        found = self.blocked_autorange(callback, min_run_time)
        while sum(found.raw_times) < max_run_time and (
            len(found.times) < 4 or found.iqr > threshold * found.median
        ):
            found.raw_times.append(self._time(found.number_per_run))
        return found


def _compiled(statement: str) -> Any:
    """Code that defines __timed(): the statement, returning what its last line makes."""
    body = ast.parse(statement).body
    last = body[-1]
    if isinstance(last, ast.Expr):
        body[-1] = ast.copy_location(ast.Return(last.value), last)
    elif isinstance(last, ast.Assign) and isinstance(last.targets[0], ast.Name):
        name = ast.copy_location(ast.Name(last.targets[0].id, ast.Load()), last)
        body.append(ast.copy_location(ast.Return(name), last))
    tree = ast.parse("def __timed():\n    pass")
    tree.body[0].body = body  # type: ignore[attr-defined]  # the function that was parsed
    return compile(ast.fix_missing_locations(tree), "<timed>", "exec")


def _compute(result: Any) -> None:
    pending = [
        each._read()
        for each in tree_leaves(result)
        if isinstance(each, Tensor) and each._storage.node.buffer is None
    ]
    if pending:
        flush.flush(pending)
