"""torch.ao: of it, what float models with marks for quantisation need."""

from __future__ import annotations

from flambeau.ao import quantization

__all__ = ["quantization"]
