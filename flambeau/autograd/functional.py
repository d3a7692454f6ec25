"""Jacobians and products with them. PyTorch's torch.autograd.functional."""

from __future__ import annotations

from flambeau.autograd.upper import served_by

__getattr__, __dir__ = served_by("flambeau.func.functional")
