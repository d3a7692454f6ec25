"""torch.backends.opt_einsum. Einsum finds its order of products itself."""

from __future__ import annotations

from flambeau.stand_in import stand_in

enabled = False
strategy: str | None = None


@stand_in("False")
def is_available() -> bool:
    """False: einsum finds its order of products itself."""
    return False
