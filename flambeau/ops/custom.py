"""Operators that programs define themselves: torch.ops.namespace.name. See flambeau/library.py.

An operator is a Python function that is run as one opaque step: its body is not differentiated;
its gradient is the one that was registered for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from flambeau.tensor.function import Function
from flambeau.tensor.tensor import Tensor

_ANY_DEVICE = "CompositeExplicitAutograd"
_WITH_GRADIENT = "CompositeImplicitAutograd"


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of an operator's schema."""

    name: str
    optional: bool
    default: Any
    keyword_only: bool


class Operator:
    """One operator: kernels by dispatch key, a gradient, arguments. Calling it runs it.

    What PyTorch calls overloads (`.default`, `.Tensor`, …) is the operator itself.
    """

    def __init__(self, namespace: str, name: str) -> None:
        self.namespace = namespace
        self.__name__ = name
        self.kernels: dict[str, Callable[..., Any]] = {}
        self.fake: Callable[..., Any] | None = None
        self.arguments: tuple[Argument, ...] = ()
        self.gradient: type[Function] | None = None

    def __repr__(self) -> str:
        return f"<operator {self.namespace}::{self.__name__}>"

    @property
    def default(self) -> Operator:
        """The only overload."""
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        device = next((each.device.type for each in args if isinstance(each, Tensor)), "cpu")
        outer = self.kernels.get(f"Autograd{device.upper()}", self.kernels.get("Autograd"))
        kernel = outer or self.kernels.get(_WITH_GRADIENT)
        if self.arguments:
            args, kwargs = self._complete(list(args), kwargs)
        if kernel is not None:
            return kernel(*args, **kwargs)
        if device == "meta" and self.fake is not None:
            return self.fake(*args, **kwargs)
        kernel = self.kernels.get(device.upper(), self.kernels.get(_ANY_DEVICE))
        if kernel is None:
            raise NotImplementedError(
                f"{self.namespace}::{self.__name__}: no kernel is registered for device "
                f"'{device}'; there are kernels for {', '.join(self.kernels) or 'nothing'}"
            )
        return _opaque(self, kernel, kwargs).apply(*args)

    def _complete(
        self, args: list[Any], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with the defaults of the schema, by position where it has them so."""
        for argument in self.arguments[len(args) :]:
            if argument.keyword_only:
                if argument.optional:
                    kwargs.setdefault(argument.name, argument.default)
            elif argument.name in kwargs:
                args.append(kwargs.pop(argument.name))
            elif argument.optional:
                args.append(argument.default)
        return tuple(args), kwargs


def _opaque(
    operator: Operator, kernel: Callable[..., Any], kwargs: dict[str, Any]
) -> type[Function]:
    """A Function whose forward is the kernel and whose backward is the registered gradient."""
    of = operator.gradient

    class Opaque(of or Function):  # type: ignore[misc]  # a base that is known at run time
        @staticmethod
        def forward(*args: Any) -> Any:
            return kernel(*args, **kwargs)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
            if of is not None:
                of.setup_context(ctx, inputs, output)  # type: ignore[attr-defined]  # it has one

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            if of is None:
                _no_gradient(operator)
            return of.backward(ctx, *gradients)

    Opaque.__name__ = f"{operator.namespace}_{operator.__name__}"
    return Opaque


def _no_gradient(operator: Operator) -> NoReturn:
    raise RuntimeError(
        f"{operator.namespace}::{operator.__name__} has no gradient: give it one with "
        "torch.library.register_autograd"
    )


class Namespace:
    """torch.ops.name: its operators are attributes. `aten` and `prims` hold torch's functions."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.operators: dict[str, Operator] = {}

    def __repr__(self) -> str:
        return f"<namespace torch.ops.{self.name}>"

    def __getattr__(self, name: str) -> Any:
        found = self.operators.get(name)
        if found is None and self.name in ("aten", "prims") and not name.startswith("__"):
            found = _own(name)
        if found is None:
            raise AttributeError(
                f"torch.ops.{self.name} has no operator '{name}'; Flambeau loads no compiled "
                "extensions: operators are defined in Python, with torch.library"
            )
        return found


def _own(name: str) -> Operator | None:
    """torch's function of that name as an operator, every overload of which is the function."""
    function = getattr(sys.modules["flambeau"], name, None) or getattr(Tensor, name, None)
    if not callable(function):
        return None
    operator = _Own("aten", name)
    operator.kernels[_WITH_GRADIENT] = function
    return operator


class _Own(Operator):
    def __getattr__(self, name: str) -> Operator:
        if name.startswith("_"):
            raise AttributeError(name)
        return self


_NAMESPACES: dict[str, Namespace] = {}


def namespace(name: str) -> Namespace:
    """torch.ops.<name>, made when it is first asked for."""
    return _NAMESPACES.setdefault(name, Namespace(name))


def operator(qualified: str) -> Operator:
    """The operator "namespace::name"; it is made where there is none, with nothing registered."""
    space, _, name = qualified.partition("::")
    if not name:
        raise ValueError(f"expected an operator's name as 'namespace::name', got '{qualified}'")
    name = name.partition(".")[0]
    return namespace(space).operators.setdefault(name, Operator(space, name))


def load_library(path: str) -> None:
    """torch.ops.load_library: raises OSError, for compiled extensions of PyTorch need PyTorch."""
    raise OSError(
        f"Flambeau loads no compiled extensions of PyTorch ({path}); define the operators in "
        "Python, with torch.library"
    )
