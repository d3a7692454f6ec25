"""The old place of torch.hub's load_state_dict_from_url. PyTorch's torch.utils.model_zoo."""

from __future__ import annotations

from typing import Any

from flambeau.hub import load_state_dict_from_url as load_url

__all__ = ["load_url"]


class _Silent:
    """A progress bar that shows nothing, where tqdm is not installed."""

    def __init__(self, *arguments: Any, **options: Any) -> None: ...

    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *arguments: object) -> None: ...

    def update(self, n: float = 1) -> None:
        """So many more are done."""


def __getattr__(name: str) -> Any:
    """`tqdm`, which torchvision's datasets take from here."""
    if name != "tqdm":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    try:
        from tqdm import tqdm
    except ImportError:
        return _Silent
    return tqdm
