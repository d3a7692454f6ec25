"""torch.nn.attention: flex_attention, varlen, and names that choose an implementation."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterator
from typing import Any

from flambeau.stand_in import stand_in

__all__ = [
    "SDPBackend",
    "activate_flash_attention_impl",
    "current_flash_attention_impl",
    "list_flash_attention_impls",
    "restore_flash_attention_impl",
    "sdpa_kernel",
]


@stand_in("names of implementations; Flambeau chooses by shape")
class SDPBackend(enum.IntEnum):
    """PyTorch's implementations of scaled_dot_product_attention."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@stand_in("accepted; Flambeau chooses the implementation by shape")
@contextlib.contextmanager
def sdpa_kernel(backends: Any, set_priority: bool = False) -> Iterator[None]:
    """Within this context attention runs as always. Raises TypeError for what is no SDPBackend."""
    given = backends if isinstance(backends, (list, tuple)) else [backends]
    for each in given:
        if not isinstance(each, SDPBackend):
            raise TypeError(f"sdpa_kernel expects SDPBackend members, but got {each!r}")
    yield


@stand_in("accepted; Flambeau chooses the implementation by shape")
def activate_flash_attention_impl(impl: str) -> None:
    """Nothing changes: there is one implementation."""


@stand_in("does nothing: there is one implementation")
def restore_flash_attention_impl() -> None:
    """Nothing changes: there is one implementation."""


@stand_in("None: there is one implementation")
def current_flash_attention_impl() -> str | None:
    """None: no other implementation was put in place."""
    return None


@stand_in("empty: there is one implementation")
def list_flash_attention_impls() -> list[str]:
    """Empty: none can be put in place."""
    return []
