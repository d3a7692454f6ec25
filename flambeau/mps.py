"""torch.mps, which is not there: Apple's GPUs are reached through WebGPU."""

from __future__ import annotations

from flambeau.stand_in import stand_in


@stand_in("False")
def is_available() -> bool:
    """False."""
    return False


@stand_in("0")
def device_count() -> int:
    """0."""
    return 0


@stand_in("accepted")
def synchronize() -> None:
    """Compute what is pending, so that a clock that is read next counts it."""
    from flambeau.schedule.flush import flush

    flush()


@stand_in("accepted")
def empty_cache() -> None:
    """Ignored."""


@stand_in("accepted; torch.manual_seed seeds every device")
def manual_seed(seed: int) -> None:
    """Ignored."""


@stand_in("0")
def current_allocated_memory() -> int:
    """0 bytes."""
    return 0
