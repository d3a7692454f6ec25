"""The disk cache: whole entries or none, bounded, never in the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from flambeau.device.cache import DiskCache

KEY = "ab" * 32


def files(root: Path) -> list[Path]:
    return [each for each in root.rglob("*") if each.is_file()]


def test_what_is_put_is_got(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 1 << 20)
    assert cache.get(KEY) is None
    cache.put(KEY, b"content")
    assert cache.get(KEY) == b"content"
    assert DiskCache(tmp_path, 1 << 20).get(KEY) == b"content"
    cache.clear()
    assert cache.get(KEY) is None


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "foreign"])
def test_damaged_entries_are_ignored_and_deleted(tmp_path: Path, damage: str) -> None:
    cache = DiskCache(tmp_path, 1 << 20)
    cache.put(KEY, b"content" * 100)
    (path,) = files(tmp_path)
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[-1] ^= 1
    changed = {"cut": data[:-5], "flip": data, "empty": b"", "foreign": b"x" * 700}[damage]
    path.write_bytes(bytes(changed))
    assert cache.get(KEY) is None
    assert not path.exists()
    cache.put(KEY, b"new")
    assert cache.get(KEY) == b"new"


def test_old_entries_go_when_it_grows_too_large(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 20_000)
    keys = [f"{number:02x}" * 32 for number in range(40)]
    for number, key in enumerate(keys):
        cache.put(key, bytes(1000))
        if cache.get(key) is not None:
            os.utime(cache._path(key), (number, number))
        cache.get(keys[0])  # in use all the time
    assert cache.size() <= 20_000
    assert cache.get(keys[-1]) is not None
    assert cache.get(keys[0]) is not None
    assert cache.get(keys[1]) is None


def test_zero_bytes_turn_it_off(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.put(KEY, b"content")
    assert cache.get(KEY) is None
    assert not files(tmp_path)


def test_a_cache_that_cannot_be_written_warns_once(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    cache = DiskCache(blocked, 1 << 20)
    with pytest.warns(RuntimeWarning, match="cannot be written"):
        cache.put(KEY, b"content")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.put(KEY, b"content")
    assert cache.get(KEY) is None


def test_a_full_disk_warns_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    cache = DiskCache(tmp_path, 1 << 20)
    monkeypatch.setattr(os, "replace", full)
    with pytest.warns(RuntimeWarning, match="No space left"):
        cache.put(KEY, b"content")
    assert not files(tmp_path)


def test_temporary_files_of_killed_processes_are_removed(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 1 << 20)
    cache.put(KEY, b"content")
    left = cache._path(KEY).with_name("cd.tmp123-00")
    left.write_bytes(b"half")
    os.utime(left, (1, 1))
    assert cache.size() > 0
    assert not left.exists()
    assert cache.get(KEY) == b"content"


_WRITER = """
import sys
from pathlib import Path
from flambeau.device.cache import DiskCache
cache = DiskCache(Path(sys.argv[1]), 1 << 30)
print("ready", flush=True)
while True:
    for number in range(8):
        key = f"{number:02x}" * 32
        cache.put(key, bytes([number]) * 200_000)
        found = cache.get(key)
        assert found is None or found == bytes([number]) * 200_000
"""


def test_several_writers_that_are_killed_leave_whole_entries(tmp_path: Path) -> None:
    for _ in range(3):
        command = [sys.executable, "-c", _WRITER, str(tmp_path)]
        writers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
        for each in writers:
            assert each.stdout is not None
            assert each.stdout.readline() == b"ready\n"
        time.sleep(0.05)
        for each in writers:
            assert each.poll() is None
            each.send_signal(signal.SIGKILL)
            each.communicate()
    cache = DiskCache(tmp_path, 1 << 30)
    found = [cache.get(f"{number:02x}" * 32) for number in range(8)]
    whole = [data for data in found if data is not None]
    assert whole
    assert all(data == bytes([data[0]]) * 200_000 for data in whole)
