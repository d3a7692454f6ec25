"""What both formats share: errors, replacing a file at once, and where loaded arrays go."""

from __future__ import annotations

import contextlib
import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy

from flambeau.tensor.device import default_device_name, resolve
from flambeau.tensor.tensor import Tensor

Array = numpy.ndarray[Any, Any]
Placement = Callable[[Array, str], Tensor]
"""Makes a tensor of an array; the text is the device that it was saved from."""


class CorruptError(RuntimeError, pickle.UnpicklingError):
    """What is wrong with a file or refused in it. As PyTorch's, it is an UnpicklingError, too."""


def replace(path: Path, write: Callable[[Any], None]) -> None:
    """Write to a name of its own in the same folder, then rename."""
    if not path.parent.is_dir():
        raise RuntimeError(f"Parent directory {path.parent} does not exist.")
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w+b") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)  # as open() would have made it
        temporary.replace(path)
    except BaseException:  # also when interrupted: no part of a file is left behind
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise


def placement(map_location: Any) -> Placement:
    """How arrays become tensors on the device that map_location says."""
    if callable(map_location):

        def by_function(array: Array, saved_from: str) -> Tensor:
            made = Tensor._from_numpy(array)
            moved: Any = map_location(made, saved_from)
            return moved if isinstance(moved, Tensor) else made

        return by_function
    if isinstance(map_location, dict):
        fallback = map_location.get("cpu", map_location.get(default_device_name()))
        return lambda array, saved_from: Tensor._from_numpy(
            array, resolve(map_location.get(saved_from, fallback))
        )
    where = resolve(map_location)
    return lambda array, saved_from: Tensor._from_numpy(array, where)
