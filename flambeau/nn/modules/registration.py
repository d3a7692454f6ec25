"""What a Module holds: parameters, buffers and modules, registered by assignment."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from flambeau.nn.modules.hooks import Hooked
from flambeau.tensor.parameter import Buffer, Parameter
from flambeau.tensor.tensor import Tensor

_TYPE_NAMES = {
    "float32": "FloatTensor",
    "float64": "DoubleTensor",
    "float16": "HalfTensor",
    "bfloat16": "BFloat16Tensor",
    "uint8": "ByteTensor",
    "int8": "CharTensor",
    "int16": "ShortTensor",
    "int32": "IntTensor",
    "int64": "LongTensor",
    "bool": "BoolTensor",
}


def type_name(value: Any) -> str:
    """A value's type as PyTorch's error messages spell it."""
    if type(value) is Tensor:
        return f"torch.{_TYPE_NAMES.get(value.dtype.name, 'Tensor')}"
    kind = type(value)
    if kind.__module__ in ("builtins", ""):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


class Registry(Hooked):
    """The part of Module that registers what is assigned to it."""

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Any]
    _non_persistent_buffers_set: set[str]

    def _init_registry(self) -> None:
        assign = object.__setattr__
        assign(self, "training", True)
        assign(self, "_parameters", {})
        assign(self, "_buffers", {})
        assign(self, "_non_persistent_buffers_set", set())
        assign(self, "_modules", {})
        self._init_hooks()
        for name in (
            "_state_dict_hooks",
            "_state_dict_pre_hooks",
            "_load_state_dict_pre_hooks",
            "_load_state_dict_post_hooks",
        ):
            assign(self, name, OrderedDict())

    # registering -------------------------------------------------------------------------------

    def _check_name(self, name: Any, kind: str, held: str) -> None:
        """Raises what PyTorch raises where `name` cannot be the name of a new member."""
        if held not in self.__dict__:
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type_name(name)}")
        if "." in name:
            got = f", got: {name}" if kind == "module" else ""
            raise KeyError(f'{kind} name can\'t contain "."{got}')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if name not in self.__dict__[held] and hasattr(self, name):
            raise KeyError(f"attribute '{name}' already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter (None: a name without one, which state_dict leaves out)."""
        self._check_name(name, "parameter", "_parameters")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type_name(param)}' object to parameter '{name}' "
                "(torch.nn.Parameter or None required)"
            )
        if param is not None and not param.is_leaf:
            raise ValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be "
                f"created explicitly. To express '{name}' as a function of another Tensor, "
                "compute the value in the forward() method."
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is no parameter; `persistent`: it is part of state_dict."""
        self._check_name(name, "buffer", "_buffers")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type_name(tensor)}' object to buffer '{name}' "
                "(torch Tensor or None required)"
            )
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Any) -> None:
        """Add a child module under `name`."""
        if module is not None and not isinstance(module, Registry):
            raise TypeError(f"{type_name(module)} is not a Module subclass")
        self._check_name(name, "module", "_modules")
        self._modules[name] = module

    def register_module(self, name: str, module: Any) -> None:
        """add_module."""
        self.add_module(name, module)

    # attributes --------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        held = self.__dict__
        for kind in ("_parameters", "_buffers", "_modules"):
            members = held.get(kind)
            if members is not None and name in members:
                return members[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        held = self.__dict__
        if isinstance(value, Parameter):
            self._make_way(name, "_parameters", "parameters")
            self.register_parameter(name, value)
        elif name in held.get("_parameters", ()):
            self._allow_none(name, value, "as parameter", "torch.nn.Parameter or None")
            self.register_parameter(name, None)
        elif isinstance(value, Registry):
            self._make_way(name, "_modules", "module")
            self._modules[name] = value
        elif name in held.get("_modules", ()):
            self._allow_none(name, value, "as child module", "torch.nn.Module or None")
            self._modules[name] = None
        elif name in held.get("_buffers", ()) or isinstance(value, Buffer):
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(
                    f"cannot assign '{type_name(value)}' as buffer '{name}' "
                    "(torch.nn.Buffer, torch.Tensor or None expected)"
                )
            kept = name not in held.get("_non_persistent_buffers_set", ())
            if isinstance(value, Buffer):
                kept = value.persistent
            self.register_buffer(name, value, kept)
        else:
            object.__setattr__(self, name, value)

    def _make_way(self, name: str, target: str, kind: str) -> None:
        """`name` becomes a member of `target`: it is nothing else from now on."""
        if target not in self.__dict__:
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
        for other in ("_parameters", "_buffers", "_modules"):
            if other != target:
                self.__dict__[other].pop(name, None)
        self.__dict__.pop(name, None)
        self._non_persistent_buffers_set.discard(name)

    @staticmethod
    def _allow_none(name: str, value: Any, role: str, expected: str) -> None:
        if value is not None:
            raise TypeError(
                f"cannot assign '{type_name(value)}' {role} '{name}' ({expected} expected)"
            )

    def __delattr__(self, name: str) -> None:
        for kind in ("_parameters", "_buffers", "_modules"):
            if name in self.__dict__[kind]:
                del self.__dict__[kind][name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = [*super().__dir__(), *self._parameters, *self._buffers, *self._modules]
        return sorted({name for name in names if name and not name[0].isdigit()})

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
