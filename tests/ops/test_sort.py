"""Order against numpy: ties, NaN, empty dimensions."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as torch

X = np.random.default_rng(0).integers(0, 5, (4, 9)).astype(np.float32)


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_sort_is_stable(dim: int, device: str) -> None:
    values, indices = torch.sort(torch.tensor(X), dim)
    order = np.argsort(X, dim, kind="stable")
    np.testing.assert_array_equal(indices.cpu().numpy(), order)
    np.testing.assert_array_equal(values.cpu().numpy(), np.take_along_axis(X, order, dim))


def test_descending_keeps_the_order_of_ties(device: str) -> None:
    found = torch.tensor([1.0, 3.0, 3.0, 1.0]).sort(descending=True)
    assert found.values.tolist() == [3, 3, 1, 1]
    assert found.indices.tolist() == [1, 2, 0, 3]


def test_nan_is_the_greatest(device: str) -> None:
    x = torch.tensor([2.0, float("nan"), 1.0, float("inf")])
    assert x.argsort().tolist() == [2, 0, 3, 1]
    assert x.topk(1).indices.tolist() == [1]
    assert np.isnan(x.median().item())


def test_topk_and_kthvalue(device: str) -> None:
    x = torch.tensor([[1.0, 5.0, 3.0], [2.0, 0.0, 4.0]])
    top = x.topk(2)
    assert (top.values.tolist(), top.indices.tolist()) == ([[5, 3], [4, 2]], [[1, 2], [2, 0]])
    assert x.topk(1, dim=0, largest=False).values.tolist() == [[1, 0, 3]]
    low = x.kthvalue(2)
    assert (low.values.tolist(), low.indices.tolist()) == ([3, 2], [2, 0])


def test_median_is_the_lower_of_two(device: str) -> None:
    x = torch.tensor([[4.0, 1.0, 3.0, 2.0], [0.0, 9.0, 8.0, 7.0]])
    assert x.median().item() == 3
    found = x.median(1)
    assert (found.values.tolist(), found.indices.tolist()) == ([2, 7], [3, 3])


def test_the_gradient_goes_to_where_values_came_from(device: str) -> None:
    x = torch.tensor([3.0, 1.0, 2.0], requires_grad=True)
    (x.sort().values * torch.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [100, 1, 10]


def test_unique(device: str) -> None:
    x = torch.tensor([[3, 1], [1, 2]])
    values, inverse, counts = x.unique(return_inverse=True, return_counts=True)
    assert values.tolist() == [1, 2, 3]
    assert inverse.tolist() == [[2, 0], [0, 1]]
    assert counts.tolist() == [2, 1, 1]
    assert torch.tensor([[1, 2], [1, 2], [0, 3]]).unique(dim=0).tolist() == [[0, 3], [1, 2]]
    again = torch.tensor([1, 1, 2, 1]).unique_consecutive(return_counts=True)
    assert [each.tolist() for each in again] == [[1, 2, 1], [2, 1, 1]]


def test_searchsorted(device: str) -> None:
    rows = torch.tensor([1.0, 3.0, 3.0, 5.0])
    values = torch.tensor([[3.0, 0.0], [6.0, 4.0]])
    assert torch.searchsorted(rows, values).tolist() == [[1, 0], [4, 3]]
    assert torch.searchsorted(rows, values, right=True).tolist() == [[3, 0], [4, 3]]
    assert torch.bucketize(values, rows).tolist() == [[1, 0], [4, 3]]
    flat, table = torch.tensor([3.0, 0.0, 6.0, 4.0]), torch.tensor([1.0, 3.0, 4.0, 5.0])
    assert torch.searchsorted(table, flat.view(2, 2)).tolist() == [[1, 0], [4, 2]]
    assert torch.searchsorted(table.view(2, 2), flat.view(2, 2)).tolist() == [[1, 0], [2, 0]]


def test_what_is_picked_is_contiguous(device: str) -> None:
    x = torch.tensor([[3.0, 1.0, 2.0], [6.0, 5.0, 4.0]])
    assert x.topk(2).values.view(-1).tolist() == [3.0, 2.0, 6.0, 5.0]
    assert x.kthvalue(2).indices.view(2, 1).is_contiguous()
    assert x.median(1, keepdim=True).values.is_contiguous()


def test_0d_and_empty(device: str) -> None:
    assert torch.tensor(3.0).sort().indices.item() == 0
    assert tuple(torch.zeros(0).sort().values.shape) == (0,)
    assert tuple(torch.zeros(2, 0).topk(0).indices.shape) == (2, 0)


def test_errors() -> None:
    x = torch.zeros(3)
    with pytest.raises(RuntimeError, match="selected index k out of range"):
        x.topk(4)
    with pytest.raises(RuntimeError, match="selected number k out of range for dimension 0"):
        x.kthvalue(0)
    with pytest.raises(IndexError, match="Dimension out of range"):
        x.sort(1)
    with pytest.raises(IndexError, match="non-zero size"):
        torch.zeros(2, 0).median(1)
