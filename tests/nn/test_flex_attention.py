"""flex_attention against attention with the same mask or bias written out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.nn import functional as F
from flambeau.nn.attention.flex_attention import (
    AuxRequest,
    BlockMask,
    and_masks,
    create_block_mask,
    create_mask,
    flex_attention,
    noop_mask,
    or_masks,
)
from flambeau.nn.attention.varlen import AuxRequest as VarlenRequest
from flambeau.nn.attention.varlen import varlen_attn, varlen_attn_out


def inputs(heads: int = 2, queries: int = 6, keys: int = 6) -> list[Any]:
    torch.manual_seed(0)
    return [
        torch.randn(2, heads, length, 4, requires_grad=True) for length in (queries, keys, keys)
    ]


def close(one: Any, other: Any) -> None:
    np.testing.assert_allclose(one.detach().numpy(), other.detach().numpy(), rtol=1e-5, atol=1e-5)


def causal(b: Any, h: Any, q: Any, k: Any) -> Any:
    return q >= k


def test_without_anything_it_is_attention() -> None:
    q, k, v = inputs()
    close(flex_attention(q, k, v), F.scaled_dot_product_attention(q, k, v))


def test_a_mask_and_its_gradients() -> None:
    q, k, v = inputs()
    mask = create_block_mask(causal, None, None, 6, 6, BLOCK_SIZE=4)
    ours = flex_attention(q, k, v, block_mask=mask)
    theirs = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    close(ours, theirs)
    for one, other in zip(
        torch.autograd.grad(ours.pow(2).sum(), (q, k, v)),
        torch.autograd.grad(theirs.pow(2).sum(), (q, k, v)),
        strict=True,
    ):
        close(one, other)


@pytest.mark.parametrize("step_by_step", [False, True])
def test_a_bias_by_place(step_by_step: bool) -> None:
    q, k, v = inputs(keys=5)
    bias = torch.randn(2, 6, 5, requires_grad=True)

    def mod(score: Any, b: Any, h: Any, i: Any, j: Any) -> Any:
        return score + (bias[h][i][j] if step_by_step else bias[h, i, j])

    ours = flex_attention(q, k, v, mod)
    theirs = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    close(ours, theirs)
    found = torch.autograd.grad(ours.pow(2).sum(), (bias, q))
    wanted = torch.autograd.grad(theirs.pow(2).sum(), (bias, q))
    for one, other in zip(found, wanted, strict=True):
        close(one, other)


def test_a_mod_that_sums_is_asked_for_each_place() -> None:
    q, k, v = inputs(1, 3, 3)

    def mod(score: Any, b: Any, h: Any, i: Any, j: Any) -> Any:
        return torch.stack([score, (i - j).float()]).sum(0)

    def all_of(b: Any, h: Any, i: Any, j: Any) -> Any:
        return torch.stack([i >= j, j >= 0]).all()

    steps = torch.arange(3.0).unsqueeze(1) - torch.arange(3.0)
    close(flex_attention(q, k, v, mod), F.scaled_dot_product_attention(q, k, v, steps))
    assert (create_mask(all_of, None, None, 3, 3) == create_mask(causal, None, None, 3, 3)).all()


def test_shared_heads_and_logsumexp() -> None:
    q, k, v = inputs(4)
    k, v = k[:, :2], v[:, :2]
    output, lse = flex_attention(q, k, v, enable_gqa=True, return_lse=True, scale=0.5)
    close(output, F.scaled_dot_product_attention(q, k, v, scale=0.5, enable_gqa=True))
    scores = q @ k.repeat_interleave(2, 1).mT * 0.5
    close(lse, scores.logsumexp(-1))
    _, more = flex_attention(
        q, k, v, enable_gqa=True, scale=0.5, return_aux=AuxRequest(lse=True, max_scores=True)
    )
    close(more.lse, lse)
    close(more.max_scores, scores.amax(-1))


def test_rows_without_keys_are_zero() -> None:
    q, k, v = inputs()
    mask = create_block_mask(lambda b, h, i, j: (i > 2) & (j >= 0), None, None, 6, 6)
    output, lse = flex_attention(q, k, v, block_mask=mask, return_lse=True)
    assert (output[:, :, :3] == 0).all() and (lse[:, :, :3] == -math.inf).all()
    gradient = torch.autograd.grad(output.sum() + lse[:, :, 3:].sum(), q)[0]
    assert torch.isfinite(gradient).all() and (gradient[:, :, :3] == 0).all()


def test_blocks_of_a_mask() -> None:
    mask = create_block_mask(causal, None, None, 6, 6, BLOCK_SIZE=2)
    assert mask.shape == (1, 1, 6, 6) and mask.BLOCK_SIZE == (2, 2)
    assert mask.to_dense().tolist() == [[[[1, 0, 0], [1, 1, 0], [1, 1, 1]]]]
    assert mask.kv_num_blocks.tolist() == [[[1, 1, 1]]]  # the diagonal is kept in part
    assert mask.full_kv_num_blocks.tolist() == [[[0, 1, 2]]]
    assert mask.full_q_num_blocks.tolist() == [[[2, 1, 0]]]
    assert mask.full_kv_indices[0, 0, 2].tolist() == [0, 1, 2]
    assert abs(mask.sparsity() - 100 / 3) < 1e-9
    assert "sparsity=33.33%" in repr(mask)
    assert str(mask).endswith("\n(0, 0)\n██    \n████  \n██████\n)")
    assert mask.to("cpu").as_tuple()[:2] == (6, 6)
    with pytest.raises(RuntimeError, match="sliced BlockMask"):
        mask[0, 0].mask_mod(0, 0, 0, 0)


def test_blocks_without_a_mask_mod() -> None:
    counts = torch.tensor([[[1, 2]]], dtype=torch.int32)
    indices = torch.tensor([[[[1, 0], [0, 1]]]], dtype=torch.int32)
    mask = BlockMask.from_kv_blocks(counts, indices, BLOCK_SIZE=3)
    assert mask.seq_lengths == (6, 6)
    q, k, v = inputs()
    wanted = torch.ones(6, 6, dtype=torch.bool)
    wanted[:3, :3] = False
    close(
        flex_attention(q, k, v, block_mask=mask),
        F.scaled_dot_product_attention(q, k, v, attn_mask=wanted),
    )


def test_masks_joined() -> None:
    near = and_masks(causal, lambda b, h, i, j: i - j < 2)
    assert create_mask(near, None, None, 3, 3)[0, 0].int().tolist() == [
        [1, 0, 0],
        [1, 1, 0],
        [0, 1, 1],
    ]
    first = or_masks(near, lambda b, h, i, j: j == 0)
    assert create_mask(first, 2, 1, 3, 3).sum().item() == 2 * 6
    assert create_mask(noop_mask, None, None, 2, 2).all()
    with pytest.raises(RuntimeError, match="callable"):
        or_masks(causal, None)


def test_sizes_that_do_not_fit() -> None:
    q, k, v = inputs()
    mask = create_block_mask(causal, None, None, 5, 6)
    with pytest.raises(ValueError, match="block_mask was created for"):
        flex_attention(q, k, v, block_mask=mask)
    with pytest.raises(ValueError, match="enable_gqa"):
        flex_attention(q, k[:, :1], v[:, :1])
    with pytest.raises(TypeError, match="must return a tensor"):
        flex_attention(q, k, v, lambda score, b, h, i, j: 1.0)


@pytest.mark.parametrize("window", [(-1, -1), (-1, 0), (1, 0), (0, 1)])
def test_sequences_one_after_the_other(window: tuple[int, int]) -> None:
    torch.manual_seed(0)
    queries, keys = [2, 3, 1], [4, 3, 2]
    q = torch.randn(sum(queries), 4, 3, requires_grad=True)
    k, v = torch.randn(sum(keys), 2, 3), torch.randn(sum(keys), 2, 3)
    bounds = [torch.tensor(np.cumsum([0, *each]), dtype=torch.int32) for each in (queries, keys)]
    output, lse = varlen_attn(
        q, k, v, *bounds, 3, 4, window_size=window, enable_gqa=True, return_aux=VarlenRequest(True)
    )
    parts = []
    lengths = zip(q.split(queries), k.split(keys), v.split(keys), strict=True)
    for one, its_keys, its_values in lengths:
        offset = len(its_keys) - len(one)
        distance = torch.arange(len(its_keys)) - torch.arange(len(one)).unsqueeze(1) - offset
        mask = distance > -10
        if window[0] >= 0:
            mask &= distance >= -window[0]
        if window[1] >= 0:
            mask &= distance <= window[1]
        each = [x.transpose(0, 1).unsqueeze(0) for x in (one, its_keys, its_values)]
        found = F.scaled_dot_product_attention(*each, mask, enable_gqa=True)
        parts.append(found.squeeze(0).transpose(0, 1))
    wanted = torch.cat(parts)
    close(output, wanted)
    assert lse.shape == (6, 4)
    found = torch.empty_like(output)
    plain = varlen_attn(q, k, v, *bounds, 3, 4, window_size=window, enable_gqa=True)
    with torch.no_grad():
        varlen_attn_out(found, q, k, v, *bounds, 3, 4, window_size=window, enable_gqa=True)
    close(found, plain)
    close(
        torch.autograd.grad(plain.pow(2).sum(), q)[0],
        torch.autograd.grad(wanted.pow(2).sum(), q)[0],
    )


def test_keys_that_do_not_count() -> None:
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 3), torch.randn(6, 1, 3)
    bounds = torch.tensor([0, 1, 2]), torch.tensor([0, 3, 6])
    found = varlen_attn(q, k, k, *bounds, 1, 3, seqused_k=torch.tensor([2, 1]))
    kept = torch.tensor([0, 1, 3])
    again = torch.tensor([0, 1, 2]), torch.tensor([0, 2, 3])
    close(found, varlen_attn(q, k[kept], k[kept], *again, 1, 2))
    with pytest.raises(NotImplementedError, match="block_table"):
        varlen_attn(q, k, k, *bounds, 1, 3, block_table=torch.zeros(1, 1))
