"""What torch's functions compute of nested tensors: element by element, and row by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.nested.tensor import NestedTensor

Shape = tuple[int, ...]

# fmt: off
ELEMENTWISE = frozenset({
    "abs", "bfloat16", "bool", "clamp", "cos", "cpu", "cuda", "double", "dropout", "elu", "exp",
    "float", "gelu", "half", "int", "leaky_relu", "log", "logical_not", "long", "mish",
    "nan_to_num", "neg", "pow", "reciprocal", "relu", "relu6", "rsqrt", "selu", "sigmoid", "silu",
    "sin", "softplus", "sqrt", "square", "tanh", "zeros_like", "ones_like", "empty_like",
    "rand_like", "randn_like", "full_like",
})
"""Computed of all elements at once; the parts keep their shapes."""
# fmt: on

FACTS = frozenset({"element_size", "get_device", "is_complex", "is_floating_point", "is_signed"})
"""The same for the nested tensor and for the one that holds its values."""

OPERATORS = {"add": "__add__", "div": "__truediv__", "mul": "__mul__", "sub": "__sub__"}
"""Arithmetic, which NestedTensor has itself."""

LAST = frozenset({"layer_norm", "linear", "log_softmax", "rms_norm", "softmax"})
"""Computed of the rows along the last dimension, whose extent all parts share."""


def computed(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """func(*args, **kwargs). NotImplementedError where it is none of the functions above."""
    name = getattr(func, "__name__", str(func))
    if "input" in kwargs:
        args = (kwargs.pop("input"), *args)
    nested = args[0] if args else None
    if not isinstance(nested, NestedTensor):
        raise NotImplementedError(f"{name}() is available for nested tensors as its first argument")
    content, rest = nested._content, args[1:]
    if name in FACTS:
        return func(content, *rest, **kwargs)
    if name in OPERATORS:
        return getattr(nested, OPERATORS[name])(*rest)
    if name in ELEMENTWISE:
        return nested.like(func(content, *rest, **kwargs))
    if name == "embedding":
        rows = func(content, *rest, **kwargs)
        return _shaped(nested, rows, lambda shape: (*shape, int(rows.shape[-1])))
    if name in LAST and _over_last(name, nested, rest, kwargs):
        rows = func(content.view(-1, nested.size(-1)), *rest, **kwargs)
        return _shaped(nested, rows, lambda shape: (*shape[:-1], int(rows.shape[-1])))
    raise NotImplementedError(
        f"{name}() is not available for nested tensors: unbind() it into its parts, pad it with "
        "to_padded_tensor(), or use values() of a torch.jagged one"
    )


def _shaped(nested: NestedTensor, rows: Any, shape: Callable[[Shape], Shape]) -> NestedTensor:
    shapes = [shape(each) for each in nested._shapes]
    return NestedTensor.make(rows.reshape(-1), shapes, nested._kind)


def _over_last(
    name: str, nested: NestedTensor, rest: tuple[Any, ...], kwargs: dict[str, Any]
) -> bool:
    """Whether the call is about the last dimension alone."""
    if name == "linear":
        return True
    if name.endswith("softmax"):
        dim = kwargs["dim"] if "dim" in kwargs else rest[0] if rest else None
        return dim in (-1, nested.ndim - 1)
    shape = kwargs["normalized_shape"] if "normalized_shape" in kwargs else rest[0]
    return isinstance(shape, int) or len(shape) == 1
