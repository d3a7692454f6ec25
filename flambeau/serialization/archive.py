"""PyTorch's zip checkpoints: data.pkl, the object, and data/<n>, one entry for each storage.

The zip holds its entries as they are, uncompressed, so that an entry cannot become larger than the
file; its names are never used as paths.
"""

from __future__ import annotations

import io
import zipfile
from typing import Any

from flambeau.serialization.files import CorruptError, placement
from flambeau.serialization.names import Table
from flambeau.serialization.pickler import Pickler
from flambeau.serialization.storages import Rebuilder
from flambeau.serialization.unpickle import Machine

_ALIGNMENT = 64
_LOCAL_HEADER = 30  # bytes before the name of an entry; APPNOTE.TXT, 4.3.7
_ZIP64_EXTRA = 20
_DATE = (1980, 1, 1, 0, 0, 0)


# writing ----------------------------------------------------------------------------------------


def write(file: Any, obj: Any, root: str, protocol: int) -> None:
    """Write any object that pickle can, its tensors as entries of their own."""
    pickled = io.BytesIO()
    pickler = Pickler(pickled, protocol)
    pickler.dump(obj)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, f"{root}/data.pkl", pickled.getvalue())
        _add(archive, f"{root}/.format_version", b"1")
        _add(archive, f"{root}/.storage_alignment", str(_ALIGNMENT).encode())
        _add(archive, f"{root}/byteorder", b"little")
        for name, storage in enumerate(pickler.storages):
            _add(archive, f"{root}/data/{name}", storage.content())
        _add(archive, f"{root}/version", b"3\n")


def _add(archive: zipfile.ZipFile, name: str, content: bytes | memoryview) -> None:
    """One entry, whose content begins at a multiple of 64 bytes."""
    entry = zipfile.ZipInfo(name, _DATE)
    large = len(content) >= 1 << 30
    begin = archive.fp.tell() + _LOCAL_HEADER + len(name.encode()) + _ZIP64_EXTRA * large  # type: ignore[union-attr]  # it is open
    padding = -(begin + 4) % _ALIGNMENT
    entry.extra = b"FB" + padding.to_bytes(2, "little") + b"Z" * padding
    entry.file_size = len(content)
    with archive.open(entry, "w", force_zip64=large) as target:
        target.write(content)


# reading ----------------------------------------------------------------------------------------


def read(file: Any, map_location: Any, weights_only: bool) -> Any:
    """The object of a checkpoint. Raises CorruptError for what is broken or refused."""
    try:
        with zipfile.ZipFile(file) as archive:
            return _Checkpoint(archive).object(map_location, weights_only)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise CorruptError(f"its zip archive is broken or truncated ({error})") from None


class _Checkpoint:
    """An open archive, whose table of entries was checked."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._entries = _checked(archive)
        roots = [name for name in self._entries if name.endswith("/data.pkl")]
        if not roots:
            raise CorruptError("its zip archive has no data.pkl: it is no checkpoint of PyTorch's")
        self._root = min(roots, key=len).removesuffix("data.pkl")
        if f"{self._root}constants.pkl" in self._entries:
            raise CorruptError(
                "it is a TorchScript program, which is code; save the module's state_dict instead"
            )

    def object(self, map_location: Any, weights_only: bool) -> Any:
        order = self._read("byteorder", b"little")
        if order != b"little":
            raise CorruptError(f"its byte order is {order!r:.20}, this program reads 'little'")
        rebuild = Rebuilder(lambda name: self._read(f"data/{name}"), placement(map_location))
        table = Table(rebuild.functions, weights_only)
        data = self._read("data.pkl")
        return Machine(data, table.find, rebuild.storage, table.build).run()

    def records(self) -> list[str]:
        """The names of the entries beside the object's."""
        return [each.removeprefix(self._root) for each in self._entries]

    def record(self, name: str) -> bytes:
        """An entry's content."""
        return self._read(name)

    def _read(self, name: str, default: bytes | None = None) -> bytes:
        entry = self._entries.get(self._root + name)
        if entry is None:
            if default is not None:
                return default
            raise CorruptError(f"it has no entry '{self._root}{name}', which its object refers to")
        return self._archive.read(entry)  # checks the entry's checksum


class PyTorchFileReader:
    """The records of a checkpoint by name: "data.pkl", "data/0", … Nothing is unpickled."""

    def __init__(self, file: Any) -> None:
        self._checkpoint = _Checkpoint(zipfile.ZipFile(file))

    def get_record(self, name: str) -> bytes:
        """The bytes of a record. CorruptError where there is none."""
        return self._checkpoint.record(name)

    def has_record(self, name: str) -> bool:
        """Whether there is a record of that name."""
        return name in self.get_all_records()

    def get_all_records(self) -> list[str]:
        """The names of all records."""
        return self._checkpoint.records()


def _checked(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The entries by name: none compressed, none twice, none overlapping another."""
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        name = entry.filename
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise CorruptError(
                f"entry '{name}' is compressed ({entry.compress_size} bytes become "
                f"{entry.file_size}): PyTorch stores entries as they are"
            )
        if name.startswith("/") or "\\" in name or ".." in name.split("/"):
            raise CorruptError(f"entry '{name}' leads out of the archive")
        if entry.flag_bits & 1:
            raise CorruptError(f"entry '{name}' is encrypted")
        if name in found:
            raise CorruptError(f"entry '{name}' is there twice")
        found[name] = entry
    end, before = 0, ""
    for entry in sorted(found.values(), key=lambda each: each.header_offset):
        if entry.header_offset < end:
            raise CorruptError(f"entries '{before}' and '{entry.filename}' overlap")
        end = entry.header_offset + _LOCAL_HEADER + entry.file_size
        before = entry.filename
    return found
