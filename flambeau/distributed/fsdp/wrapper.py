"""FullyShardedDataParallel in a world of one process."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flambeau.distributed._wrapped import Wrapper
from flambeau.graph.dtype import DType
from flambeau.nn.utils import clip_grad_norm_
from flambeau.stand_in import stand_in


class ShardingStrategy(enum.Enum):
    """How parameters are spread; over one process all mean the same."""

    FULL_SHARD = 1
    SHARD_GRAD_OP = 2
    NO_SHARD = 3
    HYBRID_SHARD = 4
    _HYBRID_SHARD_ZERO2 = 5


class BackwardPrefetch(enum.Enum):
    """When parameters are gathered; nothing is."""

    BACKWARD_PRE = 1
    BACKWARD_POST = 2


class StateDictType(enum.Enum):
    """What a state_dict holds; over one process all mean the whole tensors."""

    FULL_STATE_DICT = 1
    LOCAL_STATE_DICT = 2
    SHARDED_STATE_DICT = 3


@stand_in("accepted; nothing moves")
@dataclass
class CPUOffload:
    """Where parameters rest: where they are."""

    offload_params: bool = False


@stand_in("accepted; modules compute in their parameters' own dtypes")
@dataclass
class MixedPrecision:
    """Dtypes of parameters, reductions and buffers. Accepted, and not applied."""

    param_dtype: DType | None = None
    reduce_dtype: DType | None = None
    buffer_dtype: DType | None = None
    keep_low_precision_grads: bool = False
    cast_forward_inputs: bool = False
    cast_root_forward_inputs: bool = True


@dataclass
class FullStateDictConfig:
    """Accepted: a state_dict is whole and on its tensors' device."""

    offload_to_cpu: bool = False
    rank0_only: bool = False


@dataclass
class LocalStateDictConfig:
    """Accepted, as FullStateDictConfig."""

    offload_to_cpu: bool = False


@dataclass
class ShardedStateDictConfig:
    """Accepted, as FullStateDictConfig."""

    offload_to_cpu: bool = False


FullOptimStateDictConfig = FullStateDictConfig
ShardedOptimStateDictConfig = ShardedStateDictConfig


@stand_in("calls its module; the only shard is the whole")
class FullyShardedDataParallel(Wrapper):
    """Calls `module`. Names of parameters and keys are the module's own; policies are accepted."""

    inner_name = "_fsdp_wrapped_module"

    def __init__(self, module: Any, *args: Any, **options: Any) -> None:
        super().__init__(module)

    @property
    def module(self) -> Any:
        """The module within."""
        return self.inner

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Gradients accumulate within, as they do outside."""
        yield

    def clip_grad_norm_(self, max_norm: float, norm_type: float = 2.0) -> Any:
        """nn.utils.clip_grad_norm_ of all parameters."""
        return clip_grad_norm_(self.parameters(), max_norm, norm_type)

    @staticmethod
    @contextmanager
    def summon_full_params(module: Any, *args: Any, **options: Any) -> Iterator[None]:
        """Parameters are whole within, as they are outside."""
        yield

    @staticmethod
    @contextmanager
    def state_dict_type(module: Any, *args: Any, **options: Any) -> Iterator[None]:
        """Whatever the type, a state_dict holds whole tensors."""
        yield

    @staticmethod
    def set_state_dict_type(module: Any, *args: Any, **options: Any) -> None:
        """Accepted: whatever the type, a state_dict holds whole tensors."""

    @staticmethod
    def fsdp_modules(module: Any, root_only: bool = False) -> list[Any]:
        """The wrapped modules among a module's parts."""
        found = [each for each in module.modules() if isinstance(each, FullyShardedDataParallel)]
        return found[:1] if root_only else found

    @staticmethod
    def full_optim_state_dict(model: Any, optim: Any, *args: Any, **options: Any) -> Any:
        """The optimizer's state_dict."""
        return optim.state_dict()

    @staticmethod
    def optim_state_dict(model: Any, optim: Any, *args: Any, **options: Any) -> Any:
        """The optimizer's state_dict."""
        return optim.state_dict()

    @staticmethod
    def optim_state_dict_to_load(
        model: Any, optim: Any, optim_state_dict: Any, *args: Any, **options: Any
    ) -> Any:
        """The state_dict itself, as the optimizer loads it."""
        return optim_state_dict
