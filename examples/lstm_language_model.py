"""Train an LSTM to say the next word, with the state carried from one piece of text to the next.

The text is what Python's own manual says about the language (`pydoc_data.topics`). W. Zaremba,
I. Sutskever, O. Vinyals, Recurrent Neural Network Regularization, 2014, at a size for one
processor.

    python examples/lstm_language_model.py --epochs 3
"""

from __future__ import annotations

import argparse
import math
import re
from collections import Counter
from pydoc_data.topics import topics

import flambeau as torch
from flambeau import nn
from flambeau.nn import functional as F

State = tuple[torch.Tensor, torch.Tensor]


class LanguageModel(nn.Module):
    """Words (batch, length) and a state to the scores of the next words and the new state."""

    def __init__(self, words: int, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.words = nn.Embedding(words, width)
        self.lstm = nn.LSTM(width, width, layers, dropout=dropout, batch_first=True)
        self.head = nn.Linear(width, words)
        self.head.weight = self.words.weight
        nn.init.uniform_(self.words.weight, -0.1, 0.1)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: torch.Tensor, state: State | None) -> tuple[torch.Tensor, State]:
        y, state = self.lstm(self.drop(self.words(x)), state)
        return self.head(self.drop(y)), state


def corpus(most: int, words: int) -> tuple[torch.Tensor, list[str]]:
    """The text as numbers of its `words` most frequent words, and those; the rest is <rare>."""
    text = " ".join(topics[name] for name in sorted(topics)).lower()
    found = re.findall(r"[a-z]+|[.,:;()]", text)[:most]
    known = ["<rare>", *(word for word, _ in Counter(found).most_common(words - 1))]
    number = {word: place for place, word in enumerate(known)}
    return torch.tensor([number.get(word, 0) for word in found]), known


def perplexity(model: nn.Module, data: torch.Tensor, length: int) -> float:
    """e to the mean loss over `data` (batch, words)."""
    model.eval()
    state, losses = None, []
    with torch.no_grad():
        for start in range(0, data.shape[1] - length, length):
            scores, state = model(data[:, start : start + length], state)
            wanted = data[:, start + 1 : start + length + 1]
            losses.append(F.cross_entropy(scores.flatten(0, 1), wanted.flatten()))
    model.train()
    return math.exp(torch.stack(losses).mean().item())


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train, and return the perplexity on text that was not seen, before and after."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--length", type=int, default=35)
    parser.add_argument("--width", type=int, default=200)
    parser.add_argument("--words", type=int, default=2000)
    parser.add_argument("--most", type=int, default=10**9, help="so many words of the text")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    torch.manual_seed(options.seed)

    numbers, known = corpus(options.most, options.words)
    columns = len(numbers) // options.batch
    data = numbers[: columns * options.batch].view(options.batch, columns)
    held = columns // 10
    train, test = data[:, :-held], data[:, -held:]
    print(f"{len(numbers):,} words, {len(known)} different ones")

    model = LanguageModel(len(known), options.width, 2, dropout=0.2)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.6)
    before = after = perplexity(model, test, options.length)
    for epoch in range(options.epochs):
        state = None
        for start in range(0, train.shape[1] - options.length, options.length):
            x = train[:, start : start + options.length]
            y = train[:, start + 1 : start + options.length + 1]
            scores, state = model(x, state)
            state = tuple(each.detach() for each in state)
            loss = F.cross_entropy(scores.flatten(0, 1), y.flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
        schedule.step()
        after = perplexity(model, test, options.length)
        print(f"epoch {epoch + 1}  loss {loss.item():.3f}  perplexity of unseen text {after:.1f}")
    return {"first": before, "last": after}


if __name__ == "__main__":
    main()
