"""Attention of several heads, with the projections around it: what MultiheadAttention computes."""

from __future__ import annotations

import math
import warnings
from typing import Any, cast

from flambeau.graph import dtype as dtypes
from flambeau.ops.attention import scaled_dot_product_attention
from flambeau.ops.creation import zeros
from flambeau.ops.dropout import dropout
from flambeau.ops.matmul import linear, matmul
from flambeau.ops.pad import pad
from flambeau.ops.shape import cat
from flambeau.ops.softmax import softmax
from flambeau.tensor.tensor import Tensor


def _additive(mask: Tensor | None, name: str, dtype: Any) -> Tensor | None:
    """The mask as numbers to add: -inf where a boolean mask is True."""
    if mask is None:
        return None
    if mask.dtype is dtypes.bool_:
        return zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask, -math.inf)
    if not mask.dtype.is_floating_point:
        raise AssertionError(
            f"only bool and floating types of {name} are supported, got {mask.dtype}"
        )
    return mask


def _check(query: Tensor, key: Tensor, value: Tensor, width: int, heads: int) -> None:
    if query.ndim not in (2, 3) or key.ndim != query.ndim or value.ndim != query.ndim:
        raise AssertionError(
            "multi_head_attention: query, key and value must all have 2 dimensions (unbatched) or "
            f"3 (batched), got {query.ndim}, {key.ndim} and {value.ndim}"
        )
    if query.shape[-1] != width:
        raise AssertionError(
            f"was expecting embedding dimension of {width}, but got {query.shape[-1]}"
        )
    if width % heads:
        raise AssertionError(f"embed_dim {width} not divisible by num_heads {heads}")


def _projected(
    query: Tensor, key: Tensor, value: Tensor, weights: Any, bias: Tensor | None
) -> list[Tensor]:
    """The three inputs through their layers; one product where all are the same tensor."""
    if isinstance(weights, Tensor):
        if query is key and key is value:
            return list(linear(query, weights, bias).chunk(3, -1))
        weights = weights.chunk(3)
    biases = (None, None, None) if bias is None else bias.chunk(3)
    parts = zip((query, key, value), weights, biases, strict=True)
    return [linear(each, weight, own) for each, weight, own in parts]


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Attention of `num_heads` heads between projections. Vaswani et al., 2017.

    query (l, n, e), key and value (s, n, e) → (l, n, e) and, with need_weights, the weights
    (n, l, s), averaged over the heads, or (n, heads, l, s). Without n everywhere where the inputs
    have 2 dimensions. attn_mask (l, s) or (n·heads, l, s) and key_padding_mask (n, s): True leaves
    out; numbers are added. Raises AssertionError where shapes do not fit, as PyTorch.
    """
    _check(query, key, value, embed_dim_to_check, num_heads)
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
    batched = query.ndim == 3
    if not batched:
        same = query is key, key is value
        query = query.unsqueeze(1)
        key = query if same[0] else key.unsqueeze(1)
        value = key if same[1] else value.unsqueeze(1)
        if key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)
    weights = (
        (q_proj_weight, k_proj_weight, v_proj_weight)
        if use_separate_proj_weight
        else in_proj_weight
    )
    q, k, v = _projected(query, key, value, weights, in_proj_bias)
    mask = _additive(attn_mask, "attn_mask", q.dtype)
    padding = _additive(key_padding_mask, "key_padding_mask", q.dtype)
    added = int(bias_k is not None) + int(add_zero_attn)
    if bias_k is not None:
        n = key.shape[1]
        k = cat([k, bias_k.expand(1, n, -1)])
        v = cat([v, cast(Tensor, bias_v).expand(1, n, -1)])
    q, k, v = (_heads(each, num_heads) for each in (q, k, v))
    k = k if static_k is None else static_k.reshape(-1, num_heads, *static_k.shape[1:])
    v = v if static_v is None else static_v.reshape(-1, num_heads, *static_v.shape[1:])
    if add_zero_attn:
        k, v = (pad(each, (0, 0, 0, 1)) for each in (k, v))
    mask = _joined(mask, padding, added, num_heads)
    result, attention = _attend(q, k, v, mask, dropout_p if training else 0.0, need_weights)
    l, n = query.shape[:2]  # noqa: E741  # the docstring's name
    result = linear(result.permute(2, 0, 1, 3).reshape(l, n, -1), out_proj_weight, out_proj_bias)
    if attention is not None and average_attn_weights:
        attention = attention.mean(1)
    if not batched:
        result = result.squeeze(1)
        attention = None if attention is None else attention.squeeze(0)
    return result, attention


def _heads(x: Tensor, heads: int) -> Tensor:
    """(t, n, e) → (n, heads, t, e / heads)."""
    t, n, width = x.shape
    return x.reshape(t, n, heads, width // heads).permute(1, 2, 0, 3)


def _joined(mask: Tensor | None, padding: Tensor | None, added: int, heads: int) -> Tensor | None:
    """Both masks as one of (n or 1, heads or 1, l or 1, s), with zeros for keys that were added."""
    if mask is not None:
        mask = mask[None, None] if mask.ndim == 2 else mask.reshape(-1, heads, *mask.shape[1:])
    if padding is not None:
        padding = padding[:, None, None]
        mask = padding if mask is None else mask + padding
    return pad(mask, (0, added)) if mask is not None and added else mask


def _attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, rate: float, need_weights: bool
) -> tuple[Tensor, Tensor | None]:
    if not need_weights:
        return scaled_dot_product_attention(q, k, v, mask, rate), None
    scores = matmul(q * (1 / math.sqrt(q.shape[-1])), k.transpose(-2, -1))
    attention: Any = softmax(scores if mask is None else scores + mask, -1)
    if rate > 0:
        attention = dropout(attention, rate, True)
    return matmul(attention, v), attention


# parts by PyTorch's names, for programs with an attention of their own ----------------------------


def _in_projection_packed(
    q: Tensor, k: Tensor, v: Tensor, w: Tensor, b: Tensor | None = None
) -> list[Tensor]:
    """q, k and v (…, e) through the three layers that w (3 e, e) and b (3 e) hold."""
    return _projected(q, k, v, w, b)


def _in_projection(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    w_q: Tensor,
    w_k: Tensor,
    w_v: Tensor,
    b_q: Tensor | None = None,
    b_k: Tensor | None = None,
    b_v: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """q, k and v each through its own layer."""
    return linear(q, w_q, b_q), linear(k, w_k, b_k), linear(v, w_v, b_v)


def _none_or_dtype(input: Tensor | None) -> Any:
    """The tensor's dtype."""
    if input is None:
        return None
    if isinstance(input, Tensor):
        return input.dtype
    raise RuntimeError("input to _none_or_dtype() must be None or torch.Tensor")


def _canonical_mask(
    mask: Tensor | None,
    mask_name: str,
    other_type: Any,
    other_name: str,
    target_type: Any,
    check_other: bool = True,
) -> Tensor | None:
    """The mask as numbers of target_type to add; a warning where another mask's dtype differs."""
    made = _additive(mask, mask_name, target_type)
    if mask is not None and check_other and other_type not in (None, mask.dtype):
        warnings.warn(
            f"Support for mismatched {mask_name} and {other_name} is deprecated. Use same type for "
            "both instead.",
            stacklevel=2,
        )
    return made


def _mha_shape_check(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None,
    attn_mask: Tensor | None,
    num_heads: int,
) -> bool:
    """Whether the inputs have a batch. Raises AssertionError where masks have other dimensions."""
    _check(query, key, value, query.shape[-1], 1)
    batched = query.ndim == 3
    if key_padding_mask is not None and key_padding_mask.ndim != query.ndim - 1:
        raise AssertionError(
            f"For {'' if batched else 'un'}batched query, expected `key_padding_mask` to be None "
            f"or {query.ndim - 1}-D but found {key_padding_mask.ndim}-D tensor instead"
        )
    if attn_mask is not None and attn_mask.ndim not in (2, 3):
        raise AssertionError(
            "Expected `attn_mask` to be None, 2-D or 3-D but found "
            f"{attn_mask.ndim}-D tensor instead"
        )
    if attn_mask is not None and not batched and attn_mask.ndim == 3:
        expected = (num_heads, query.shape[0], key.shape[0])
        if tuple(attn_mask.shape) != expected:
            raise AssertionError(
                f"Expected `attn_mask` shape to be {expected} but got {tuple(attn_mask.shape)}"
            )
    return batched
