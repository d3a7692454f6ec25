"""Orders of samplers and loaders against PyTorch, number by number."""

from __future__ import annotations

import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


def _orders(t):
    data = t.utils.data
    t.manual_seed(7)
    dataset = data.TensorDataset(t.arange(40).reshape(20, 2), t.arange(20))
    found = [
        list(data.RandomSampler(dataset)),
        list(data.RandomSampler(dataset, num_samples=47)),
        list(data.RandomSampler(dataset, replacement=True, num_samples=70)),
        list(data.WeightedRandomSampler([0.1, 3.0, 0.7, 2.0], 9)),
        list(data.WeightedRandomSampler([0.1, 3.0, 0.7, 2.0], 3, replacement=False)),
        list(data.SubsetRandomSampler([5, 6, 7, 8])),
        [each.indices for each in data.random_split(dataset, [0.5, 0.3, 0.2])],
        list(data.DistributedSampler(dataset, 3, 1, seed=4)),
    ]
    generator = t.Generator().manual_seed(3)
    for options in (
        {"shuffle": True},
        {"shuffle": True, "generator": generator},
        {"shuffle": True, "generator": generator, "num_workers": 1},
        {"shuffle": True, "drop_last": True},
        {},
        {"sampler": data.WeightedRandomSampler([1.0] * 20, 11)},
    ):
        loader = data.DataLoader(dataset, 6, **options)
        found += [[[x.tolist(), y.tolist()] for x, y in loader] for _ in range(2)]
    found.append(t.rand(2).tolist())  # the global stream is at the same place
    return found


def test_orders():
    for place, (ours, theirs) in enumerate(zip(_orders(flambeau), _orders(torch), strict=True)):
        assert ours == theirs, place


class _Noise(flambeau.utils.data.Dataset):
    def __init__(self, module):
        self.module = module

    def __len__(self):
        return 6

    def __getitem__(self, index):
        import random

        import numpy

        return [float(self.module.rand(())), random.random(), float(numpy.random.rand())]


def test_random_numbers_in_workers():
    found = []
    for t in (flambeau, torch):
        t.manual_seed(2)
        loader = t.utils.data.DataLoader(_Noise(t), 2, num_workers=2)
        found.append([[each.tolist() for each in batch] for batch in loader])
    assert found[0] == found[1]


def test_collate():
    import numpy

    batch = [{"a": (1, 2.0), "b": [True, "x"], "c": numpy.float32(3)} for _ in range(2)]
    ours = flambeau.utils.data.default_collate(batch)
    theirs = torch.utils.data.default_collate(batch)
    assert str(ours) == str(theirs)
