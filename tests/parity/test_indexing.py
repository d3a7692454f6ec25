"""tensor[index] and tensor[index] = value side by side with PyTorch, with gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau
from flambeau.graph import op
from flambeau.tensor.record import record

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

array = np.array  # becomes a tensor of either library
every = slice(None)

INDICES: list[Any] = [
    0,
    -1,
    every,
    slice(1, 3),
    slice(0, 10, 2),
    slice(0, 0),
    (0, 1),
    (..., 1),
    (None, 0),
    (every, None, 1),
    (1, ..., None),
    ([0, 1],),
    ([0, 1], every, [0, 1]),
    (0, every, [0, 1]),
    (every, [0, 1], [1, 1]),
    (every, [[0], [1]], slice(1, 3)),
    (True,),
    (False,),
    (every, True, [0, 1]),
    (array([0, -1]),),
    (array(1),),
    (array([[0, 1], [1, 0]]), 2),  # places that repeat
    (..., [0, 2]),
    ([0], 0, [1, 2]),
    (np.zeros(0, np.int64),),
    ([],),
    (None, [0, 1], None, [0, 2]),
    (every, every, [[0, 1], [2, 3]]),
    (1, ..., None, [0, 1]),
    (range(2),),
    (array([True, False]),),
    (every, array([True, False, True])),
    (array([[True, False, True], [False, True, True]]),),
    (array([[True, False, True], [False, True, True]]), 0),
    (array([[True, False, True], [False, True, True]]), [0]),
    (array([False, False]),),
]


def converted(value: Any, library: Any) -> Any:
    if isinstance(value, np.ndarray):
        return library.tensor(value)
    return tuple(converted(each, library) for each in value) if isinstance(value, tuple) else value


def sample(shape: Any, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(tuple(shape)).astype(np.float32)


def pair(shape: Any, seed: int = 0) -> tuple[Any, Any]:
    values = sample(shape, seed)
    return flambeau.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)


def same(one: Any, other: Any) -> None:
    assert tuple(one.shape) == tuple(other.shape)
    np.testing.assert_allclose(one.detach().cpu().numpy(), other.detach().numpy(), rtol=1e-6)


def kept(tensor: Any) -> list[int]:
    """The strides that mean something."""
    return [s for s, n in zip(tensor.stride(), tensor.shape, strict=True) if n > 1]


@pytest.fixture(autouse=True)
def _on_device(every_device: str) -> Any:
    with flambeau.device(every_device):
        yield


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_reading(index: Any) -> None:
    ours, theirs = pair((2, 3, 4))
    found, expected = ours[converted(index, flambeau)], theirs[converted(index, torch)]
    same(found, expected)
    assert (found._base is None) == (expected._base is None)
    if expected._base is not None and expected.numel():
        assert kept(found) == kept(expected)
        assert found.storage_offset() == expected.storage_offset()
    gradient = sample(expected.shape, 1)
    found.backward(flambeau.tensor(gradient))
    expected.backward(torch.tensor(gradient))
    same(ours.grad, theirs.grad)


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_writing_a_number(index: Any) -> None:
    ours, theirs = (each.detach() for each in pair((2, 3, 4)))
    ours[converted(index, flambeau)] = 1.5
    theirs[converted(index, torch)] = 1.5
    same(ours, theirs)


def _writes_once(index: Any) -> bool:
    """Neither everything (PyTorch's old values get a gradient of zeros, here none) nor a place
    twice (PyTorch gives what was overwritten a gradient, too).
    """
    if isinstance(index, tuple) and isinstance(index[0], np.ndarray):
        return index[0].dtype.kind == "b" or index[0].ndim < 2
    return index != every


@pytest.mark.parametrize("index", list(filter(_writes_once, INDICES)), ids=str)
@pytest.mark.parametrize("whole", [False, True], ids=["0-d", "whole"])
def test_writing_a_tensor(index: Any, whole: bool) -> None:
    ours, theirs = pair((2, 3, 4))
    shape = theirs[converted(index, torch)].shape if whole else ()
    value, other = pair(shape, 1)
    ours_now = record(op.MATERIALIZE, (ours,))
    theirs_now = theirs.clone()
    ours_now[converted(index, flambeau)] = value
    theirs_now[converted(index, torch)] = other
    same(ours_now, theirs_now)
    gradient = sample((2, 3, 4), 2)
    ours_now.backward(flambeau.tensor(gradient))
    theirs_now.backward(torch.tensor(gradient))
    same(ours.grad, theirs.grad)
    if not whole:
        np.testing.assert_allclose(value.grad.item(), other.grad.item(), rtol=1e-5, atol=1e-6)
    else:
        same(value.grad, other.grad)


@pytest.mark.parametrize(
    "index",
    [
        5,
        (0, 0, 0, 0),
        slice(None, None, -1),
        1.0,
        ([0, 1], [0, 1, 2]),
        array([True] * 3),
        np.ones(1, np.float32),
    ],
    ids=str,
)
def test_errors(index: Any) -> None:
    ours, theirs = pair((2, 3, 4))
    with pytest.raises((IndexError, ValueError)) as expected:
        theirs[converted(index, torch)]
    with pytest.raises(expected.type) as found:
        ours[converted(index, flambeau)].detach().cpu().numpy()
    assert str(expected.value) in str(found.value)


@pytest.mark.parametrize("place", [5, -5])
def test_out_of_range_on_the_device(place: int) -> None:
    ours, theirs = pair((2, 3))
    with pytest.raises(IndexError) as expected:
        theirs[torch.tensor([0, place])]
    with pytest.raises(IndexError) as found:
        ours[flambeau.tensor([0, place])].detach().cpu().numpy()
    assert str(expected.value) in str(found.value)


@pytest.mark.parametrize(
    ("index", "shape"),
    [(0, (2,)), ([0, 1], (4,)), (array([[True] * 3] * 2), (5,)), (array([[True] * 3] * 2), (7,))],
    ids=str,
)
def test_values_that_do_not_fit(index: Any, shape: tuple[int, ...]) -> None:
    ours, theirs = (each.detach() for each in pair((2, 3)))
    with pytest.raises(RuntimeError) as expected:
        theirs[converted(index, torch)] = torch.zeros(shape)
    with pytest.raises(RuntimeError) as found:
        ours[converted(index, flambeau)] = flambeau.zeros(shape)
    assert str(expected.value) in str(found.value)
