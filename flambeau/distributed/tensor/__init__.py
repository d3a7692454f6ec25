"""Tensors spread over a mesh of one device: each is whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flambeau.distributed.device_mesh import DeviceMesh, init_device_mesh
from flambeau.stand_in import stand_in
from flambeau.tensor import override
from flambeau.tensor.tensor import Tensor

__all__ = [
    "DTensor",
    "DeviceMesh",
    "Partial",
    "Placement",
    "Replicate",
    "Shard",
    "distribute_module",
    "distribute_tensor",
    "init_device_mesh",
]


class Placement:
    """How a tensor lies along one dimension of a mesh."""

    def is_shard(self, dim: int | None = None) -> bool:
        """Whether it is split, along `dim` where that is given."""
        return isinstance(self, Shard) and dim in (None, self.dim)

    def is_replicate(self) -> bool:
        """Whether every device has the whole."""
        return isinstance(self, Replicate)

    def is_partial(self) -> bool:
        """Whether the devices' tensors must still be added."""
        return isinstance(self, Partial)


@stand_in("one shard, which is the whole")
@dataclass(frozen=True)
class Shard(Placement):
    """Split along a dimension."""

    dim: int


@stand_in("the whole")
@dataclass(frozen=True)
class Replicate(Placement):
    """The whole on every device."""


@stand_in("the whole")
@dataclass(frozen=True)
class Partial(Placement):
    """Parts that are to be added; of one device the whole."""

    reduce_op: str = "sum"


@stand_in("a tensor that knows its mesh; what is computed with it are plain tensors")
class DTensor(Tensor):
    """A tensor with a mesh and placements. It shares the memory of the tensor it is made of."""

    __slots__ = ()
    __torch_function__ = staticmethod(override.disabled)

    device_mesh: Any
    placements: tuple[Any, ...]

    @classmethod
    def _over(cls, tensor: Tensor, mesh: Any, placements: Any) -> DTensor:
        self: Any = cls._make(tensor._storage, tensor._type)
        for name in ("_view", "_base", "_tracks", "_counts", "_origin", "_leaf"):
            setattr(self, name, getattr(tensor, name))
        self.device_mesh = mesh
        self.placements = tuple(placements or (Replicate(),))
        return self

    @staticmethod
    def from_local(
        local_tensor: Tensor, device_mesh: Any = None, placements: Any = None, **options: Any
    ) -> DTensor:
        """The tensor with a mesh; the only part is the whole."""
        return DTensor._over(local_tensor, device_mesh, placements)

    def to_local(self, *, grad_placements: Any = None) -> Tensor:
        """The plain tensor."""
        return self.view_as(self)

    def full_tensor(self, *, grad_placements: Any = None) -> Tensor:
        """The plain tensor."""
        return self.view_as(self)

    def redistribute(
        self, device_mesh: Any = None, placements: Any = None, **options: Any
    ) -> DTensor:
        """The same values, with other placements."""
        mesh = device_mesh or self.device_mesh
        return DTensor._over(self.to_local(), mesh, placements or self.placements)


@stand_in("the tensor with a mesh")
def distribute_tensor(
    tensor: Tensor,
    device_mesh: Any = None,
    placements: Sequence[Placement] | None = None,
    **options: Any,
) -> DTensor:
    """A leaf with the tensor's values, over a mesh of one device."""
    made = DTensor._over(tensor.detach(), device_mesh, placements)
    made.requires_grad_(tensor.requires_grad)
    return made


@stand_in("the module itself")
def distribute_module(
    module: Any,
    device_mesh: Any = None,
    partition_fn: Callable[..., Any] | None = None,
    input_fn: Callable[..., Any] | None = None,
    output_fn: Callable[..., Any] | None = None,
) -> Any:
    """The module: its parameters are whole."""
    return module
