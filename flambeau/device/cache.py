"""The disk cache of plans and compiled objects.

Each entry is one file: a SHA-256 of the content, then the content. It is written under a temporary
name and renamed, so that other processes, and one that is killed while writing, see all or nothing.
An entry that does not match its checksum is deleted. A disk that cannot be written to is said once;
work goes on without the cache.
"""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
import warnings
from pathlib import Path

from flambeau import config

_CHECKSUM = 32  # bytes of SHA-256


class DiskCache:
    """Bytes by key. `limit` bounds the sum of the files' sizes; 0 turns the cache off."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self.hits = 0
        self.misses = 0
        self._written = 0
        self._usable = limit > 0

    def get(self, key: str) -> bytes | None:
        """The content stored under `key`, checked; None where there is none."""
        if not self._usable:
            return None
        path = self._path(key)
        try:
            data = path.read_bytes()
        except OSError:
            self.misses += 1
            return None
        content = data[_CHECKSUM:]
        if hashlib.sha256(content).digest() != data[:_CHECKSUM]:
            self.misses += 1
            path.unlink(missing_ok=True)
            return None
        self.hits += 1
        return content

    def put(self, key: str, content: bytes) -> None:
        """Store `content`; a full or read-only disk turns the cache off, with one warning."""
        if not self._usable:
            return
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, hashlib.sha256(content).digest() + content)
        except OSError as error:
            self._usable = False
            warnings.warn(
                f"the cache in {self.folder} cannot be written to ({error}); going on without it. "
                "Set FLAMBEAU_CACHE to a folder on another disk, or FLAMBEAU_CACHE_BYTES=0.",
                stacklevel=2,
            )
            return
        self._written += len(content)
        if self._written > self.limit // 16:
            self._written = 0
            self.evict()

    def evict(self) -> None:
        """Delete the entries that were written longest ago until the limit holds."""
        entries = sorted(self._entries(), key=lambda each: each[1])
        total = sum(size for _, _, size in entries)
        for path, _, size in entries:
            if total <= self.limit:
                return
            path.unlink(missing_ok=True)
            total -= size

    def size(self) -> int:
        """The sum of the files' sizes in bytes."""
        return sum(size for _, _, size in self._entries())

    def _entries(self) -> list[tuple[Path, float, int]]:
        found = []
        for path in self.folder.glob("*/*"):
            try:
                status = path.stat()
            except FileNotFoundError:  # another process evicted it
                continue
            found.append((path, status.st_mtime, status.st_size))
        return found

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / key[2:]


def _write(path: Path, data: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@functools.cache
def disk_cache() -> DiskCache:
    """This process's cache, in config.CACHE."""
    return DiskCache(config.CACHE / "v1", config.CACHE_BYTES)
