"""What openness raises, and how optional libraries are loaded."""

from __future__ import annotations

import importlib
from typing import Any

EXTRA = "openness"
"""Name of the extra that installs the optional libraries."""


class OpennessError(ValueError):
    """A clear message about an input, with the file and the line where it went wrong."""

    def __init__(self, message: str, file: str | None = None, line: int | None = None) -> None:
        self.message = message
        self.file = file
        self.line = line
        super().__init__(str(self))

    def __str__(self) -> str:
        place = display_name(self.file) if self.file else ""
        if place and self.line:
            place += f":{self.line}"
        return f"{place}: {self.message}" if place else self.message


def display_name(name: str) -> str:
    """A file name as printable text: bytes that are not UTF-8 appear as ``\\xNN``."""
    raw = name.encode("utf-8", "surrogateescape")
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def optional_library(module: str, package: str) -> Any:
    """Import an optional library, or say what to install.

    Raises:
        ModuleNotFoundError: naming the package and the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise ModuleNotFoundError(
            f"flambeau.openness needs {package}, which is not installed: "
            f"pip install 'flambeau[{EXTRA}]' (or: pip install {package})",
            name=error.name,
        ) from error


def as_list(value: Any) -> list[Any]:
    """A value of unknown type as a list: itself where it is one, else empty."""
    return value if isinstance(value, list) else []
