"""ASGD, under its PyTorch module name."""

from flambeau.optim.signs_and_averages import ASGD

__all__ = ["ASGD"]
