"""How an operation becomes torch.name, Tensor.name, their in-place variants and aliases.

One place for what all operations share: `out=`, numpy's argument names (axis, keepdims, …) and
writing a result into a tensor.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from flambeau.graph import op
from flambeau.graph.dtype import DType
from flambeau.graph.node import Node
from flambeau.ops.autocast import autocasting
from flambeau.ops.axes import DTYPE_TITLES
from flambeau.tensor import override
from flambeau.tensor.record import copied, derive
from flambeau.tensor.tensor import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])

NUMPY_NAMES = {
    "axis": "dim",
    "keepdims": "keepdim",
    "x": "input",
    "a": "input",
    "x1": "input",
    "x2": "other",
}
"""Argument names that PyTorch takes for the sake of numpy's users."""

_CATEGORY = {"bool": 0, "uint": 1, "int": 1, "float": 2, "complex": 3}


def title(dtype: DType) -> str:
    """The name of a dtype in PyTorch's messages: Float, Long, …"""
    return DTYPE_TITLES[dtype.name]


def publish(function: Any, *names: str) -> None:
    """Make the function a public name of the module that defines it."""
    module = sys.modules[function.__module__]
    listed = module.__dict__.setdefault("__all__", [])
    for name in names:
        if name not in listed:
            listed.append(name)
        if name != function.__name__:
            setattr(module, name, function)


def public(
    *aliases: str,
    inplace: bool = False,
    method: bool = True,
    function: bool = True,
    out: bool = True,
) -> Callable[[Function], Function]:
    """Publish the function under its own name and `aliases`.

    method    as Tensor's method
    function  as torch.name
    inplace   name_ as well: the result is written into the first argument
    out       takes out=: the result is written into that tensor, which is returned
    """

    def decorate(plain: Function) -> Function:
        call = _with_keywords(plain, out)
        names = (plain.__name__, *aliases)
        if function:
            publish(call, *names)
        if method:
            for name in names:
                setattr(Tensor, name, call)
        if inplace:
            _publish_inplace(plain, names, method, function)
        return call  # type: ignore[return-value]  # takes what the function takes, and out=

    return decorate


def _publish_inplace(
    plain: Callable[..., Any], names: tuple[str, ...], method: bool, function: bool
) -> None:
    for name in names:
        write = in_place(plain, f"{name}_")
        if function:
            publish(write, write.__name__)
            setattr(sys.modules[plain.__module__], write.__name__, write)
        if method:
            setattr(Tensor, write.__name__, write)


def _with_keywords(plain: Callable[..., Any], out: bool) -> Callable[..., Any]:
    """`plain` with out= and numpy's argument names; positional calls pass straight through."""
    code = plain.__code__
    function = autocasting(plain)
    parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    renamed = {
        numpy_name: name
        for numpy_name, name in NUMPY_NAMES.items()
        if name in parameters and numpy_name not in parameters
    }

    needs_tensor = plain.__annotations__.get("input") == "Tensor"

    @functools.wraps(plain)
    def call(*args: Any, **kwargs: Any) -> Any:
        if override.ACTIVE is not None:
            found = override.ACTIVE(call, args, kwargs)
            if found is not override.NOT_TAKEN:
                return found
        if needs_tensor and args and not isinstance(args[0], Tensor):
            if override.ACTIVE is None and override.takes_over(type(args[0])):
                override.activate()
                return call(*args, **kwargs)
            raise TypeError(
                f"{plain.__name__}(): argument 'input' (position 1) must be Tensor, not "
                f"{type(args[0]).__name__}"
            )
        if not kwargs:
            return function(*args)
        for name in tuple(kwargs):
            if name in renamed:
                kwargs[renamed[name]] = kwargs.pop(name)
        target = kwargs.pop("out", None) if out else None
        result = function(*args, **kwargs)
        return result if target is None else write_out(plain.__name__, target, result)

    also = frozenset(renamed) | ({"out"} if out else set())
    call.also_takes = also  # type: ignore[attr-defined]  # read by the table of names
    return call


def in_place(plain: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The variant that writes the result into its first argument."""

    def write(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return assign(input, plain(input, *args, **kwargs))

    write.__name__ = name
    write.__qualname__ = name
    write.__module__ = plain.__module__
    write.__doc__ = f"As {plain.__name__}, written into `input`, which is returned."
    return write


def check_castable(source: DType, target: DType) -> None:
    """Raises RuntimeError where a result of `source` must not be written into `target`."""
    if _CATEGORY[source.kind] > _CATEGORY[target.kind]:
        raise RuntimeError(
            f"result type {title(source)} can't be cast to the desired output type {title(target)}"
        )


def assign(target: Tensor, result: Tensor) -> Tensor:
    """Write a result that was computed for this purpose into `target`, as an in-place operation.

    Raises RuntimeError where its dtype or shape does not fit, or where `target` must not be
    written in place.
    """
    if result._type is not target._type:
        check_castable(result._type.dtype, target._type.dtype)
        if result._type.shape != target._type.shape:
            raise RuntimeError(
                f"output with shape {list(target.shape)} doesn't match the broadcast shape "
                f"{list(result.shape)}"
            )
    return write(target, result)


def write(target: Tensor, value: Tensor) -> Tensor:
    """Write `value`, of the target's shape, into `target`; dtype and device are converted."""
    made = value._read()
    shared = value is target or value._view is not None or value._leaf
    target_device = target._storage.node.device
    if made.device is not None and target_device is not None and made.device != target_device:
        made = copied(made, target_device)
        shared = False
    if made.dtype is not target._type.dtype:
        made = derive(op.CAST, (made,), (target._type.dtype,))
        shared = False
    if shared:
        made = derive(op.MATERIALIZE, (made,))
    target._write(made)
    _resave(made, target)
    return target


def _resave(made: Node, target: Tensor) -> None:
    """Versions that an in-place operation remembers: of its result, which is `target` now.

    What it read of `target` is the old value, which the graph still has: nothing to check.
    """
    history = made.history
    if history is None or not history.saved:
        return
    storage = target._storage
    history.saved = tuple(
        [
            (storage, storage.version, position)
            if position < 0
            else (None if held is storage else held, version, position)
            for held, version, position in history.saved
        ]
    )


def write_out(name: str, target: Any, result: Any) -> Any:
    """out=: write results into the given tensors and return these."""
    if isinstance(result, tuple):
        if len(target) != len(result):
            raise TypeError(f"{name}(): expected out= of {len(result)} tensors, got {len(target)}")
        written = [write_out(name, *pair) for pair in zip(target, result, strict=True)]
        return type(result)(*written) if hasattr(result, "_fields") else tuple(written)
    if not isinstance(target, Tensor):
        raise TypeError(f"{name}(): argument 'out' must be Tensor, not {type(target).__name__}")
    if result.requires_grad or target.requires_grad:
        raise RuntimeError(
            f"{name}(): functions with out=... arguments don't support automatic differentiation, "
            "but one of the arguments requires grad."
        )
    check_castable(result.dtype, target.dtype)
    if result._type.shape != target._type.shape:
        _resize(target, result)
        return target
    return write(target, result)


def _resize(target: Tensor, result: Tensor) -> None:
    """out= of another shape becomes the result; PyTorch warns where it held elements."""
    if target.numel() != 0:
        warnings.warn(
            f"An output with one or more elements was resized since it had shape "
            f"{list(target.shape)}, which does not match the required output shape "
            f"{list(result.shape)}.",
            UserWarning,
            stacklevel=5,
        )
    converted = result
    if result.dtype is not target.dtype:
        converted = Tensor._own(derive(op.CAST, (result._read(),), (target.dtype,)))
    target.data = converted
