"""torch.sparse: sparse matrices and what is computed with them."""

from __future__ import annotations

from typing import Any

from flambeau.graph import dtype as dtypes
from flambeau.graph.dtype import DType
from flambeau.ops.sparse import attach as attach
from flambeau.ops.sparse.products import (
    addmm,
    log_softmax,
    mm,
    sampled_addmm,
    softmax,
    spdiags,
    sum,  # noqa: A004  # PyTorch's name
)
from flambeau.ops.sparse.tensor import SparseTensor, sparse_coo_tensor

__all__ = [
    "DoubleTensor",
    "FloatTensor",
    "HalfTensor",
    "IntTensor",
    "LongTensor",
    "addmm",
    "log_softmax",
    "mm",
    "sampled_addmm",
    "softmax",
    "spdiags",
    "sum",
]


class _SparseType(type):
    """A class whose calls make sparse tensors of one dtype."""

    dtype: DType

    def __call__(cls, *args: Any, **options: Any) -> SparseTensor:
        size = args
        if args and not isinstance(args[0], int):
            return sparse_coo_tensor(*args, dtype=cls.dtype, **options)
        return sparse_coo_tensor(size, dtype=cls.dtype, **options)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, SparseTensor) and instance.dtype is cls.dtype


def _sparse_type(name: str, dtype: DType) -> Any:
    doc = f"{name}(indices, values, size), or {name}(sizes…): a sparse tensor of {dtype.name}."
    return _SparseType(name, (), {"dtype": dtype, "__doc__": doc, "__module__": __name__})


FloatTensor = _sparse_type("FloatTensor", dtypes.float32)
DoubleTensor = _sparse_type("DoubleTensor", dtypes.float64)
HalfTensor = _sparse_type("HalfTensor", dtypes.float16)
IntTensor = _sparse_type("IntTensor", dtypes.int32)
LongTensor = _sparse_type("LongTensor", dtypes.int64)
