"""The `flambeau` command: what is there, programs run as if with PyTorch, the demo, openness."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import runpy
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from flambeau import config
from flambeau.graph.compiled import COMPILED
from flambeau.version import __version__

_LIBRARIES = ("numpy", "llvmlite", "wgpu", "safetensors", "ml_dtypes")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["demo"]:
        return _demo(given[1:])
    if given[:1] == ["openness"]:
        return _openness(given[1:])
    if given[:1] == ["run"]:
        return _run(given[1:])
    options = _parser().parse_args(given)
    if options.command == "info":
        print("\n".join(information()))
        return 0
    _parser().print_help()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="flambeau", description=__doc__)
    parser.add_argument("--version", action="version", version=f"flambeau {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    commands.add_parser("info", help="devices, versions, caches and counters")
    commands.add_parser(
        "run", help="run a program written for PyTorch, unchanged (flambeau run --help)"
    )
    commands.add_parser("demo", help="train a network on real digits (flambeau demo --help)")
    commands.add_parser(
        "openness", help="how open a model is, verifiably (flambeau openness --help)"
    )
    return parser


# info --------------------------------------------------------------------------------------------


def information() -> Iterator[str]:
    """Facts about this installation, line by line. Starts every device."""
    yield f"flambeau {__version__}, Python {platform.python_version()}, {platform.platform()}"
    yield "libraries   " + ", ".join(f"{each} {_version(each)}" for each in _LIBRARIES)
    yield f"modules     {'hot ones compiled ahead of time' if COMPILED else 'all Python'}"
    yield f"default     device {config.DEVICE} (FLAMBEAU_DEVICE)"
    yield from _devices()
    yield from _cache()
    yield from _counters()


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _devices() -> Iterator[str]:
    from flambeau.device import base, names

    for name in names():
        try:
            facts = base.get(name).information()
        except (ImportError, OSError, RuntimeError) as error:
            yield f"{name:<11} not available: {error}"
            continue
        yield f"{name:<11} available"
        for key, value in facts.items():
            yield f"    {key}: {value}"


def _cache() -> Iterator[str]:
    if config.CACHE_BYTES == 0:
        yield "disk cache  off (FLAMBEAU_CACHE_BYTES=0)"
        return
    sizes = [each.stat().st_size for each in config.CACHE.rglob("*") if each.is_file()]
    yield (
        f"disk cache  {config.CACHE}: {len(sizes)} files, {_megabytes(sum(sizes))} of at most "
        f"{_megabytes(config.CACHE_BYTES)} (FLAMBEAU_CACHE, FLAMBEAU_CACHE_BYTES)"
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _counters() -> Iterator[str]:
    from flambeau.schedule.flush import STATISTICS

    facts = (f"{name} {count}" for name, count in STATISTICS.counts().items())
    yield "this process: " + ", ".join(facts)


# run ---------------------------------------------------------------------------------------------


def _run(arguments: Sequence[str]) -> int:
    """Run a script or a module with Flambeau in torch's place."""
    parser = argparse.ArgumentParser(
        prog="flambeau run",
        description="Run a program written for PyTorch: `import torch` gives Flambeau.",
    )
    parser.add_argument("--device", help="where tensors are made: cpu, webgpu or reference")
    parser.add_argument("-m", dest="module", action="store_true", help="PROGRAM is a module's name")
    parser.add_argument("program", metavar="PROGRAM")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="…")
    options = parser.parse_args(arguments)
    if not options.module and not Path(options.program).exists():
        print(f"flambeau run: there is no file {options.program}", file=sys.stderr)
        return 2

    importlib.import_module("flambeau.as_torch")  # from here on `import torch` gives Flambeau
    if options.device is not None:
        from flambeau.tensor.device import set_default_device

        set_default_device(options.device)
    before, path = sys.argv, list(sys.path)
    sys.argv = [options.program, *options.arguments]
    sys.path[0] = os.getcwd() if options.module else os.fspath(Path(options.program).parent)
    try:
        if options.module:
            runpy.run_module(options.program, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(options.program, run_name="__main__")
    finally:
        sys.argv, sys.path[:] = before, path
    return 0


# demo --------------------------------------------------------------------------------------------


_DEMO_LIBRARIES = ("sklearn", "matplotlib", "tqdm", "yaml", "jsonschema", "license_expression")


def _demo(arguments: Sequence[str]) -> int:
    """Run examples/digits_record.py, which lies in the package or beside it."""
    package = Path(__file__).resolve().parent
    name = "digits_record.py"
    places = (package / "examples" / name, package.parent / "examples" / name)
    script = next((each for each in places if each.is_file()), None)
    if script is None:
        print(f"flambeau demo: the example is missing: {places[0]}", file=sys.stderr)
        return 1
    missing = [each for each in _DEMO_LIBRARIES if importlib.util.find_spec(each) is None]
    if missing:
        print(
            f"flambeau demo needs {', '.join(missing)}: pip install 'flambeau[demo]'",
            file=sys.stderr,
        )
        return 1
    before, path = sys.argv, list(sys.path)
    sys.argv = ["flambeau demo", *arguments]
    sys.path.insert(0, os.fspath(script.parent))  # it imports digits.py
    try:
        runpy.run_path(os.fspath(script), run_name="__main__")
    finally:
        sys.argv, sys.path[:] = before, path
    return 0


# openness ----------------------------------------------------------------------------------------


def _openness(arguments: Sequence[str]) -> int:
    """Hand over to the openness layer's own command."""
    from flambeau.openness import cli

    return cli.main(list(arguments))
