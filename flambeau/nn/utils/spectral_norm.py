"""Spectral normalisation: w / σ(w) (Miyato et al., 2018, arXiv:1802.05957)."""

from __future__ import annotations

from typing import Any

from flambeau.autograd.mode import no_grad
from flambeau.nn import functional as F  # noqa: N812  # as everyone calls it
from flambeau.nn.modules.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from flambeau.nn.modules.module import Module
from flambeau.ops.composite import composite
from flambeau.tensor.parameter import Parameter
from flambeau.tensor.tensor import Tensor

__all__ = ["SpectralNorm", "remove_spectral_norm", "spectral_norm"]


def default_dim(module: Module) -> int:
    """Where a module's outputs are in its weight."""
    return 1 if isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)) else 0


def as_matrix(weight: Any, dim: int) -> Any:
    """The weight with `dim` as its rows and all else as its columns."""
    return weight.movedim(dim, 0).flatten(1) if weight.ndim > 1 else weight.unsqueeze(-1)


def _power_step(matrix: Any, u: Any, v: Any, u_first: bool, eps: float) -> tuple[Any, Any]:
    if u_first:
        u = F.normalize(matrix.mv(v), dim=0, eps=eps)
        return u, F.normalize(matrix.t().mv(u), dim=0, eps=eps)
    v = F.normalize(matrix.t().mv(u), dim=0, eps=eps)
    return F.normalize(matrix.mv(v), dim=0, eps=eps), v


@composite(saves="inputs")
def power_method(
    matrix: Tensor, u: Tensor, v: Tensor, steps: int, u_first: bool, eps: float
) -> Any:
    """The singular vectors of the greatest singular value, from u and v by `steps` products."""
    for _ in range(steps):
        u, v = _power_step(matrix, u, v, u_first, eps)
    return u, v


@composite(saves="inputs")
def over_greatest(weight: Tensor, u: Tensor, v: Tensor, dim: int) -> Any:
    """The weight divided by uᵀ w v."""
    matrix = as_matrix(weight, dim)
    return weight / (u * matrix.mv(v)).sum()


def unit_normal(like: Tensor, count: int, eps: float) -> Any:
    """A random direction: `count` numbers of the stream."""
    return F.normalize(like.new_empty(count).normal_(0, 1), dim=0, eps=eps)


def check_iterations(count: int) -> None:
    if count <= 0:
        raise ValueError(
            f"Expected n_power_iterations to be positive, but got n_power_iterations={count}"
        )


class SpectralNorm:
    """The hook that computes `name` from `name`_orig before each forward."""

    _version = 1

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float) -> None:
        check_iterations(n_power_iterations)
        self.name = name
        self.dim = dim
        self.n_power_iterations = n_power_iterations
        self.eps = eps

    def compute_weight(self, module: Module, do_power_iteration: bool) -> Any:
        """The normalised weight; with an iteration first, u and v come nearer to their limits."""
        weight: Any = getattr(module, f"{self.name}_orig")
        u: Any = getattr(module, f"{self.name}_u")
        v: Any = getattr(module, f"{self.name}_v")
        if do_power_iteration:
            with no_grad():
                matrix = as_matrix(weight.detach(), self.dim)
                found = power_method(matrix, u, v, self.n_power_iterations, False, self.eps)
                u.copy_(found[0])
                v.copy_(found[1])
        return over_greatest(weight, u.clone(), v.clone(), self.dim)

    @staticmethod
    def apply(
        module: Module, name: str, n_power_iterations: int, dim: int, eps: float
    ) -> SpectralNorm:
        """Split the module's parameter. RuntimeError where that was done before."""
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm) and hook.name == name:
                raise RuntimeError(
                    f"Cannot register two spectral_norm hooks on the same parameter {name}"
                )
        made = SpectralNorm(name, n_power_iterations, dim, eps)
        weight = module._parameters[name]
        if weight is None:
            raise ValueError(f"`SpectralNorm` cannot be applied as parameter `{name}` is None")
        rows, columns = as_matrix(weight.detach(), dim).shape
        with no_grad():
            u = unit_normal(weight, rows, eps)
            v = unit_normal(weight, columns, eps)
        delattr(module, name)
        module.register_parameter(f"{name}_orig", weight)
        setattr(module, name, weight.data)
        module.register_buffer(f"{name}_u", u)
        module.register_buffer(f"{name}_v", v)
        module.register_forward_pre_hook(made)
        module._register_state_dict_hook(made._note_version)
        return made

    def _note_version(self, module: Module, state: Any, prefix: str, metadata: Any) -> None:
        noted = metadata.setdefault("spectral_norm", {})
        noted[f"{self.name}.version"] = self._version

    def remove(self, module: Module) -> None:
        """Make the normalised weight the parameter."""
        with no_grad():
            weight = self.compute_weight(module, do_power_iteration=False)
        delattr(module, self.name)
        for part in ("u", "v", "orig"):
            delattr(module, f"{self.name}_{part}")
        module.register_parameter(self.name, Parameter(weight.detach()))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module, module.training))


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a parameter by its greatest singular value, as the power method finds it.

    Each forward in training mode takes `n_power_iterations` steps from where the last one ended. A
    weight of more than two dimensions is a matrix with `dim` as its rows (by default 1 for
    transposed convolutions, else 0). Returns the module. PyTorch prefers
    torch.nn.utils.parametrizations.spectral_norm.
    """
    axis = default_dim(module) if dim is None else dim
    SpectralNorm.apply(module, name, n_power_iterations, axis, eps)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Undo spectral_norm: the quotient becomes the parameter. ValueError where there is none."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, SpectralNorm) and hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            for place, each in list(module._state_dict_hooks.items()):
                if getattr(each, "__self__", None) is hook:
                    del module._state_dict_hooks[place]
            return module
    raise ValueError(f"spectral_norm of '{name}' not found in {module}")
