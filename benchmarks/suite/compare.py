"""Run the work in alternating processes of both frameworks and put the results together."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
Result = dict[str, Any]


@dataclass
class Setting:
    """How to measure."""

    pythons: dict[str, str]
    """framework -> interpreter"""
    rounds: int = 3
    seconds: float = 1.0
    quick: bool = False
    compile: bool = False
    patience: float = 20.0
    """Seconds that a process waits at most for other work on the machine to end."""
    environment: dict[str, str] = field(default_factory=dict)


def idle_share(seconds: float = 0.3) -> float:
    """The share of the processors' time that nobody used during these seconds."""

    def read() -> tuple[int, int]:
        with open("/proc/stat", encoding="ascii") as file:
            numbers = [int(each) for each in file.readline().split()[1:]]
        return numbers[3] + numbers[4], sum(numbers)

    idle, total = read()
    time.sleep(seconds)
    later_idle, later_total = read()
    return (later_idle - idle) / max(1, later_total - total)


def wait_for_quiet(patience: float) -> float:
    """Wait until the machine is nearly idle or patience is over; how idle it is then."""
    end = time.monotonic() + patience
    share = idle_share()
    while share < 0.9 and time.monotonic() < end:
        share = idle_share()
    return share


def run_worker(setting: Setting, framework: str, *arguments: str, **environment: str) -> list[Any]:
    """The lines of one process, parsed. Ends the program with its errors where it failed."""
    share = wait_for_quiet(setting.patience)
    command = [setting.pythons[framework], "-m", "benchmarks.suite.worker", framework, *arguments]
    found = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | setting.environment | environment,
    )
    if found.returncode:
        sys.exit(f"{framework} failed: {' '.join(command)}\n{found.stderr}")
    lines = [json.loads(line) for line in found.stdout.splitlines() if line.startswith("{")]
    for each in lines[1:]:
        each["idle"] = share
    return lines


def merged(runs: list[Result]) -> Result:
    """Of several processes: the least time, the median of medians, the least peak of memory."""
    result: Result = {
        "best": min(each["best"] for each in runs),
        "median": statistics.median(each["median"] for each in runs),
        "spread": [min(each["median"] for each in runs), max(each["median"] for each in runs)],
        "idle": statistics.median(each["idle"] for each in runs),
    }
    if "plain" in runs[0]:
        result["plain"] = min(each["plain"] for each in runs)
    if "memory" in runs[0]:
        result["memory"] = min(each["memory"] for each in runs)
        result["first"] = min(each["first"] for each in runs)
        result["losses"] = runs[0]["losses"]
    return result


def difference(mine: list[float], theirs: list[float]) -> float:
    """The greatest relative difference of two sequences of losses."""
    return max(abs(a - b) / max(abs(b), 1e-12) for a, b in zip(mine, theirs, strict=True))


def measure_group(setting: Setting, group: str, names: list[str], threads: int) -> Iterator[Result]:
    """Rows of a group. Training steps have processes of their own, for their memory."""
    alone = [[name] for name in names] if group in ("train", "compiled") else [names]
    for together in alone:
        runs: dict[tuple[str, str], list[Result]] = {}
        for round_number in range(setting.rounds):
            for kind in _kinds(setting, group, round_number):
                for each in _one_process(setting, group, together, threads, kind):
                    runs.setdefault((each["name"], kind), []).append(each)
        for name in together:
            yield _row(group, name, threads, runs)


def _kinds(setting: Setting, group: str, round_number: int) -> list[str]:
    kinds = [*setting.pythons]
    if setting.compile and group == "train" and "torch" in kinds and round_number == 0:
        kinds.append("compiled")
    return kinds


def _one_process(
    setting: Setting, group: str, names: list[str], threads: int, kind: str
) -> list[Result]:
    arguments = [group, "--threads", str(threads), "--seconds", str(setting.seconds)]
    for name in names:
        arguments += ["--name", name]
    if kind == "compiled":
        return run_worker(setting, "torch", *arguments, "--compile")[1:]
    return run_worker(setting, kind, *arguments)[1:]


def _row(group: str, name: str, threads: int, runs: dict[tuple[str, str], list[Result]]) -> Result:
    row: Result = {"group": group, "name": name, "threads": threads}
    for kind in ("flambeau", "torch", "compiled"):
        found = runs.get((name, kind), [])
        errors = [f"{kind}: {each['error']}" for each in found if "error" in each]
        if errors:
            row["error"] = errors[0]
        elif found:
            row[kind] = merged(found)
    if "flambeau" not in row:
        return row
    for kind in ("torch", "compiled"):
        if kind in row:
            row[f"ratio_{kind}"] = row[kind]["best"] / row["flambeau"]["best"]
            row[f"median_ratio_{kind}"] = row[kind]["median"] / row["flambeau"]["median"]
    if "torch" in row:
        both = zip(runs[name, "torch"], runs[name, "flambeau"], strict=True)
        row["ratio_of_runs"] = [theirs["best"] / mine["best"] for theirs, mine in both]
    if "torch" in row and "losses" in row["flambeau"]:
        row["difference"] = difference(row["flambeau"]["losses"], row["torch"]["losses"])
    return row


FIRST_STEPS = ("MNIST convnet, batch 64, Adam", "GPT 4×128, T 64, batch 12, AdamW")


def measure_startup(setting: Setting) -> Iterator[Result]:
    """First training steps with an empty and a filled disk cache, and imports."""
    for name in FIRST_STEPS:
        cold, warm, theirs = [], [], []
        arguments = ["train", "--name", name, "--seconds", "0"]
        for _ in range(setting.rounds):
            with tempfile.TemporaryDirectory() as folder:
                for found in (cold, warm):
                    lines = run_worker(setting, "flambeau", *arguments, FLAMBEAU_CACHE=folder)
                    found.append(lines[1]["first"])
            if "torch" in setting.pythons:
                theirs.append(run_worker(setting, "torch", *arguments)[1]["first"])
        yield _startup_row(f"first step, {name}, cold disk cache", cold, theirs)
        yield _startup_row(f"first step, {name}, warm disk cache", warm, theirs)
    imports: dict[str, list[float]] = {}
    for _ in range(2 * setting.rounds):
        for framework in setting.pythons:
            arguments = ["startup"]
            found_line = run_worker(setting, framework, *arguments)[0]
            imports.setdefault(framework, []).append(found_line["import"])
    yield _startup_row("import", imports["flambeau"], imports.get("torch", []))


def _startup_row(name: str, mine: list[float], theirs: list[float]) -> Result:
    row: Result = {"group": "startup", "name": name, "threads": 2}
    for kind, times in (("flambeau", mine), ("torch", theirs)):
        if times:
            row[kind] = {"best": min(times), "median": statistics.median(times)}
    if theirs:
        row["ratio_torch"] = min(theirs) / min(mine)
        row["ratio_of_runs"] = [one / other for one, other in zip(theirs, mine, strict=True)]
        row["median_ratio_torch"] = statistics.median(theirs) / statistics.median(mine)
    return row
