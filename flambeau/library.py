"""torch.library: operators that programs define, called as torch.ops.namespace.name.

A kernel is a Python function; it runs as one opaque step, whose gradient is what
`register_autograd` gave it. https://docs.pytorch.org/docs/2.13/library.html
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from typing import Any

from flambeau.ops.custom import Argument, Operator, operator
from flambeau.tensor.function import Function

__all__ = [
    "CustomOpDef",
    "Library",
    "OpOverload",
    "custom_op",
    "define",
    "impl",
    "impl_abstract",
    "register_autograd",
    "register_fake",
    "register_kernel",
]

OpOverload = Operator

_KEYS = {"default": "CompositeExplicitAutograd", None: "CompositeExplicitAutograd"}


def _found(op: str | Operator | CustomOpDef) -> Operator:
    if isinstance(op, CustomOpDef):
        return op.operator
    return op if isinstance(op, Operator) else operator(op)


def _keys(device_types: str | Iterable[str] | None) -> list[str]:
    if device_types is None or isinstance(device_types, str):
        device_types = [device_types or "default"]
    return [_KEYS.get(each, each.upper()) for each in device_types]


def register_kernel(
    op: str | Operator | CustomOpDef,
    device_types: str | Iterable[str] | None,
    func: Callable[..., Any] | None = None,
    /,
    *,
    lib: Library | None = None,
) -> Any:
    """`func` computes the operator on these devices (None or "default": on all). Decorates, too."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for key in _keys(device_types):
            _found(op).kernels[key] = function
        return function

    return register if func is None else register(func)


def register_fake(
    op: str | Operator | CustomOpDef,
    func: Callable[..., Any] | None = None,
    /,
    *,
    lib: Library | None = None,
    _stacklevel: int = 1,
    allow_override: bool = False,
) -> Any:
    """What says the shapes of an operator's results on the meta device. Decorates, too."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        _found(op).fake = function
        return function

    return register if func is None else register(func)


impl_abstract = register_fake
"""The old name."""


def register_autograd(
    op: str | Operator | CustomOpDef,
    backward: Callable[..., Any],
    /,
    *,
    setup_context: Callable[..., Any] | None = None,
    lib: Library | None = None,
) -> None:
    """The gradient: backward(ctx, *gradients), and setup_context(ctx, inputs, output) before it."""
    of = _found(op)

    class Registered(Function):
        pass

    Registered.backward = staticmethod(backward)  # type: ignore[method-assign]  # given at run time
    given = setup_context or (lambda ctx, inputs, output: None)
    Registered.setup_context = staticmethod(given)  # type: ignore[attr-defined]  # likewise
    of.gradient = Registered


class CustomOpDef:
    """An operator that `custom_op` made of a function. Calling it runs the operator."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.operator = operator(name)
        self.__name__ = self.operator.__name__
        self.__doc__ = function.__doc__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.operator(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<CustomOpDef({self.operator.namespace}::{self.__name__})>"

    def register_kernel(
        self, device_types: str | Iterable[str] | None, fn: Callable[..., Any] | None = None, /
    ) -> Any:
        """As torch.library.register_kernel."""
        return register_kernel(self, device_types, fn)

    def register_fake(self, fn: Callable[..., Any], /) -> Callable[..., Any]:
        """As torch.library.register_fake."""
        register_fake(self, fn)
        return fn

    def register_autograd(
        self, backward: Callable[..., Any], /, *, setup_context: Callable[..., Any] | None = None
    ) -> None:
        """As torch.library.register_autograd."""
        register_autograd(self, backward, setup_context=setup_context)


def custom_op(
    name: str,
    fn: Callable[..., Any] | None = None,
    /,
    *,
    mutates_args: str | Iterable[str],
    device_types: str | Iterable[str] | None = None,
    schema: str | None = None,
    tags: Any = None,
) -> Any:
    """Make a function an operator "namespace::name", one opaque step to autograd.

    `mutates_args` names the arguments that it writes; they may be any. Decorates, too.
    """

    def make(function: Callable[..., Any]) -> CustomOpDef:
        made = CustomOpDef(name, function)
        register_kernel(made, device_types, function)
        return made

    return make if fn is None else make(fn)


class Library:
    """Operators of one namespace: `define` a schema, `impl` its kernels. `kind` changes nothing."""

    def __init__(self, ns: str, kind: str, dispatch_key: str = "") -> None:
        self.ns = ns
        self.kind = kind
        self.dispatch_key = dispatch_key

    def define(
        self, schema: str, alias_analysis: str = "", *, tags: Any = (), **options: Any
    ) -> str:
        """Declare an operator: "name(Tensor x, int n=1) -> Tensor". Returns its name."""
        name = schema.partition("(")[0].strip()
        _declare(operator(f"{self.ns}::{name}"), schema)
        return name

    def impl(
        self,
        op_name: str | Operator,
        fn: Callable[..., Any],
        dispatch_key: str = "",
        *,
        with_keyset: bool = False,
        allow_override: bool = False,
    ) -> None:
        """`fn` computes the operator under a dispatch key: "CPU", "CompositeImplicitAutograd", …"""
        if isinstance(op_name, str):
            own = op_name if "::" in op_name else f"{self.ns}::{op_name}"
            op_name = operator(own)
        key = dispatch_key or self.dispatch_key or "CompositeImplicitAutograd"
        if key == "Meta":
            op_name.fake = fn
        else:
            op_name.kernels[key] = fn


def define(
    qualname: str, schema: str, *, lib: Library | None = None, tags: Any = ()
) -> Callable[..., Any] | None:
    """Declare an operator "namespace::name" by its schema, "(Tensor x, int n=1) -> Tensor"."""
    _declare(operator(qualname), schema)
    return None


def impl(
    qualname: str,
    types: str | Iterable[str],
    func: Callable[..., Any] | None = None,
    *,
    lib: Library | None = None,
) -> Any:
    """As register_kernel."""
    return register_kernel(qualname, types, func)


def _declare(of: Operator, schema: str) -> None:
    """Take the arguments and their defaults out of a schema."""
    inside = schema[schema.index("(") + 1 : schema.rindex("->")].rpartition(")")[0]
    found: list[Argument] = []
    keyword_only = False
    for each in re.split(r",(?![^\[\(]*[\]\)])", inside):
        declared, given, default = each.strip().partition("=")
        if declared == "*":
            keyword_only = True
        elif declared:
            name = declared.split()[-1]
            found.append(Argument(name, bool(given), _value(default), keyword_only))
    of.arguments = tuple(found)


def _value(text: str) -> Any:
    """A default of a schema; names of dtypes and the like stay text."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
