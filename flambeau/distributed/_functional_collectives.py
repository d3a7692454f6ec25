"""Collectives that return their result. In a world of one process that is what they were given."""

from __future__ import annotations

from typing import Any

from flambeau.stand_in import stand_in
from flambeau.tensor.tensor import Tensor


@stand_in("the tensor: nothing is under way")
def wait_tensor(tensor: Tensor) -> Tensor:
    """The tensor, once it is there."""
    return tensor


@stand_in("the tensor")
def all_reduce(self: Tensor, reduceOp: str, group: Any, tag: str = "") -> Tensor:  # noqa: N803  # PyTorch's name
    """The tensor: of one process the reduction is its own."""
    return self


@stand_in("the tensor")
def all_gather_tensor(self: Tensor, gather_dim: int, group: Any, tag: str = "") -> Tensor:
    """The tensor: of one process the whole is its own."""
    return self


@stand_in("the tensor")
def all_to_all_single(
    self: Tensor,
    output_split_sizes: list[int] | None,
    input_split_sizes: list[int] | None,
    group: Any,
    tag: str = "",
) -> Tensor:
    """The tensor: its only part is its own."""
    return self


all_to_all_single_autograd = all_to_all_single
