"""Attention of sequences of different lengths that lie one after the other."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from flambeau.graph.dtype import int64
from flambeau.nn.attention.flex_attention import by_scores, logsumexp
from flambeau.ops.attention import scaled_dot_product_attention
from flambeau.ops.ranges import arange
from flambeau.tensor.tensor import Tensor

__all__ = ["AuxRequest", "varlen_attn", "varlen_attn_out"]


class AuxRequest(NamedTuple):
    """What varlen_attn returns beside its output: the logsumexp of the scores."""

    lse: bool = False


def _places(bounds: Tensor, total: int) -> tuple[Any, Any, Any]:
    """For each token the number of its sequence, its place there, and the sequence's length."""
    bounds = bounds.to(int64)
    tokens = arange(total, device=bounds.device)
    number = (tokens.unsqueeze(1) >= bounds[1:]).sum(1).clamp(max=bounds._type.shape[0] - 2)
    first = bounds[number]
    return number, tokens - first, bounds[number + 1] - first


def _kept(
    query: Tensor,
    key: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    window: tuple[int, int],
    used: Tensor | None,
) -> Any:
    """(queries, keys): the same sequence, and within the window around the query's place.

    The last query of a sequence stands where its last key does.
    """
    q_number, q_place, q_length = _places(cu_seq_q, query._type.shape[0])
    k_number, k_place, k_length = _places(cu_seq_k, key._type.shape[0])
    mask = q_number.unsqueeze(1) == k_number
    if used is not None:
        k_length = used.to(int64)[k_number]
        mask = mask & (k_place < k_length)
    distance = k_place - k_length - (q_place - q_length).unsqueeze(1)
    left, right = window
    if left >= 0:
        mask = mask & (distance >= -left)
    return mask & (distance <= right) if right >= 0 else mask


def varlen_attn(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor | None,
    max_q: int,
    max_k: int,
    *,
    return_aux: AuxRequest | None = None,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
    seqused_k: Tensor | None = None,
    block_table: Tensor | None = None,
    num_splits: int | None = None,
) -> Any:
    """Each sequence's queries attend to its keys.

    query (tokens, heads, size), key and value (tokens, heads, size); cu_seq_q and cu_seq_k (N + 1)
    say where each of the N sequences begins, and where the last ends. `window_size` (left, right):
    how far keys may be, -1 for any; (-1, 0) is causal. `seqused_k`: how many keys of each sequence
    count. Returns the output (tokens, heads, size), with AuxRequest(lse=True) also the logsumexp of
    the scores (tokens, heads). The scores of all tokens are computed and masked, so that time grows
    with the square of all tokens. Paged keys (`block_table`) are a NotImplementedError.
    """
    if block_table is not None or cu_seq_k is None:
        raise NotImplementedError("varlen_attn: paged keys (block_table) are not available")
    if query.ndim != 3 or key.ndim != 3 or value.ndim != 3:
        raise ValueError(
            "varlen_attn: expected query, key and value of shape (tokens, heads, size), got "
            f"{query.ndim}, {key.ndim} and {value.ndim} dimensions"
        )
    heads, shared = query._type.shape[1], key._type.shape[1]
    if heads != shared and (not enable_gqa or heads % shared):
        raise ValueError(
            f"varlen_attn: {heads} heads of queries and {shared} of keys: with enable_gqa=True the "
            "first may be a multiple of the second"
        )
    mask = _kept(query, key, cu_seq_q, cu_seq_k, window_size, seqused_k)
    q, k, v = (each.transpose(0, 1).unsqueeze(0) for each in (query, key, value))
    factor = 1 / math.sqrt(query._type.shape[2]) if scale is None else float(scale)
    if return_aux is None or not return_aux.lse:
        output: Any = scaled_dot_product_attention(
            q, k, v, mask, scale=factor, enable_gqa=enable_gqa
        )
        return output.squeeze(0).transpose(0, 1)
    output, scores = by_scores(q, k, v, factor, mask)
    return output.squeeze(0).transpose(0, 1), logsumexp(scores).squeeze(0).transpose(0, 1)


def varlen_attn_out(
    out: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor | None,
    max_q: int,
    max_k: int,
    **options: Any,
) -> Any:
    """varlen_attn, written into `out`; keyword arguments as there."""
    found = varlen_attn(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, **options)
    if isinstance(found, tuple):
        return out.copy_(found[0]), found[1]
    return out.copy_(found)
