"""Plans and machine code on disk: safe under several processes, a kill at any time and a full disk.

An entry is written under a temporary name and renamed into place, so that a reader sees all of it
or nothing; a checksum says whether it is whole. What cannot be read is deleted and made again.
"""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from pathlib import Path

from flambeau import config

_MAGIC = b"FLAMBEAU"
_HEAD = len(_MAGIC) + 32
_TEMPORARY = ".tmp"
_STALE = 3600.0
"""Seconds after which a temporary file is one that a killed process left behind."""
_KEPT = 0.75
"""Part of the bound that is kept when old entries are removed."""


class DiskCache:
    """Bytes by key (hexadecimal text) in files under `root`, `limit` bytes at most.

    Nothing here raises: a cache that cannot be written says so once, as a warning, and is not
    written any more.
    """

    def __init__(self, root: Path, limit: int) -> None:
        self.root = root
        self.limit = limit
        self._writable = limit > 0
        self._size: int | None = None  # of all entries, as far as this process knows

    def _path(self, key: str) -> Path:
        return self.root / key[:2] / key[2:]

    def get(self, key: str) -> bytes | None:
        """What was stored under the key; None where there is nothing whole."""
        if self.limit <= 0:
            return None
        path = self._path(key)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        whole = data[_HEAD:]
        if data[: len(_MAGIC)] != _MAGIC or hashlib.sha256(whole).digest() != data[8:_HEAD]:
            self._remove(path)
            return None
        self._touch(path)
        return whole

    def put(self, key: str, data: bytes) -> None:
        """Store bytes under the key."""
        if not self._writable:
            return
        path = self._path(key)
        temporary = path.with_name(f"{path.name}{_TEMPORARY}{os.getpid()}-{os.urandom(4).hex()}")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(temporary, "xb") as file:
                file.write(_MAGIC + hashlib.sha256(data).digest() + data)
            os.replace(temporary, path)
        except OSError as error:
            self._remove(temporary)
            self._give_up(error)
            return
        self._grow(len(data) + _HEAD)

    def _give_up(self, error: OSError) -> None:
        self._writable = False
        warnings.warn(
            f"the cache in {self.root} cannot be written ({error}); what is compiled is not kept. "
            "FLAMBEAU_CACHE names another directory, FLAMBEAU_CACHE_BYTES=0 turns it off.",
            RuntimeWarning,
            stacklevel=3,
        )

    def _touch(self, path: Path) -> None:
        """Mark an entry as used, so that it is among the last to go."""
        try:
            os.utime(path)
        except OSError:
            return  # read-only, or another process removed it: neither matters

    def _remove(self, path: Path) -> None:
        try:
            path.unlink()
        except OSError:
            return  # not there, or not ours to delete: it is not used in either case

    # size

    def _grow(self, nbytes: int) -> None:
        if self._size is None:
            self._size = sum(size for _, size, _ in self._entries())
        else:
            self._size += nbytes
        if self._size > self.limit:
            self._evict()

    def _entries(self) -> list[tuple[float, int, Path]]:
        """(time of use, size, path) of every entry; removes what a killed process left behind."""
        found: list[tuple[float, int, Path]] = []
        now = time.time()
        for path in self.root.glob("[0-9a-f][0-9a-f]/*"):
            try:
                status = path.stat()
            except OSError:
                continue  # another process removed it
            if _TEMPORARY in path.name:
                if now - status.st_mtime > _STALE:
                    self._remove(path)
                continue
            found.append((status.st_mtime, status.st_size, path))
        return found

    def _evict(self) -> None:
        """Remove the entries that were not used for the longest time."""
        entries = sorted(self._entries(), key=lambda each: each[0])
        total = sum(size for _, size, _ in entries)
        if total > self.limit:
            for _, size, path in entries:
                if total <= self.limit * _KEPT:
                    break
                self._remove(path)
                total -= size
        self._size = total

    def size(self) -> int:
        """Bytes of all entries."""
        return sum(size for _, size, _ in self._entries())

    def clear(self) -> None:
        """Remove all entries."""
        for _, _, path in self._entries():
            self._remove(path)
        self._size = None


_CACHES: dict[tuple[Path, int], DiskCache] = {}


def disk_cache() -> DiskCache:
    """The cache that config names."""
    key = (config.CACHE, config.CACHE_BYTES)
    found = _CACHES.get(key)
    if found is None:
        found = _CACHES[key] = DiskCache(*key)
    return found
