"""Weight normalisation: w = g v / ‖v‖ (Salimans and Kingma, 2016, arXiv:1602.07868)."""

from __future__ import annotations

import warnings
from typing import Any

from flambeau.nn.modules.module import Module
from flambeau.ops.composite import composite
from flambeau.tensor.parameter import Parameter, is_lazy
from flambeau.tensor.tensor import Tensor

__all__ = ["WeightNorm", "norm_except_dim", "remove_weight_norm", "weight_norm"]


def _others(v: Tensor, dim: int) -> tuple[int, ...]:
    """The dimensions that a norm goes over: all but `dim`, or all where that is -1."""
    if not -1 <= dim < max(v.ndim, 1):
        raise IndexError(
            f"weight_norm: dim must be None or from 0 to {v.ndim - 1} for a weight of shape "
            f"{list(v.shape)}, got {dim}"
        )
    return tuple([each for each in range(v.ndim) if each != dim])


def _norms(v: Any, dim: int, power: float = 2) -> Any:
    """The norms in float32 at least."""
    over = _others(v, dim)
    wide = v.float() if v.dtype.itemsize == 2 else v
    if not over:
        return wide.abs()
    if power == 2:
        return (wide * wide).sum(over, keepdim=dim != -1).sqrt()
    return (wide.abs() ** power).sum(over, keepdim=dim != -1) ** (1 / power)


@composite(saves="inputs")
def norm_except_dim(v: Tensor, pow: float = 2, dim: int = 0) -> Any:  # noqa: A002  # PyTorch's name
    """The norm of each slice along `dim`, in dimensions of one; dim -1: of all of v."""
    return _norms(v, dim, pow).to(v.dtype)


@composite(saves="inputs")
def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Any:
    """g v / ‖v‖, the norm as norm_except_dim has it."""
    norms = _norms(v, dim)
    return (v * (g / norms)).to(v.dtype)


class WeightNorm:
    """The hook that computes `name` from `name`_g and `name`_v before each forward."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name = name
        self.dim = -1 if dim is None else dim

    def compute_weight(self, module: Module) -> Any:
        """The weight that the module's two parameters make."""
        g = getattr(module, f"{self.name}_g")
        return _weight_norm(getattr(module, f"{self.name}_v"), g, self.dim)

    @staticmethod
    def apply(module: Module, name: str, dim: int | None) -> WeightNorm:
        """Split the module's parameter. RuntimeError where that was done before."""
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, WeightNorm) and hook.name == name:
                raise RuntimeError(
                    f"Cannot register two weight_norm hooks on the same parameter {name}"
                )
        made = WeightNorm(name, dim)
        weight = getattr(module, name)
        if is_lazy(weight):
            raise ValueError(
                "The module passed to `WeightNorm` can't have uninitialized parameters. Make sure "
                "to run the dummy forward before applying weight normalization"
            )
        value = weight.detach()
        del module._parameters[name]
        module.register_parameter(f"{name}_g", Parameter(norm_except_dim(value, dim=made.dim)))
        module.register_parameter(f"{name}_v", Parameter(value))
        setattr(module, name, made.compute_weight(module))
        module.register_forward_pre_hook(made)
        return made

    def remove(self, module: Module) -> None:
        """Make the weight one parameter again."""
        weight = self.compute_weight(module)
        delattr(module, self.name)
        del module._parameters[f"{self.name}_g"]
        del module._parameters[f"{self.name}_v"]
        setattr(module, self.name, Parameter(weight.detach()))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Split a parameter into its length along `dim` (name_g) and direction (name_v).

    A hook computes the weight before each forward. dim None: one length for the whole. Returns the
    module. RuntimeError where the parameter is split already. PyTorch prefers
    torch.nn.utils.parametrizations.weight_norm.
    """
    warnings.warn(
        "`torch.nn.utils.weight_norm` is deprecated in favor of "
        "`torch.nn.utils.parametrizations.weight_norm`.",
        FutureWarning,
        stacklevel=2,
    )
    WeightNorm.apply(module, name, dim)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Undo weight_norm: the product becomes the parameter. ValueError where it was not applied."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, WeightNorm) and hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"weight_norm of '{name}' not found in {module}")
