"""Where PyTorch keeps the default timeout of a process group."""

from __future__ import annotations

from flambeau.distributed import default_pg_timeout

__all__ = ["default_pg_timeout"]
