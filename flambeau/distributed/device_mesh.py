"""A mesh of one device, with as many dimensions as a program asks for."""

from __future__ import annotations

import math
from typing import Any

from flambeau.distributed import ProcessGroup, group
from flambeau.ops.creation import zeros
from flambeau.stand_in import stand_in


@stand_in("a mesh of one device")
class DeviceMesh:
    """Devices in a grid of size 1 along every dimension. RuntimeError for a larger one."""

    def __init__(
        self,
        device_type: str,
        mesh: Any,
        *,
        mesh_dim_names: tuple[str, ...] | None = None,
        **options: Any,
    ) -> None:
        shape = tuple(getattr(mesh, "shape", None) or _shape_of(mesh))
        _require_one(shape)
        self.device_type = device_type
        self.mesh_dim_names = mesh_dim_names
        self._shape = shape

    @property
    def mesh(self) -> Any:
        """The ranks as a tensor: 0."""
        return zeros(self._shape).int()

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self._shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """1 along each dimension."""
        return self._shape

    def size(self, mesh_dim: int | None = None) -> int:
        """1."""
        return 1

    def get_rank(self) -> int:
        """0."""
        return 0

    def get_local_rank(self, mesh_dim: Any = None) -> int:
        """0."""
        return 0

    def get_coordinate(self) -> list[int]:
        """0 along each dimension."""
        return [0] * self.ndim

    def get_group(self, mesh_dim: Any = None) -> ProcessGroup:
        """The world of one."""
        return group.WORLD or ProcessGroup()

    def get_all_groups(self) -> list[ProcessGroup]:
        """The world of one, for each dimension."""
        return [self.get_group()] * self.ndim

    def __getitem__(self, names: str | tuple[str, ...]) -> DeviceMesh:
        wanted = (names,) if isinstance(names, str) else tuple(names)
        known = self.mesh_dim_names or ()
        for each in wanted:
            if each not in known:
                raise KeyError(f"Invalid mesh_dim_name {each}: the mesh has {known}")
        return DeviceMesh(self.device_type, _nested(len(wanted)), mesh_dim_names=wanted)

    def _flatten(self, mesh_dim_name: str | None = None) -> DeviceMesh:
        names = (mesh_dim_name or "_".join(self.mesh_dim_names or ()),)
        return DeviceMesh(self.device_type, [0], mesh_dim_names=names)

    def __repr__(self) -> str:
        return f"DeviceMesh({self.device_type!r}, {self._shape}, {self.mesh_dim_names})"


def _shape_of(mesh: Any) -> tuple[int, ...]:
    shape: list[int] = []
    while isinstance(mesh, (list, tuple)):
        shape.append(len(mesh))
        mesh = mesh[0] if mesh else None
    return tuple(shape)


def _nested(depth: int) -> Any:
    mesh: Any = 0
    for _ in range(depth):
        mesh = [mesh]
    return mesh


def _require_one(shape: tuple[int, ...]) -> None:
    if math.prod(shape) != 1:
        raise RuntimeError(f"a mesh of shape {shape}: this is a world of one process")


@stand_in("a mesh of one device")
def init_device_mesh(
    device_type: str,
    mesh_shape: tuple[int, ...],
    *,
    mesh_dim_names: tuple[str, ...] | None = None,
    **options: Any,
) -> DeviceMesh:
    """A mesh of this shape. RuntimeError where it is larger than one device."""
    if mesh_dim_names is not None and len(mesh_dim_names) != len(mesh_shape):
        raise RuntimeError(
            f"mesh_shape and mesh_dim_names should have same length, got {len(mesh_shape)} and "
            f"{len(mesh_dim_names)}"
        )
    _require_one(tuple(mesh_shape))
    return DeviceMesh(device_type, _nested(len(mesh_shape)), mesh_dim_names=mesh_dim_names)
