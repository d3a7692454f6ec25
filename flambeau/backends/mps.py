"""torch.backends.mps. Apple's GPUs are reached through WebGPU."""

from __future__ import annotations

from flambeau.stand_in import stand_in


@stand_in("False")
def is_available() -> bool:
    """False: the device is called webgpu."""
    return False


@stand_in("False")
def is_built() -> bool:
    """False: the device is called webgpu."""
    return False
