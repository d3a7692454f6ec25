"""Adamax, under its PyTorch module name."""

from flambeau.optim.adam_variants import Adamax

__all__ = ["Adamax"]
