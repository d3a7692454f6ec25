"""fully_shard: the module itself, of a class that says that it is sharded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flambeau.graph.dtype import DType
from flambeau.stand_in import stand_in


@stand_in("accepted; modules compute in their parameters' own dtypes")
@dataclass(frozen=True)
class MixedPrecisionPolicy:
    """Dtypes of parameters, of reductions and of outputs. Accepted, and not applied."""

    param_dtype: DType | None = None
    reduce_dtype: DType | None = None
    output_dtype: DType | None = None
    cast_forward_inputs: bool = True


@stand_in("accepted; nothing moves")
@dataclass
class OffloadPolicy:
    """Where parameters rest: where they are."""


@stand_in("accepted; nothing moves")
@dataclass
class CPUOffloadPolicy(OffloadPolicy):
    """Where parameters rest: where they are."""

    pin_memory: bool = True


@stand_in("a module whose only shard is the whole")
class FSDPModule:
    """What fully_shard makes of a module's class. What steers communication is accepted."""

    def unshard(self, async_op: bool = False) -> None:
        """Nothing: the parameters are whole."""

    def reshard(self) -> None:
        """Nothing: the only shard is the whole."""

    def _accepted(self, *args: Any, **kwargs: Any) -> None:
        """Accepted: nothing is communicated."""

    set_is_last_backward = _accepted
    set_modules_to_backward_prefetch = _accepted
    set_modules_to_forward_prefetch = _accepted
    set_post_optim_event = _accepted
    set_requires_all_reduce = _accepted
    set_requires_gradient_sync = _accepted
    set_reshard_after_backward = _accepted
    set_reshard_after_forward = _accepted
    set_unshard_in_backward = _accepted


@stand_in("the module itself")
def fully_shard(
    module: Any,
    *,
    mesh: Any = None,
    reshard_after_forward: Any = None,
    shard_placement_fn: Any = None,
    mp_policy: Any = None,
    offload_policy: Any = None,
    ignored_params: Any = None,
) -> Any:
    """The module, or list of modules, now also an FSDPModule; its parameters stay as they are."""
    for each in module if isinstance(module, (list, tuple)) else (module,):
        kind = type(each)
        if not isinstance(each, FSDPModule):
            each.__class__ = type(f"FSDP{kind.__name__}", (FSDPModule, kind), {})
    return module


@stand_in("accepted: methods need no preparation")
def register_fsdp_forward_method(module: Any, method_name: str) -> None:
    """Nothing: parameters are whole in every method."""
