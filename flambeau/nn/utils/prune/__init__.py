"""Pruning: parts of a parameter are held at zero by a mask. PyTorch's torch.nn.utils.prune.

A pruned parameter `weight` is `weight_orig` times the buffer `weight_mask`, computed by a hook
before each forward; remove() makes the product the parameter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flambeau.nn.modules.module import Module
from flambeau.nn.utils.convert_parameters import parameters_to_vector
from flambeau.nn.utils.prune.base import BasePruningMethod, PruningContainer
from flambeau.nn.utils.prune.methods import (
    CustomFromMask,
    Identity,
    L1Unstructured,
    LnStructured,
    RandomStructured,
    RandomUnstructured,
)
from flambeau.ops.creation import ones_like

__all__ = [
    "BasePruningMethod",
    "CustomFromMask",
    "Identity",
    "L1Unstructured",
    "LnStructured",
    "PruningContainer",
    "RandomStructured",
    "RandomUnstructured",
    "custom_from_mask",
    "global_unstructured",
    "identity",
    "is_pruned",
    "l1_unstructured",
    "ln_structured",
    "random_structured",
    "random_unstructured",
    "remove",
]


def identity(module: Module, name: str) -> Module:
    """Give the parameter a mask of ones. Returns the module, as all these functions."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: Any) -> Module:
    """Prune random elements: `amount` of them (int), or that fraction of those left (float)."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(
    module: Module, name: str, amount: Any, importance_scores: Any = None
) -> Module:
    """Prune the elements of least magnitude (or score): a number, or a fraction of those left."""
    L1Unstructured.apply(module, name, amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: Any, dim: int) -> Module:
    """Prune random channels along `dim`: a number, or a fraction."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: Module, name: str, amount: Any, n: Any, dim: int, importance_scores: Any = None
) -> Module:
    """Prune the channels along `dim` of least n-norm: a number, or a fraction."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Module, name: str, mask: Any) -> Module:
    """Prune where `mask`, of the parameter's shape, is 0."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(
    parameters: Any, pruning_method: Any, importance_scores: Any = None, **kwargs: Any
) -> None:
    """Prune several parameters as if they were one vector.

    `parameters`: pairs (module, name). `importance_scores`: a tensor for some of these pairs.
    `pruning_method`: a class of unstructured pruning, made with `kwargs` (such as amount).
    """
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    pairs = list(parameters)
    given = {} if importance_scores is None else importance_scores
    if not isinstance(given, dict):
        raise TypeError("global_unstructured(): importance_scores should be of type dict")
    values = [getattr(module, name) for module, name in pairs]
    scores = [given.get(pair, value).detach() for pair, value in zip(pairs, values, strict=True)]
    masks = [
        getattr(module, f"{name}_mask", ones_like(value.detach()))
        for (module, name), value in zip(pairs, values, strict=True)
    ]
    method = _chain_of(pairs)
    chosen = pruning_method(**kwargs)
    if chosen.PRUNING_TYPE != "unstructured":
        raise TypeError(
            'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method '
            f"{pruning_method} of type {chosen.PRUNING_TYPE}"
        )
    chosen._tensor_name = method._tensor_name
    method.add_pruning_method(chosen)
    flat = parameters_to_vector([each.reshape(-1) for each in scores])
    whole = method.compute_mask(flat, parameters_to_vector([each.reshape(-1) for each in masks]))
    start = 0
    for (module, name), value in zip(pairs, values, strict=True):
        end = start + value.numel()
        custom_from_mask(module, name, mask=whole[start:end].view(value.shape))
        start = end


def _chain_of(pairs: Sequence[Any]) -> PruningContainer:
    """A container for all of these tensors together, under a name of its own."""
    made = PruningContainer()
    made._tensor_name = "temp"
    for pair in pairs:
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], Module)):
            raise TypeError(
                "global_unstructured(): parameters must be pairs (module, name), got "
                f"{type(pair).__name__}"
            )
    return made


def remove(module: Module, name: str) -> Module:
    """Make the pruned parameter a plain one, with its zeros. ValueError where it is not pruned."""
    for key, hook in list(module._forward_pre_hooks.items()):
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(
        f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed"
    )


def is_pruned(module: Module) -> bool:
    """Whether a tensor here or below is pruned."""
    return any(
        isinstance(hook, BasePruningMethod)
        for each in module.modules()
        for hook in each._forward_pre_hooks.values()
    )
