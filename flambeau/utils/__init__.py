"""Utilities. PyTorch's torch.utils."""

from flambeau.utils import data, hooks

__all__ = ["data", "hooks"]
