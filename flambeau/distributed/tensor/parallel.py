"""Plans of tensor parallelism: over one device a module is as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flambeau.stand_in import stand_in

__all__ = [
    "ColwiseParallel",
    "ParallelStyle",
    "PrepareModuleInput",
    "PrepareModuleOutput",
    "RowwiseParallel",
    "SequenceParallel",
    "loss_parallel",
    "parallelize_module",
]


class ParallelStyle:
    """How a part is spread; its options are kept as given."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.options = options


@stand_in("accepted; the only column block is the whole")
class ColwiseParallel(ParallelStyle):
    """A layer split by columns."""


@stand_in("accepted; the only row block is the whole")
class RowwiseParallel(ParallelStyle):
    """A layer split by rows."""


@stand_in("accepted; the only part of the sequence is the whole")
class SequenceParallel(ParallelStyle):
    """A layer split along the sequence."""


@stand_in("accepted; inputs are whole")
class PrepareModuleInput(ParallelStyle):
    """How inputs are spread."""


@stand_in("accepted; outputs are whole")
class PrepareModuleOutput(ParallelStyle):
    """How outputs are spread."""


@stand_in("the module itself")
def parallelize_module(
    module: Any,
    device_mesh: Any = None,
    parallelize_plan: Any = None,
    *,
    src_data_rank: int | None = 0,
) -> Any:
    """The module: over one device its computation is complete."""
    return module


@contextmanager
def loss_parallel() -> Iterator[None]:
    """Losses are complete within, as they are outside."""
    yield
