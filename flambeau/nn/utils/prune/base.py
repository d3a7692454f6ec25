"""The base of pruning methods, and several of them on one tensor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from flambeau.nn.modules.module import Module
from flambeau.ops.creation import ones_like

__all__ = ["BasePruningMethod", "PruningContainer"]


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
        except Exception:  # whatever it is, it is raised again once all is as before
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
