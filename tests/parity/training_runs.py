"""Ten small trainings as PyTorch programs: `run(torch, name)` gives the losses of fifty steps.

    python tests/parity/training_runs.py

prints the greatest relative difference of each from PyTorch's, from the same seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

STEPS = 50
RUNS: dict[str, Callable[[Any], Iterator[Any]]] = {}


def training(function: Callable[[Any], Iterator[Any]]) -> Callable[[Any], Iterator[Any]]:
    RUNS[function.__name__] = function
    return function


def run(torch: Any, name: str) -> list[list[float]]:
    """The losses of each step, all that the program has."""
    torch.manual_seed(3)
    steps = RUNS[name](torch)
    return [[float(each) for each in next(steps)] for _ in range(STEPS)]


def step(optimizer: Any, loss: Any) -> Any:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


@training
def mlp(torch: Any) -> Iterator[Any]:
    nn, F = torch.nn, torch.nn.functional
    x = torch.randn(256, 20)
    y = (x[:, :10].sum(1) > x[:, 10:].sum(1)).long() + (x[:, 0] > 1).long()
    model = nn.Sequential(
        nn.Linear(20, 64),
        nn.GELU(),
        nn.Dropout(0.2),
        nn.Linear(64, 64),
        nn.Tanh(),
        nn.Linear(64, 3),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=STEPS + 1)
    while True:
        rows = torch.randperm(256)[:64]
        loss = F.cross_entropy(model(x[rows]), y[rows], label_smoothing=0.1)
        yield [step(optimizer, loss)]
        schedule.step()


@training
def conv_net(torch: Any) -> Iterator[Any]:
    nn, F = torch.nn, torch.nn.functional
    data = torch.utils.data.TensorDataset(torch.randn(96, 1, 12, 12), torch.randint(0, 4, (96,)))
    loader = torch.utils.data.DataLoader(data, batch_size=32, shuffle=True)
    model = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Dropout(0.25), nn.Linear(16 * 9, 4)),
    )
    # at 0.05 PyTorch with and without oneDNN part by 5e-4 within these fifty steps
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, nesterov=True)
    while True:
        for x, y in loader:
            yield [step(optimizer, F.nll_loss(F.log_softmax(model(x), 1), y))]


@training
def resnet(torch: Any) -> Iterator[Any]:
    nn, F = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self, into: int, out: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(into, out, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(out)
            self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(out)
            self.short = nn.Sequential()
            if stride != 1 or into != out:
                conv = nn.Conv2d(into, out, 1, stride, bias=False)
                self.short = nn.Sequential(conv, nn.BatchNorm2d(out))

        def forward(self, x: Any) -> Any:
            y = F.relu(self.bn1(self.conv1(x)))
            return F.relu(self.bn2(self.conv2(y)) + self.short(x))

    model = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        *(Block(8, 8, 1), Block(8, 16, 2), Block(16, 32, 2)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5)),
    )
    for each in model.modules():
        if isinstance(each, nn.Conv2d):
            nn.init.kaiming_normal_(each.weight, mode="fan_out", nonlinearity="relu")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    x, y = torch.randn(64, 3, 16, 16), torch.randint(0, 5, (64,))
    while True:
        rows = torch.randint(0, 64, (16,))
        yield [step(optimizer, F.cross_entropy(model(x[rows]), y[rows]))]
        schedule.step()


@training
def unet(torch: Any) -> Iterator[Any]:
    nn, F = torch.nn, torch.nn.functional

    def double(into: int, out: int) -> Any:
        return nn.Sequential(
            *(nn.Conv2d(into, out, 3, padding=1), nn.GroupNorm(2, out), nn.SiLU()),
            *(nn.Conv2d(out, out, 3, padding=1), nn.GroupNorm(2, out), nn.SiLU()),
        )

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.low = double(1, 4), double(4, 8), double(8, 16)
            self.up2, self.join2 = nn.ConvTranspose2d(16, 8, 2, 2), double(16, 8)
            self.up1, self.join1 = nn.ConvTranspose2d(8, 4, 2, 2), double(8, 4)
            self.last = nn.Conv2d(4, 1, 1)

        def forward(self, x: Any) -> Any:
            first = self.first(x)
            second = self.second(F.max_pool2d(first, 2))
            low = self.low(F.avg_pool2d(second, 2))
            second = self.join2(torch.cat([second, self.up2(low)], 1))
            return self.last(self.join1(torch.cat([first, self.up1(second)], 1)))

    model = UNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    x = torch.randn(8, 1, 16, 16)
    y = (F.avg_pool2d(x, 3, 1, 1) > 0).float()
    while True:
        z = model(x)
        p = torch.sigmoid(z)
        dice = 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)
        yield [step(optimizer, F.binary_cross_entropy_with_logits(z, y) + dice)]


@training
def lstm(torch: Any) -> Iterator[Any]:
    nn, F = torch.nn, torch.nn.functional

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(17, 12)
            self.lstm = nn.LSTM(12, 24, 2, dropout=0.2, batch_first=True)
            self.head = nn.Linear(24, 17)

        def forward(self, x: Any, state: Any) -> Any:
            y, state = self.lstm(self.embedding(x), state)
            return self.head(y), state

    model, state = Model(), None
    optimizer = torch.optim.RMSprop(model.parameters(), lr=5e-3)
    text = torch.randint(0, 17, (8, 400)).cumsum(1) % 17
    while True:
        for start in range(0, 390, 13):
            x, y = text[:, start : start + 12], text[:, start + 1 : start + 13]
            z, state = model(x, state)
            state = tuple(each.detach() for each in state)
            loss = F.cross_entropy(z.reshape(-1, 17), y.reshape(-1))
            optimizer.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            yield [loss.detach(), norm]


@training
def gpt(torch: Any) -> Iterator[Any]:
    nn, F = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any) -> Any:
            batch, length, width = x.shape
            q, k, v = self.qkv(self.norm1(x)).split(width, 2)
            q, k, v = (each.view(batch, length, 4, -1).transpose(1, 2) for each in (q, k, v))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(batch, length, width))
            return x + self.down(F.gelu(self.up(self.norm2(x))))

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(23, 32), nn.Embedding(24, 32)
            self.drop, self.blocks = nn.Dropout(0.1), nn.ModuleList([Block(32), Block(32)])
            self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 23, bias=False)
            self.head.weight = self.words.weight

        def forward(self, x: Any) -> Any:
            x = self.drop(self.words(x) + self.places(torch.arange(x.shape[1])))
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x))

    model = Model()
    decays = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decays, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.95))
    text = torch.randint(0, 23, (600,)).cumsum(0) % 23
    while True:
        starts = torch.randint(0, 570, (6,))
        x = torch.stack([text[i : i + 24] for i in starts])
        y = torch.stack([text[i + 1 : i + 25] for i in starts])
        yield [step(optimizer, F.cross_entropy(model(x).view(-1, 23), y.view(-1)))]


@training
def transformer(torch: Any) -> Iterator[Any]:
    """Encoder and decoder, to say a sequence backwards."""
    nn, F = torch.nn, torch.nn.functional
    words = nn.Embedding(13, 16)
    model = nn.Transformer(16, 2, 1, 2, 32, dropout=0.1, batch_first=True)
    head = nn.Linear(16, 13)
    parameters = [*words.parameters(), *model.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    mask = nn.Transformer.generate_square_subsequent_mask(7)
    while True:
        x = torch.randint(1, 13, (10, 8))
        x[5:, 6:] = 0
        y = x.flip(1)
        made = model(words(x), words(y[:, :-1]), tgt_mask=mask, src_key_padding_mask=x == 0)
        loss = F.cross_entropy(head(made).reshape(-1, 13), y[:, 1:].reshape(-1), ignore_index=0)
        yield [step(optimizer, loss)]


@training
def vae(torch: Any) -> Iterator[Any]:
    nn, F = torch.nn, torch.nn.functional
    encode = nn.Sequential(nn.Linear(36, 32), nn.ELU(), nn.Linear(32, 8))
    decode = nn.Sequential(nn.Linear(4, 32), nn.Softplus(), nn.Linear(32, 36))
    optimizer = torch.optim.Adamax([*encode.parameters(), *decode.parameters()], lr=4e-3)
    x = torch.bernoulli(torch.rand(40, 36))
    while True:
        mean, logvar = encode(x).chunk(2, 1)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * logvar)
        fit = F.binary_cross_entropy(torch.sigmoid(decode(z)), x, reduction="sum")
        apart = -0.5 * torch.sum(1 + logvar - mean.pow(2) - logvar.exp())
        yield [step(optimizer, fit + apart)]


@training
def gan(torch: Any) -> Iterator[Any]:
    nn = torch.nn
    make = nn.Sequential(
        *(nn.ConvTranspose2d(6, 8, 4, 1, 0, bias=False), nn.BatchNorm2d(8), nn.ReLU(True)),
        *(nn.ConvTranspose2d(8, 1, 4, 2, 1, bias=False), nn.Tanh()),
    )
    judge = nn.Sequential(
        *(nn.Conv2d(1, 8, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)),
        *(nn.Conv2d(8, 1, 4, 1, 0, bias=False), nn.Flatten()),
    )
    for each in [*make.modules(), *judge.modules()]:
        if isinstance(each, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(each.weight, 0.0, 0.02)
    first = torch.optim.Adam(judge.parameters(), lr=2e-3, betas=(0.5, 0.999))
    second = torch.optim.Adam(make.parameters(), lr=2e-3, betas=(0.5, 0.999))
    loss, real = nn.BCEWithLogitsLoss(), torch.rand(16, 1, 8, 8) * 2 - 1
    ones, zeros = torch.ones(16, 1), torch.zeros(16, 1)
    while True:
        fake = make(torch.randn(16, 6, 1, 1))
        told = step(first, loss(judge(real), ones) + loss(judge(fake.detach()), zeros))
        yield [told, step(second, loss(judge(fake), ones))]


@training
def actor_critic(torch: Any) -> Iterator[Any]:
    """A walk on a line of nine places; the goal is at one end."""
    nn, F = torch.nn, torch.nn.functional

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.policy, self.value = (
                nn.Linear(9, 16),
                nn.Linear(16, 2),
                nn.Linear(16, 1),
            )

        def forward(self, x: Any) -> Any:
            x = torch.relu(self.body(x))
            return torch.softmax(self.policy(x), -1), self.value(x)

    model = Model()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    while True:
        place, logs, values, rewards = 4, [], [], []
        for _ in range(12):
            chances, value = model(F.one_hot(torch.tensor(place), 9).float())
            action = torch.multinomial(chances, 1).item()
            logs.append(torch.log(chances[action]))
            values.append(value)
            place = min(max(place + 2 * action - 1, 0), 8)
            rewards.append(1.0 if place == 8 else -0.1)
        total, returns = 0.0, []
        for reward in reversed(rewards):
            total = reward + 0.9 * total
            returns.insert(0, total)
        wanted, found = torch.tensor(returns), torch.cat(values)
        advantage = wanted - found.detach()
        loss = -(torch.stack(logs) * advantage).sum() + F.smooth_l1_loss(found, wanted)
        yield [step(optimizer, loss)]


def difference(name: str) -> float:
    """The greatest relative difference of any loss from PyTorch's."""
    import numpy as np
    import torch

    import flambeau

    ours, theirs = (np.array(run(library, name)) for library in (flambeau, torch))
    return float((np.abs(ours - theirs) / np.abs(theirs)).max())


def main() -> None:
    import flambeau

    flambeau.set_dropout_stream("pytorch")
    for name in RUNS:
        print(f"{name:14} {difference(name):.1e}", flush=True)


if __name__ == "__main__":
    main()
