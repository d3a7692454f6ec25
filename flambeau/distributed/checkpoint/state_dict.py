"""State dicts of models and optimizers whose keys are parameters' names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flambeau.stand_in import stand_in

__all__ = [
    "StateDictOptions",
    "get_model_state_dict",
    "get_optimizer_state_dict",
    "get_state_dict",
    "set_model_state_dict",
    "set_optimizer_state_dict",
    "set_state_dict",
]


@stand_in("accepted; `strict` is applied, all state dicts are whole")
@dataclass
class StateDictOptions:
    """What a state_dict holds. Of these, `strict` and `ignore_frozen_params` are applied."""

    full_state_dict: bool = False
    cpu_offload: bool = False
    ignore_frozen_params: bool = False
    keep_submodule_prefixes: bool = True
    strict: bool = True
    broadcast_from_rank0: bool = False
    flatten_optimizer_state_dict: bool = False
    dsd_fqn_modifiers: str = "_fqn_modifiers"


@stand_in("the model's state_dict")
def get_model_state_dict(
    model: Any, *, submodules: Any = None, options: StateDictOptions | None = None
) -> dict[str, Any]:
    """The model's state_dict, without a DistributedDataParallel's "module."."""
    model = _unwrapped(model)
    state = model.state_dict()
    if options is not None and options.ignore_frozen_params:
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                state.pop(name, None)
    if options is not None and options.cpu_offload:
        for name, value in list(state.items()):
            state[name] = value.cpu() if hasattr(value, "cpu") else value
    return dict(state)


@stand_in("the model's load_state_dict")
def set_model_state_dict(
    model: Any, model_state_dict: dict[str, Any], *, options: StateDictOptions | None = None
) -> Any:
    """Load into the model; returns missing and unexpected keys."""
    strict = options.strict if options is not None else True
    return _unwrapped(model).load_state_dict(model_state_dict, strict=strict)


def _unwrapped(model: Any) -> Any:
    from flambeau.nn.parallel import DistributedDataParallel

    return model.module if isinstance(model, DistributedDataParallel) else model


def _names(model: Any) -> dict[int, str]:
    return {id(parameter): name for name, parameter in _unwrapped(model).named_parameters()}


def _listed(optimizers: Any) -> list[Any]:
    return list(optimizers) if isinstance(optimizers, Iterable) else [optimizers]


def _ordered(optimizer: Any, names: dict[int, str]) -> list[str]:
    """The names of the optimizer's parameters, in its order."""
    groups = optimizer.param_groups
    return [names[id(parameter)] for group in groups for parameter in group["params"]]


@stand_in("the optimizer's state_dict by parameters' names")
def get_optimizer_state_dict(
    model: Any,
    optimizers: Any,
    *,
    submodules: Any = None,
    options: StateDictOptions | None = None,
) -> dict[str, Any]:
    """The optimizers' state with names in the place of numbers."""
    names = _names(model)
    result: dict[str, Any] = {"state": {}, "param_groups": []}
    for optimizer in _listed(optimizers):
        order = _ordered(optimizer, names)
        found = optimizer.state_dict()
        result["state"].update({order[key]: value for key, value in found["state"].items()})
        for group in found["param_groups"]:
            result["param_groups"].append({**group, "params": [order[i] for i in group["params"]]})
    return result


@stand_in("the optimizer's load_state_dict by parameters' names")
def set_optimizer_state_dict(
    model: Any,
    optimizers: Any,
    optim_state_dict: dict[str, Any],
    *,
    options: StateDictOptions | None = None,
) -> None:
    """Load what get_optimizer_state_dict gave. RuntimeError where a parameter has no group."""
    names = _names(model)
    given = {name: group for group in optim_state_dict["param_groups"] for name in group["params"]}
    for optimizer in _listed(optimizers):
        order = _ordered(optimizer, names)
        places = {name: number for number, name in enumerate(order)}
        missing = [name for name in order if name not in given]
        if missing:
            raise RuntimeError(f"the state has no group with the parameters {missing}")
        groups, begin = [], 0
        for group in optimizer.param_groups:
            count = len(group["params"])
            numbers = list(range(begin, begin + count))
            source = given[order[begin]] if count else group
            groups.append({**source, "params": numbers})
            begin += count
        state = {
            places[name]: value
            for name, value in optim_state_dict["state"].items()
            if name in places
        }
        optimizer.load_state_dict({"state": state, "param_groups": groups})


@stand_in("both state dicts")
def get_state_dict(
    model: Any,
    optimizers: Any,
    *,
    submodules: Any = None,
    options: StateDictOptions | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the model's, the optimizers')."""
    return (
        get_model_state_dict(model, options=options),
        get_optimizer_state_dict(model, optimizers, options=options),
    )


@stand_in("loads both")
def set_state_dict(
    model: Any,
    optimizers: Any,
    *,
    model_state_dict: dict[str, Any],
    optim_state_dict: dict[str, Any],
    options: StateDictOptions | None = None,
) -> Any:
    """Load into the model and the optimizers; returns missing and unexpected keys."""
    if optim_state_dict:
        set_optimizer_state_dict(model, optimizers, optim_state_dict, options=options)
    return set_model_state_dict(model, model_state_dict, options=options)
