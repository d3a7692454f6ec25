"""DistributedDataParallel in a world of one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flambeau.nn.modules.module import Module
from flambeau.stand_in import stand_in


@stand_in("the module itself, with keys that begin with 'module.'")
class DistributedDataParallel(Module):
    """Calls `module`: in a world of one process its gradients are complete.

    As in PyTorch the keys of its state_dict begin with "module.", and the arguments that steer the
    exchange of gradients are taken. Raises RuntimeError where no parameter requires a gradient.
    """

    def __init__(
        self,
        module: Module,
        device_ids: Any = None,
        output_device: Any = None,
        dim: int = 0,
        broadcast_buffers: bool = True,
        init_sync: bool = True,
        process_group: Any = None,
        bucket_cap_mb: float | None = None,
        find_unused_parameters: bool = False,
        check_reduction: bool = False,
        gradient_as_bucket_view: bool = False,
        static_graph: bool = False,
        delay_all_reduce_named_params: Any = None,
        param_to_hook_all_reduce: Any = None,
        mixed_precision: Any = None,
        device_mesh: Any = None,
        skip_all_reduce_unused_params: bool = False,
    ) -> None:
        super().__init__()
        if not any(each.requires_grad for each in module.parameters()):
            raise RuntimeError(
                "DistributedDataParallel is not needed when a module doesn't have any parameters "
                "that require a gradient."
            )
        self.module = module
        self.device_ids = device_ids
        self.dim = dim

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Gradients accumulate within, as they do outside: nothing is exchanged."""
        yield

    @contextmanager
    def join(self, *arguments: Any, **options: Any) -> Iterator[None]:
        """For uneven inputs of several processes; nothing changes here."""
        yield

    def register_comm_hook(self, state: object, hook: Any) -> None:
        """Accepted: nothing is communicated, so the hook is never called."""
