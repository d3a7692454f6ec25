"""Modules as functions of their parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from flambeau.ops.shape import stack
from flambeau.tensor.tensor import Tensor


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: dict[str, Tensor] | Sequence[dict[str, Tensor]],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """module(*args, **kwargs) with these tensors in place of its parameters and buffers.

    The module is as before afterwards. `tie_weights`: a tensor given for one name stands for all
    names of the same parameter. strict: RuntimeError where names are missing or unknown.
    """
    dicts = parameter_and_buffer_dicts
    given: dict[str, Tensor] = {}
    for each in [dicts] if isinstance(dicts, dict) else dicts:
        for name in each:
            if name in given:
                raise ValueError(f"{name} appears in multiple dictionaries; behavior is ambiguous")
        given.update(each)
    if not all(isinstance(each, Tensor) for each in given.values()):
        raise TypeError("functional_call: expected dictionaries from names to tensors")
    arguments = () if args is None else args if isinstance(args, tuple) else (args,)
    with _replaced(module, given, tie_weights, strict):
        return module(*arguments, **(kwargs or {}))


@contextmanager
def _replaced(
    module: Any, given: dict[str, Tensor], tie_weights: bool, strict: bool
) -> Iterator[None]:
    places = _places(module)
    unknown = [name for name in given if name not in places]
    missing = [name for name in places if name not in given]
    if unknown or (strict and missing):
        lacking = f", missing names {missing}" if strict else ""
        raise RuntimeError(f"functional_call: unexpected names {unknown}{lacking}")
    values = dict(given)
    if tie_weights:
        by_tensor = {id(places[name][0][places[name][1]]): given[name] for name in given}
        for name, (table, key) in places.items():
            tied = by_tensor.get(id(table[key]))
            if tied is not None and name not in values:
                values[name] = tied
    before = [(*places[name], places[name][0][places[name][1]]) for name in values]
    try:
        for name, value in values.items():
            table, key = places[name]
            table[key] = value
        yield
    finally:
        for table, key, value in before:
            table[key] = value


def _places(module: Any) -> dict[str, tuple[dict[str, Any], str]]:
    """Where each parameter and buffer is kept, by its full name."""
    found: dict[str, tuple[dict[str, Any], str]] = {}
    for prefix, part in module.named_modules(remove_duplicate=False):
        for table in (part._parameters, part._buffers):
            for key, value in table.items():
                if value is not None:
                    found[f"{prefix}.{key}" if prefix else key] = (table, key)
    return found


def stack_module_state(models: Sequence[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(parameters, buffers) of modules of one architecture, each stacked along a new first axis.

    For an ensemble: vmap(functional_call) over them. RuntimeError where there is no module, or
    they differ in class or in training mode.
    """
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if len({each.training for each in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to have the same training mode")
    if len({type(each) for each in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    all_parameters = [dict(each.named_parameters()) for each in models]
    all_buffers = [dict(each.named_buffers()) for each in models]
    parameters = {
        name: stack([each[name].detach() for each in all_parameters]).requires_grad_(
            all_parameters[0][name].requires_grad
        )
        for name in all_parameters[0]
    }
    buffers = {name: stack([each[name] for each in all_buffers]) for name in all_buffers[0]}
    return parameters, buffers


def functionalize(func: Callable[..., Any], *, remove: str = "mutations") -> Callable[..., Any]:
    """The function itself: what is recorded has no mutations in any case."""
    return func
