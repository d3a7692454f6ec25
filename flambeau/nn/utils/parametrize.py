"""Parameters that are functions of others: register_parametrization. PyTorch's parametrize.

A parametrized tensor `module.weight` is a property of a class made for that module: reading it
computes parametrization(original), writing it puts right_inverse(value) into the original. The
originals are parameters of `module.parametrizations.weight`, which is where state_dict has them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from flambeau.autograd.mode import no_grad
from flambeau.nn.modules.container import ModuleDict, ModuleList
from flambeau.nn.modules.module import Module
from flambeau.tensor.parameter import Parameter
from flambeau.tensor.tensor import Tensor

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]


class _Cache:
    """What parametrizations gave, while a `cached` block runs."""

    depth = 0
    values: dict[tuple[int, str], Any] = {}  # noqa: RUF012  # one for the process, as in PyTorch


@contextmanager
def cached() -> Iterator[None]:
    """Within this context each parametrized tensor is computed once, when it is first read."""
    _Cache.depth += 1
    try:
        yield
    finally:
        _Cache.depth -= 1
        if not _Cache.depth:
            _Cache.values.clear()


def _register(module: Module, name: str, tensor: Tensor) -> None:
    """A parameter or a buffer, as the tensor is one."""
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _has_inverse(parametrization: Module) -> bool:
    return hasattr(parametrization, "right_inverse")


def _same_facts(what: str, found: Any, original: Tensor) -> None:
    """Raises ValueError where `found` cannot stand for `original`."""
    if not isinstance(found, Tensor):
        raise ValueError(f"{what} must return a tensor. Got {type(found).__name__}.")
    for fact in ("dtype", "shape"):
        before, after = getattr(original, fact), getattr(found, fact)
        if before != after:
            raise ValueError(
                f"{what} may not change the {fact} of the tensor, unless the `unsafe` flag is "
                f"enabled.\nunparametrized {fact}: {before}\nparametrized {fact}: {after}"
            )


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, applied in order, and the originals they begin from.

    `original` where there is one tensor, `original0`, `original1` … where the first's
    right_inverse gives several. Made by register_parametrization.
    """

    original: Tensor
    unsafe: bool

    def __init__(self, modules: Sequence[Module], original: Any, unsafe: bool = False) -> None:
        if not modules:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        before = original.detach()
        start = self._initial(original)
        self.is_tensor = isinstance(start, Tensor)
        if self.is_tensor:
            self.ntensors = 1
            original.data = start.detach()
            _register(self, "original", original)
        else:
            self.ntensors = len(start)
            for number, each in enumerate(start):
                if isinstance(original, Parameter):
                    each = Parameter(each, each.dtype.has_gradient and original.requires_grad)
                _register(self, f"original{number}", each)
        if not unsafe:
            self._check_result(original, before)

    def _check_result(self, original: Any, before: Tensor) -> None:
        """Raises ValueError, and leaves the tensor as it was, where the result does not fit."""
        try:
            _same_facts("A parametrization", self(), before)
        except ValueError:
            original.data = before
            raise

    def _initial(self, original: Any) -> Any:
        """What the last parametrization's right_inverse, then those before it, make of it."""
        value = original
        with no_grad():
            for each in reversed(list(self)):
                if not _has_inverse(each):
                    continue
                with suppress(NotImplementedError):
                    value = each.right_inverse(value)
        if not isinstance(value, (Tensor, Sequence)):
            raise ValueError(
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                f"Got {type(value).__name__}"
            )
        if isinstance(value, Tensor):
            if value.dtype != original.dtype:
                raise ValueError(
                    "When `right_inverse` outputs one tensor, it may not change the dtype.\n"
                    f"original.dtype: {original.dtype}\nright_inverse(original).dtype: "
                    f"{value.dtype}"
                )
            return value
        for number, each in enumerate(value):
            if not isinstance(each, Tensor):
                raise ValueError(
                    "'right_inverse' must return a Tensor or a Sequence of tensors: element "
                    f"{number} is a {type(each).__name__}"
                )
        return list(value)

    def originals(self) -> list[Tensor]:
        """The tensors that the first parametrization is given."""
        if self.is_tensor:
            return [self.original]
        return [getattr(self, f"original{number}") for number in range(self.ntensors)]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The parametrized tensor."""
        first, *others = self
        value = first(*self.originals())
        for each in others:
            value = each(value)
        return value

    @no_grad()
    def right_inverse(self, value: Tensor) -> None:
        """Set the originals so that the parametrized tensor becomes `value`.

        RuntimeError where a parametrization has no right_inverse; ValueError where what it gives
        does not fit the originals.
        """
        found: Any = value
        for each in reversed(list(self)):
            if not _has_inverse(each):
                raise RuntimeError(
                    f"parametrization {type(each).__name__} does not implement right_inverse."
                )
            found = each.right_inverse(found)
        given = [found] if self.is_tensor else found
        places = self.originals()
        if not isinstance(given, Sequence) or len(given) != len(places):
            raise ValueError(
                f"'right_inverse' must return {self.ntensors} tensors, as it did when it was "
                f"registered, got {type(found).__name__}"
            )
        for place, each in zip(places, given, strict=True):
            _same_facts("right_inverse", each, place)
            place.data = each.detach()


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the module has a parametrized tensor (of that name, where it is given)."""
    found = module.__dict__.get("_modules", {}).get("parametrizations")
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def type_before_parametrizations(module: Module) -> type[Module]:
    """The module's class as its author knows it."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


# the class of a parametrized module -------------------------------------------------------------


def _property(name: str) -> Any:
    def read(self: Any) -> Any:
        found = self.parametrizations[name]
        if not _Cache.depth:
            return found()
        key = (id(self), name)
        if key not in _Cache.values:
            _Cache.values[key] = found()
        return _Cache.values[key]

    def write(self: Any, value: Any) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(read, write)


def _deepcopy(self: Any, memo: dict[int, Any]) -> Any:
    """A copy of the same class; pickling, which copies otherwise go by, is refused."""
    replica = object.__new__(type(self))
    memo[id(self)] = replica
    replica.__dict__.update(copy.deepcopy(self.__dict__, memo))
    return replica


def _no_pickle(self: Any) -> Any:
    raise RuntimeError(
        "Serialization of parametrized modules is only supported through state_dict(): save "
        "module.state_dict(), and register the parametrizations again before loading it"
    )


def _parametrized_class(base: type[Module], names: Sequence[str]) -> type[Module]:
    """A subclass in which these tensors are computed. A new one each time: copies share theirs."""
    members: dict[str, Any] = {name: _property(name) for name in names}
    members |= {"__getstate__": _no_pickle, "__module__": __name__}
    if not hasattr(base, "__deepcopy__"):
        members["__deepcopy__"] = _deepcopy
    return type(f"Parametrized{base.__name__}", (base,), members)


# registering and removing -----------------------------------------------------------------------


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Make `module.tensor_name` the result of `parametrization`; returns the module.

    The tensor is a parameter or a buffer, or is parametrized already: then the new function is
    applied to what the others give. A method right_inverse of the parametrization makes the
    originals from the tensor as it is now, and from what is assigned to it later; where it gives
    several tensors, forward takes as many. ValueError where the result has another shape or dtype,
    unless `unsafe`, or where there is no such tensor.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        _append(module, tensor_name, parametrization, unsafe)
        return module
    held = {**module._parameters, **module._buffers}
    if held.get(tensor_name) is None:
        raise ValueError(
            f"Module '{module._get_name()}' does not have a parameter, a buffer, or a parametrized "
            f"element with name '{tensor_name}'"
        )
    found = ParametrizationList([parametrization], held[tensor_name], unsafe=unsafe)
    delattr(module, tensor_name)
    base = type_before_parametrizations(module)
    if not is_parametrized(module):
        module.parametrizations = ModuleDict()
    module.parametrizations[tensor_name] = found
    module.__class__ = _parametrized_class(base, list(module.parametrizations))
    return module


def _append(module: Module, name: str, parametrization: Module, unsafe: bool) -> None:
    found = module.parametrizations[name]
    if not unsafe:
        before = getattr(module, name)
        after = parametrization(before)
        _same_facts("A parametrization", after, before)
        if _has_inverse(parametrization):
            try:
                back = parametrization.right_inverse(after)
            except NotImplementedError:
                back = before
            _same_facts("parametrization.right_inverse", back, before)
    found.append(parametrization)
    found.unsafe |= unsafe


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make `module.tensor_name` a plain parameter or buffer again; returns the module.

    It keeps the parametrized value, or, unless `leave_parametrized`, becomes the original again
    (ValueError where the parametrization has several). ValueError where it is not parametrized.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(
            f"Module {module._get_name()} does not have a parametrization on {tensor_name}"
        )
    base = type_before_parametrizations(module)
    kept = module.parametrizations
    found = kept[tensor_name]
    if not found.is_tensor and not leave_parametrized:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is "
            "parametrized in terms of a sequence of tensors."
        )
    plain = found.originals()[0]
    if leave_parametrized:
        value = getattr(module, tensor_name)
        if found.is_tensor:
            plain.data = value.detach().clone()
        else:
            needed = value.requires_grad
            plain = Parameter(value.detach()) if needed else value.detach()
    del kept[tensor_name]
    module.__class__ = _parametrized_class(base, list(kept)) if len(kept) else base
    if not len(kept):
        del module.parametrizations
    _register(module, tensor_name, plain)
    return module


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Give another module this one's parametrizations and originals; returns that module.

    `tensor_name`: of this tensor only. Parametrizations of `to_module` by the same name make way.
    """
    if not is_parametrized(from_module):
        raise AssertionError(f"{from_module._get_name()} has no parametrizations to transfer")
    kept = from_module.parametrizations
    for name in list(kept) if tensor_name is None else [tensor_name]:
        if is_parametrized(to_module, name):
            remove_parametrizations(to_module, name)
        if not hasattr(to_module, name):
            value = from_module.parametrizations[name].originals()[0]
            _register(to_module, name, copy.deepcopy(value))
        for each in kept[name]:
            register_parametrization(to_module, name, each, unsafe=True)
        target = to_module.parametrizations[name]
        for number, original in enumerate(kept[name].originals()):
            key = "original" if target.is_tensor else f"original{number}"
            setattr(target, key, original)
    return to_module
