"""What is between results and leaves. PyTorch's torch.autograd.graph."""

from __future__ import annotations

from flambeau.autograd.upper import served_by

__getattr__, __dir__ = served_by("flambeau.tensor.saved")
