"""flex_attention: attention whose scores and mask are functions of the places.

The functions see tensors of indices: (batch, 1, 1, 1), (1, heads, 1, 1) and so on at
first, so that one call gives all scores, which then are part of the attention's graph. Functions
that do not broadcast (they index twice, or stack) are called with fewer places at a time, until the
result has the shape that the places have (nn/attention/places.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from flambeau.graph.dtype import float32, float64
from flambeau.nn.attention.block_mask import (
    BlockMask,
    and_masks,
    create_block_mask,
    create_mask,
    noop_mask,
    or_masks,
)
from flambeau.nn.attention.places import applied
from flambeau.ops.attention import scaled_dot_product_attention
from flambeau.ops.composite import composite
from flambeau.ops.logic import where
from flambeau.tensor.tensor import Tensor

__all__ = [
    "AuxOutput",
    "AuxRequest",
    "BlockMask",
    "FlexKernelOptions",
    "and_masks",
    "create_block_mask",
    "create_mask",
    "flex_attention",
    "noop_mask",
    "or_masks",
]

ScoreMod = Callable[..., Any]
FlexKernelOptions = dict[str, Any]
_score_mod_signature = ScoreMod
_mask_mod_signature = Callable[..., Any]
_DEFAULT_SPARSE_BLOCK_SIZE = 128


class AuxRequest(NamedTuple):
    """What flex_attention returns beside its output: see return_aux."""

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    """What was asked for by an AuxRequest; None what was not."""

    lse: Any = None
    max_scores: Any = None


def _grouped(query: Tensor, key: Tensor, value: Tensor) -> tuple[Any, Any]:
    """Keys and values for each head of the queries."""
    times = query._type.shape[1] // key._type.shape[1]
    if times == 1:
        return key, value
    return key.repeat_interleave(times, 1), value.repeat_interleave(times, 1)


@composite(saves="inputs")
def _scores(query: Any, key: Any, scale: float) -> Any:
    """query keyᵀ · scale, in float32 at least."""
    dtype = float64 if query._type.dtype is float64 else float32
    return (query @ key.mT).to(dtype) * scale


def _exponentials(scores: Any) -> tuple[Any, Any, Any]:
    """Each row's greatest score (0 where all are -inf), exp(score - it), and their sum (1)."""
    greatest = scores.detach().amax(-1, keepdim=True)
    nothing = greatest == -math.inf
    greatest = where(nothing, 0.0, greatest)
    e = (scores - greatest).exp()
    return greatest, e, where(nothing, 1.0, e.sum(-1, keepdim=True))


@composite(saves="inputs")
def _weighted(scores: Any, value: Any) -> Any:
    """softmax(scores) value; a row of -inf alone gives zeros."""
    _, e, total = _exponentials(scores)
    return (e / total).to(value._type.dtype) @ value


@composite(saves="inputs")
def logsumexp(scores: Any) -> Any:
    """The logarithm of the softmax's sum: -inf for a row of -inf alone."""
    greatest, _, total = _exponentials(scores)
    nothing = scores.detach().amax(-1, keepdim=True) == -math.inf
    return where(nothing, -math.inf, greatest + total.log()).squeeze(-1)


def by_scores(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scale: float,
    mask: Any,
    score_mod: ScoreMod | None = None,
) -> tuple[Any, Any]:
    """The output and the scores that it was made by."""
    batch, heads, queries, _ = query._type.shape
    sizes = (batch, heads, queries, key._type.shape[2])
    key, value = _grouped(query, key, value)
    scores: Any = _scores(query, key, scale)
    if score_mod is not None:
        scores = applied(score_mod, sizes, query.device, scores).to(scores.dtype)
    if mask is not None:
        scores = where(mask, scores, -math.inf)
    scores = scores.expand(sizes)
    return _weighted(scores, value), scores


def _check(query: Tensor, key: Tensor, value: Tensor, enable_gqa: bool) -> None:
    if not (query.ndim == key.ndim == value.ndim == 4):
        raise NotImplementedError(
            "flex_attention: query, key, and value must be 4D tensors (batch, heads, length, "
            f"size), got {query.ndim}, {key.ndim} and {value.ndim} dimensions"
        )
    if not query.dtype == key.dtype == value.dtype:
        raise ValueError(
            "Expected query, key, and value to have the same dtype, but got query.dtype: "
            f"{query.dtype}, key.dtype: {key.dtype}, and value.dtype: {value.dtype} instead."
        )
    q, k, v = (each._type.shape for each in (query, key, value))
    if q[3] != k[3]:
        raise ValueError(
            "Expect query and key/value to have the same embedding dimension but got "
            f"E={q[3]} and E={k[3]}."
        )
    if k[:3] != v[:3]:
        raise ValueError(
            f"flex_attention: key and value must agree but in their size, got {k} and {v}"
        )
    if q[0] != k[0] and k[0] != 1:
        raise ValueError(
            f"Expect query and key/value to have the same batch size, or the keys' to "
            f"be 1, but got Bq={q[0]} and Bkv={k[0]}."
        )
    if q[1] != k[1] and not enable_gqa:
        raise ValueError(
            "Expect query and key/value to have the same number of heads but got "
            f"Hq={q[1]} and Hkv={k[1]}. Try setting enable_gqa=True for GQA."
        )
    if q[1] % k[1]:
        raise ValueError(
            "Expect number of query heads to be a multiple of kv heads for GQA but got "
            f"Hq={q[1]} and Hkv={k[1]}."
        )


def flex_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score_mod: ScoreMod | None = None,
    block_mask: BlockMask | None = None,
    scale: float | None = None,
    enable_gqa: bool = False,
    return_lse: bool = False,
    kernel_options: Any = None,
    *,
    return_aux: AuxRequest | None = None,
) -> Any:
    """softmax(score_mod(query keyᵀ · scale)) value, where block_mask keeps something.

    query (batch, heads, l, e), key (batch, heads, s, e), value (batch, heads, s, v) → (batch,
    heads, l, v). score_mod(score, b, h, q_idx, kv_idx) changes a score, block_mask (see
    create_block_mask) says which there are; scale is 1/√e. With `enable_gqa` several heads of
    queries share one of keys. `return_lse`: (output, logsumexp of the scores); `return_aux`:
    (output, AuxOutput). Without a score_mod the scores are never in memory as a whole; with one
    they may be. `kernel_options` has no effect. ValueError where shapes or dtypes do not go
    together.
    """
    _check(query, key, value, enable_gqa)
    batch, heads, queries, size = query._type.shape
    sizes = (batch, heads, queries, key._type.shape[2])
    factor = 1 / math.sqrt(size) if scale is None else float(scale)
    mask = None if block_mask is None else block_mask.kept(sizes, query.device)
    key, value = (each.expand(batch, *each._type.shape[1:]) for each in (key, value))
    if score_mod is None and not return_lse and return_aux is None:
        return scaled_dot_product_attention(
            query, key, value, mask, scale=factor, enable_gqa=heads != key._type.shape[1]
        )
    output, scores = by_scores(query, key, value, factor, mask, score_mod)
    if return_aux is not None:
        lse = logsumexp(scores) if return_aux.lse else None
        return output, AuxOutput(lse, scores.amax(-1) if return_aux.max_scores else None)
    return (output, logsumexp(scores)) if return_lse else output
