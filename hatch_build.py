"""Compiles the modules on the way from a call to a launch ahead of time, for wheels.

The source stays the Python that runs without this; the .pxd files beside some modules give Cython
the types of their classes and functions. Which modules: `compiled` of [tool.flambeau] in
pyproject.toml. Without a C compiler, or with FLAMBEAU_COMPILE=0, the wheel is a pure one.

    python hatch_build.py build/compiled    # a compiled copy of the package, to put on PYTHONPATH
"""

from __future__ import annotations

import os
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
WORKPLACE = ROOT / "build" / "compile"
"""Keeps what has not changed since the last time."""

DIRECTIVES = {
    "language_level": 3,
    "annotation_typing": False,  # annotations are for people: `float` takes an int, too
    "binding": True,  # functions know their signature and source, as Python's do
}


class CompiledModules(BuildHookInterface):  # type: ignore[type-arg]  # no configuration of its own
    """Adds the compiled modules to a wheel, beside their source."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """`version` is "editable" where the checkout itself is installed: that stays Python."""
        if version == "editable" or os.environ.get("FLAMBEAU_COMPILE") == "0":
            return
        try:
            made = compiled_modules(WORKPLACE)
        except BuildError as error:
            self.app.display_warning(f"Flambeau's modules stay Python, which is slower: {error}")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"].update({str(path): name for name, path in made.items()})


class BuildError(RuntimeError):
    """The modules could not be compiled."""


def modules() -> list[str]:
    """Paths of the modules that are compiled, from the root."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        listed: list[str] = tomllib.load(file)["tool"]["flambeau"]["compiled"]
    return [f"{each.replace('.', '/')}.py" for each in listed]


def compiled_modules(workplace: Path) -> dict[str, Path]:
    """Compile what has changed; the extension modules by their place in the package.

    Raises BuildError where that fails.
    """
    try:
        from Cython.Build import cythonize
        from setuptools import Distribution, Extension
    except ImportError as error:
        raise BuildError(f"{error}; pip install cython setuptools") from error
    flags = [] if os.name == "nt" else ["-O2", "-g0", "-fno-strict-aliasing"]
    before = Path.cwd()
    os.chdir(ROOT)  # names of modules come from paths
    try:
        extensions = cythonize(
            [
                Extension(path[:-3].replace("/", "."), [path], extra_compile_args=flags)
                for path in modules()
            ],
            build_dir=str(workplace / "c"),
            compiler_directives=DIRECTIVES,
            quiet=True,
        )
        command = Distribution({"ext_modules": extensions}).get_command_obj("build_ext")
        command.build_lib, command.build_temp = str(workplace / "lib"), str(workplace / "o")
        command.parallel = os.cpu_count()
        command.ensure_finalized()
        command.run()
    except Exception as error:  # whatever compilers raise: a wheel without is still one
        raise BuildError(f"{type(error).__name__}: {error}") from error
    finally:
        os.chdir(before)
    library = workplace / "lib"
    return {
        command.get_ext_filename(each.name): library / command.get_ext_filename(each.name)
        for each in extensions
    }


def compiled_copy(target: Path) -> None:
    """A copy of the package with its compiled modules."""
    made = compiled_modules(WORKPLACE)
    shutil.rmtree(target, ignore_errors=True)
    unwanted = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "flambeau", target / "flambeau", ignore=unwanted)
    shutil.copytree(ROOT / "examples", target / "flambeau" / "examples", ignore=unwanted)
    for name, path in made.items():
        shutil.copy2(path, target / name)


if __name__ == "__main__":
    compiled_copy(Path(sys.argv[1]).resolve())
