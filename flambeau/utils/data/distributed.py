"""DistributedSampler: each of several processes visits its own part of a dataset."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from flambeau.utils.data.randomness import permutation, seeded
from flambeau.utils.data.sampler import Sampler

__all__ = ["DistributedSampler"]


class DistributedSampler(Sampler[int]):
    """Every `num_replicas`-th index from `rank` on, of an order that all processes share.

    Both must be given: there is no process group to take them from. The order changes with
    set_epoch. Without drop_last the first indices are repeated so that all parts are equal.
    """

    def __init__(
        self,
        dataset: Any,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if num_replicas is None or rank is None:
            raise RuntimeError(
                "DistributedSampler needs num_replicas and rank: there is no process group"
            )
        if not 0 <= rank < num_replicas:
            raise ValueError(
                f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]"
            )
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch = 0
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        length = len(dataset)
        if drop_last and length % num_replicas:
            length -= num_replicas - 1
        self.num_samples = math.ceil(length / num_replicas)
        self.total_size = self.num_samples * num_replicas

    def __iter__(self) -> Iterator[int]:
        length = len(self.dataset)
        order = list(range(length))
        if self.shuffle:
            order = permutation(length, seeded(self.seed + self.epoch))
        if not self.drop_last:
            missing = self.total_size - length
            order += (order * math.ceil(missing / length))[:missing] if missing else []
        return iter(order[self.rank : self.total_size : self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Shuffle anew: call it before each epoch."""
        self.epoch = epoch
