"""Adagrad, under its PyTorch module name."""

from flambeau.optim.adaptive import Adagrad

__all__ = ["Adagrad"]
