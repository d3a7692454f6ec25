"""Derivatives in one direction. PyTorch's torch.autograd.forward_ad."""

from __future__ import annotations

from flambeau.autograd.upper import served_by

__getattr__, __dir__ = served_by("flambeau.func.forward_ad")
