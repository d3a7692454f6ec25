"""torch.backends.mkl. PyTorch's settings of MKL."""

from __future__ import annotations

from flambeau.stand_in import stand_in


@stand_in("False")
def is_available() -> bool:
    """False: kernels are compiled here."""
    return False
