"""Datasets, samplers, collate functions and DataLoaders."""

from __future__ import annotations

import collections
import time

import numpy
import pytest

import flambeau as torch
from flambeau.utils import data
from flambeau.utils.data import DataLoader, TensorDataset


class Squares(data.Dataset):
    def __init__(self, length=10):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return torch.tensor([index, index * index]), index


class Count(data.IterableDataset):
    def __init__(self, length=7):
        self.length = length

    def __iter__(self):
        info = data.get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        return iter(range(first, self.length, step))


def _lists(loader):
    return [[each.tolist() for each in batch] for batch in loader]


def test_tensor_dataset_is_read_a_batch_at_a_time():
    x, y = torch.arange(12.0).reshape(6, 2), torch.arange(6)
    dataset = TensorDataset(x, y)
    assert len(dataset) == 6 and dataset[1][0].tolist() == [2, 3]

    class Own(TensorDataset):
        """Not a plain TensorDataset: read sample by sample."""

    for source in (dataset, data.Subset(data.Subset(dataset, [5, 4, 3, 0]), [1, 0, 3])):
        fast = DataLoader(source, 2)
        slow = DataLoader(source, 2, collate_fn=lambda batch: data.default_collate(batch))
        assert _lists(fast) == _lists(slow)
        for batch in fast:
            assert type(batch) is list and batch[0].dtype is torch.float32
    assert _lists(DataLoader(Own(x, y), 4)) == _lists(DataLoader(dataset, 4))
    with pytest.raises(AssertionError, match="Size mismatch"):
        TensorDataset(x, y[:3])
    with pytest.raises(IndexError):
        list(DataLoader(dataset, batch_sampler=[[7]]))


def test_batches_are_copies():
    x = torch.zeros(4)
    for (batch,) in DataLoader(TensorDataset(x), 2):
        batch.add_(1)
    assert x.sum().item() == 0


def test_gradients_flow_through_batches():
    x = torch.ones(4, requires_grad=True)
    (batch,) = next(iter(DataLoader(TensorDataset(x), 2)))
    batch.sum().backward()
    assert x.grad.tolist() == [1, 1, 0, 0]


def test_other_datasets():
    both = Squares(2) + Squares(3)
    assert len(both) == 5 and [both[i][1] for i in (0, 2, -1)] == [0, 0, 2]
    with pytest.raises(ValueError, match="exceed"):
        both[-6]
    assert list(Count(2) + Count(3)) == [0, 1, 0, 1, 2] and not hasattr(Count(2), "__len__")
    stack = data.StackDataset(a=Squares(3), b=Squares(3))
    assert stack[2]["b"][1] == 2
    assert data.Subset(Squares(), [3, 5])[1][1] == 5
    parts = data.random_split(Squares(10), [0.5, 0.25, 0.25])
    assert [len(each) for each in parts] == [6, 2, 2]
    assert sorted(i for each in parts for i in each.indices) == list(range(10))
    with pytest.raises(ValueError, match="Sum of input lengths"):
        data.random_split(Squares(10), [3, 4])


def test_samplers():
    assert list(data.SequentialSampler(Squares(3))) == [0, 1, 2]
    torch.manual_seed(0)
    assert sorted(data.RandomSampler(Squares(9))) == list(range(9))
    assert len(list(data.RandomSampler(Squares(3), num_samples=8))) == 8
    assert set(data.RandomSampler(Squares(3), replacement=True, num_samples=80)) == {0, 1, 2}
    assert sorted(data.SubsetRandomSampler([7, 8, 9])) == [7, 8, 9]
    assert set(data.WeightedRandomSampler([0, 1, 0, 1], 50)) == {1, 3}
    batches = data.BatchSampler(range(7), 3, drop_last=False)
    assert list(batches) == [[0, 1, 2], [3, 4, 5], [6]] and len(batches) == 3
    batches = data.BatchSampler(range(7), 3, drop_last=True)
    assert list(batches) == [[0, 1, 2], [3, 4, 5]] and len(batches) == 2
    for bad in (
        lambda: data.RandomSampler(Squares(0)),
        lambda: data.BatchSampler(range(3), 0, False),
        lambda: data.WeightedRandomSampler([[1.0]], 3),
    ):
        with pytest.raises(ValueError):  # noqa: PT011  # which one is clear
            bad()


def test_generators_repeat_orders():
    def order(seed):
        return _lists(
            DataLoader(Squares(), 3, shuffle=True, generator=torch.Generator().manual_seed(seed))
        )

    assert order(1) == order(1) != order(2)


def test_distributed_sampler():
    parts = [data.DistributedSampler(Squares(7), 3, rank, shuffle=False) for rank in range(3)]
    assert [list(each) for each in parts] == [[0, 3, 6], [1, 4, 0], [2, 5, 1]]
    parts = [data.DistributedSampler(Squares(8), 2, rank, seed=1) for rank in range(2)]
    assert sorted([*parts[0], *parts[1]]) == list(range(8))
    before = list(parts[0])
    parts[0].set_epoch(1)
    assert list(parts[0]) != before
    with pytest.raises(RuntimeError, match="no process group"):
        data.DistributedSampler(Squares(7))


def test_default_collate():
    Point = collections.namedtuple("Point", ["x", "y"])
    batch = data.default_collate(
        [{"a": 1, "b": [2.5, "s"], "c": Point(True, numpy.float32(1))} for _ in range(2)]
    )
    assert batch["a"].dtype is torch.int64 and batch["a"].tolist() == [1, 1]
    assert batch["b"][0].dtype is torch.float64 and batch["b"][1] == ("s", "s")
    assert isinstance(batch["c"], Point) and batch["c"].x.dtype is torch.bool
    assert batch["c"].y.dtype is torch.float32
    arrays = data.default_collate([(numpy.zeros((2, 3)),), (numpy.ones((2, 3)),)])
    assert type(arrays) is list and tuple(arrays[0].shape) == (2, 2, 3)
    with pytest.raises(RuntimeError, match=r"equal size, but got \[2\] at entry 0 and \[3\]"):
        data.default_collate([torch.zeros(2), torch.zeros(3)])
    with pytest.raises(RuntimeError, match="equal size"):
        data.default_collate([[1], [1, 2]])
    with pytest.raises(TypeError, match="default_collate: batch must contain"):
        data.default_collate([object()])
    assert data.default_convert({"a": numpy.ones(2), "b": "s"})["a"].tolist() == [1, 1]


def test_loader_without_batches_and_with_own_functions():
    assert [x.tolist() for x, _ in DataLoader(Squares(2), batch_size=None)] == [[0, 0], [1, 1]]
    loader = DataLoader(Squares(4), 2, collate_fn=lambda batch: [i for _, i in batch])
    assert list(loader) == [[0, 1], [2, 3]] and len(loader) == 2
    assert list(DataLoader(Count(3), 2)) and len(DataLoader(Squares(5), 2, drop_last=True)) == 2
    assert [b.tolist() for b in DataLoader(Count(5), 2, drop_last=True)] == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_workers": -1}, "non-negative"),
        ({"timeout": -1}, "non-negative"),
        ({"prefetch_factor": 2}, "multiprocessing"),
        ({"persistent_workers": True}, "num_workers > 0"),
        ({"shuffle": True, "sampler": [0]}, "mutually exclusive"),
        ({"batch_sampler": [[0]], "batch_size": 2}, "mutually exclusive"),
        ({"batch_size": None, "drop_last": True}, "auto-batching"),
        ({"multiprocessing_context": "fork"}, "num_workers=0"),
        ({"num_workers": 1, "multiprocessing_context": "none"}, "start method"),
    ],
)
def test_arguments_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        DataLoader(Squares(), **options)


def test_what_is_fixed_after_making():
    loader = DataLoader(Squares())
    with pytest.raises(ValueError, match="should not be set"):
        loader.batch_size = 3
    with pytest.raises(ValueError, match="shuffle"):
        DataLoader(Count(), shuffle=True)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_give_the_same_batches_in_order(workers):
    torch.manual_seed(1)
    here = _lists(DataLoader(Squares(11), 3, shuffle=True))
    torch.manual_seed(1)
    assert _lists(DataLoader(Squares(11), 3, shuffle=True, num_workers=workers)) == here


class Computes(data.Dataset):
    """Uses tensor operations in the worker, after the main process has used its threads."""

    def __init__(self, table):
        self.table = table

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return (self.table[index] * 2).sum() + torch.ones(3).mean()


def test_workers_compute_after_the_main_process_did():
    table = torch.arange(60_000.0).reshape(6, -1)
    table = table + table.sum() * 0
    expected = [each.item() for each in (table * 2).sum(1) + 1]
    for workers in (0, 2):
        found = torch.cat(list(DataLoader(Computes(table), 2, num_workers=workers)))
        numpy.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_iterable_dataset_in_workers():
    loader = DataLoader(Count(9), 2, num_workers=2)
    assert sorted(i for batch in loader for i in batch.tolist()) == list(range(9))


def test_persistent_workers():
    loader = DataLoader(Squares(4), 2, num_workers=1, persistent_workers=True)
    first = _lists(loader)
    process = loader._iterator._processes[0]
    assert _lists(loader) == first and process.is_alive()
    next(iter(loader))  # an unfinished pass
    assert _lists(loader) == first


class Info(Squares):
    def __getitem__(self, index):
        info = data.get_worker_info()
        return info.id, info.num_workers, info.seed, torch.rand(()).item(), self.extra


def _set_extra(number):
    data.get_worker_info().dataset.extra = number + 10


def test_workers_know_who_they_are():
    assert data.get_worker_info() is None
    loader = DataLoader(Info(4), 1, num_workers=2, worker_init_fn=_set_extra)
    found = [[each.item() for each in batch] for batch in loader]
    assert [row[0] for row in found] == [0, 1, 0, 1] and {row[1] for row in found} == {2}
    assert found[1][2] == found[0][2] + 1 and len({row[3] for row in found}) == 4
    assert [row[4] for row in found] == [10, 11, 10, 11]


class Fails(Squares):
    def __getitem__(self, index):
        if index == 3:
            raise KeyError("not this one")
        if index == 5:
            import os

            os._exit(1)
        if index == 7:
            time.sleep(60)
        return index


def test_a_worker_that_fails():
    iterator = iter(DataLoader(Fails(), 1, num_workers=1, sampler=[0, 3]))
    assert next(iterator).tolist() == [0]
    with pytest.raises(KeyError, match="Caught KeyError in DataLoader worker process 0"):
        next(iterator)


def test_a_worker_that_dies():
    with pytest.raises(RuntimeError, match=r"worker \(pid\(s\) \d+\) exited unexpectedly"):
        list(DataLoader(Fails(), 1, num_workers=1, sampler=[0, 5]))


def test_a_worker_that_takes_too_long():
    with pytest.raises(RuntimeError, match=r"timed out after 0.5 seconds"):
        list(DataLoader(Fails(), 1, num_workers=1, sampler=[7], timeout=0.5))


def test_a_loop_that_is_left_ends_its_workers():
    iterator = iter(DataLoader(Squares(100), 1, num_workers=2))
    next(iterator)
    processes = iterator._processes
    del iterator
    assert not any(each.is_alive() for each in processes)
