"""Sparse tensors: what they hold, products, gradients, errors."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from sparse_table import CALLS, DENSE, OTHER, PLACES, VALUES

import flambeau as torch
from flambeau.ops.gradcheck import gradcheck


@pytest.mark.parametrize("name", CALLS)
def test_gradients(name: str) -> None:
    inputs = tuple(torch.tensor(each, requires_grad=True) for each in (VALUES, DENSE, OTHER))
    assert gradcheck(lambda *given: CALLS[name](torch, *given), inputs)


def made(**options: Any) -> torch.Tensor:
    return torch.sparse_coo_tensor(PLACES, VALUES, (3, 4), **options)


def dense() -> np.ndarray:
    array = np.zeros((3, 4))
    np.add.at(array, tuple(PLACES), VALUES)
    return array


def test_facts() -> None:
    x = made()
    assert x.is_sparse and not torch.zeros(2).is_sparse
    assert x.layout is torch.sparse_coo
    assert (x.shape, x._nnz(), x.sparse_dim(), x.dense_dim()) == ((3, 4), 6, 2, 0)
    assert not x.is_coalesced() and x.coalesce().is_coalesced()
    assert x.coalesce().indices().tolist() == [[0, 0, 1, 2, 2], [0, 3, 0, 1, 2]]
    assert x._values() is x._content
    assert "nnz=6" in repr(x)
    assert isinstance(x, torch.Tensor) and isinstance(x, torch.sparse.DoubleTensor)


def test_products_against_numpy(every_device: str) -> None:
    with torch.device(every_device):
        x = made(dtype=torch.float32)
        found = x @ torch.tensor(DENSE, dtype=torch.float32)
        back = torch.tensor(OTHER.T, dtype=torch.float32) @ x
        both = (x @ x.t()).to_dense()
    for one, other in (
        (found, dense() @ DENSE),
        (back, OTHER.T @ dense()),
        (both, dense() @ dense().T),
    ):
        np.testing.assert_allclose(one.cpu().numpy(), other, rtol=1e-5, atol=1e-6)


def test_a_leaf_gets_a_sparse_gradient() -> None:
    x = made(requires_grad=True)
    torch.sparse.mm(x, torch.tensor(DENSE)).sum().backward()
    assert x.grad is not None and x.grad.is_sparse
    np.testing.assert_allclose(x.grad._values().numpy(), DENSE.sum(1)[PLACES[1]])


def test_rows() -> None:
    x = torch.tensor([[0.0, 2.0], [0.0, 0.0], [3.0, 4.0]]).to_sparse_csr()
    assert x.layout is torch.sparse_csr
    assert x.crow_indices().tolist() == [0, 1, 1, 3]
    assert x.col_indices().tolist() == [1, 0, 1]
    assert x.values().tolist() == [2.0, 3.0, 4.0]


def test_older_names() -> None:
    x = torch.sparse.FloatTensor(torch.tensor(PLACES), torch.ones(6), torch.Size([3, 4]))
    assert x.dtype is torch.float32 and x.to_dense().sum().item() == 6.0
    assert torch.sparse.FloatTensor(2, 3).to_dense().tolist() == [[0.0] * 3] * 2


def test_copies_and_moves() -> None:
    x = made()
    for each in (copy.deepcopy(x), pickle.loads(pickle.dumps(x)), x.clone(), x.cpu(), x.detach()):
        np.testing.assert_allclose(each.to_dense().numpy(), dense())
    assert x.float().dtype is torch.float32
    np.testing.assert_allclose(x.abs().to_dense().numpy(), np.abs(dense()))
    np.testing.assert_allclose((x * torch.tensor(OTHER)).to_dense().numpy(), dense() * OTHER)
    np.testing.assert_allclose((torch.tensor(OTHER) + x).numpy(), OTHER + dense())
    line = torch.sparse.spdiags(torch.ones(2, 3), torch.tensor([0, 1]), (3, 3)).to_dense()
    assert line.tolist() == [[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]]


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda x: x.indices(), RuntimeError),
        (lambda x: x.exp(), NotImplementedError),
        (lambda x: torch.exp(x), NotImplementedError),
        (lambda x: x.numpy(), TypeError),
        (lambda x: x @ torch.zeros(3, 3), RuntimeError),
        (lambda x: x + x.t(), RuntimeError),
        (lambda x: x.crow_indices(), RuntimeError),
        (lambda x: torch.zeros(2).indices(), RuntimeError),
        (lambda x: torch.sparse_coo_tensor([[5]], [1.0], (3,)), RuntimeError),
        (lambda x: torch.sparse_coo_tensor([[-1]], [1.0], (3,)), RuntimeError),
        (lambda x: torch.sparse_coo_tensor([[0, 1]], [1.0], (3,)), RuntimeError),
        (lambda x: torch.sparse_coo_tensor([[0]], [1.0], (3, 3)), RuntimeError),
    ],
)
def test_errors(call: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        call(made())
