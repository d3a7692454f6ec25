"""finfo and iinfo: what a dtype can hold; promotion as public functions."""

from __future__ import annotations

from typing import Any

import numpy

from flambeau.graph.dtype import DType, promote
from flambeau.ops.promote import integer_range, number_dtype, result_dtype
from flambeau.tensor.device import get_default_dtype
from flambeau.tensor.tensor import Tensor

__all__ = ["can_cast", "finfo", "iinfo", "promote_types", "result_type"]


class finfo:  # noqa: N801  # PyTorch's name
    """Limits of a floating-point dtype: eps, max, min, tiny, smallest_normal, resolution, bits."""

    def __init__(self, dtype: DType | None = None) -> None:
        of = get_default_dtype() if dtype is None else dtype
        if not of.is_floating_point:
            raise TypeError(
                f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle "
                f"'{of!r}'"
            )
        if of.name == "bfloat16" or of.name.startswith("float8"):
            import ml_dtypes

            limits: Any = ml_dtypes.finfo(of.numpy)  # type: ignore[no-untyped-call]  # ml_dtypes has no types
        else:
            limits = numpy.finfo(of.numpy)
        self.bits = of.itemsize * 8
        self.dtype = of.name
        self.eps = float(limits.eps)
        self.max = float(limits.max)
        self.min = float(limits.min)
        self.tiny = float(limits.smallest_normal)
        self.smallest_normal = self.tiny
        self.resolution = float(limits.resolution)

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, "
            f"eps={self.eps:g}, smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, "
            f"dtype={self.dtype})"
        )


class iinfo:  # noqa: N801  # PyTorch's name
    """Limits of an integer dtype: min, max, bits."""

    def __init__(self, dtype: DType) -> None:
        if dtype.kind not in ("int", "uint"):
            raise TypeError(
                f"torch.iinfo() requires an integer input type. Use torch.finfo to handle "
                f"'{dtype!r}'"
            )
        self.bits = dtype.itemsize * 8
        self.dtype = dtype.name
        self.min, self.max = integer_range(dtype)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"


def promote_types(type1: DType, type2: DType) -> DType:
    """The smallest dtype that holds both."""
    return promote(type1, type2)


def result_type(tensor1: Any, tensor2: Any) -> DType:
    """The dtype of an operation on two tensors or numbers."""
    if not isinstance(tensor1, Tensor) and not isinstance(tensor2, Tensor):
        return promote(number_dtype(tensor1), number_dtype(tensor2))
    return result_dtype((tensor1, tensor2))


_CATEGORY = {"bool": 0, "uint": 1, "int": 1, "float": 2, "complex": 3}


def can_cast(from_: DType, to: DType) -> bool:
    """Whether an in-place result of `from_` may be written into `to`."""
    return _CATEGORY[from_.kind] <= _CATEGORY[to.kind]
