"""Functions made of functions: gradients, Jacobians, maps over a batch. PyTorch's torch.func."""

from __future__ import annotations

from flambeau.func.batch import vmap
from flambeau.func.call import functional_call, functionalize, stack_module_state
from flambeau.func.transforms import (
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    vjp,
)

__all__ = [
    "functional_call",
    "functionalize",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "stack_module_state",
    "vjp",
    "vmap",
]
