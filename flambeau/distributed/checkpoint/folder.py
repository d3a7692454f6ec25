"""save and load of state dicts in a folder."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any

from flambeau import serialization
from flambeau.autograd.mode import no_grad
from flambeau.stand_in import stand_in
from flambeau.tensor.tensor import Tensor

FILE = "checkpoint.pt"


@stand_in("one file in the folder, as torch.save writes it")
class FileSystemWriter:
    """Writes to a folder, which is made where it is not there."""

    def __init__(self, path: Any, *args: Any, **options: Any) -> None:
        self.path = Path(path)


@stand_in("reads what FileSystemWriter wrote")
class FileSystemReader:
    """Reads from a folder."""

    def __init__(self, path: Any, *args: Any, **options: Any) -> None:
        self.path = Path(path)


def _folder(identity: Any, file_system: Any, what: str) -> Path:
    if file_system is not None:
        if not hasattr(file_system, "path"):
            raise TypeError(f"{what}: expected a FileSystemReader or FileSystemWriter")
        return Path(file_system.path)
    if identity is None:
        raise ValueError(f"{what}: give checkpoint_id=, a folder")
    return Path(identity)


def _plain(value: Any) -> Any:
    """The state of objects that have one."""
    if hasattr(value, "state_dict") and hasattr(value, "load_state_dict"):
        return value.state_dict()
    return value


@stand_in("writes one file to a folder")
def save(
    state_dict: dict[str, Any],
    *,
    checkpoint_id: Any = None,
    storage_writer: Any = None,
    planner: Any = None,
    process_group: Any = None,
    no_dist: bool = False,
    **options: Any,
) -> None:
    """Write the dictionary to the folder `checkpoint_id`, or to the writer's.

    Values that have state_dict and load_state_dict are written as their state.
    """
    folder = _folder(checkpoint_id, storage_writer, "save")
    folder.mkdir(parents=True, exist_ok=True)
    serialization.save({key: _plain(value) for key, value in state_dict.items()}, folder / FILE)


@stand_in("writes at once")
def async_save(state_dict: dict[str, Any], **options: Any) -> Future[None]:
    """As save; the future is done."""
    save(state_dict, **options)
    done: Future[None] = Future()
    done.set_result(None)
    return done


@stand_in("reads what save wrote")
def load(
    state_dict: dict[str, Any],
    *,
    checkpoint_id: Any = None,
    storage_reader: Any = None,
    planner: Any = None,
    process_group: Any = None,
    no_dist: bool = False,
    **options: Any,
) -> None:
    """Fill the dictionary from the folder: tensors in place, objects by their load_state_dict.

    Raises FileNotFoundError, RuntimeError where a key is missing or a tensor's shape differs.
    """
    path = _folder(checkpoint_id, storage_reader, "load") / FILE
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: is it a folder that save wrote?")
    with no_grad():
        _fill(state_dict, serialization.load(path), "")


def _fill(target: Any, found: dict[str, Any], prefix: str) -> None:
    for key, value in target.items():
        if key not in found:
            raise RuntimeError(f"Missing key in checkpoint state_dict: {prefix}{key}.")
        target[key] = _filled(value, found[key], f"{prefix}{key}")


def _filled(value: Any, found: Any, name: str) -> Any:
    """What takes the place of `value`: itself where it can be filled."""
    if hasattr(value, "state_dict") and hasattr(value, "load_state_dict"):
        value.load_state_dict(found)
        return value
    if isinstance(value, Tensor) and isinstance(found, Tensor):
        if value.shape != found.shape:
            raise RuntimeError(
                f"Size mismatch between saved {found.shape} and current {value.shape} for {name}"
            )
        value.copy_(found)
        return value
    if isinstance(value, dict) and isinstance(found, dict):
        _fill(value, found, f"{name}.")
        return value
    return found
