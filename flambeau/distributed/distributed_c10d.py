"""The place where PyTorch defines torch.distributed's functions."""

from __future__ import annotations

from typing import Any

from flambeau import distributed


def _get_default_group() -> distributed.ProcessGroup:
    """The world of one. ValueError before init_process_group."""
    if distributed.group.WORLD is None:
        raise ValueError(
            "Default process group has not been initialized, please make sure to call "
            "init_process_group."
        )
    return distributed.group.WORLD


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(distributed, name)
