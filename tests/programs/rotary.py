"""Attention with rotary embeddings, grouped keys, a key-value cache in place, and einsum."""

import math

import flambeau as torch
import flambeau.nn as nn
import flambeau.nn.functional as F


class RMSNorm(nn.Module):
    def __init__(self, dim, eps=1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def _norm(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)

    def forward(self, x):
        return self._norm(x.float()).type_as(x) * self.weight


def precompute(dim, end, theta=10000.0):
    freqs = 1.0 / (theta ** (torch.arange(0, dim, 2)[: (dim // 2)].float() / dim))
    t = torch.arange(end, device=freqs.device)
    freqs = torch.outer(t, freqs).float()
    emb = torch.cat((freqs, freqs), dim=-1)
    return emb.cos(), emb.sin()


def rotate_half(x):
    x1 = x[..., : x.shape[-1] // 2]
    x2 = x[..., x.shape[-1] // 2 :]
    return torch.cat((-x2, x1), dim=-1)


def apply_rotary(q, k, cos, sin):
    cos, sin = cos[None, None], sin[None, None]
    return (q * cos) + (rotate_half(q) * sin), (k * cos) + (rotate_half(k) * sin)


def apply_interleaved(x, cos, sin):
    x1, x2 = x[..., ::2], x[..., 1::2]
    c, s = cos[..., : x.shape[-1] // 2], sin[..., : x.shape[-1] // 2]
    return torch.stack((x1 * c - x2 * s, x1 * s + x2 * c), -1).flatten(-2)


def repeat_kv(x, n_rep):
    bs, n_kv_heads, slen, head_dim = x.shape
    if n_rep == 1:
        return x
    return (
        x[:, :, None, :, :]
        .expand(bs, n_kv_heads, n_rep, slen, head_dim)
        .reshape(bs, n_kv_heads * n_rep, slen, head_dim)
    )


class Attention(nn.Module):
    def __init__(self, dim=16, heads=4, kv_heads=2, length=12):
        super().__init__()
        self.h, self.kv, self.d = heads, kv_heads, dim // heads
        self.wq = nn.Linear(dim, heads * self.d, bias=False)
        self.wk = nn.Linear(dim, kv_heads * self.d, bias=False)
        self.wv = nn.Linear(dim, kv_heads * self.d, bias=False)
        self.wo = nn.Linear(heads * self.d, dim, bias=False)
        self.register_buffer("cache_k", torch.zeros(2, kv_heads, length, self.d), persistent=False)
        self.register_buffer("cache_v", torch.zeros(2, kv_heads, length, self.d), persistent=False)
        cos, sin = precompute(self.d, length)
        self.register_buffer("cos", cos)
        self.register_buffer("sin", sin)

    def forward(self, x, start=0, cached=False):
        b, t, _ = x.shape
        q = self.wq(x).view(b, t, self.h, self.d).permute(0, 2, 1, 3)
        k = self.wk(x).view(b, t, self.kv, self.d).permute(0, 2, 1, 3)
        v = self.wv(x).view(b, t, self.kv, self.d).permute(0, 2, 1, 3)
        q, k = apply_rotary(q, k, self.cos[start : start + t], self.sin[start : start + t])
        if cached:
            self.cache_k[:b, :, start : start + t] = k
            self.cache_v[:b, :, start : start + t] = v
            k, v = self.cache_k[:b, :, : start + t], self.cache_v[:b, :, : start + t]
        k, v = repeat_kv(k, self.h // self.kv), repeat_kv(v, self.h // self.kv)
        scores = torch.einsum("bhid,bhjd->bhij", q, k) / math.sqrt(self.d)
        if t > 1:
            mask = torch.full((t, t), float("-inf"))
            mask = torch.triu(mask, diagonal=1)
            mask = torch.hstack([torch.zeros((t, start)), mask])
            scores = scores + mask
        scores = F.softmax(scores.float(), dim=-1).type_as(q)
        out = torch.einsum("b h i j, b h j d -> b h i d", scores, v)
        return self.wo(out.transpose(1, 2).contiguous().view(b, t, -1))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention, self.norm, self.ffn_norm = Attention(), RMSNorm(16), nn.RMSNorm(16)
        self.w1, self.w2, self.w3 = nn.Linear(16, 24), nn.Linear(24, 16), nn.Linear(16, 24)

    def forward(self, x, *args):
        h = x + self.attention(self.norm(x), *args)
        y = self.ffn_norm(h)
        return h + self.w2(F.silu(self.w1(y)) * self.w3(y))


torch.manual_seed(8)
block = Block()
x = torch.randn(2, 10, 16)
full = block(x)
full.square().mean().backward()
print(full.sum().item(), block.attention.wk.weight.grad.norm().item(), block.norm.weight.grad)
with torch.inference_mode():
    pieces = [block(x[:, :4], 0, True)]
    for i in range(4, 10):
        pieces.append(block(x[:, i : i + 1], i, True))
    again = torch.cat(pieces, 1)
print((again - full).abs().max().item() < 1e-5, sorted(block.state_dict().keys()))
q = torch.randn(1, 4, 6, 8)
c, s = precompute(8, 6)
turned = apply_interleaved(q, c, s)
print(torch.allclose(turned.norm(dim=-1), q.norm(dim=-1), atol=1e-5), turned[0, 0, 5])
a = F.scaled_dot_product_attention(q, q, q, is_causal=True)
m = torch.ones(6, 6, dtype=torch.bool).tril()
b = F.scaled_dot_product_attention(q, q, q, attn_mask=m)
print(
    torch.allclose(a, b, atol=1e-6),
    a[0, 1, 3],
    torch.einsum("ii->", m.float()),
    torch.einsum("bhtd,bhsd->ts", q, q)[0],
)
