"""torch.mtia: Meta's accelerators, of which there are none here."""

from __future__ import annotations

from flambeau.stand_in import stand_in

__all__ = ["device_count", "is_available"]


@stand_in("False")
def is_available() -> bool:
    """False."""
    return False


@stand_in("0")
def device_count() -> int:
    """0."""
    return 0
