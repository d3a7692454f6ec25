"""Where PyTorch keeps the class of compiled modules."""

from __future__ import annotations

from flambeau._dynamo import OptimizedModule

__all__ = ["OptimizedModule"]
