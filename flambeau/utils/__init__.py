"""Utilities. PyTorch's torch.utils."""

from flambeau.utils import data, hooks, provenance

__all__ = ["data", "hooks", "provenance"]
