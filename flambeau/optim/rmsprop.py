"""RMSprop, under its PyTorch module name."""

from flambeau.optim.adaptive import RMSprop

__all__ = ["RMSprop"]
