"""Datasets, samplers, collating by hand, schedules with warm-up, accounting by .item()."""

import math

import numpy as np

import flambeau as torch
import flambeau.nn.functional as F
from flambeau import nn, optim
from flambeau.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
    random_split,
)


class Sentences(Dataset):
    def __init__(self, n, seed=0):
        rng = np.random.RandomState(seed)
        self.rows = [rng.randint(1, 20, size=rng.randint(2, 9)).tolist() for _ in range(n)]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i], sum(self.rows[i]) % 3


def pad_collate(batch):
    rows, labels = zip(*batch)
    lengths = torch.tensor([len(r) for r in rows])
    padded = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
    for i, r in enumerate(rows):
        padded[i, : lengths[i]] = torch.tensor(r)
    return padded, lengths, torch.LongTensor(labels)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(20, 8, padding_idx=0)
        self.fc = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 3))

    def forward(self, tokens, lengths):
        mask = torch.arange(tokens.size(1))[None, :] < lengths[:, None]
        e = self.emb(tokens) * mask.unsqueeze(-1)
        return self.fc(e.sum(1) / lengths.unsqueeze(1).float())


torch.manual_seed(10)
data = Sentences(40)
train, val = random_split(data, [30, 10], generator=torch.Generator().manual_seed(42))
print(train.indices[:5], val.indices)
loader = DataLoader(train, batch_size=8, shuffle=True, collate_fn=pad_collate, drop_last=True)
val_loader = DataLoader(val, batch_size=4, collate_fn=pad_collate)
model = Classifier()
optimizer = optim.AdamW(model.parameters(), lr=0.05)
total, warmup = 3 * len(loader), 3


def lr_lambda(step):
    if step < warmup:
        return float(step) / float(max(1, warmup))
    progress = float(step - warmup) / float(max(1, total - warmup))
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress)))


scheduler = optim.lr_scheduler.LambdaLR(optimizer, lr_lambda)
for epoch in range(3):
    model.train()
    running, seen = 0.0, 0
    for i, (tokens, lengths, labels) in enumerate(loader):
        loss = F.cross_entropy(model(tokens, lengths), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        running += loss.item() * labels.size(0)
        seen += len(labels)
    model.eval()
    correct = 0
    with torch.no_grad():
        for tokens, lengths, labels in val_loader:
            correct += (model(tokens, lengths).argmax(1) == labels).sum().item()
    print(epoch, running / seen, correct / len(val), scheduler.get_last_lr()[0], tokens.shape)
print(model.emb.weight[0])

x, y = torch.arange(20.0).view(10, 2), torch.arange(10) % 3
dataset = TensorDataset(x, y)
for sampler in (
    SequentialSampler(dataset),
    RandomSampler(dataset, replacement=True, num_samples=6),
    WeightedRandomSampler([0.1] * 5 + [2.0] * 5, 6),
):
    print([b[1].tolist() for b in DataLoader(dataset, batch_size=4, sampler=sampler)])
print(
    [
        b[0].sum().item()
        for b in DataLoader(
            dataset, batch_sampler=BatchSampler(SequentialSampler(dataset), 3, True)
        )
    ]
)
generator = torch.Generator()
generator.manual_seed(5)
print(
    [
        b[1].tolist()
        for b in DataLoader(
            ConcatDataset([dataset, Subset(dataset, [1, 2])]), 5, shuffle=True, generator=generator
        )
    ]
)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(
            [{"a": i, "b": np.float32(i) / 2, "c": (torch.full((2,), i), str(i))} for i in range(3)]
        )


for batch in DataLoader(Stream(), batch_size=2):
    print(batch)
w = nn.Parameter(torch.zeros(1))
for name, make in {
    "step": lambda o: optim.lr_scheduler.StepLR(o, 2, 0.5),
    "multi": lambda o: optim.lr_scheduler.MultiStepLR(o, [2, 4], 0.1),
    "exp": lambda o: optim.lr_scheduler.ExponentialLR(o, 0.9),
    "cos": lambda o: optim.lr_scheduler.CosineAnnealingLR(o, 4, 0.01),
    "warm": lambda o: optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 3),
    "one": lambda o: optim.lr_scheduler.OneCycleLR(o, 1.0, total_steps=8),
    "cycle": lambda o: optim.lr_scheduler.CyclicLR(o, 0.1, 1.0, step_size_up=3),
    "linear": lambda o: optim.lr_scheduler.LinearLR(o, 0.1, total_iters=4),
    "seq": lambda o: optim.lr_scheduler.SequentialLR(
        o,
        [optim.lr_scheduler.ConstantLR(o, 0.1, 2), optim.lr_scheduler.ExponentialLR(o, 0.9)],
        milestones=[2],
    ),
}.items():
    o = optim.SGD([w], lr=1.0, momentum=0.9)
    s = make(o)
    lrs = []
    for _ in range(7):
        lrs.append(round(o.param_groups[0]["lr"], 6))
        o.step()
        s.step()
    print(name, lrs, round(o.param_groups[0].get("momentum", 0), 4))
