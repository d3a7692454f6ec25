"""One process of one framework: runs pieces of work and prints one line of JSON for each.

python -m benchmarks.suite.worker flambeau train --threads 2 --seconds 2
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import statistics
import time
import traceback
from collections.abc import Callable
from typing import Any

from benchmarks.suite.load import use

_LOSSES = 5


def memory(field: str) -> float:
    """This process's resident memory in MB: VmRSS is now, VmHWM the most so far."""
    with open("/proc/self/status", encoding="ascii") as lines:
        for line in lines:
            if line.startswith(field):
                return int(line.split()[1]) / 1024
    raise RuntimeError(f"no {field} in /proc/self/status")


def forget_peak() -> None:
    """From here on VmHWM counts anew."""
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def times_of(run: Callable[[], Any], seconds: float) -> list[float]:
    """Seconds of single runs, in batches where they are short; at least five batches."""
    start = time.perf_counter()
    run()
    once = time.perf_counter() - start
    warm = time.perf_counter() + min(seconds / 4, 1.0)
    while time.perf_counter() < warm:
        start = time.perf_counter()
        run()
        once = min(once, time.perf_counter() - start)
    count = max(1, int(1e-3 / max(once, 1e-9)))
    found: list[float] = []
    end = time.perf_counter() + seconds
    gc.disable()
    while time.perf_counter() < end or len(found) < 5:
        start = time.perf_counter()
        for _ in range(count):
            run()
        found.append((time.perf_counter() - start) / count)
    gc.enable()
    return found


def measure(work: Any, seconds: float, base: float) -> dict[str, Any]:
    """The times of one piece of work; training steps also tell first step, losses and memory."""
    run = work.make(**work.sizes)
    result: dict[str, Any] = {"name": work.name}
    if work.group == "train":
        start = time.perf_counter()
        run()
        result["first"] = time.perf_counter() - start
        for _ in range(_LOSSES - 1):
            run()
        result["losses"] = list(run.losses)
        forget_peak()
        run()
        run()
        result["memory"] = memory("VmHWM") - base
    found = times_of(run, seconds)
    if work.group == "compiled":
        result["plain"] = min(times_of(run.plain, seconds))
    result |= {"median": statistics.median(found), "best": min(found), "runs": len(found)}
    return result


def attempt(work: Any, seconds: float, base: float) -> dict[str, Any]:
    """As measure; work that fails is a row that says how, and the others go on."""
    try:
        return measure(work, seconds, base)
    except Exception as error:  # noqa: BLE001  # whatever it is, the table tells it
        traceback.print_exc()
        return {"name": work.name, "error": f"{type(error).__name__}: {error}"}


def choose(framework: str, threads: int) -> tuple[Any, float]:
    """Import the framework with this many threads."""
    os.environ["FLAMBEAU_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(threads)
    use(framework)
    start = time.perf_counter()
    module = importlib.import_module(framework)
    took = time.perf_counter() - start
    module.set_num_threads(threads)
    return module, took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("framework", choices=["flambeau", "torch"])
    parser.add_argument("group")
    parser.add_argument("--name", action="append", help="only the work of this name")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    framework, took = choose(options.framework, options.threads)
    base = memory("VmRSS")
    print(json.dumps({"version": framework.__version__, "import": took}), flush=True)
    if options.group == "startup":  # the line above tells it
        return
    module: Any = importlib.import_module(f"benchmarks.suite.{options.group}")
    from benchmarks.suite.registry import WORKS

    if options.compile:
        module.compiled = framework.compile
    for work in WORKS[options.group]:
        wanted = work.name in options.name if options.name else (work.quick or not options.quick)
        if wanted:
            print(json.dumps(attempt(work, options.seconds, base)), flush=True)


if __name__ == "__main__":
    main()
