"""Train a GPT on characters and let it write.

The text is what Python's own manual says about the language, which comes with every Python
(`pydoc_data.topics`). The model is A. Radford and others, Language Models are Unsupervised
Multitask Learners, 2019, at a size for one processor; while it writes, keys and values are kept.

    python examples/char_gpt.py --steps 1000
"""

from __future__ import annotations

import argparse
import math
from pydoc_data.topics import topics

import flambeau as torch
from flambeau import nn
from flambeau.nn import functional as F

Cache = tuple[torch.Tensor, torch.Tensor]


class Attention(nn.Module):
    """Causal attention of several heads; `cache` holds the keys and values of what came before."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, cache: Cache | None) -> tuple[torch.Tensor, Cache]:
        batch, length, width = x.shape
        q, k, v = (
            each.view(batch, length, self.heads, -1).transpose(1, 2)
            for each in self.qkv(x).split(width, dim=2)
        )
        if cache is not None:
            k, v = torch.cat([cache[0], k], dim=2), torch.cat([cache[1], v], dim=2)
        rate = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=rate, is_causal=cache is None)
        return self.out(y.transpose(1, 2).reshape(batch, length, width)), (k, v)


class Block(nn.Module):
    """A layer of the transformer, norms first."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(dropout)
        )

    def forward(self, x: torch.Tensor, cache: Cache | None) -> tuple[torch.Tensor, Cache]:
        y, cache = self.attention(self.norm1(x), cache)
        x = x + y
        return x + self.mlp(self.norm2(x)), cache


class GPT(nn.Module):
    """Characters (batch, length) to the scores of the next ones (batch, length, characters)."""

    def __init__(
        self, characters: int, context: int, width: int, heads: int, depth: int, dropout: float
    ) -> None:
        super().__init__()
        self.context = context
        self.characters = nn.Embedding(characters, width)
        self.places = nn.Embedding(context, width)
        self.blocks = nn.ModuleList([Block(width, heads, dropout) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, characters, bias=False)
        self.head.weight = self.characters.weight
        self.apply(self._start)

    @staticmethod
    def _start(module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(
        self, x: torch.Tensor, caches: list[Cache] | None = None
    ) -> tuple[torch.Tensor, list[Cache]]:
        start = 0 if caches is None else caches[0][0].shape[2]
        y = self.characters(x) + self.places(torch.arange(start, start + x.shape[1]))
        kept = []
        for number, block in enumerate(self.blocks):
            y, cache = block(y, None if caches is None else caches[number])
            kept.append(cache)
        return self.head(self.norm(y)), kept

    @torch.no_grad()
    def write(self, x: torch.Tensor, count: int, temperature: float = 0.8) -> torch.Tensor:
        """`count` characters more than x (batch, length), drawn one by one."""
        self.eval()
        scores, caches = self(x)
        for _ in range(min(count, self.context - x.shape[1])):
            chances = F.softmax(scores[:, -1] / temperature, dim=-1)
            following = torch.multinomial(chances, 1)
            x = torch.cat([x, following], dim=1)
            scores, caches = self(following, caches)
        self.train()
        return x


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train, write, and return the mean losses of the first and the last tenth of the steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    torch.manual_seed(options.seed)

    text = "\n".join(topics[name] for name in sorted(topics))
    characters = sorted(set(text))
    number = {character: place for place, character in enumerate(characters)}
    data = torch.tensor([number[each] for each in text])
    print(f"{len(text):,} characters, {len(characters)} different ones")

    model = GPT(len(characters), options.context, options.width, 4, options.depth, dropout=0.1)
    decayed = [each for each in model.parameters() if each.dim() > 1]
    rest = [each for each in model.parameters() if each.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.55 + 0.45 * math.cos(math.pi * step / options.steps)
    )
    losses = []
    for step in range(options.steps):
        starts = torch.randint(0, len(data) - options.context - 1, (options.batch,))
        rows = starts[:, None] + torch.arange(options.context + 1)
        given = data[rows]
        scores, _ = model(given[:, :-1])
        loss = F.cross_entropy(scores.reshape(-1, len(characters)), given[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
        if step % 50 == 0 or step == options.steps - 1:
            print(f"step {step:5}  loss {loss.item():.3f}")
    start = torch.tensor([[number[each] for each in "The "]])
    written = model.write(start, options.context)
    print("".join(characters[each] for each in written[0].tolist()))
    tenth = max(options.steps // 10, 1)
    first, last = torch.stack(losses[:tenth]).mean(), torch.stack(losses[-tenth:]).mean()
    return {"first": first.item(), "last": last.item()}


if __name__ == "__main__":
    main()
