"""torch.backends.cuda. Which kernels may be taken: kept, there is one implementation here."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flambeau.stand_in import stand_in

matmul = types.SimpleNamespace(
    allow_tf32=False,
    allow_fp16_reduced_precision_reduction=True,
    allow_bf16_reduced_precision_reduction=True,
)
_allowed = dict.fromkeys(("flash", "mem_efficient", "math", "cudnn"), True)


@stand_in("False")
def is_built() -> bool:
    """False: GPUs are reached through WebGPU."""
    return False


def _asks(name: str) -> Callable[[], bool]:
    def ask() -> bool:
        return _allowed[name]

    ask.__name__ = f"{name}_sdp_enabled"
    ask.__doc__ = f"Whether PyTorch's {name} kernels of attention may be taken: what was set."
    return ask


def _sets(name: str) -> Callable[[bool], None]:
    def set_to(enabled: bool) -> None:
        _allowed[name] = enabled

    set_to.__name__ = f"enable_{name}_sdp"
    set_to.__doc__ = f"Whether PyTorch's {name} kernels of attention may be taken: kept."
    return set_to


flash_sdp_enabled = _asks("flash")
mem_efficient_sdp_enabled = _asks("mem_efficient")
math_sdp_enabled = _asks("math")
cudnn_sdp_enabled = _asks("cudnn")
enable_flash_sdp = _sets("flash")
enable_mem_efficient_sdp = _sets("mem_efficient")
enable_math_sdp = _sets("math")
enable_cudnn_sdp = _sets("cudnn")


@contextmanager
def sdp_kernel(
    enable_flash: bool = True,
    enable_math: bool = True,
    enable_mem_efficient: bool = True,
    enable_cudnn: bool = True,
) -> Iterator[None]:
    """Other settings within the block."""
    before = dict(_allowed)
    _allowed.update(
        flash=enable_flash,
        math=enable_math,
        mem_efficient=enable_mem_efficient,
        cudnn=enable_cudnn,
    )
    try:
        yield
    finally:
        _allowed.update(before)


class SDPAParams:
    """The arguments of an attention, of which PyTorch asks whether a kernel takes them."""

    def __init__(
        self,
        query: Any,
        key: Any,
        value: Any,
        attn_mask: Any = None,
        dropout: float = 0.0,
        is_causal: bool = False,
        enable_gqa: bool = False,
    ) -> None:
        self.query, self.key, self.value = query, key, value
        self.attn_mask, self.dropout = attn_mask, dropout
        self.is_causal, self.enable_gqa = is_causal, enable_gqa


@stand_in("False")
def can_use_flash_attention(params: SDPAParams, debug: bool = False) -> bool:
    """False: CUDA's kernels are not there; attention is computed block by block all the same."""
    return False


@stand_in("False")
def can_use_efficient_attention(params: SDPAParams, debug: bool = False) -> bool:
    """False: CUDA's kernels are not there."""
    return False


@stand_in("False")
def can_use_cudnn_attention(params: SDPAParams, debug: bool = False) -> bool:
    """False: CUDA's kernels are not there."""
    return False
