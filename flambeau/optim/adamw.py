"""AdamW, under its PyTorch module name."""

from flambeau.optim.adam import AdamW

__all__ = ["AdamW"]
