"""Parts of tensors for several devices, of which there is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.stand_in import stand_in


@stand_in("all inputs go to the one device")
def scatter(inputs: Any, target_gpus: Sequence[Any], dim: int = 0) -> list[Any]:
    """[inputs]: what each of the devices gets, of which there is one."""
    return [inputs]


@stand_in("the outputs of the one device")
def gather(outputs: Sequence[Any], target_device: Any, dim: int = 0) -> Any:
    """The outputs of the one device. Raises ValueError where there are several."""
    if len(outputs) != 1:
        raise ValueError(f"gather: expected the outputs of 1 device, got {len(outputs)}")
    return outputs[0]
