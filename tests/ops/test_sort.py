"""Order against numpy: ties, NaN, empty dimensions."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as torch
from flambeau.graph.numpy_reference import sort

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


NAN, INF = float("nan"), float("inf")
ELEMENTS = {
    "near": np.random.default_rng(0).integers(-50, 50, (17, 23)),
    "far": np.random.default_rng(1).integers(-(1 << 62), 1 << 62, 300).repeat(2),
    "ends": np.array([(1 << 63) - 1, -(1 << 63), 0, -(1 << 63)]),
    "bytes": np.random.default_rng(2).integers(0, 256, 1000).astype(np.uint8),
    "bools": np.array([[True, True], [True, True]]),
    "floats": np.random.default_rng(3).integers(0, 9, 70).astype(np.float32) / 3,
    "signs": np.array([0.0, -1.0, INF, -INF, NAN, 2.0, NAN, -1.0]),
    "none": np.zeros((0, 3), np.int64),
    "one": np.array(5),
}


@pytest.mark.parametrize("counts", [False, True])
@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("name", ELEMENTS)
def test_unique_is_numpys(name: str, inverse: bool, counts: bool) -> None:
    array = ELEMENTS[name]
    whole = np.unique(array, return_inverse=True, return_counts=True, equal_nan=False)
    expected = [whole[0], *[whole[1].reshape(array.shape)] * inverse, *[whole[2]] * counts]
    found = torch.from_numpy(array.copy()).unique(return_inverse=inverse, return_counts=counts)
    for ours, theirs in zip(found if inverse or counts else [found], expected, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs)
        assert ours.numpy().dtype == theirs.dtype


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


def _row(kind: str, n: int) -> np.ndarray:
    rng = np.random.default_rng(n)
    rows = {
        "different": lambda: rng.standard_normal(n).astype(np.float32),
        "ties": lambda: rng.integers(0, 3, n).astype(np.float32),
        "sorted": lambda: np.arange(n, dtype=np.float32),
        "periodic": lambda: (np.arange(n) % max(1, int(n**0.5))).astype(np.float32),
        "nan": lambda: np.where(np.arange(n) % 3, rng.standard_normal(n), np.nan),
        "int64": lambda: rng.integers(-(2**62), 2**62, n),
        "few": lambda: rng.integers(-2, 2, n),
        "uint8": lambda: rng.integers(0, 200, n).astype(np.uint8),
    }
    return rows[kind]()


@pytest.mark.parametrize("n", [1, 2, 23, 24, 64, 65, 100, 513, 1024, 5000, 70001])
@pytest.mark.parametrize(
    "kind", ["different", "ties", "sorted", "periodic", "nan", "int64", "few", "uint8"]
)
def test_some_places_of_the_order(kind: str, n: int) -> None:
    """What is selected is what sorting the whole row gives, ties in order."""
    x = _row(kind, n)
    up, down = (sort((0, descending), (), x) for descending in (False, True))
    tensor = torch.from_numpy(x)
    for k in {1, 2, 10, n // 3, n // 2, n - 1, n}:
        if not 0 < k <= n:
            continue
        for (values, order), largest in ((up, False), (down, True)):
            found = tensor.topk(k, largest=largest)
            np.testing.assert_array_equal(found.indices.numpy(), order[:k])
            np.testing.assert_array_equal(found.values.numpy(), values[:k])
        kth = tensor.kthvalue(k)
        assert kth.indices.item() == up[1][k - 1]
        np.testing.assert_array_equal(kth.values.numpy(), up[0][k - 1])


def test_a_selection_along_any_dimension(device: str) -> None:
    x = torch.tensor(X).T.unsqueeze(0).expand(2, 9, 4)
    found = x.topk(3, dim=1, largest=False)
    values, order = sort((1, False, 0, 3), (), np.broadcast_to(X.T, (2, 9, 4)))
    np.testing.assert_array_equal(found.indices.cpu().numpy(), order)
    np.testing.assert_array_equal(found.values.cpu().numpy(), values)
    assert torch.empty(0, 5).topk(2).values.shape == (0, 2)
    assert torch.ones(3, 5).topk(0).indices.shape == (3, 0)


def test_the_gradient_of_what_is_selected(device: str) -> None:
    x = torch.tensor([[3.0, 1.0, 2.0], [5.0, 6.0, 4.0]], requires_grad=True)
    (x.topk(2).values * torch.tensor([10.0, 1.0])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[10, 0, 1], [1, 10, 0]]
    x.grad = None
    x.median(0).values.sum().backward()
    assert x.grad.tolist() == [[1, 1, 1], [0, 0, 0]]


def test_median_of_a_row_with_nan_is_its_first(device: str) -> None:
    nan = float("nan")
    found = torch.tensor([[1.0, nan, 0.0, nan], [4.0, 1.0, 3.0, 2.0]]).median(1)
    assert found.indices.tolist() == [1, 3]
    assert np.isnan(found.values[0].item())
    assert found.values[1].item() == 2


def test_equal_elements_share_the_gradient_of_the_median_of_all() -> None:
    x = torch.tensor([[2.0, 5.0], [2.0, 1.0]], requires_grad=True)
    middle = x.median()
    middle.backward()
    assert middle.item() == 2.0
    assert x.grad.tolist() == [[0.5, 0.0], [0.5, 0.0]]
