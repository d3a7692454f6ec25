"""DataParallel over one device: the module itself, under the name `module`."""

from __future__ import annotations

from typing import Any

from flambeau.nn.modules.module import Module
from flambeau.stand_in import stand_in


@stand_in("the module itself, with keys that begin with 'module.'")
class DataParallel(Module):
    """Calls `module`, which is one of one: there is one device of each type.

    As in PyTorch the keys of its state_dict begin with "module.".
    """

    def __init__(
        self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0
    ) -> None:
        super().__init__()
        self.module = module
        self.device_ids: list[Any] = []
        self.dim = dim

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)


@stand_in("a call of the module")
def data_parallel(
    module: Module,
    inputs: Any,
    device_ids: Any = None,
    output_device: Any = None,
    dim: int = 0,
    module_kwargs: dict[str, Any] | None = None,
) -> Any:
    """module(*inputs, **module_kwargs)."""
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    return module(*inputs, **(module_kwargs or {}))
