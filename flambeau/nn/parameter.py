"""Parameter and Buffer, under their PyTorch module name."""

from flambeau.tensor.parameter import Buffer, Parameter

__all__ = ["Buffer", "Parameter"]
