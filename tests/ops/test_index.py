"""Indexing against numpy and PyTorch's own rules; what it costs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flambeau as torch
from flambeau.graph import numpy_reference as reference
from flambeau.schedule import flush

X = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
every = slice(None)

AS_NUMPY: list[Any] = [
    0,
    (1, -1),
    (..., 2),
    (every, slice(1, None, 2)),
    (None, every, 0, None),
    [1, 0, 1],
    (every, [0, 2], [1, 3]),
    ([0, 1], every, [0, 1]),
    (every, [[0], [1]], [[1, 2]]),
    np.array([[0, -1], [1, 0]]),
    X[..., 0] > 5,
    X > 7,
    (every, np.array([True, False, True]), [1, 2]),
    (slice(0, 0), [0]),
    True,
]


def ours(index: Any) -> Any:
    if isinstance(index, np.ndarray):
        return torch.tensor(index)
    return tuple(ours(each) for each in index) if isinstance(index, tuple) else index


@pytest.mark.parametrize("index", AS_NUMPY, ids=str)
def test_reading_as_numpy(index: Any, device: str) -> None:
    np.testing.assert_array_equal(torch.tensor(X)[ours(index)].cpu().numpy(), X[index])


@pytest.mark.parametrize("index", AS_NUMPY, ids=str)
def test_writing_as_numpy(index: Any, device: str) -> None:
    expected = X.copy()
    value = np.cos(np.arange(expected[index].size, dtype=np.float32)).reshape(expected[index].shape)
    expected[index] = value
    x = torch.tensor(X)
    x[ours(index)] = torch.tensor(value)
    np.testing.assert_array_equal(x.cpu().numpy(), expected)
    expected[index] = -1
    x[ours(index)] = -1
    np.testing.assert_array_equal(x.cpu().numpy(), expected)


def test_an_int_is_a_select_not_an_advanced_index(device: str) -> None:
    x = torch.tensor(X)
    assert tuple(x[0, :, [0, 1]].shape) == (3, 2)  # numpy gives (2, 3)
    assert tuple(x[[0, 1], :, [0, 1]].shape) == (2, 3)
    assert tuple(x[torch.tensor(1)].shape) == (3, 4)
    assert x[torch.tensor(1)]._base is x


def test_a_mask_with_one_value_reads_nothing() -> None:
    x = torch.tensor(X)
    before = flush.STATISTICS.flushes
    x[x > 5] = 0.0
    x[x == 0] = torch.tensor(3.0)
    x[:, x[0, :, 0] > 2] = torch.arange(4.0)
    assert flush.STATISTICS.flushes - before <= 1  # only the last mask, which stands behind a slice
    expected = X.copy()
    expected[expected > 5] = 0
    expected[expected == 0] = 3
    expected[:, expected[0, :, 0] > 2] = np.arange(4)
    np.testing.assert_array_equal(x.numpy(), expected)


def test_another_start_is_no_other_plan() -> None:
    x = torch.zeros(8, 3)
    x[0] = 1.0
    x[0:2].sum().item()
    x[0, 1].item()
    built = flush.STATISTICS.plans_built + flush.STATISTICS.plans_loaded
    for place in range(1, 7):
        x[place] = float(place)
        x[place : place + 2].sum().item()
        x[place, 2].item()
    assert flush.STATISTICS.plans_built + flush.STATISTICS.plans_loaded - built <= 3
    assert x[:, 0].tolist() == [1, 1, 2, 3, 4, 5, 6, 0]


@pytest.mark.parametrize(
    ("index", "error", "words"),
    [
        (2, IndexError, "index 2 is out of bounds for dimension 0 with size 2"),
        ((0, -4), IndexError, "index -4 is out of bounds for dimension 1 with size 3"),
        ((0, 0, 0, 0), IndexError, "too many indices for tensor of dimension 3"),
        (slice(None, None, -1), ValueError, "step must be greater than zero"),
        ("a", TypeError, "invalid data type .str."),
        (1.5, IndexError, "only integers, slices"),
        (([0, 1], [0, 1, 2]), IndexError, "could not be broadcast together with shapes"),
    ],
    ids=str,
)
def test_errors_at_the_call(index: Any, error: type[Exception], words: str, device: str) -> None:
    with pytest.raises(error, match=words):
        torch.tensor(X)[index]


@pytest.mark.parametrize("place", [3, -4])
def test_errors_on_the_device_name_the_index(place: int, device: str) -> None:
    message = f"index {place} is out of bounds for dimension 1 with size 3"
    x = torch.tensor(X)
    with pytest.raises(IndexError, match=message):
        x[:, torch.tensor([0, place])].sum().item()
    with pytest.raises(IndexError, match=message):
        x[torch.tensor([0, 1]), torch.tensor([0, place])].sum().item()
    assert x.sum().item() == X.sum()  # nothing is lost


@pytest.mark.parametrize("on", ["cpu", "reference"])
def test_errors_of_known_indices_have_pytorchs_types(on: str) -> None:
    with torch.device(on):
        x, place, classes = torch.zeros(3, 4), torch.tensor([[4]]), torch.tensor([0, 2])
        with pytest.raises(RuntimeError, match="index 4 is out of bounds for dimension 1"):
            x.gather(1, place)
        with pytest.raises(RuntimeError, match="index 4 is out of bounds for dimension 1"):
            x.scatter(1, place, 1.0)
        with pytest.raises(RuntimeError, match="smaller than num_classes"):
            torch.nn.functional.one_hot(classes, 2)
        with pytest.raises(RuntimeError, match="non-negative"):
            torch.nn.functional.one_hot(torch.tensor([0, -1]), 2)


def test_scatter_takes_duplicates_in_order(device: str) -> None:
    x = torch.zeros(3)
    index = torch.tensor([1, 1, 2])
    assert x.scatter(0, index, torch.tensor([1.0, 2.0, 3.0])).tolist() == [0, 2, 3]
    assert x.scatter_add(0, index, torch.tensor([1.0, 2.0, 3.0])).tolist() == [0, 3, 3]
    x.index_put_((index,), torch.tensor(1.0), accumulate=True)
    assert x.tolist() == [0, 2, 1]
    x[index] += 1  # does not accumulate
    assert x.tolist() == [0, 3, 2]


def test_gather_is_take_along_axis(device: str) -> None:
    index = np.array([[[3, 0, 0, 1, 2]] * 3] * 2)
    found = torch.tensor(X).gather(2, torch.tensor(index))
    np.testing.assert_array_equal(found.cpu().numpy(), np.take_along_axis(X, index, 2))


def test_nonzero_and_one_hot(device: str) -> None:
    x = torch.tensor([[0, 3], [1, 0]])
    assert x.nonzero().tolist() == [[0, 1], [1, 0]]
    assert [each.tolist() for each in x.nonzero(as_tuple=True)] == [[0, 1], [1, 0]]
    assert torch.nn.functional.one_hot(torch.tensor([1, 0])).tolist() == [[0, 1], [1, 0]]
    assert tuple(torch.tensor(3).nonzero().shape) == (1, 0)


MASKED: list[tuple[int, ...]] = [(), (0,), (1,), (5,), (0, 3), (3, 0), (7, 1), (5, 9), (3, 4, 5)]


@pytest.mark.parametrize("shape", MASKED, ids=str)
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_what_a_mask_holds_for(shape: tuple[int, ...], share: float, device: str) -> None:
    rng = np.random.default_rng(len(shape))
    values, mask = rng.standard_normal(shape).astype(np.float32), rng.random(shape) < share
    x, m = torch.tensor(values).to(device), torch.tensor(mask).to(device)
    expected = values[mask]
    for found in (x.masked_select(m), x[m], (x * 1)[m], x.clone().requires_grad_()[m].detach()):
        np.testing.assert_array_equal(found.cpu().numpy(), expected)
    np.testing.assert_array_equal(m.nonzero().cpu().numpy(), np.argwhere(mask))
    np.testing.assert_array_equal((m * 2.5).nonzero().cpu().numpy(), np.argwhere(mask))
    for ours, theirs in zip(m.nonzero(as_tuple=True), np.atleast_1d(mask).nonzero(), strict=True):
        np.testing.assert_array_equal(ours.cpu().numpy(), theirs)


def test_masks_of_some_dimensions_and_of_views() -> None:
    rng = np.random.default_rng(0)
    values, mask = rng.standard_normal((4, 3, 5, 2)).astype(np.float32), rng.random((3, 5)) < 0.5
    x, m = torch.tensor(values), torch.tensor(mask)
    np.testing.assert_array_equal(x[:, m].numpy(), values[:, mask])
    np.testing.assert_array_equal(x[1:, m, 0].numpy(), values[1:, mask, 0])
    np.testing.assert_array_equal(
        x[0].transpose(0, 1)[m.T].numpy(), values[0].transpose(1, 0, 2)[mask.T]
    )
    np.testing.assert_array_equal(
        x[0, :, :, 0].masked_select(m[:, :1]).numpy(), values[0, mask[:, 0], :, 0].ravel()
    )
    new = rng.standard_normal((4, int(mask.sum()), 2)).astype(np.float32)
    x[:, m], values[:, mask] = torch.tensor(new), new
    np.testing.assert_array_equal(x.numpy(), values)
    x.index_put_((torch.tensor([0, 3]),), torch.tensor(0.0))
    put = x[1].index_put((m,), torch.tensor(new[0]), accumulate=True)
    values[1][mask] += new[0]
    np.testing.assert_array_equal(put.numpy(), values[1])


def test_a_masks_gradient_goes_to_what_it_holds_for() -> None:
    x, mask = torch.tensor(X, requires_grad=True), X[..., 0:1] > 6
    weights = np.arange(1.0, 1 + 4 * mask.sum(), dtype=np.float32)
    (x.masked_select(torch.tensor(mask)) * torch.tensor(weights)).sum().backward()
    expected = np.zeros_like(X)
    expected[np.broadcast_to(mask, X.shape)] = weights
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), expected)


def test_another_number_of_places_is_no_other_plan() -> None:
    x = torch.tensor(X)
    x.masked_select(x > 0)
    built = flush.STATISTICS.plans_built + flush.STATISTICS.plans_loaded
    for least in range(1, 9):
        mask = x > least
        assert x[mask].shape[0] == mask.nonzero().shape[0] == 23 - least
    assert flush.STATISTICS.plans_built + flush.STATISTICS.plans_loaded - built <= 1


def test_iteration_and_membership() -> None:
    x = torch.tensor(X[0])
    assert [row.tolist() for row in x] == X[0].tolist()
    assert 5.0 in x
    assert 99.0 not in x
    with pytest.raises(TypeError, match="0-d"):
        iter(torch.tensor(1.0))


@pytest.mark.parametrize("mode", ["set", "add", "max"])
@pytest.mark.parametrize("width", [1, 5, 64, 100, 193, 1024, 1031])
def test_rows_are_scattered_in_order(width: int, mode: str) -> None:
    """Wide rows are cut into stretches, narrow ones are not; duplicates come in order."""
    rng = np.random.default_rng(width)
    target = rng.standard_normal((2, 7, width)).astype(np.float32)
    value = rng.standard_normal((2, 40, width)).astype(np.float32)
    places = rng.integers(0, 7, 40)
    expected = reference.scatter((1, mode), (), target, places, value)
    given = (torch.from_numpy(target), torch.from_numpy(places), torch.from_numpy(value))
    put = {"set": torch.index_copy, "add": torch.index_add}
    if mode == "max":
        index = given[1].reshape(1, 40, 1).expand(2, 40, width)
        found = given[0].scatter_reduce(1, index, given[2], "amax")
    else:
        found = put[mode](given[0], 1, given[1], given[2])
    np.testing.assert_array_equal(found.numpy(), expected)


def test_a_row_with_a_bad_number_is_not_written() -> None:
    places = torch.tensor([0, 5, 1]) + torch.zeros(3, dtype=torch.int64)  # known later
    with pytest.raises(IndexError, match="index 5 is out of bounds for dimension 0 with size 2"):
        torch.zeros(2, 300).index_add(0, places, torch.ones(3, 300)).tolist()


@pytest.mark.parametrize("mode", ["set", "add", "max"])
@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (7, 5), (40, 193), (3, 70, 65)])
@pytest.mark.parametrize("axis", [0, 1])
def test_elements_are_scattered_in_order(
    axis: int, shape: tuple[int, ...], mode: str, device: str
) -> None:
    """Along any dimension, duplicates in order; index and source may be smaller than the rest."""
    rng = np.random.default_rng(math.prod(shape))
    whole = tuple([9 if n == axis else extent + 2 for n, extent in enumerate(shape)])
    target, value = rng.random(whole, np.float32), rng.random(shape, np.float32)
    places = rng.integers(0, 9, shape)
    expected = reference.scatter((axis, mode, True), (), target, places, value)
    given = (axis, torch.from_numpy(places).to(device), torch.from_numpy(value).to(device))
    start = torch.from_numpy(target).to(device)
    found = start.scatter(*given) if mode == "set" else None
    if found is None:
        found = start.scatter_reduce(*given, "sum" if mode == "add" else "amax")
    np.testing.assert_array_equal(found.cpu().numpy(), expected)


@pytest.mark.parametrize(
    "indexed",
    [
        lambda x, i, v: x[i],
        lambda x, i, v: x[:, i],
        lambda x, i, v: x[i, i],
        lambda x, i, v: x.index_put((i,), v),
        lambda x, i, v: x.index_put((i, i), v[0], accumulate=True),
        lambda x, i, v: x.index_select(0, i),
        lambda x, i, v: x.index_add(0, i, v),
        lambda x, i, v: x.gather(1, i[:, None]),
        lambda x, i, v: x.scatter_add(1, i[:, None], v),
        lambda x, i, v: x.take(i),
    ],
)
def test_indexing_records_one_node(indexed: Any) -> None:
    x, i, v = torch.tensor(X[0, :, :3]), torch.tensor([2, 0, 2]), torch.ones(3, 3)
    flush.flush()
    made = indexed(x, i, v)._read()
    assert made.buffer is None
    movements = {"RESHAPE", "SLICE"}
    for each in made.inputs:
        while each.buffer is None and each.op.name in movements:  # a view's
            (each,) = each.inputs
        assert each.buffer is not None


def test_an_index_that_changes_before_backward_is_an_error() -> None:
    x, i = torch.ones(3, requires_grad=True), torch.tensor([2, 0])
    for made in (x[i], x.index_put((i,), torch.zeros(2)), x.gather(0, i)):
        i += 0
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            made.sum().backward()


@given(
    st.lists(
        st.one_of(
            st.integers(-3, 2),
            st.slices(3),
        ),
        max_size=3,
    )
)
def test_the_short_way_of_an_index_is_the_long_one(parts: list[Any]) -> None:
    short = long = torch.tensor(X.repeat(2, 0)[:, :3, :3].transpose(2, 0, 1).copy())
    for part in parts:
        if not short.ndim or (isinstance(part, slice) and (part.step or 1) < 0):
            return
        if isinstance(part, int) and not -short.shape[0] <= part < short.shape[0]:
            with pytest.raises(IndexError):
                short[part]
            return
        short, long = short[part], long[part, ...]
        ours, theirs = short._view, long._view
        assert ours is not None
        assert theirs is not None
        for fact in ("steps", "starts", "shape", "strides", "offset"):
            assert getattr(ours, fact) == getattr(theirs, fact), fact
    np.testing.assert_array_equal(short.numpy(), long.numpy())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: torch.gather(x, 1, torch.tensor(5)), RuntimeError, "number of dimensions"),
        (lambda x: torch.gather(x, 1, torch.tensor([5])), RuntimeError, "number of dimensions"),
        (lambda x: torch.gather(x, 1, 5), TypeError, "must be Tensor, not int"),
        (lambda x: x.index_select(0, 5), TypeError, "must be Tensor, not int"),
        (lambda x: x.scatter(0, 5, 1.0), TypeError, "must be Tensor, not int"),
    ],
)
def test_an_index_is_looked_at_before_its_values(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call(torch.ones(2, 3))
