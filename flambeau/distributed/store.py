"""Key-value stores of a world of one process: dictionaries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.stand_in import stand_in


@stand_in("a dictionary of this process")
class Store:
    """Keys to bytes. A key that nobody will set is a RuntimeError: there is nobody to wait for."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._values: dict[str, bytes] = {}

    def set(self, key: str, value: Any) -> None:
        """Store a text or bytes."""
        self._values[key] = value if isinstance(value, bytes) else str(value).encode()

    def get(self, key: str) -> bytes:
        """The bytes of the key."""
        self.wait([key])
        return self._values[key]

    def add(self, key: str, amount: int) -> int:
        """Add to a counter, and return it."""
        total = int(self._values.get(key, b"0")) + amount
        self._values[key] = str(total).encode()
        return total

    def wait(self, keys: Sequence[str], timeout: Any = None) -> None:
        """Nothing where all keys are there."""
        missing = [key for key in keys if key not in self._values]
        if missing:
            raise RuntimeError(f"the store has no keys {missing}, and nobody else will set them")

    def check(self, keys: Sequence[str]) -> bool:
        """Whether all keys are there."""
        return all(key in self._values for key in keys)

    def delete_key(self, key: str) -> bool:
        """Whether the key was there."""
        return self._values.pop(key, None) is not None

    def num_keys(self) -> int:
        """How many keys there are."""
        return len(self._values)

    def set_timeout(self, timeout: Any) -> None:
        """Accepted: nothing is waited for."""


@stand_in("a dictionary of this process")
class TCPStore(Store):
    """PyTorch's store over a network. RuntimeError for more than one process."""

    def __init__(
        self,
        host_name: str,
        port: int,
        world_size: int | None = None,
        is_master: bool = False,
        timeout: Any = None,
        **options: Any,
    ) -> None:
        if world_size is not None and world_size > 1:
            raise RuntimeError(f"TCPStore: a world of {world_size}, this is a world of one process")
        super().__init__()
        self.host = host_name
        self.port = port


@stand_in("a dictionary of this process")
class HashStore(Store):
    """PyTorch's store of one process."""


@stand_in("a dictionary of this process")
class FileStore(Store):
    """PyTorch's store in a file."""
