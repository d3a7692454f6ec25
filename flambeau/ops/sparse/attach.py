"""The methods by which dense tensors meet sparse ones."""

from __future__ import annotations

from typing import Any

from flambeau.ops.legacy import sparse_csr
from flambeau.ops.sparse import products
from flambeau.ops.sparse.tensor import (
    SparseTensor,
    sparse_coo_tensor,
    sparse_csr_tensor,
    to_sparse,
)
from flambeau.tensor.attach import method
from flambeau.tensor.tensor import Tensor

method("to_sparse", "to_sparse_coo")(to_sparse)
method("sparse_mask")(products.sparse_mask)
method("smm")(products.spmm)
spmm = products.spmm
dsmm = hspmm = smm = spmm
__all__ = ["dsmm", "hspmm", "smm", "sparse_coo_tensor", "sparse_csr_tensor", "spmm"]


@method()
def to_sparse_csr(self: Tensor, dense_dim: int | None = None) -> SparseTensor:
    """A matrix's elements that are not 0, by rows."""
    if self.ndim != 2:
        raise RuntimeError(f"to_sparse_csr expects a matrix, got {self.ndim}-D tensor")
    return to_sparse(self, layout=sparse_csr)


@method()
def to_dense(self: Tensor, dtype: Any = None, *, masked_grad: bool | None = None) -> Tensor:
    """The tensor itself: it is dense."""
    return self if dtype is None else self.to(dtype)


@method()
def sparse_dim(self: Tensor) -> int:
    """0: a dense tensor has no coordinates."""
    return 0


@method()
def dense_dim(self: Tensor) -> int:
    """The number of dimensions."""
    return self.ndim


def _of_sparse(name: str) -> None:
    def refuse(self: Tensor) -> Any:
        raise RuntimeError(
            f"{name} expected sparse tensor layout but got Strided: use to_sparse() first"
        )

    refuse.__name__ = name
    refuse.__doc__ = f"{name} of a sparse tensor; RuntimeError for a dense one."
    method(name)(refuse)


for _name in (
    "_indices",
    "_nnz",
    "_values",
    "coalesce",
    "col_indices",
    "crow_indices",
    "indices",
    "is_coalesced",
    "values",
):
    _of_sparse(_name)
