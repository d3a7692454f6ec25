"""Module: the base of all networks."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Self

from flambeau.graph.dtype import DType, bfloat16, float16, float32, float64
from flambeau.nn.modules.hooks import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
)
from flambeau.nn.modules.state import Stateful, _IncompatibleKeys
from flambeau.ops.creation import empty_like
from flambeau.schedule import watch
from flambeau.tensor.device import device
from flambeau.tensor.parameter import is_lazy
from flambeau.tensor.tensor import Tensor

__all__ = [
    "Module",
    "_IncompatibleKeys",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
]


class Module(Stateful):
    """A network or a part of one: parameters, buffers, modules below it, and a forward.

    Subclasses call super().__init__(), assign Parameters and Modules to attributes and define
    forward(*args). Calling the module runs its hooks and forward. PyTorch's torch.nn.Module.
    """

    call_super_init: bool = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not self.call_super_init:
            if kwargs:
                raise TypeError(
                    f"{type(self).__name__}.__init__() got an unexpected keyword argument "
                    f"'{next(iter(kwargs))}'"
                )
            if args:
                raise TypeError(
                    f"{type(self).__name__}.__init__() takes 1 positional argument but "
                    f"{len(args) + 1} were given"
                )
        self._init_registry()
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; subclasses define it."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    # the mode ----------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Set training mode here and below (Dropout, BatchNorm behave by it)."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self) -> Self:
        """Set evaluation mode: train(False)."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Whether gradients are recorded for the parameters, here and below."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the parameters' gradients, or fill them with zeros."""
        for parameter in self.parameters():
            if (watcher := watch.active()) is not None:
                watcher.gradient(parameter, set_to_none)
            if parameter._grad is None:
                continue
            if set_to_none:
                parameter._grad = None
            else:
                gradient = parameter._grad.detach()
                gradient.zero_()
                parameter._grad = gradient

    # conversion --------------------------------------------------------------------------------

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` with every module below, then with this one."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Replace the value of every parameter, gradient and buffer by fn of it."""
        if recurse:
            for child in self.children():
                child._apply(fn)
        for parameter in self._parameters.values():
            if parameter is None:
                continue
            gradient = parameter._grad
            parameter.data = fn(parameter.detach())
            if gradient is not None:
                gradient.data = fn(gradient.detach())
        for name, buffer in self._buffers.items():
            if is_lazy(buffer):
                buffer.data = fn(buffer.detach())  # type: ignore[union-attr]  # it is there
            elif buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move to a device and, floating-point tensors only, convert to a dtype, in place.

        to(device), to(dtype), to(device, dtype), to(tensor), also by keyword. Raises TypeError
        where the dtype is not a floating-point type.
        """
        where, dtype = _parse_to(args, kwargs)
        if dtype is not None and not dtype.is_floating_point:
            raise TypeError(
                "nn.Module.to only accepts floating point or complex dtypes, but got desired "
                f"dtype={dtype}"
            )

        def convert(tensor: Tensor) -> Tensor:
            wanted = dtype if tensor.dtype.is_floating_point else None
            return tensor.to(device=where, dtype=wanted)

        return self._apply(convert)

    def type(self, dst_type: DType) -> Self:
        """Convert all parameters and buffers to a dtype."""
        return self._apply(lambda tensor: tensor.to(dst_type))

    def float(self) -> Self:
        """Convert floating-point tensors to float32."""
        return self.to(float32)

    def double(self) -> Self:
        """Convert floating-point tensors to float64."""
        return self.to(float64)

    def half(self) -> Self:
        """Convert floating-point tensors to float16."""
        return self.to(float16)

    def bfloat16(self) -> Self:
        """Convert floating-point tensors to bfloat16."""
        return self.to(bfloat16)

    def cpu(self) -> Self:
        """Move to the cpu."""
        return self.to("cpu")

    def cuda(self, device: Any = None) -> Self:
        """Move to CUDA, which is not here: the error says what to use instead."""
        return self.to("cuda" if device is None else device)

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """Parameters and buffers of the same shapes on another device, with no content."""
        return self._apply(lambda tensor: empty_like(tensor, device=device), recurse)

    def share_memory(self) -> Self:
        """Accepted: see Tensor.share_memory_."""
        return self._apply(lambda tensor: tensor.share_memory_())

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """flambeau.compile for this module's calls, in place; arguments as there."""
        compiled = importlib.import_module("flambeau.capture.compiled").compile  # a layer above
        self.__dict__["forward"] = compiled(self.forward, *args, **kwargs)

    # printing ----------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What stands between the parentheses of the module's repr; subclasses define it."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): {_indented(repr(child))}" for name, child in self._modules.items()]
        head = f"{self._get_name()}("
        if len(lines) == 1 and not children:
            return f"{head}{lines[0]})"
        if not lines and not children:
            return f"{head})"
        return head + "\n  " + "\n  ".join(lines + children) + "\n)"


def _indented(text: str) -> str:
    """All lines but the first, indented by two."""
    return text.replace("\n", "\n  ")


def _parse_to(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, DType | None]:
    """The device (or None) and dtype (or None) of a call of `to`."""
    where, dtype = kwargs.get("device"), kwargs.get("dtype")
    for name in kwargs:
        if name not in ("device", "dtype", "non_blocking", "memory_format", "tensor", "copy"):
            raise TypeError(f"to() got an unexpected keyword argument '{name}'")
    for each in (*args, kwargs.get("tensor")):
        if isinstance(each, Tensor):
            where, dtype = each.device, each.dtype
        elif isinstance(each, DType):
            dtype = each
        elif isinstance(each, (str, device)):
            where = each
        elif each is not None and not isinstance(each, bool):
            raise TypeError(
                f"to() expects a device, a dtype or a tensor, got {each.__class__.__name__}"
            )
    return where, dtype
