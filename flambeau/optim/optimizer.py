"""Optimizer: parameter groups, state, hooks and checkpoints; the formulas are in the subclasses."""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from itertools import chain
from typing import Any, TypeAlias

import numpy

from flambeau.autograd.mode import enable_grad, no_grad
from flambeau.optim.update import Update
from flambeau.schedule import watch
from flambeau.schedule.flush import flush
from flambeau.tensor.tensor import Tensor
from flambeau.utils.hooks import RemovableHandle

__all__ = ["Optimizer", "required"]


class _Required:
    """Stands for a hyperparameter that each group must give."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()
Group = dict[str, Any]
ParamsT: TypeAlias = Iterable[Tensor] | Iterable[Group] | Iterable[tuple[str, Tensor]]
"""What optimizers take as their first argument."""
StateDict: TypeAlias = dict[str, Any]
"""What their state_dict gives."""
_HOOKS = (
    "_optimizer_step_pre_hooks",
    "_optimizer_step_post_hooks",
    "_optimizer_state_dict_pre_hooks",
    "_optimizer_state_dict_post_hooks",
    "_optimizer_load_state_dict_pre_hooks",
    "_optimizer_load_state_dict_post_hooks",
)


class Bucket:
    """Parameters of one group that are updated together: one dtype, device and step count.

    `counted`: their state dicts, where steps are counted.
    """

    __slots__ = ("counted", "gradients", "parameters", "states", "step")

    def __init__(self, step: float, kinds: int) -> None:
        self.step = step
        self.counted: list[dict[str, Any]] = []
        self.parameters: list[Tensor] = []
        self.gradients: list[Tensor] = []
        self.states: list[list[Tensor]] = [[] for _ in range(kinds)]

    @property
    def written(self) -> list[list[Tensor]]:
        """What the update writes: the parameters, then each kind of state."""
        return [self.parameters, *self.states]

    def update(
        self,
        update: Update,
        scalars: Callable[[], dict[str, Any]],
        flags: Callable[[], dict[str, bool]],
    ) -> None:
        """Run an update. Scalars and flags are functions of the group and of this bucket's step,
        for a call that is replayed asks them again."""
        chosen = flags()
        nodes = update(self.gradients, self.written, scalars(), **chosen)
        if (watcher := watch.active()) is not None:
            watcher.scalars(nodes, _NextStep(self, scalars, flags, chosen))


class _NextStep:
    """The scalars of a bucket's next step, for a call that is replayed."""

    def __init__(
        self,
        bucket: Bucket,
        scalars: Callable[[], dict[str, Any]],
        flags: Callable[[], dict[str, bool]],
        chosen: dict[str, bool],
    ) -> None:
        self.bucket = bucket
        self.counted = bucket.counted
        self.scalars = scalars
        self.flags = flags
        self.chosen = chosen

    def ready(self) -> bool:
        """Whether all parameters are at one step still, and the next step is of the same kind."""
        if self.counted:
            step = self.counted[0]["step"]
            for each in self.counted:
                if each["step"] != step:
                    return False
            self.bucket.step = step + 1.0
        return self.flags() == self.chosen

    def again(self) -> list[Any]:
        for each in self.counted:
            each["step"] = self.bucket.step
        return [float(each) for each in self.scalars().values()]


class Optimizer:
    """Base of all optimizers. PyTorch's torch.optim.Optimizer.

    `params`: tensors, (name, tensor) pairs or dicts that describe groups; `defaults`: the
    hyperparameters of groups that do not give their own. Subclasses define step(closure=None), or
    _update(group) alone. Every step ends by computing what is pending.
    """

    _numbers: tuple[str, ...] = ("step",)  # state that is a Python number, a tensor in state_dict
    defaults: dict[str, Any]
    param_groups: list[Group]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.step = _hooked(cls.__dict__["step"])  # type: ignore[method-assign]  # same call

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or "
                "dicts, but got a Tensor"
            )
        if defaults.get("differentiable"):
            raise NotImplementedError(
                "differentiable=True is not available: steps are written in place, outside the "
                "graph; compute the updated parameters with tensor operations instead"
            )
        if defaults.get("fused") and defaults.get("foreach"):
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
        self.defaults = defaults
        for name in _HOOKS:
            setattr(self, name, OrderedDict())
        self.state: defaultdict[Any, Any] = defaultdict(dict)
        self.param_groups = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(dict(group) if isinstance(group, dict) else group)

    def __getstate__(self) -> dict[str, Any]:
        return {
            "defaults": self.defaults,
            "state": self.state,
            "param_groups": self.param_groups,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name in _HOOKS:
            self.__dict__.setdefault(name, OrderedDict())
        self.__dict__.update(state)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for number, group in enumerate(self.param_groups):
            lines += [""] * (number > 0) + [f"Parameter Group {number}"]
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join(lines) + "\n)"

    # groups ------------------------------------------------------------------------------------

    def add_param_group(self, param_group: Group) -> None:
        """Optimize further parameters, with hyperparameters of their own."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        _settle_parameters(param_group)
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(
                    "parameter group didn't specify a value of required optimization parameter "
                    f"{name}"
                )
            param_group.setdefault(name, default)
        named = "param_names" in param_group
        known: set[int] = set()
        for group in self.param_groups:
            known.update(id(each) for each in group["params"])
            if ("param_names" in group) != named:
                kind = "with names" if named else "without names"
                raise ValueError(
                    "all optimizer param groups should be with/without names. cannot add param "
                    f"group {kind} to the optimizer"
                )
        if any(id(each) in known for each in param_group["params"]):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the parameters' gradients, or fill them with zeros."""
        for group in self.param_groups:
            for each in group["params"]:
                if (watcher := watch.active()) is not None:
                    watcher.gradient(each, set_to_none)
                if set_to_none or each._grad is None:
                    each._grad = None
                else:
                    each._grad = each._grad.detach()
                    each._grad.zero_()

    # stepping ----------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have gradients; `closure` computes and returns the loss."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            for group in self.param_groups:
                self._update(group)
        return loss

    def _update(self, group: Group) -> None:
        """Update the parameters of one group."""
        raise NotImplementedError(f"{type(self).__name__} must define step or _update")

    def _buckets(
        self, group: Group, names: Sequence[str], start: Callable[[Tensor], dict[str, Any]]
    ) -> Iterable[Bucket]:
        """The group's parameters that have gradients, with the states `names`, a step counted.

        `start(parameter)` makes the states of a parameter that is seen for the first time.
        """
        found: dict[Any, Bucket] = {}
        for each in group["params"]:
            gradient = each._grad
            if gradient is None:
                continue
            state = self.state[each]
            if not state:
                state["step"] = 0.0
                state.update(start(each))
            step = state["step"] = state["step"] + 1.0
            key = (each._type.dtype, each._storage.node.device, step)
            bucket = found.get(key)
            if bucket is None:
                bucket = found[key] = Bucket(step, len(names))
            bucket.counted.append(state)
            bucket.parameters.append(each)
            bucket.gradients.append(gradient)
            for kind, name in zip(bucket.states, names, strict=True):
                kind.append(state[name])
        return found.values()

    # hooks -------------------------------------------------------------------------------------

    def _hook(self, kind: str, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        hooks = getattr(self, kind)
        handle = RemovableHandle(hooks)
        hooks[handle.id] = hook
        if prepend:
            hooks.move_to_end(handle.id, last=False)
        return handle

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` before each step; it may return others."""
        return self._hook("_optimizer_step_pre_hooks", hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` after each step."""
        return self._hook("_optimizer_step_post_hooks", hook)

    def register_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer)` before state_dict."""
        return self._hook("_optimizer_state_dict_pre_hooks", hook, prepend)

    def register_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` after state_dict; it may return another."""
        return self._hook("_optimizer_state_dict_post_hooks", hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` before load_state_dict; it may return another."""
        return self._hook("_optimizer_load_state_dict_pre_hooks", hook, prepend)

    def register_load_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer)` after load_state_dict."""
        return self._hook("_optimizer_load_state_dict_post_hooks", hook, prepend)

    # checkpoints -------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """{"state": {number: state}, "param_groups": [hyperparameters and numbers]}."""
        for hook in self._optimizer_state_dict_pre_hooks.values():  # type: ignore[attr-defined]  # made in __init__
            hook(self)
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for each in group["params"]:
                numbers.setdefault(id(each), len(numbers))
            packed = {key: value for key, value in group.items() if key != "params"}
            packed["params"] = [numbers[id(each)] for each in group["params"]]
            groups.append(packed)
        state = {
            (numbers[id(key)] if isinstance(key, Tensor) else key): self._public(value)
            for key, value in self.state.items()
        }
        result: dict[str, Any] = {"state": state, "param_groups": groups}
        for hook in self._optimizer_state_dict_post_hooks.values():  # type: ignore[attr-defined]  # made in __init__
            replaced = hook(self, result)
            if replaced is not None:
                result = replaced
        return result

    def _public(self, state: Any) -> Any:
        """A parameter's state with its numbers as tensors."""
        if not isinstance(state, dict):
            return state
        return {
            key: _number_tensor(value)
            if key in self._numbers and isinstance(value, float)
            else value
            for key, value in state.items()
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state_dict of an optimizer with the same groups of as many parameters.

        Raises ValueError where they differ.
        """
        given = dict(state_dict)
        for hook in self._optimizer_load_state_dict_pre_hooks.values():  # type: ignore[attr-defined]  # made in __init__
            replaced = hook(self, given)
            if replaced is not None:
                given = replaced
        saved = deepcopy(given["param_groups"])
        if len(saved) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        for old, new in zip(self.param_groups, saved, strict=True):
            if len(old["params"]) != len(new["params"]):
                raise ValueError(
                    "loaded state dict contains a parameter group that doesn't match the size of "
                    "optimizer's group"
                )
        numbers = chain.from_iterable(group["params"] for group in saved)
        tensors = chain.from_iterable(group["params"] for group in self.param_groups)
        by_number = dict(zip(numbers, tensors, strict=True))
        state: defaultdict[Any, Any] = defaultdict(dict)
        for key, value in given["state"].items():
            if key in by_number:
                state[by_number[key]] = self._private(by_number[key], value)
            else:
                state[key] = value
        for old, new in zip(self.param_groups, saved, strict=True):
            new["params"] = old["params"]
            if "param_names" in old and "param_names" not in new:
                new["param_names"] = old["param_names"]
        self.__setstate__({"state": state, "param_groups": saved})
        for hook in self._optimizer_load_state_dict_post_hooks.values():  # type: ignore[attr-defined]  # made in __init__
            hook(self)

    def _private(self, parameter: Tensor, value: Any, key: Any = None) -> Any:
        """A loaded value as this optimizer keeps it: as the parameter's dtype, on its device."""
        if key in self._numbers:
            return float(value._to_numpy()) if isinstance(value, Tensor) else float(value)
        if isinstance(value, Tensor):
            dtype = parameter.dtype if parameter.dtype.is_floating_point else None
            return value.to(device=parameter.device, dtype=dtype)
        if isinstance(value, dict):
            return {name: self._private(parameter, each, name) for name, each in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)([self._private(parameter, each) for each in value])
        return value


def _settle_parameters(group: Group) -> None:
    """Make group["params"] a list of tensors. Raises what PyTorch raises where it cannot be."""
    given = group["params"]
    if isinstance(given, Tensor):
        given = [given]
    elif isinstance(given, set):
        raise TypeError(
            "optimizer parameters need to be organized in ordered collections, but the ordering "
            "of tensors in sets will change between runs. Please use a list instead."
        )
    tensors: list[Any] = []
    names: list[str] = []
    for each in given:
        if isinstance(each, tuple):
            names.append(each[0])
            each = each[1]
        tensors.append(each)
    if names and len(names) != len(tensors):
        raise ValueError(
            "all optimizer params should be with/without names. Some param names are missing"
        )
    for each in tensors:
        if not isinstance(each, Tensor):
            raise TypeError(
                "optimizer can only optimize Tensors, but one of the params is "
                f"{type(each).__name__}"
            )
        if not each.is_leaf:
            raise ValueError("can't optimize a non-leaf Tensor")
    if len({id(each) for each in tensors}) != len(tensors):
        warnings.warn(
            "optimizer contains a parameter group with duplicate parameters; each is updated once "
            "for every time that it is listed",
            stacklevel=4,
        )
    group["params"] = tensors
    if names:
        group["param_names"] = names


def _hooked(step: Callable[..., Any]) -> Callable[..., Any]:
    """`step` with its hooks around it and a flush at its end."""
    if hasattr(step, "hooked"):
        return step

    @functools.wraps(step)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not hasattr(self, "_optimizer_step_pre_hooks"):
            return step(self, *args, **kwargs)  # it wraps another one, and was not initialised
        if (watcher := watch.active()) is not None:
            watcher.optimizer(self)
        for hook in list(self._optimizer_step_pre_hooks.values()):
            replaced = hook(self, args, kwargs)
            if replaced is not None:
                if not (isinstance(replaced, tuple) and len(replaced) == 2):
                    raise RuntimeError(
                        f"{step} must return None or a tuple of (new_args, new_kwargs), but got "
                        f"{replaced}."
                    )
                args, kwargs = replaced
        result = step(self, *args, **kwargs)
        self._opt_called = True
        for hook in list(self._optimizer_step_post_hooks.values()):
            hook(self, args, kwargs)
        flush()
        return result

    wrapped.hooked = True  # type: ignore[attr-defined]  # PyTorch's mark
    return wrapped


Optimizer.step = _hooked(Optimizer.step)  # type: ignore[method-assign]  # same call


def _number_tensor(value: float) -> Tensor:
    return Tensor._from_numpy(numpy.array(value, numpy.float32))


def zeros_like(parameter: Tensor, value: float = 0) -> Tensor:
    """A computed tensor as the parameter's type: the first step's plan is every step's plan."""
    array = numpy.full(parameter._type.shape, value, parameter.dtype.numpy)
    return Tensor._from_numpy(array, parameter.device.type, copy=False)


def decay_flags(group: Group) -> dict[str, bool]:
    """What most formulas want to know of a group."""
    return {"decays": group["weight_decay"] != 0, "maximize": group["maximize"]}


def decoupled_flags(group: Group) -> dict[str, bool]:
    """decay_flags, and whether the decay is decoupled from the gradient."""
    return {"decoupled": group["decoupled_weight_decay"], **decay_flags(group)}


def check(condition: bool, name: str, value: Any) -> None:
    """Raises ValueError in PyTorch's words where a hyperparameter is out of range."""
    if not condition:
        raise ValueError(f"Invalid {name}: {value}")


def check_rate(lr: Any) -> None:
    """Raises ValueError where `lr` cannot be a learning rate."""
    if isinstance(lr, Tensor):
        if lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
    else:
        check(lr >= 0, "learning rate", lr)


def check_betas(betas: Sequence[float]) -> None:
    """Raises ValueError where a beta is not in [0, 1)."""
    for place, each in enumerate(betas):
        check(0.0 <= each < 1.0, f"beta parameter at index {place}", each)
