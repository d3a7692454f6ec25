"""Where PyTorch keeps how a tensor lies along a mesh."""

from __future__ import annotations

from dataclasses import dataclass

from flambeau.distributed.tensor import Partial, Placement, Replicate, Shard
from flambeau.stand_in import stand_in

__all__ = ["Partial", "Placement", "Replicate", "Shard"]


@stand_in("one shard, which is the whole")
@dataclass(frozen=True)
class _StridedShard(Shard):
    """Split along a dimension in several groups."""

    split_factor: int = 1
