"""NAdam, under its PyTorch module name."""

from flambeau.optim.adam_variants import NAdam

__all__ = ["NAdam"]
