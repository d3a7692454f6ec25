"""From indices to a batch: one fetcher for datasets by index, one for iterable datasets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import numpy

from flambeau.tensor.tensor import Tensor
from flambeau.utils.data.collate import default_collate
from flambeau.utils.data.dataset import Subset, TensorDataset

_HOST = frozenset({"cpu", "reference"})


class _BaseDataLoaderIter:
    """One pass over a DataLoader."""


class MapFetcher:
    """Samples by index, collated; without `batched` one sample at a time, converted."""

    def __init__(self, dataset: Any, batched: bool, collate_fn: Callable[..., Any]) -> None:
        self.dataset = dataset
        self.batched = batched
        self.collate_fn = collate_fn
        self.rows = _rows(dataset) if batched and collate_fn is default_collate else None

    def fetch(self, index: Any) -> Any:
        """The batch of a list of indices."""
        if not self.batched:
            return self.collate_fn(self.dataset[index])
        if self.rows is not None:
            return self._fetch_rows(index)
        several = getattr(self.dataset, "__getitems__", None)
        if callable(several):
            return self.collate_fn(several(index))
        return self.collate_fn([self.dataset[each] for each in index])

    def _fetch_rows(self, index: Sequence[int]) -> list[Tensor]:
        """What collating the rows of a TensorDataset gives, in one step for each tensor."""
        dataset = self.dataset
        while type(dataset) is Subset:
            indices = dataset.indices
            index = [indices[each] for each in index]
            dataset = dataset.dataset
        wanted = numpy.array(index, numpy.int64)
        return [_take(each, wanted) for each in dataset.tensors]


def _rows(dataset: Any) -> TensorDataset | None:
    """The plain TensorDataset under `dataset`; None where a class of the user's is between."""
    while type(dataset) is Subset:
        dataset = dataset.dataset
    return dataset if type(dataset) is TensorDataset and dataset.tensors else None


def _take(tensor: Tensor, index: numpy.ndarray[Any, Any]) -> Tensor:
    where = tensor.device.type
    if where in _HOST and not tensor.requires_grad:
        return Tensor._from_numpy(tensor._to_numpy()[index], where, copy=False)
    from flambeau.ops.gather import index_select

    length = int(tensor.shape[0])
    if index.size and (index.max() >= length or index.min() < -length):
        raise IndexError(f"index out of range: the dataset has {length} samples")
    at = Tensor._from_numpy(index % max(length, 1), where, copy=False)
    return index_select(tensor, 0, at)


class IterableFetcher:
    """The next samples of an iterable dataset; StopIteration at its end."""

    def __init__(
        self, dataset: Any, batched: bool, collate_fn: Callable[..., Any], drop_last: bool
    ) -> None:
        self.samples = iter(dataset)
        self.batched = batched
        self.collate_fn = collate_fn
        self.drop_last = drop_last
        self.ended = False

    def fetch(self, index: Any) -> Any:
        """As many samples as `index` has entries, fewer at the end."""
        if self.ended:
            raise StopIteration
        if not self.batched:
            return self.collate_fn(next(self.samples))
        batch = list(islice(self.samples, len(index)))
        self.ended = len(batch) < len(index)
        if not batch or (self.drop_last and self.ended):
            raise StopIteration
        return self.collate_fn(batch)


def make_fetcher(
    dataset: Any, iterable: bool, batched: bool, collate_fn: Callable[..., Any], drop_last: bool
) -> Any:
    """The fetcher for a kind of dataset."""
    if iterable:
        return IterableFetcher(dataset, batched, collate_fn, drop_last)
    return MapFetcher(dataset, batched, collate_fn)
