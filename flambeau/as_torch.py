"""Serve Flambeau to every importer as torch: `import flambeau.as_torch`, or `flambeau run`.

After this import, `import torch`, `from torch.nn import functional as F` and all other imports of
torch's public modules give Flambeau's, whatever is installed. `torch.x.y` is the same object as
`flambeau.x.y`. A program that asks for a name which is not there is told its name, the place that
asked, and what is near.

Raises RuntimeError where PyTorch itself was imported before.
"""

from __future__ import annotations

import difflib
import dis
import importlib
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import flambeau
from flambeau import version

SERVED = "2.13.0"
"""The release of PyTorch whose API this is; `torch.__version__` begins with it."""

_IMPORT_FROM = dis.opmap["IMPORT_FROM"]


def install() -> None:
    """Put Flambeau in torch's place. A second call does nothing."""
    known = sys.modules.get("torch")
    if known is flambeau:
        return
    if known is not None:
        raise RuntimeError(
            f"flambeau.as_torch: PyTorch is imported already (from {known.__file__}); import "
            "flambeau.as_torch first, or start the program with `flambeau run`"
        )
    sys.meta_path.insert(0, _Finder())
    _names_itself(flambeau)
    flambeau._when_imported.append(_names_itself)
    sys.modules["torch"] = flambeau
    full = f"{SERVED}+flambeau.{version.__version__}"
    vars(flambeau)["__version__"] = vars(flambeau.version)["__version__"] = full


class _Finder(DistributionFinder):
    """Finds torch.x.y as flambeau.x.y."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith("torch."):
            return None
        own = "flambeau" + fullname.removeprefix("torch")
        try:
            module = importlib.import_module(own)
        except ModuleNotFoundError as error:
            if error.name is None or not own.startswith(error.name):
                raise  # the module is there, and imports something that is not installed
            raise ModuleNotFoundError(_missing_module(fullname), name=fullname) from None
        return ModuleSpec(fullname, _Loader(module), is_package=hasattr(module, "__path__"))

    def find_distributions(
        self, context: DistributionFinder.Context | None = None
    ) -> Iterator[Distribution]:
        """torch's metadata, for libraries that ask importlib.metadata for its version."""
        if context is None or context.name in (None, "torch"):
            yield _Torch()


class _Torch(Distribution):
    """What importlib.metadata says of torch."""

    def read_text(self, filename: str) -> str | None:
        """The metadata; there are no other files."""
        if filename != "METADATA":
            return None
        return f"Metadata-Version: 2.1\nName: torch\nVersion: {flambeau.version.__version__}\n"

    def locate_file(self, path: Any) -> Path:
        """Where a file of torch would lie: beside Flambeau's."""
        return Path(flambeau.__path__[0], path)


class _Loader(Loader):
    """Gives a module that is loaded already."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec  # the import system has put torch's in its place
        _names_itself(module)


class _Served(ModuleType):
    """A module that says precisely what it does not have."""

    def __getattr__(self, name: str) -> Any:
        frame = sys._getframe(1)
        message = _missing_name(self, name, frame)
        if frame.f_code.co_code[frame.f_lasti] == _IMPORT_FROM and not _is_module(self, name):
            raise ImportError(message, name=self.__name__)
        raise AttributeError(message, name=name, obj=self)


def _is_module(module: ModuleType, name: str) -> bool:
    """Whether `from module import name` would find a module of that name."""
    return f"torch{module.__name__.removeprefix('flambeau')}.{name}" in sys.modules


def _names_itself(module: ModuleType) -> None:
    if type(module) is ModuleType:
        module.__class__ = _Served


def _missing_module(name: str) -> str:
    parent = name.rpartition(".")[0]
    own = sys.modules.get("flambeau" + parent.removeprefix("torch"))
    near = _near(name.rpartition(".")[2], dir(own)) if own is not None else ""
    return f"Flambeau has no module {name}{_where(_importer())}{near}{_HINT}"


def _missing_name(module: ModuleType, name: str, frame: FrameType | None) -> str:
    served = "torch" + module.__name__.removeprefix("flambeau")
    why = f" Here {module._ABSENT}." if "_ABSENT" in vars(module) else ""  # such as torch.cuda's
    near = _near(name, dir(module))
    return f"Flambeau has no {served}.{name}{_where(frame)}{why}{near}{_HINT}"


_HINT = " What there is: python -m flambeau.api"


def _where(frame: FrameType | None) -> str:
    return "." if frame is None else f" (asked for in {frame.f_code.co_filename}:{frame.f_lineno})."


def _importer() -> FrameType | None:
    """The frame of the program whose import statement led here."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and (
        frame.f_code.co_filename.startswith("<frozen importlib")
        or Path(frame.f_code.co_filename) == Path(__file__)
        or "importlib" in frame.f_globals.get("__name__", "").split(".")
    ):
        frame = frame.f_back
    return frame


def _near(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, n=3)
    return f" Near: {', '.join(close)}." if close else ""


install()
