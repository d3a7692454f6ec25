"""The files of a model folder, bounded and never followed out of it.

A :class:`Tree` is what ``inspect`` looks at: a folder on disk, or files that a browser has sent.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from flambeau.openness.errors import OpennessError, display_name

MAXIMUM_FILES: Final = 100_000
MAXIMUM_DEPTH: Final = 32
PROGRESS_EVERY: Final = 2_000
SKIPPED_FOLDERS: Final = frozenset(
    """.git .hg .svn __pycache__ node_modules .venv venv .tox .mypy_cache .pytest_cache .ruff_cache
    .ipynb_checkpoints .cache""".split()  # noqa: SIM905  # a list of words reads best as words
)

Progress = Callable[[int, str], None]
"""Called with the number of files seen so far and the folder that is being read."""


@dataclass(frozen=True)
class File:
    """One regular file: its path from the root with ``/``, and its size in bytes."""

    path: str
    size: int

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]

    @property
    def suffix(self) -> str:
        dot = self.name.rfind(".")
        return self.name[dot:].lower() if dot > 0 else ""


class Tree(Protocol):
    """Files by path, sorted; ``notes`` says what was left out."""

    name: str
    files: list[File]
    notes: list[str]

    def read(self, path: str, limit: int) -> bytes:
        """The first ``limit`` bytes of a file; none, and a note, if it cannot be read."""
        ...


def text_of(tree: Tree, path: str, limit: int) -> str:
    """The beginning of a file as text; bytes that are not UTF-8 become replacement characters."""
    return tree.read(path, limit).decode("utf-8", "replace")


@dataclass
class Folder:
    """A folder on disk. Links to folders and links out of it are not followed.

    The cache of the Hugging Face hub links its files to a ``blobs`` folder beside ``snapshots``;
    those links are followed.
    """

    root: Path
    maximum_files: int = MAXIMUM_FILES
    progress: Progress | None = None
    files: list[File] = field(default_factory=list[File])
    notes: list[str] = field(default_factory=list[str])
    name: str = ""

    def __post_init__(self) -> None:
        if not self.root.is_dir():
            what = "is not a folder" if self.root.exists() else "no such folder"
            raise OpennessError(what, str(self.root))
        real = self.root.resolve()
        self.name = self.name or display_name(real.name)
        self._allowed = [real]
        if real.parent.name == "snapshots":
            self._allowed.append(real.parent.parent / "blobs")
        try:
            self._walk()
        except OSError as error:
            raise OpennessError(f"cannot be read: {error.strerror}", str(self.root)) from error
        self.files.sort(key=lambda file: file.path)

    def _walk(self) -> None:
        pending: list[tuple[str, int]] = [("", 0)]
        while pending:
            folder, depth = pending.pop()
            try:
                with os.scandir(self.root / folder) as found:
                    entries = sorted(islice(found, self.maximum_files + 1), key=_entry_name)
            except PermissionError:
                self.notes.append(f"{display_name(folder)}: not readable, left out")
                continue
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir(follow_symlinks=False):
                    if entry.name in SKIPPED_FOLDERS:
                        continue
                    if depth + 1 > MAXIMUM_DEPTH:
                        self.notes.append(
                            f"{display_name(path)}: deeper than {MAXIMUM_DEPTH} folders, left out"
                        )
                        continue
                    pending.append((path, depth + 1))
                elif not self._add(entry, path):
                    return

    def _add(self, entry: os.DirEntry[str], path: str) -> bool:
        """Take one file; False once there are too many."""
        if entry.is_symlink() and not self._link_is_inside(path):
            return True
        try:
            status = entry.stat()
        except OSError:
            self.notes.append(f"{display_name(path)}: a broken link, left out")
            return True
        if not stat.S_ISREG(status.st_mode):
            return True
        if len(self.files) >= self.maximum_files:
            self.notes.append(
                f"more than {self.maximum_files} files: only the first {self.maximum_files} were "
                "looked at, so what was not found may still be there"
            )
            return False
        self.files.append(File(path, status.st_size))
        if self.progress and len(self.files) % PROGRESS_EVERY == 0:
            self.progress(len(self.files), display_name(path))
        return True

    def _link_is_inside(self, path: str) -> bool:
        try:
            target = (self.root / path).resolve(strict=True)
        except (OSError, RuntimeError):
            self.notes.append(f"{display_name(path)}: a broken or cyclic link, left out")
            return False
        if target.is_dir():
            self.notes.append(f"{display_name(path)}: a link to a folder, not followed")
            return False
        if not any(target.is_relative_to(allowed) for allowed in self._allowed):
            self.notes.append(f"{display_name(path)}: a link out of the folder, not followed")
            return False
        return True

    def read(self, path: str, limit: int) -> bytes:
        try:
            with (self.root / path).open("rb") as stream:
                return stream.read(limit)
        except OSError as error:
            self.notes.append(f"{display_name(path)}: cannot be read: {error.strerror}")
            return b""


@dataclass
class Upload:
    """Files held in memory: path to (size, first bytes). For folders dropped into a browser."""

    name: str
    contents: Mapping[str, tuple[int, bytes]]
    notes: list[str] = field(default_factory=list[str])
    files: list[File] = field(default_factory=list[File])

    def __post_init__(self) -> None:
        parts = [p for p in self.contents if not _in_skipped_folder(p)]
        self.files = [File(path, self.contents[path][0]) for path in sorted(parts)]

    def read(self, path: str, limit: int) -> bytes:
        return self.contents[path][1][:limit]


def _entry_name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _in_skipped_folder(path: str) -> bool:
    return any(part in SKIPPED_FOLDERS for part in path.split("/")[:-1])
