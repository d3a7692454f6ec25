"""Sharded checkpoints as folders of safetensors files: named for importers, not there."""

from __future__ import annotations

from typing import Any

__all__ = ["HuggingFaceStorageReader", "HuggingFaceStorageWriter"]


class _NotThere:
    def __init__(self, path: str, *args: Any, **options: Any) -> None:
        raise NotImplementedError(
            f"{type(self).__name__}({path!r}): write and read safetensors files with "
            "safetensors.torch, or folders with FileSystemWriter and FileSystemReader"
        )


class HuggingFaceStorageWriter(_NotThere):
    """Raises NotImplementedError, which names what there is."""


class HuggingFaceStorageReader(_NotThere):
    """Raises NotImplementedError, which names what there is."""
