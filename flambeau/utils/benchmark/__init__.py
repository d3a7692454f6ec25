"""Timing pieces of code. PyTorch's torch.utils.benchmark."""

from __future__ import annotations

from flambeau.utils.benchmark.compare import Compare
from flambeau.utils.benchmark.timer import Measurement, Timer

__all__ = ["Compare", "Measurement", "Timer"]
