"""torch.save and torch.load: PyTorch's zip checkpoints, and safetensors files.

`save` writes PyTorch's format, which PyTorch reads; a path that ends in .safetensors gets that
format. `load` tells them apart by their first bytes, and reads the format of PyTorch before 1.6,
too. No file can run code: names.py is the table of what files may name. PyTorch's
torch.serialization.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from flambeau.serialization import archive, legacy, tensor_file
from flambeau.serialization.files import CorruptError, replace
from flambeau.serialization.names import (
    add_safe_globals,
    clear_safe_globals,
    get_safe_globals,
    safe_globals,
)

__all__ = [
    "add_safe_globals",
    "clear_safe_globals",
    "get_safe_globals",
    "load",
    "safe_globals",
    "save",
]

_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"


def save(
    obj: Any,
    f: Any,
    pickle_module: Any = None,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
) -> None:
    """Write an object with its tensors to a path or a file that is open for writing.

    The format is PyTorch's; to a path that ends in .safetensors it is safetensors. A path is
    replaced only when everything is written. Views keep sharing memory, and bring their whole
    storage. Raises pickle.PicklingError,
    AttributeError or TypeError, as pickle does, for what cannot be pickled, and TypeError for what
    has no place in a safetensors file.
    """
    if pickle_module is not None and getattr(pickle_module, "__name__", "") != "pickle":
        raise _refused_module(pickle_module)
    if hasattr(f, "write"):
        archive.write(f, obj, "archive", pickle_protocol)
        return
    path = Path(os.fspath(f))
    if path.suffix == ".safetensors":
        replace(path, lambda file: tensor_file.write(file, obj))
    else:
        replace(path, lambda file: archive.write(file, obj, path.stem, pickle_protocol))


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """Read what torch.save wrote, ours or PyTorch's, or any safetensors file (a dict of tensors).

    `map_location`: a device, a dict from device to device, or a function (tensor, device) ->
    tensor; None: the default device, whatever device the file names. `weights_only` (the default)
    admits tensors and Python's containers, numbers and texts; False admits numpy's arrays and
    torch.nn's modules as well. Other classes are refused unless add_safe_globals allowed them.
    `mmap` has no effect.
    Raises FileNotFoundError, and RuntimeError (a pickle.UnpicklingError, too), saying what is
    wrong or what was refused.
    """
    if pickle_module is not None:
        if weights_only:
            raise RuntimeError("Can not safely load weights when explicit pickle_module is used")
        if getattr(pickle_module, "__name__", "") != "pickle":
            raise _refused_module(pickle_module)
    weights = weights_only is not False
    if hasattr(f, "read"):
        name = getattr(f, "name", "the file object")
        return _loaded(f, name, map_location, weights)
    path = Path(os.fspath(f))
    with path.open("rb") as file:
        return _loaded(file, str(path), map_location, weights)


def _loaded(file: Any, name: str, map_location: Any, weights_only: bool) -> Any:
    try:
        if _begins_with_zip(file):
            return archive.read(file, map_location, weights_only)
        data = file.read()
        if data[:1] == _PICKLE and data[8:9] != b"{":
            return legacy.read(data, map_location, weights_only)
        return tensor_file.read(data, map_location)
    except CorruptError as error:
        raise CorruptError(f"cannot load {name}: {error}") from None


def _begins_with_zip(file: Any) -> bool:
    if not (hasattr(file, "seek") and hasattr(file, "tell")):
        raise AttributeError(
            f"load needs a file with seek and tell, not a {type(file).__name__}: read it into "
            "io.BytesIO first"
        )
    begin = file.tell()
    head = file.read(len(_ZIP))
    file.seek(begin)
    return bool(head == _ZIP)


def _refused_module(module: Any) -> RuntimeError:
    name = getattr(module, "__name__", type(module).__name__)
    return RuntimeError(
        f"pickle_module={name}: only Python's own pickle format is written and read here"
    )
