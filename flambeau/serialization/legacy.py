"""Checkpoints of PyTorch before 1.6: one stream of pickles, then the storages' bytes."""

from __future__ import annotations

from typing import Any

from flambeau.graph.dtype import DTYPES
from flambeau.serialization.files import CorruptError, placement
from flambeau.serialization.names import PLAIN, STORAGE_TYPES, StorageType, Table
from flambeau.serialization.storages import Rebuilder
from flambeau.serialization.unpickle import Machine

MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001


def read(data: bytes, map_location: Any, weights_only: bool) -> Any:
    """The object of an old checkpoint. Raises CorruptError for what is broken or refused."""
    magic, position = _plain(data, 0)
    if magic != MAGIC:
        raise CorruptError(
            "it is a pickle that torch.save did not write: pickles can run code and are refused"
        )
    version, position = _plain(data, position)
    if version != _VERSION:
        raise CorruptError(f"it has version {version!r:.20} of the old format, not {_VERSION}")
    system, position = _plain(data, position)
    if not isinstance(system, dict) or not system.get("little_endian", True):
        raise CorruptError("it was written on a big-endian machine")
    begin = position
    sizes, position = _sizes(data, begin)
    keys, position = _plain(data, position)
    places = _places(data, position, keys, sizes)

    def content(name: str) -> memoryview:
        if name not in places:
            raise CorruptError(f"it has no storage '{name}', which its object refers to")
        return places[name]

    rebuild = Rebuilder(content, placement(map_location))
    table = Table(rebuild.functions, weights_only)
    return Machine(data, table.find, rebuild.storage, table.build, begin).run()


def _refuse(*_: Any) -> Any:
    raise CorruptError("its head has something else than plain values")


def _plain(data: bytes, start: int) -> tuple[Any, int]:
    machine = Machine(data, _refuse, _refuse, _refuse, start)
    value = machine.run()
    return value, machine.position


def _sizes(data: bytes, start: int) -> tuple[dict[str, int], int]:
    """The element size of each storage, and where the object's pickle ends.

    The storages come after the object that names their types: it is read twice, at first without
    making anything.
    """
    sizes: dict[str, int] = {}

    def storage(identity: Any) -> None:
        _, of, name = identity[:3]
        sizes[name] = DTYPES[STORAGE_TYPES[of.name]].itemsize if isinstance(of, StorageType) else 1

    def find(module: str, name: str) -> Any:
        return PLAIN.get(f"{module}.{name}", _nothing)

    machine = Machine(data, find, storage, lambda instance, state: instance, start)
    machine.run()
    return sizes, machine.position


def _nothing(*_: Any) -> None:
    """What stands for a tensor, or for what will be refused, at the first reading."""


def _places(data: bytes, start: int, keys: Any, sizes: dict[str, int]) -> dict[str, memoryview]:
    """The bytes of each storage: for each key a number of elements, then the elements."""
    if not isinstance(keys, list) or not all(each in sizes for each in keys):
        raise CorruptError("its list of storages names some that its object does not")
    places: dict[str, memoryview] = {}
    for key in keys:
        count = int.from_bytes(data[start : start + 8], "little", signed=True)
        end = start + 8 + count * sizes[key]
        if count < 0 or end > len(data):
            raise CorruptError(f"storage '{key}' of {count} elements is truncated")
        places[key] = memoryview(data)[start + 8 : end]
        start = end
    return places
