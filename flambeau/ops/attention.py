"""scaled_dot_product_attention."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from flambeau.autograd.engine import vector_jacobian
from flambeau.graph import build as b
from flambeau.graph import dtype as dtypes
from flambeau.graph.attention import attention, attention_backward, plain
from flambeau.graph.dtype import bool_
from flambeau.graph.node import Node
from flambeau.ops.autocast import autocasting
from flambeau.ops.composite import composite
from flambeau.ops.fused import fused
from flambeau.ops.matmul import product
from flambeau.ops.norm import wide
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor


def _transposed(x: Node) -> Node:
    rank = len(x.shape)
    return b.permute(x, (*range(rank - 2), rank - 1, rank - 2))


def _causal(scores: Node) -> Node:
    """-inf where a key comes after its query."""
    rows, columns = scores.shape[-2:]
    later = b.less(b.reshape(b.iota(rows), (rows, 1)), b.iota(columns))
    return b.where(later, b.constant(-math.inf, scores.dtype), scores)


def _softmax(x: Node) -> Node:
    """softmax over the last axis; a row of -inf alone (nothing may be looked at) gives zeros."""
    axis = (len(x.shape) - 1,)
    greatest = b.detach(b.reduce("max", x, axis))
    nothing = b.equal(greatest, b.constant(-math.inf, x.dtype))
    e = b.exp(b.sub(x, b.where(nothing, b.constant(0.0, x.dtype), greatest)))
    return b.div(e, b.where(nothing, b.constant(1.0, x.dtype), b.reduce("add", e, axis)))


def _repeated(x: Node, times: int) -> Node:
    """Each head used by several heads of queries."""
    if times == 1:
        return x
    lead, heads, rest = x.shape[:-3], x.shape[-3], x.shape[-2:]
    wide_shape = (*lead, heads, times, *rest)
    return b.reshape(
        b.expand(b.reshape(x, (*lead, heads, 1, *rest)), wide_shape),
        (*lead, heads * times, *rest),
    )


def _weights(query: Node, key: Node, mask: Node | None, causal: bool, scale: float) -> Node:
    # scaled before the product, each by the root, as PyTorch does: 16-bit products stay finite
    root = b.constant(math.sqrt(abs(scale)), query.dtype)
    signed = b.constant(math.copysign(1.0, scale), query.dtype)
    left = b.mul(query, root) if scale >= 0 else b.mul(b.mul(query, root), signed)
    scores = wide(product(left, _transposed(b.mul(key, root))))
    if causal:
        scores = _causal(scores)
    if mask is None:
        return _softmax(scores)
    if mask.dtype is bool_:
        return _softmax(b.where(mask, scores, b.constant(-math.inf, scores.dtype)))
    return _softmax(b.add(scores, b.cast(mask, scores.dtype)))


def _operands(nodes: Sequence[Node], times: int) -> tuple[Node, ...]:
    """ATTENTION's inputs from query, key, value and perhaps a mask, which becomes a bias.

    Heads that share keys become an axis of their own, along which these are broadcast.
    """
    bias = tuple([_bias(each, nodes[0]) for each in nodes[3:]])
    if times == 1:
        return (*nodes[:3], *bias)
    groups = nodes[1].shape[-3]
    return (*[_grouped(each, groups) for each in (*nodes[:3], *bias)],)


def _grouped(x: Node, groups: int) -> Node:
    """Heads as (groups, heads of a group)."""
    if len(x.shape) < 3:
        return x
    lead, heads, rest = x.shape[:-3], x.shape[-3], x.shape[-2:]
    split = (1, 1) if heads == 1 else (groups, heads // groups)
    return b.reshape(x, (*lead, *split, *rest))


def _bias(mask: Node, query: Node) -> Node:
    dtype = wide(query).dtype
    if mask.dtype is not bool_:
        return b.cast(mask, dtype)
    return b.where(mask, b.constant(0.0, dtype), b.constant(-math.inf, dtype))


def _attention_gradient(*values: Any) -> tuple[Any, ...]:
    *tensors, causal, scale, times = values
    *nodes, given = [each._read() for each in tensors]
    operands = _operands(nodes, times)
    output, normaliser = attention(operands, causal, scale)
    g = b.reshape(given, output.shape)
    delta = b.reduce("add", b.mul(wide(g), wide(output)), (len(output.shape) - 1,))
    rest = (g, normaliser, delta, *operands[3:])
    found: list[Node | None] = []
    gradients = attention_backward((*operands[:3], *rest), causal, scale)
    for gradient, operand, node in zip(gradients, operands, nodes, strict=False):
        found.append(b.reshape(b.sum_to(gradient, operand.shape), node.shape))
    if len(nodes) > 3:  # a mask's gradient is as large as the scores
        found += vector_jacobian(plain(output.inputs[0])[:1], [g], nodes[3:])
    return tuple([None if each is None else Tensor._traced(each) for each in found])


@fused(gradient=_attention_gradient, wide=False)
def _attention(*values: Any) -> Tensor:
    """softmax(query keyᵀ · scale + mask) value."""
    *tensors, causal, scale, times = values
    output, _ = attention(_operands([each._read() for each in tensors], times), causal, scale)
    if times == 1:
        return Tensor._traced(output)
    shape = output.shape
    heads = shape[-4] * shape[-3]
    return Tensor._traced(b.reshape(output, (*shape[:-4], heads, *shape[-2:])))


@composite(saves="inputs")
def _attention_weights(
    query: Tensor, key: Tensor, mask: Tensor | None, causal: bool, scale: float, times: int
) -> Tensor:
    k = _repeated(key._read(), times)
    node = None if mask is None else mask._read()
    weights = _weights(query._read(), k, node, causal, scale)
    return Tensor._traced(b.cast(weights, query._type.dtype))


@composite(saves="inputs")
def _weighted_values(weights: Tensor, value: Tensor, times: int) -> Tensor:
    return Tensor._traced(product(weights._read(), _repeated(value._read(), times)))


def _check(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool) -> None:
    if mask is not None and causal:
        raise RuntimeError(
            "_scaled_dot_product_attention: Explicit attn_mask should not be set when "
            "is_causal=True"
        )
    if min(each.ndim for each in (query, key, value)) < 2:
        raise RuntimeError(
            "scaled_dot_product_attention: expected query, key and value to have at least 2 "
            f"dimensions, got {query.ndim}, {key.ndim}, {value.ndim}"
        )
    if not query._type.dtype is key._type.dtype is value._type.dtype:
        raise RuntimeError(
            "Expected query, key, and value to have the same dtype, but got query.dtype: "
            f"{query.dtype.name} key.dtype: {key.dtype.name} and value.dtype: {value.dtype.name} "
            "instead."
        )
    if query._type.shape[-1] != key._type.shape[-1]:
        raise RuntimeError(
            "scaled_dot_product_attention: query and key must have the same last extent, got "
            f"{list(query._type.shape)} and {list(key._type.shape)}"
        )
    if mask is not None and mask._type.dtype not in (bool_, query._type.dtype, dtypes.float32):
        raise RuntimeError(
            "Expected attn_mask dtype to be bool or float or to match query dtype, but got "
            f"attn_mask.dtype: {mask.dtype.name} and query.dtype: {query.dtype.name} instead."
        )


def _head_factor(query: Tensor, key: Tensor, enable_gqa: bool) -> int:
    if not enable_gqa or query.ndim < 3:
        return 1
    heads, shared = query._type.shape[-3], key._type.shape[-3]
    if heads % shared:
        raise RuntimeError(
            "scaled_dot_product_attention: with enable_gqa the number of query heads "
            f"({heads}) must be a multiple of the number of key heads ({shared})"
        )
    return heads // shared


@autocasting
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(query keyᵀ · scale + mask) value. Vaswani et al., 2017.

    query (…, heads, l, e), key (…, heads, s, e), value (…, heads, s, v) → (…, heads, l, v). A
    boolean mask keeps where it is True, a floating one is added. scale is 1/√e. With enable_gqa
    several heads of queries share one of keys and values.
    """
    _check(query, key, value, attn_mask, is_causal)
    factor = 1 / math.sqrt(query._type.shape[-1]) if scale is None else float(scale)
    times = _head_factor(query, key, enable_gqa)
    if dropout_p == 0.0:
        tensors = (query, key, value) if attn_mask is None else (query, key, value, attn_mask)
        return record(_attention, tensors, (bool(is_causal), factor, times))
    weights: Any = _attention_weights(query, key, attn_mask, is_causal, factor, times)
    from flambeau.ops.dropout import dropout

    return _weighted_values(dropout(weights, dropout_p, True), value, times)
