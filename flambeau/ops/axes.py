"""Reading dimension and size arguments as PyTorch does: negative numbers, tuples or varargs."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

from flambeau.graph.node import Shape
from flambeau.tensor.tensor import Tensor

DTYPE_TITLES = {
    "bool": "Bool",
    "uint8": "Byte",
    "uint32": "UInt32",
    "int8": "Char",
    "int16": "Short",
    "int32": "Int",
    "int64": "Long",
    "float16": "Half",
    "bfloat16": "BFloat16",
    "float32": "Float",
    "float64": "Double",
    "complex64": "ComplexFloat",
    "complex128": "ComplexDouble",
}
"""What PyTorch calls a dtype in its error messages."""


def title(of: Any) -> str:
    """A tensor's dtype in PyTorch's error messages: "Float"."""
    return DTYPE_TITLES[of.dtype.name]


def spoken(of: Any) -> str:
    """A tensor's dtype in matrix products' messages: "float", "long int"."""
    names = {"int64": "long int", "float32": "float", "float64": "double", "float16": "c10::Half"}
    name: str = of.dtype.name
    return names.get(name, name)


def axis_of(dim: Any, rank: int) -> int:
    """The axis that `dim` names; 0-d counts as 1-d. Raises IndexError where there is none."""
    dim = operator.index(dim)
    least = max(rank, 1)
    if not -least <= dim < least:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-least}, {least - 1}], "
            f"but got {dim})"
        )
    return dim + least if dim < 0 else dim


def axes_of(dims: Any, rank: int) -> Shape:
    """Several axes. Raises RuntimeError where one is named twice."""
    dims = dims if isinstance(dims, (tuple, list)) else (dims,)
    axes = tuple([axis_of(each, rank) for each in dims])
    for place, axis in enumerate(axes):
        if axis in axes[:place]:
            raise RuntimeError(f"dim {axis} appears multiple times in the list of dims")
    return axes


def integers(values: Any, what: str = "size") -> Shape:
    """A number or a sequence of numbers (also 0-d integer tensors) as a tuple."""
    if not isinstance(values, (tuple, list)):
        values = (values,)
    try:
        return tuple([operator.index(each) for each in values])
    except TypeError:
        raise TypeError(f"{what} must be integers, got {values!r}") from None


def varargs(values: tuple[Any, ...], what: str = "size") -> Shape:
    """f(2, 3) and f((2, 3)) alike."""
    if len(values) == 1 and isinstance(values[0], (tuple, list)):
        values = tuple(values[0])
    return integers(values, what)


def infer_size(shape: Sequence[int], size: int) -> Shape:
    """`shape` with a -1 worked out. Raises RuntimeError where it does not hold `size` elements."""
    if -1 not in shape:
        if math.prod(shape) != size or min(shape, default=0) < 0:
            raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {size}")
        return tuple(shape)
    known = -math.prod(shape)
    if list(shape).count(-1) > 1:
        raise RuntimeError("only one dimension can be inferred")
    if known == 0:
        raise RuntimeError(
            f"cannot reshape tensor of {size} elements into shape {list(shape)} because the "
            "unspecified dimension size -1 can be any value and is ambiguous"
        )
    if known < 0 or size % known:
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {size}")
    return tuple([size // known if each == -1 else each for each in shape])


def tensors_of(tensors: Any, function: str) -> list[Tensor]:
    """A sequence of tensors, as a list. Raises TypeError for anything else."""
    if isinstance(tensors, Tensor):
        return list(tensors)
    found = list(tensors)
    for place, each in enumerate(found):
        if not isinstance(each, Tensor):
            raise TypeError(
                f"expected Tensor as element {place} in argument 0, but got "
                f"{type(each).__name__} (in {function})"
            )
    return found
