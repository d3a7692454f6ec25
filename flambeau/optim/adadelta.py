"""Adadelta, under its PyTorch module name."""

from flambeau.optim.adaptive import Adadelta

__all__ = ["Adadelta"]
