"""Where a piece of work spends its time: Python, and each kernel.

    python -m benchmarks.suite.profile train "ViT-tiny"
    python -m benchmarks.suite.profile small "rollout" --python

Kernels are launched one by one here, each with its own wake and wait, so that each can be timed:
the sum is a little more than the plan takes as one job. Shapes are those of a kernel's buffers,
written ones last.
"""

from __future__ import annotations

import argparse
import cProfile
import ctypes
import importlib
import pstats
import time
from collections import Counter
from typing import Any

from benchmarks.suite.registry import WORKS
from flambeau.device.cpu import executable
from flambeau.device.cpu.executable import CpuExecutable, Segment


class Profile:
    """Times of launches by name; `on` replaces the device's way of running plans."""

    def __init__(self) -> None:
        self.times: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.whole = 0.0
        self._parts: dict[int, list[tuple[str, Segment]]] = {}
        self._plain = CpuExecutable._run_segment

    def on(self, single: bool) -> None:
        """single: launches are timed one by one, else plans as a whole."""
        plain, profile = self._plain, self

        def run_whole(self: CpuExecutable, segment: Segment) -> Any:
            start = time.perf_counter()
            found = plain(self, segment)
            profile.whole += time.perf_counter() - start
            return found

        def run_single(self: CpuExecutable, segment: Segment) -> Any:
            for name, part in profile._split(self, segment):
                start = time.perf_counter()
                found = plain(self, part)
                profile.times[name] += time.perf_counter() - start
                profile.counts[name] += 1
                if found is not None:
                    return found
            return None

        CpuExecutable._run_segment = run_single if single else run_whole  # type: ignore[method-assign]  # watched while measuring

    def _split(self, whole: CpuExecutable, segment: Segment) -> list[tuple[str, Segment]]:
        found = self._parts.get(id(segment))
        if found is None:
            table, scalars = (ctypes.addressof(each) for each in (whole._table, whole._numbers))
            found = []
            for launch in dict.fromkeys(segment.rows):
                part = Segment([launch], whole._place, whole._shared, table, scalars)
                found.append((_title(whole, launch), part))
            self._parts[id(segment)] = found
        return found


def _title(whole: CpuExecutable, launch: Any) -> str:
    items = "+".join(str(each.items) for each in launch.code.stages)
    shapes = ["×".join(map(str, whole.slots[each].type.shape)) or "()" for each in launch.slots]
    shown = shapes if len(shapes) < 9 else [*shapes[:4], "…", *shapes[-4:]]
    return f"{launch.name}, {items} items: {' '.join(shown)}"


def seconds_each(run: Any, seconds: float) -> tuple[float, int]:
    """The mean time of a run, and how many there were."""
    start, count = time.perf_counter(), 0
    while time.perf_counter() < start + seconds or count < 3:
        run()
        count += 1
    return (time.perf_counter() - start) / count, count


def show(run: Any, seconds: float, most: int) -> None:
    for _ in range(5):
        run()
    profile = Profile()
    profile.on(False)
    each, count = seconds_each(run, seconds)
    whole = profile.whole / count
    print(f"{each * 1e3:.3f} ms a run; plans {whole * 1e3:.3f}, Python {(each - whole) * 1e3:.3f}")
    executable.WAKE = 0.0  # as threads are awake within a plan
    profile.on(True)
    run()
    profile.times.clear()
    profile.counts.clear()
    _, count = seconds_each(run, seconds)
    total = sum(profile.times.values())
    print(f"kernels one by one: {total / count * 1e3:.3f} ms, {profile.counts.total() // count}")
    for name, spent in profile.times.most_common(most):
        number = profile.counts[name] / count
        share = spent / total
        print(f"{spent / count * 1e3:9.3f} ms {share:5.1%} {number:6.0f} launches  {name}")


def show_python(run: Any, count: int, most: int) -> None:
    for _ in range(5):
        run()
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(count):
        run()
    profile.disable()
    pstats.Stats(profile).sort_stats("tottime").print_stats(most)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("group")
    parser.add_argument("text", help="part of the work's name")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--most", type=int, default=25)
    parser.add_argument("--python", type=int, default=0, help="cProfile over this many runs")
    options = parser.parse_args()
    importlib.import_module(f"benchmarks.suite.{options.group}")
    found = [each for each in WORKS[options.group] if options.text in each.name]
    if len(found) != 1:
        parser.error(f"'{options.text}' fits {[each.name for each in found]}: name one")
    run = found[0].make(**found[0].sizes)
    if options.python:
        show_python(run, options.python, options.most)
    else:
        show(run, options.seconds, options.most)


if __name__ == "__main__":
    main()
