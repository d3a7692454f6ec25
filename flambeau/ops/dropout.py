"""Dropout: elements, or whole maps, that are left out in training."""

from __future__ import annotations

import math
import os
from typing import Any

from flambeau.ops import philox
from flambeau.ops.activation import float_only, into
from flambeau.ops.creation import empty
from flambeau.ops.publish import public
from flambeau.tensor.tensor import Tensor

STREAMS = ("philox", "pytorch")
_stream = os.environ.get("FLAMBEAU_DROPOUT_STREAM", "philox")


def set_dropout_stream(name: str) -> None:
    """Where dropout's numbers come from.

    "philox": made inside the kernels, alike on every device. "pytorch": drawn on the host from the
    global generator as PyTorch's CPU does, so that a run with dropout follows PyTorch's number by
    number; slower. The environment variable FLAMBEAU_DROPOUT_STREAM sets it from outside. Raises
    ValueError for another name.
    """
    global _stream
    if name not in STREAMS:
        raise ValueError(f"a dropout stream is one of {', '.join(STREAMS)}, but got {name!r}")
    _stream = name


def get_dropout_stream() -> str:
    """What set_dropout_stream was given last."""
    return _stream


def _drawn(input: Tensor, p: float, shared: int) -> Any:
    """1 with probability 1 - p, else 0, by PyTorch's stream; trailing axes have one number.

    Of a transposed view PyTorch draws in the order of memory; so here.
    """
    shape = input._type.shape
    kept = (*shape[: len(shape) - shared], *[1] * shared)
    steps = [0] * len(shape) if shared else input.stride()
    order = sorted(range(len(shape)), key=lambda axis: -steps[axis])
    noise: Any = empty([kept[axis] for axis in order], dtype=input.dtype, device=input.device)
    return noise.bernoulli_(1 - p).permute([order.index(axis) for axis in range(len(shape))])


def _check_probability(p: float) -> None:
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _dropped(input: Tensor, p: float, training: bool, inplace: bool, shared: int) -> Any:
    _check_probability(p)
    if not training or p == 0 or input.numel() == 0:
        return input
    if _stream == "pytorch" and p < 1:
        noise = _drawn(float_only("dropout", input), p, shared)
        return into(input, input * (noise / (1 - p)), inplace)
    return into(input, philox.drop(float_only("dropout", input), p, shared), inplace)


@public(out=False, method=False)
def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """0 with probability p, else x / (1 - p), in training; x itself otherwise.

    The numbers are made on the device (ops/philox.py) from manual_seed's seed and a counter: they
    are not PyTorch's, see docs/differences.md. N. Srivastava and others, 2014.
    """
    return _dropped(input, p, training, inplace, 0)


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Dropout of whole channels of (N, C, L) or (C, L)."""
    return _dropped(input, p, training, inplace, 1)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Dropout of whole channels of (N, C, H, W); of (N, C, L), as PyTorch takes 3 dimensions."""
    return _dropped(input, p, training, inplace, max(input.ndim - 2, 0))


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Dropout of whole channels of (N, C, D, H, W) or (C, D, H, W)."""
    return _dropped(input, p, training, inplace, 3)


def feature_dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Any:
    """Dropout of whole channels: all dimensions after the second."""
    return _dropped(input, p, training, False, max(input.ndim - 2, 0))


def _alpha_dropped(input: Tensor, p: float, training: bool, inplace: bool, shared: int) -> Any:
    """Dropped elements become selu's lower limit; scale and shift keep mean and variance."""
    _check_probability(p)
    if not training or p == 0:
        return input
    if p == 1:
        return into(input, input * 0.0, inplace)
    limit = -1.7580993408473766
    scale = 1 / math.sqrt((limit * limit * p + 1) * (1 - p))
    if _stream == "pytorch":
        mask = _drawn(input, p, shared)
    else:
        shape = input._type.shape
        kept = (*shape[: len(shape) - shared], *[1] * shared)
        numbers = philox.philox_uniform(kept, device=input._storage.node.device)
        mask = (numbers >= p).to(input.dtype)
    result = (input * mask + (1 - mask) * limit) * scale - limit * p * scale
    return into(input, result, inplace)


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Any:
    """Dropout for selu networks (G. Klambauer and others, 2017)."""
    return _alpha_dropped(input, p, training, inplace, 0)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Any:
    """alpha_dropout of whole channels."""
    return _alpha_dropped(input, p, training, inplace, max(input.ndim - 2, 0))
