"""The figures that Flambeau promises: first step, import, size, lines, small loop, compile time.

    python -m benchmarks.figures

Each is measured in processes of its own; the table says what was done and how often.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import package
from benchmarks.package import ROOT

PACKAGE = ROOT / "flambeau"
ROUNDS = 3

Row = tuple[str, str, str]

FIRST_STEP = """
import json, sys, time
sys.path.insert(0, {benchmarks!r})
from demo_step import load_example, make_step
example = load_example("flambeau")
step = make_step(example, "cpu")
from flambeau.device.cpu import compile as compiler
times = []
whole = compiler.Compiler.object
def timed(self, text):
    start = time.perf_counter()
    result = whole(self, text)
    times.append(time.perf_counter() - start)
    return result
compiler.Compiler.object = timed
start = time.perf_counter()
step()
first = time.perf_counter() - start
print(json.dumps(dict(first=first, compiled=times)))
"""

IMPORT = """
import sys, time
start = time.perf_counter()
import numpy
middle = time.perf_counter()
import flambeau
print(middle - start, time.perf_counter() - start)
"""

SMALL_LOOP = """
import statistics, time
import flambeau as torch
a, b, c = (torch.rand(100) for _ in range(3))
for _ in range(200):
    (a * b + c).sum().item()
times = []
for _ in range(3000):
    start = time.perf_counter()
    (a * b + c).sum().item()
    times.append(time.perf_counter() - start)
print(statistics.median(times))
"""


def python(program: str, **environment: str) -> str:
    """Run a program in a new process; what it printed last."""
    found = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | package.environment() | environment,
    )
    if found.returncode:
        sys.exit(found.stderr)
    return found.stdout.strip().splitlines()[-1]


def first_steps() -> Iterator[Row]:
    """The demo's first training step, after import and model, without and with a disk cache."""
    program = FIRST_STEP.format(benchmarks=str(ROOT / "benchmarks"))
    cold, warm, compiled = [], [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            result = json.loads(python(program, FLAMBEAU_CACHE=folder))
            cold.append(result["first"])
            compiled.extend(result["compiled"])
            warm.append(json.loads(python(program, FLAMBEAU_CACHE=folder))["first"])
    how = f"demo's network, batch of 64, median of {ROUNDS} processes"
    yield "first training step, cold disk cache", seconds(statistics.median(cold)), how
    yield "first training step, warm disk cache", seconds(statistics.median(warm)), how
    if compiled:
        most = f"of {len(compiled) // ROUNDS} objects of that step; slowest {ms(max(compiled))}"
        yield "compile time of one kernel, median", ms(statistics.median(compiled)), most


def import_time() -> Iterator[Row]:
    """With Python's own caches of bytecode, which pip makes at installation."""
    with tempfile.TemporaryDirectory() as folder:
        cache = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder}
        python(IMPORT, **cache)
        runs = [tuple(map(float, python(IMPORT, **cache).split())) for _ in range(2 * ROUNDS + 1)]
    numpy_time = statistics.median(each[0] for each in runs)
    whole = statistics.median(each[1] for each in runs)
    how = f"of which numpy {ms(numpy_time)}; median of {len(runs)} processes"
    yield "import flambeau", ms(whole), how


def small_loop() -> Iterator[Row]:
    times = [float(python(SMALL_LOOP)) for _ in range(ROUNDS)]
    how = f"(a * b + c).sum().item() of 100 elements, median of {ROUNDS} processes"
    yield "3-op .item() loop", f"{statistics.median(times) * 1e6:.1f} µs", how


def installed_size() -> Iterator[Row]:
    """Files of Flambeau and of what a plain installation brings along."""
    names = sorted(_required("flambeau", set()))
    sizes = {name: _size(name) for name in names}
    shown = ", ".join(f"{name} {size / 1e6:.0f}" for name, size in sizes.items())
    yield "installed size", f"{sum(sizes.values()) / 1e6:.0f} MB", shown


def _required(name: str, found: set[str]) -> set[str]:
    """The distribution and what it requires without extras, in turn."""
    found.add(name)
    for each in _requirements(name):
        required = re.split(r"[^\w.-]", each, maxsplit=1)[0].lower().replace("_", "-")
        if ";" in each and not _applies(each.split(";", 1)[1]):
            continue
        if required not in found:
            _required(required, found)
    return found


def _requirements(name: str) -> list[str]:
    if name == "flambeau":  # installed or not
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return list(project["dependencies"])
    return importlib.metadata.requires(name) or []


def _applies(marker: str) -> bool:
    """Markers that speak of this platform or Python; extras are not asked for."""
    if "extra" in marker:
        return False
    platforms = {"linux": "linux", "win32": "win32", "darwin": "darwin"}
    wanted = [each for each in platforms if each in marker.lower()]
    return not wanted or any(sys.platform == platforms[each] for each in wanted)


def _size(name: str) -> int:
    if name == "flambeau":  # installed or not: the package itself
        return sum(each.stat().st_size for each in PACKAGE.rglob("*") if each.is_file())
    files = importlib.metadata.files(name) or []
    places = [Path(str(each.locate())) for each in files]
    return sum(each.stat().st_size for each in places if each.is_file())


def lines() -> Iterator[Row]:
    counts: dict[str, int] = {}
    for source in PACKAGE.rglob("*.py"):
        parts = source.relative_to(PACKAGE).parts
        layer = parts[0] if len(parts) > 1 else "(top)"
        count = len(source.read_text(encoding="utf-8").splitlines())
        counts[layer] = counts.get(layer, 0) + count
    shown = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    yield "lines of the package", str(sum(counts.values())), shown


def seconds(value: float) -> str:
    return f"{value:.2f} s"


def ms(value: float) -> str:
    return f"{value * 1e3:.1f} ms"


def main() -> None:
    started = time.perf_counter()
    measured: list[Any] = [first_steps, import_time, small_loop, installed_size, lines]
    for each in measured:
        for name, value, how in each():
            print(f"{name:<38} {value:>10}  {how}", flush=True)
    print(f"measured in {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
