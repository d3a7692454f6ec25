"""Which operations run in a lower precision while autocast is on, and which in float32.

The table is PyTorch's for its cpu. An operation that is not in it takes its inputs as they are;
several inputs of different dtypes are promoted as always.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from flambeau.autograd.mode import STATE as MODE
from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType
from flambeau.tensor.tensor import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])

# fmt: off
LOWER = frozenset({
    "addbmm", "addmm", "baddbmm", "bmm", "conv1d", "conv2d", "conv3d", "conv_transpose1d",
    "conv_transpose2d", "conv_transpose3d", "einsum", "linear", "matmul", "mm", "prelu",
    "scaled_dot_product_attention",
})
"""Computed in the dtype that autocast was given."""

FLOAT32 = frozenset({
    "avg_pool3d", "binary_cross_entropy", "binary_cross_entropy_with_logits", "cdist",
    "cosine_embedding_loss", "cross_entropy", "ctc_loss", "grid_sample", "hinge_embedding_loss",
    "huber_loss", "kl_div", "l1_loss", "margin_ranking_loss", "mse_loss", "multi_margin_loss",
    "multilabel_margin_loss", "nanquantile", "nll_loss", "poisson_nll_loss", "prod", "quantile",
    "smooth_l1_loss", "soft_margin_loss", "stft", "trace", "triplet_margin_loss",
})
"""Computed in float32."""
# fmt: on


class _State(threading.local):
    """For each type of device: the dtype while autocast is on."""

    def __init__(self) -> None:
        self.dtypes: dict[str, DType] = {}


STATE = _State()
_LOW = frozenset({dtypes.float16, dtypes.bfloat16})
_CAST = _LOW | {dtypes.float32}


def autocasting(function: Function) -> Function:
    """The function with its tensors cast as the table says; unchanged where it is not listed."""
    name = function.__name__
    if name not in LOWER and name not in FLOAT32:
        return function
    lower = name in LOWER

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not STATE.dtypes or MODE.tracing:
            return function(*args, **kwargs)
        args = tuple(_cast(each, lower) for each in args)
        kwargs = {key: _cast(each, lower) for key, each in kwargs.items()}
        return function(*args, **kwargs)

    return call  # type: ignore[return-value]  # the same call


def _cast(value: Any, lower: bool) -> Any:
    if isinstance(value, list):
        return [_cast(each, lower) for each in value]
    if not isinstance(value, Tensor):
        return value
    target = STATE.dtypes.get(value.device.type)
    if target is None or value.dtype not in _CAST:
        return value
    wanted = target if lower else dtypes.float32
    return value if value.dtype is wanted else value.to(wanted)
