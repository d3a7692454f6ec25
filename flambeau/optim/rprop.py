"""Rprop, under its PyTorch module name."""

from flambeau.optim.signs_and_averages import Rprop

__all__ = ["Rprop"]
