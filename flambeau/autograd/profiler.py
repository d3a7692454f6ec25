"""Names of parts that the profiler measures. PyTorch's torch.autograd.profiler."""

from __future__ import annotations

from flambeau.autograd.upper import served_by

__getattr__, __dir__ = served_by("flambeau.profiler")
