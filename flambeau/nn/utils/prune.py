"""Pruning: parts of a parameter are held at zero by a mask. PyTorch's torch.nn.utils.prune.

A pruned parameter `weight` is `weight_orig` times the buffer `weight_mask`, computed by a hook
before each forward; remove() makes the product the parameter.
"""

from __future__ import annotations

import math
import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

from flambeau.nn.modules.module import Module
from flambeau.nn.utils.convert_parameters import parameters_to_vector
from flambeau.ops.creation import ones_like, zeros_like
from flambeau.ops.random import rand, rand_like
from flambeau.ops.sort import kthvalue, topk

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


class BasePruningMethod(ABC):
    """A way of choosing what is pruned, and the hook that multiplies by the mask.

    Subclasses set PRUNING_TYPE ("unstructured", "structured" or "global": what the method is shown
    of a tensor that was pruned before) and define compute_mask.
    """

    _tensor_name: str
    PRUNING_TYPE: str

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask for importance scores t: default_mask with more zeros."""

    def apply_mask(self, module: Module) -> Any:
        """The module's tensor times its mask."""
        name = self._tensor_name
        mask: Any = getattr(module, f"{name}_mask")
        original: Any = getattr(module, f"{name}_orig")
        return mask.to(original.dtype) * original

    @classmethod
    def apply(
        cls,
        module: Module,
        name: str,
        *args: Any,
        importance_scores: Any = None,
        **kwargs: Any,
    ) -> BasePruningMethod:
        """Prune module.name by cls(*args, **kwargs), after what pruned it before.

        `importance_scores`: of the tensor's shape, in place of its values.
        """
        method: Any = cls(*args, **kwargs)
        method._tensor_name = name
        before = _method_of(module, name)
        original: Any = getattr(module, name)
        if importance_scores is None:
            scores = original
        elif importance_scores.shape == original.shape:
            scores = importance_scores
        else:
            raise ValueError(
                f"importance_scores should have the same shape as parameter {name} of {module}: "
                f"{tuple(original.shape)}, got {tuple(importance_scores.shape)}"
            )
        if before is None:
            del module._parameters[name]
            module.register_parameter(f"{name}_orig", original)
            default = ones_like(original.detach())
        else:
            default = getattr(module, f"{name}_mask").detach().clone()
            method = _together(before, method)
        try:
            mask = method.compute_mask(scores.detach(), default_mask=default)
        except Exception:
            if before is None:
                del module._parameters[f"{name}_orig"]
                module.register_parameter(name, original)
            raise
        if before is not None:
            for key, hook in list(module._forward_pre_hooks.items()):
                if hook is before:
                    del module._forward_pre_hooks[key]
        module.register_buffer(f"{name}_mask", mask)
        setattr(module, name, method.apply_mask(module))
        module.register_forward_pre_hook(method)
        return method

    def prune(self, t: Any, default_mask: Any = None, importance_scores: Any = None) -> Any:
        """t with what this method chooses at zero; nothing is registered."""
        scores = t if importance_scores is None else importance_scores
        if scores.shape != t.shape:
            raise ValueError(
                "importance_scores should have the same shape as tensor t: "
                f"{tuple(t.shape)}, got {tuple(scores.shape)}"
            )
        default = ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(scores, default_mask=default)

    def remove(self, module: Module) -> None:
        """Make the pruned tensor a plain parameter. The hook is the caller's to remove."""
        name = self._tensor_name
        if not hasattr(module, f"{name}_mask"):
            raise ValueError(f"Module {module} has to be pruned before pruning can be removed")
        value = self.apply_mask(module).detach()
        original: Any = module._parameters[f"{name}_orig"]
        original.data = value
        if hasattr(module, name):
            delattr(module, name)
        del module._parameters[f"{name}_orig"]
        del module._buffers[f"{name}_mask"]
        setattr(module, name, original)


class PruningContainer(BasePruningMethod):
    """Several methods on one tensor, one after the other."""

    def __init__(self, *args: Any) -> None:
        self._methods: tuple[BasePruningMethod, ...] = ()
        if len(args) == 1 and not isinstance(args[0], Iterable):
            self._tensor_name = args[0]._tensor_name
        elif args:
            given = args[0] if len(args) == 1 else args
            self._tensor_name = next(iter(given))._tensor_name
            args = tuple(given)
        for each in args:
            self.add_pruning_method(each)

    def add_pruning_method(self, method: BasePruningMethod | None) -> None:
        """Prune by this method, too. TypeError and ValueError where it is for another tensor."""
        if method is not None and not isinstance(method, BasePruningMethod):
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method is None:
            return
        if self._tensor_name != method._tensor_name:
            raise ValueError(
                "Can only add pruning methods acting on the parameter named "
                f"'{self._tensor_name}' to PruningContainer {self}. Found '{method._tensor_name}'"
            )
        self._methods += (method,)

    def __len__(self) -> int:
        return len(self._methods)

    def __iter__(self) -> Any:
        return iter(self._methods)

    def __getitem__(self, index: Any) -> Any:
        return self._methods[index]

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """default_mask, and what the last method prunes of that which is left."""
        method = self._methods[-1]
        mask = default_mask.to(dtype=t.dtype)
        part = _part_left(method, mask)
        if part is None:
            return method.compute_mask(t, default_mask=mask)
        result = mask.clone()
        result[part] = method.compute_mask(t[part], default_mask=mask[part])
        return result


def _part_left(method: Any, mask: Any) -> Any:
    """What of a tensor the method is shown, as an index; None: all."""
    kind = method.PRUNING_TYPE
    if kind == "global":
        return None
    if kind == "unstructured":
        return mask == 1
    if kind != "structured":
        raise ValueError(f"Unrecognized PRUNING_TYPE {kind}")
    axis = getattr(method, "dim", 0) % mask.ndim
    kept = mask.sum([each for each in range(mask.ndim) if each != axis]) != 0
    return (*[slice(None)] * axis, kept)


def _method_of(module: Module, name: str) -> Any:
    """What prunes module.name now; None where nothing does. RuntimeError where several do."""
    found = [
        hook
        for hook in module._forward_pre_hooks.values()
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name
    ]
    if len(found) > 1:
        raise RuntimeError(
            f"Avoid adding multiple pruning hooks to the same tensor {name} of module {module}. "
            "Use a PruningContainer."
        )
    return found[0] if found else None


def _together(before: BasePruningMethod, method: BasePruningMethod) -> PruningContainer:
    if not isinstance(before, PruningContainer):
        return PruningContainer(before, method)
    before.add_pruning_method(method)
    return before


# how much ---------------------------------------------------------------------------------------


def _check_amount(amount: Any) -> None:
    """TypeError and ValueError where it is neither a number of elements nor a fraction."""
    if not isinstance(amount, numbers.Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    most = math.inf if isinstance(amount, numbers.Integral) else 1.0
    fits = 0.0 <= float(amount) <= most
    if not fits:
        raise ValueError(
            f"amount={amount} should either be a float in the range [0, 1] or a non-negative "
            "integer"
        )


def _count(amount: Any, size: int) -> int:
    """How many of `size`. ValueError where that is more than there are."""
    if not isinstance(amount, numbers.Integral):
        return round(float(amount) * size)
    if int(amount) > size:
        raise ValueError(
            f"amount={amount} should be smaller than the number of parameters to prune={size}"
        )
    return int(amount)


def _check_structured(t: Any, dim: int) -> None:
    if t.ndim <= 1:
        raise ValueError(
            "Structured pruning can only be applied to multidimensional tensors. Found tensor of "
            f"shape {tuple(t.shape)} with {t.ndim} dims"
        )
    if dim >= t.ndim:
        raise IndexError(f"Invalid index {dim} for tensor of size {tuple(t.shape)}")


def _without(t: Any, default_mask: Any, places: Any) -> Any:
    """default_mask with zeros at these places of the flat tensor."""
    mask = default_mask.clone().reshape(-1)
    mask[places] = 0
    return mask.view(default_mask.shape)


def _channels(t: Any, kept: Any, dim: int, default_mask: Any) -> Any:
    """default_mask with zeros in the channels that are not kept."""
    shape = [1] * t.ndim
    shape[dim] = -1
    return default_mask * kept.to(default_mask.dtype).view(shape)


# the methods ------------------------------------------------------------------------------------


class Identity(BasePruningMethod):
    """Prunes nothing, and gives the tensor a mask."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        return default_mask


class RandomUnstructured(BasePruningMethod):
    """Prunes random elements: `amount` of them, or that fraction."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: Any) -> None:
        _check_amount(amount)
        self.amount = amount

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        count = _count(self.amount, t.numel())
        if not count:
            return default_mask.clone()
        return _without(t, default_mask, topk(rand_like(t).view(-1), count).indices)


class L1Unstructured(BasePruningMethod):
    """Prunes the elements of least magnitude: `amount` of them, or that fraction."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: Any) -> None:
        _check_amount(amount)
        self.amount = amount

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        count = _count(self.amount, t.numel())
        if not count:
            return default_mask.clone()
        least = topk(t.abs().reshape(-1), count, largest=False).indices
        return _without(t, default_mask, least)


class RandomStructured(BasePruningMethod):
    """Prunes random channels along `dim`: `amount` of them, or that fraction."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: Any, dim: int = -1) -> None:
        _check_amount(amount)
        self.amount = amount
        self.dim = dim

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        _check_structured(t, self.dim)
        size = int(t.shape[self.dim])
        count = _count(self.amount, size)
        if not count:
            return default_mask
        draws = rand(size)
        kept = draws > kthvalue(draws, count).values
        return _channels(t, kept, self.dim, default_mask)


class LnStructured(BasePruningMethod):
    """Prunes the channels along `dim` of least n-norm: `amount` of them, or that fraction."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: Any, n: Any, dim: int = -1) -> None:
        _check_amount(amount)
        self.amount = amount
        self.n = n
        self.dim = dim

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        _check_structured(t, self.dim)
        size = int(t.shape[self.dim])
        count = _count(self.amount, size)
        if not count:
            return default_mask
        axis = self.dim % t.ndim
        norms = t.norm(p=self.n, dim=[each for each in range(t.ndim) if each != axis])
        kept = zeros_like(norms)
        kept[topk(norms, size - count, largest=True).indices] = 1
        return _channels(t, kept, self.dim, default_mask)


class CustomFromMask(BasePruningMethod):
    """Prunes where a mask says 0."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Any) -> None:
        self.mask = mask

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        if default_mask.shape != self.mask.shape:
            raise ValueError(
                f"the mask's shape {tuple(self.mask.shape)} is not the tensor's: "
                f"{tuple(default_mask.shape)}"
            )
        return default_mask * self.mask.to(dtype=default_mask.dtype)


# the functions ----------------------------------------------------------------------------------


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
