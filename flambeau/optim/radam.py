"""RAdam, under its PyTorch module name."""

from flambeau.optim.adam_variants import RAdam

__all__ = ["RAdam"]
