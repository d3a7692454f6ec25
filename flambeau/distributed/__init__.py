"""torch.distributed in a world of one process: programs written for many run as rank 0 of 1.

Every collective has its result of one process: all_reduce leaves the tensor as it is, all_gather
gives a list of one. A larger world raises RuntimeError at `init_process_group`.
"""

from __future__ import annotations

import datetime
import enum
import importlib
import os
from collections.abc import Sequence
from typing import Any

from flambeau.stand_in import stand_in
from flambeau.tensor.tensor import Tensor

default_pg_timeout = datetime.timedelta(minutes=30)


class ReduceOp(enum.Enum):
    """How a reduction combines what the processes have; of one process all give the same."""

    SUM = 0
    AVG = 1
    PRODUCT = 2
    MIN = 3
    MAX = 4
    BAND = 5
    BOR = 6
    BXOR = 7


ReduceOp.RedOpType = ReduceOp  # type: ignore[attr-defined]  # PyTorch's name of the plain operations


class Backend(str):
    """The name of what carries messages. None is needed here."""

    GLOO = "gloo"
    NCCL = "nccl"
    MPI = "mpi"
    UNDEFINED = "undefined"

    __slots__ = ()


class ProcessGroup:
    """The processes that take part in a collective: this one."""

    def __init__(self, backend: str = Backend.GLOO) -> None:
        self.backend = backend

    def rank(self) -> int:
        """0."""
        return 0

    def size(self) -> int:
        """1."""
        return 1


class group:  # noqa: N801  # PyTorch's name
    """`group.WORLD`: all processes."""

    WORLD: ProcessGroup | None = None


GroupMember = group


class Work:
    """What an asynchronous collective returns: it is done."""

    def wait(self, timeout: Any = None) -> bool:
        """True."""
        return True

    def is_completed(self) -> bool:
        """True."""
        return True


def _done(async_op: bool) -> Work | None:
    return Work() if async_op else None


# the group ---------------------------------------------------------------------------------------


def is_available() -> bool:
    """True: a world of one works."""
    return True


def is_initialized() -> bool:
    """Whether init_process_group was called."""
    return group.WORLD is not None


@stand_in("False")
def is_nccl_available() -> bool:
    """False."""
    return False


@stand_in("False")
def is_gloo_available() -> bool:
    """False."""
    return False


@stand_in("False")
def is_mpi_available() -> bool:
    """False."""
    return False


@stand_in("whether the variable that the launcher sets is there")
def is_torchelastic_launched() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


@stand_in("a world of one process; a larger one raises RuntimeError")
def init_process_group(
    backend: str | None = None,
    init_method: str | None = None,
    timeout: Any = None,
    world_size: int = -1,
    rank: int = -1,
    store: Any = None,
    group_name: str = "",
    pg_options: Any = None,
    device_id: Any = None,
) -> None:
    """Begin a world of one process.

    Its size comes from `world_size`, or from the environment's WORLD_SIZE. Raises RuntimeError
    where that is not 1 or the rank is not 0, ValueError where there is a group already.
    """
    if group.WORLD is not None:
        raise ValueError("trying to initialize the default process group twice!")
    size = int(os.environ.get("WORLD_SIZE", "1")) if world_size == -1 else world_size
    own = int(os.environ.get("RANK", "0")) if rank == -1 else rank
    if size != 1 or own != 0:
        raise RuntimeError(
            f"init_process_group: rank {own} of a world of {size} processes was asked for; "
            "Flambeau runs in one process, as rank 0 of 1. Start the program without a launcher"
        )
    group.WORLD = ProcessGroup(Backend.GLOO if backend is None else backend)


def destroy_process_group(group: ProcessGroup | None = None) -> None:
    """End the world that init_process_group began."""
    globals()["group"].WORLD = None


def _require(name: str) -> None:
    if group.WORLD is None:
        raise ValueError(
            f"{name}: Default process group has not been initialized, please make sure to call "
            "init_process_group."
        )


def get_rank(group: ProcessGroup | None = None) -> int:
    """0. Raises ValueError before init_process_group."""
    _require("get_rank")
    return 0


def get_world_size(group: ProcessGroup | None = None) -> int:
    """1. Raises ValueError before init_process_group."""
    _require("get_world_size")
    return 1


def get_backend(group: ProcessGroup | None = None) -> str:
    """The backend that init_process_group was given."""
    _require("get_backend")
    world = globals()["group"].WORLD
    return str((group or world).backend)


@stand_in("the world of one")
def new_group(ranks: Sequence[int] | None = None, **options: Any) -> ProcessGroup:
    """A group of this process."""
    _require("new_group")
    return ProcessGroup()


def get_process_group_ranks(group: ProcessGroup | None) -> list[int]:
    """[0]."""
    return [0]


def get_global_rank(group: ProcessGroup, group_rank: int) -> int:
    """0."""
    return 0


# collectives -------------------------------------------------------------------------------------


@stand_in("nothing to wait for")
def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None) -> Work | None:
    """Nothing to wait for."""
    _require("barrier")
    return _done(async_op)


monitored_barrier = barrier


@stand_in("the tensor stays as it is")
def all_reduce(
    tensor: Tensor, op: ReduceOp = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """The tensor stays as it is."""
    _require("all_reduce")
    return _done(async_op)


@stand_in("the tensor stays as it is")
def reduce(
    tensor: Tensor,
    dst: int | None = None,
    op: ReduceOp = ReduceOp.SUM,
    group: Any = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """The tensor stays as it is."""
    _require("reduce")
    return _done(async_op)


@stand_in("the tensor stays as it is")
def broadcast(
    tensor: Tensor,
    src: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:
    """The tensor stays as it is."""
    _require("broadcast")
    return _done(async_op)


@stand_in("a list of this process's tensor")
def all_gather(
    tensor_list: list[Tensor], tensor: Tensor, group: Any = None, async_op: bool = False
) -> Work | None:
    """Copies `tensor` into the one element of `tensor_list`."""
    _require("all_gather")
    _one("all_gather", tensor_list)
    tensor_list[0].copy_(tensor)
    return _done(async_op)


@stand_in("a copy of this process's tensor")
def all_gather_into_tensor(
    output_tensor: Tensor, input_tensor: Tensor, group: Any = None, async_op: bool = False
) -> Work | None:
    """Copies `input_tensor` into `output_tensor`."""
    _require("all_gather_into_tensor")
    output_tensor.copy_(input_tensor.reshape(output_tensor.shape))
    return _done(async_op)


@stand_in("a copy of this process's tensor")
def reduce_scatter_tensor(
    output: Tensor,
    input: Tensor,  # noqa: A002  # PyTorch's name
    op: ReduceOp = ReduceOp.SUM,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Copies `input` into `output`."""
    _require("reduce_scatter_tensor")
    output.copy_(input.reshape(output.shape))
    return _done(async_op)


@stand_in("a list of this process's tensor")
def gather(
    tensor: Tensor,
    gather_list: list[Tensor] | None = None,
    dst: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """Copies `tensor` into the one element of `gather_list`."""
    _require("gather")
    if gather_list is not None:
        _one("gather", gather_list)
        gather_list[0].copy_(tensor)
    return _done(async_op)


@stand_in("this process's part")
def scatter(
    tensor: Tensor,
    scatter_list: list[Tensor] | None = None,
    src: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:
    """Copies the one element of `scatter_list` into `tensor`."""
    _require("scatter")
    if scatter_list is not None:
        _one("scatter", scatter_list)
        tensor.copy_(scatter_list[0])
    return _done(async_op)


@stand_in("a list of this process's tensor")
def all_to_all(
    output_tensor_list: list[Tensor],
    input_tensor_list: list[Tensor],
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Copies the one input into the one output."""
    _require("all_to_all")
    _one("all_to_all", input_tensor_list)
    _one("all_to_all", output_tensor_list)
    output_tensor_list[0].copy_(input_tensor_list[0])
    return _done(async_op)


@stand_in("the input is copied into the output")
def all_to_all_single(
    output: Tensor,
    input: Tensor,  # noqa: A002  # PyTorch's name
    output_split_sizes: list[int] | None = None,
    input_split_sizes: list[int] | None = None,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Copies the input into the output."""
    _require("all_to_all_single")
    output.copy_(input)
    return _done(async_op)


@stand_in("a list of this process's object")
def all_gather_object(object_list: list[Any], obj: Any, group: Any = None) -> None:
    """object_list[0] = obj."""
    _require("all_gather_object")
    _one("all_gather_object", object_list)
    object_list[0] = obj


@stand_in("the objects stay as they are")
def broadcast_object_list(
    object_list: list[Any], src: int | None = None, group: Any = None, device: Any = None
) -> None:
    """The objects stay as they are."""
    _require("broadcast_object_list")


@stand_in("a list of this process's object")
def gather_object(
    obj: Any, object_gather_list: list[Any] | None = None, dst: int | None = None, group: Any = None
) -> None:
    """object_gather_list[0] = obj."""
    _require("gather_object")
    if object_gather_list is not None:
        _one("gather_object", object_gather_list)
        object_gather_list[0] = obj


def _one(name: str, items: Sequence[Any]) -> None:
    if len(items) != 1:
        raise ValueError(f"{name}: expected a list of 1, one for each process; got {len(items)}")


# parts that are imported when they are asked for -------------------------------------------------

_LATER = frozenset(
    {"algorithms", "checkpoint", "device_mesh", "distributed_c10d", "fsdp", "store", "tensor"}
)
_STORES = frozenset({"FileStore", "HashStore", "Store", "TCPStore"})


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _STORES:
        return getattr(importlib.import_module(f"{__name__}.store"), name)
    if name in ("DeviceMesh", "init_device_mesh"):
        return getattr(importlib.import_module(f"{__name__}.device_mesh"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
