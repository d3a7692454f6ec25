"""Sparse calls: each takes a library, coordinates and values, and gives dense tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

GENERATOR = np.random.default_rng(11)
PLACES = np.array([[2, 0, 1, 2, 0, 2], [1, 3, 0, 1, 0, 2]])
VALUES = GENERATOR.standard_normal(6)
DENSE = GENERATOR.standard_normal((4, 2))
OTHER = GENERATOR.standard_normal((3, 4))

Call = Callable[..., Any]


def _made(t: Any, v: Any) -> Any:
    return t.sparse_coo_tensor(t.tensor(PLACES), v, (3, 4))


CALLS: dict[str, Call] = {
    "to_dense": lambda t, v, d, o: _made(t, v).to_dense(),
    "coalesce": lambda t, v, d, o: _made(t, v).coalesce().values(),
    "sparse.mm": lambda t, v, d, o: t.sparse.mm(_made(t, v), d),
    "mm": lambda t, v, d, o: t.mm(_made(t, v), d),
    "spmm": lambda t, v, d, o: t.spmm(_made(t, v), d),
    "@": lambda t, v, d, o: _made(t, v) @ d,
    "@ a vector": lambda t, v, d, o: _made(t, v) @ d[:, 0],
    "addmm": lambda t, v, d, o: t.addmm(o[:, :2], _made(t, v), d, beta=2, alpha=3),
    "sparse.addmm": lambda t, v, d, o: t.sparse.addmm(o[:, :2], _made(t, v), d),
    "transposed": lambda t, v, d, o: t.mm(_made(t, v).t(), o[:, :2]),
    "sum": lambda t, v, d, o: t.sparse.sum(_made(t, v)),
    "sum over a dimension": lambda t, v, d, o: t.sparse.sum(_made(t, v), 0).to_dense(),
    "softmax": lambda t, v, d, o: t.sparse.softmax(_made(t, v), 1).to_dense(),
    "log_softmax": lambda t, v, d, o: t.sparse.log_softmax(_made(t, v), dim=0).to_dense(),
    "times a number": lambda t, v, d, o: (_made(t, v) * 2.5).to_dense(),
    "divided": lambda t, v, d, o: (_made(t, v) / 2).to_dense(),
    "sum of two": lambda t, v, d, o: (_made(t, v) + _made(t, v * 2)).to_dense(),
    "difference": lambda t, v, d, o: (_made(t, v) - _made(t, v * 3)).to_dense(),
    "to_sparse": lambda t, v, d, o: (o * 2).to_sparse().values(),
    "to_sparse and back": lambda t, v, d, o: t.relu(o).to_sparse().to_dense(),
    "sparse_mask": lambda t, v, d, o: o.sparse_mask(_made(t, v.detach()).coalesce()).to_dense(),
    "blocks": lambda t, v, d, o: t.sparse_coo_tensor([[2, 0, 2, 1]], d, (3, 2)).to_dense(),
    "without a size": lambda t, v, d, o: t.sparse_coo_tensor(t.tensor(PLACES), v).to_dense(),
    "csr": lambda t, v, d, o: t.sparse_csr_tensor([0, 2, 3, 6], [0, 3, 0, 1, 2, 3], v).to_dense(),
}
