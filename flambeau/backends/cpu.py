"""torch.backends.cpu."""

from __future__ import annotations

__all__ = ["get_cpu_capability"]


def get_cpu_capability() -> str:
    """ "AVX512", "AVX2" or "DEFAULT", by what the cpu device compiles for."""
    from flambeau.device import base

    facts = base.get("cpu").information()
    return next((each for each in ("AVX512", "AVX2") if each in _plain(facts)), "DEFAULT")


def _plain(facts: object) -> str:
    return str(facts).upper().replace("-", "")
