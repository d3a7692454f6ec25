"""torch.backends.mkldnn. PyTorch's settings of oneDNN."""

from __future__ import annotations

from flambeau.stand_in import stand_in

enabled = False


@stand_in("False")
def is_available() -> bool:
    """False: kernels are compiled here."""
    return False
