"""The same program text for both frameworks: `import X as torch`."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

FOLDER = Path(__file__).resolve().parent
GROUPS = (
    "train",
    "compiled",
    "inference",
    "small",
    "products",
    "elementwise",
    "convolutions",
    "attention",
    "indexing",
)
_SHARED = ("models", "registry")
_REPLACED = {
    "import flambeau as torch": "import torch",
    "from flambeau import": "from torch import",
    "from flambeau.": "from torch.",
}


def translated(text: str, framework: str) -> str:
    """A program of Flambeau as a program of `framework`."""
    if framework == "torch":
        for old, new in _REPLACED.items():
            text = text.replace(old, new)
    return text


class _Finder(MetaPathFinder):
    """Imports the suite's modules from the translated text."""

    def __init__(self, framework: str) -> None:
        self.framework = framework

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        package, _, module = name.rpartition(".")
        if package != __package__ or module not in (*GROUPS, *_SHARED):
            return None
        return spec_from_file_location(name, FOLDER / f"{module}.py", loader=_Loader(self, module))


class _Loader:
    def __init__(self, finder: _Finder, module: str) -> None:
        self.framework = finder.framework
        self.path = FOLDER / f"{module}.py"

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code(), module.__dict__)

    def _code(self) -> CodeType:
        text = translated(self.path.read_text(encoding="utf-8"), self.framework)
        return compile(text, str(self.path), "exec")


def use(framework: str) -> None:
    """From here on the suite's modules are those of `framework`. Once a process."""
    sys.meta_path.insert(0, _Finder(framework))
