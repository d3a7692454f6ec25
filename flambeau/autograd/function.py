"""Functions with hand-written gradients. PyTorch's torch.autograd.function."""

from __future__ import annotations

from flambeau.autograd.upper import served_by

__getattr__, __dir__ = served_by("flambeau.tensor.function")
