"""Measure Flambeau beside PyTorch: `make bench`.

    python -m benchmarks.suite --torch-python .venv-torch/bin/python
    python -m benchmarks.suite --torch-python … --only train,small --quick
    python -m benchmarks.suite --torch-python … --only train --compile

Writes benchmarks/RESULTS.md, results.json and ratios.png; groups that are not measured keep what
they had.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks import package
from benchmarks.suite import report
from benchmarks.suite.compare import ROOT, Setting, measure_group, measure_startup
from benchmarks.suite.load import GROUPS
from flambeau.version import __version__

FOLDER = ROOT / "benchmarks"
ALL = (*GROUPS, "startup")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.split("\n")[0])
    parser.add_argument("--torch-python", help="an interpreter that has PyTorch")
    parser.add_argument("--only", default=",".join(ALL), help="groups, with commas")
    parser.add_argument("--match", default="", help="only work with this text in its name")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="processes of each framework")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each piece and process")
    parser.add_argument("--patience", type=float, default=20.0, help="wait for a quiet machine")
    parser.add_argument("--quick", action="store_true", help="fewer sizes")
    parser.add_argument("--compile", action="store_true", help="torch.compile, too (slow)")
    parser.add_argument("--pure", action="store_true", help="nothing compiled ahead of time")
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    unknown = set(options.only.split(",")) - set(ALL)
    if unknown:
        parser.error(f"there is no group {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    return options


def names_of(group: str, options: argparse.Namespace, threads: int) -> list[str]:
    """The pieces of work of a group that are wanted with this many threads."""
    from benchmarks.suite.registry import WORKS

    importlib.import_module(f"benchmarks.suite.{group}")
    return [
        each.name
        for each in WORKS[group]
        if (each.single or threads == options.threads)
        and options.match in each.name
        and (each.quick or not options.quick)
    ]


def rows_of(group: str, setting: Setting, options: argparse.Namespace) -> list[dict[str, Any]]:
    if group == "startup":
        return _shown(measure_startup(setting))
    rows = []
    for threads in sorted({1, options.threads}):
        names = names_of(group, options, threads)
        if names:
            rows += _shown(measure_group(setting, group, names, threads))
    return rows


def _shown(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """All rows; each is told on the error stream as soon as it is there."""
    found = []
    for row in rows:
        print("  ".join(report.cells(row)), file=sys.stderr, flush=True)
        found.append(row)
    return found


def told(setting: Setting, options: argparse.Namespace) -> dict[str, str]:
    """Where, when and how this was measured."""
    torch = setting.pythons.get("torch")
    modules = "all Python" if options.pure else "hot modules compiled"
    versions = f"Flambeau {__version__} ({modules}), Python {sys.version.split()[0]}"
    versions += f", llvmlite {importlib.metadata.version('llvmlite')}"
    if torch:
        program = "import torch; print(torch.__version__)"
        versions += f", PyTorch {_output(torch, '-c', program)}"
    load = os.getloadavg()[0]
    how = f"{options.rounds} processes of each, {options.seconds} s for each piece of work; "
    return {
        "machine": f"{report.processor()}, {os.cpu_count()} cores",
        "versions": versions,
        "commit": _output("git", "rev-parse", "--short", "HEAD"),
        "when": datetime.datetime.now().strftime("%Y-%m-%d %H:%M"),
        "how": how + f"load at the end {load:.1f}",
    }


def _output(*command: str) -> str:
    found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    return found.stdout.strip() or "unknown"


def write(results: dict[str, Any]) -> None:
    text = json.dumps(results, indent=1, ensure_ascii=False)
    (FOLDER / "results.json").write_text(text + "\n", encoding="utf-8")
    (FOLDER / "RESULTS.md").write_text(report.markdown(results), encoding="utf-8")
    report.draw(results, FOLDER / "ratios.png")


def load_results(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {"groups": {}}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def main() -> None:
    options = arguments()
    pythons = {"flambeau": sys.executable}
    if options.torch_python:
        pythons["torch"] = str(Path(options.torch_python).absolute())
    results = load_results(FOLDER / "results.json")
    with tempfile.TemporaryDirectory() as folder:
        # Python's own caches of bytecode, which pip makes at installation
        environment = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder}
        environment |= package.environment(compiled=not options.pure)
        setting = Setting(
            pythons,
            options.rounds,
            options.seconds,
            options.quick,
            options.compile,
            options.patience,
            environment,
        )
        for group in options.only.split(","):
            rows = rows_of(group, setting, options)
            if not rows:
                continue
            print(f"\n{report.TITLES[group]}\n{report.table(rows)}\n{report.summary(rows)}")
            sys.stdout.flush()
            if not options.match:
                results["groups"][group] = told(setting, options) | {"rows": rows}
            if not options.no_write:
                write(results)


if __name__ == "__main__":
    main()
