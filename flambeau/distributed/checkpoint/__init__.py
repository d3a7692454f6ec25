"""Checkpoints in a folder, in a world of one process.

The folder holds one file in the format of torch.save. PyTorch's folders, whose parts are spread
over files of their own, are not read.
"""

from __future__ import annotations

from flambeau.distributed.checkpoint import state_dict
from flambeau.distributed.checkpoint.folder import (
    FileSystemReader,
    FileSystemWriter,
    async_save,
    load,
    save,
)

__all__ = [
    "FileSystemReader",
    "FileSystemWriter",
    "async_save",
    "load",
    "save",
    "state_dict",
]
