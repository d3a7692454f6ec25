"""torch.backends.openmp. The cpu device has threads of its own."""

from __future__ import annotations

from flambeau.stand_in import stand_in


@stand_in("False")
def is_available() -> bool:
    """False: the cpu device has threads of its own."""
    return False
