"""Pooling against loops that follow the definition; where gradients of maxima go."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.nn import functional


def sample(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def windows(n: int, k: int, s: int, p: int, ceil: bool) -> list[range]:
    """The places that each window covers, some of them outside."""
    count = (n + 2 * p - k + (s - 1 if ceil else 0)) // s + 1
    if ceil and (count - 1) * s >= n + p:
        count -= 1
    return [range(place * s - p, place * s - p + k) for place in range(count)]


def pooled(x: Any, k: int, s: int, p: int, ceil: bool, choose: Any) -> Any:
    rows, columns = (windows(n, k, s, p, ceil) for n in x.shape[2:])
    result = np.zeros((*x.shape[:2], len(rows), len(columns)))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            inside = [
                x[:, :, r, c]
                for r in row
                for c in column
                if 0 <= r < x.shape[2] and 0 <= c < x.shape[3]
            ]
            result[:, :, i, j] = choose(np.stack(inside), row, column, x.shape[2:], p)
    return result


def greatest(values: Any, *_: Any) -> Any:
    return values.max(0)


def mean_with_padding(values: Any, row: range, column: range, shape: Any, p: int) -> Any:
    sizes = [min(r.stop, n + p) - r.start for r, n in zip((row, column), shape, strict=True)]
    return values.sum(0) / math.prod(sizes)


def mean_without_padding(values: Any, *_: Any) -> Any:
    return values.mean(0)


GEOMETRIES = [
    (2, 2, 0, False),
    (3, 2, 1, False),
    (3, 1, 1, False),
    (3, 2, 1, True),
    (2, 3, 0, True),
]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 6, 6), (1, 2, 7, 5)], ids=str)
def test_against_the_definition(geometry: Any, shape: Any, device: str) -> None:
    k, s, p, ceil = geometry
    array = sample(*shape)
    x = torch.tensor(array)
    for found, choose in (
        (functional.max_pool2d(x, k, s, p, 1, ceil), greatest),
        (functional.avg_pool2d(x, k, s, p, ceil), mean_with_padding),
        (functional.avg_pool2d(x, k, s, p, ceil, False), mean_without_padding),
    ):
        expected = pooled(array, k, s, p, ceil, choose)
        np.testing.assert_allclose(found.cpu().numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_first_greatest_gets_the_gradient(stride: int, device: str) -> None:
    x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    y = functional.max_pool2d(x, 2, stride)
    y.sum().backward()
    expected = np.zeros((4, 4))
    for row in range(0, 3, stride):
        for column in range(0, 3, stride):
            expected[row, column] = 1
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.cpu().numpy()[0, 0], expected)


def test_indices_point_at_the_greatest(device: str) -> None:
    array = sample(2, 3, 7, 6)
    values, indices = functional.max_pool2d(torch.tensor(array), 3, 2, 1, return_indices=True)
    flat = array.reshape(2, 3, -1)
    places = indices.cpu().numpy().reshape(2, 3, -1)
    found = np.take_along_axis(flat, places, 2)
    np.testing.assert_array_equal(found.reshape(values.shape), values.cpu().numpy())


def test_nan_is_the_greatest(device: str) -> None:
    x = torch.tensor([[[1.0, float("nan"), 3.0, 4.0]]])
    found = functional.max_pool1d(x, 2).cpu().numpy()
    assert np.isnan(found[0, 0, 0])
    assert found[0, 0, 1] == 4


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7])
def test_adaptive(size: int, device: str) -> None:
    array = sample(2, 7)
    x = torch.tensor(array)
    parts = [array[:, i * 7 // size : -(-(i + 1) * 7 // size)] for i in range(size)]
    mean = functional.adaptive_avg_pool1d(x, size).cpu().numpy()
    np.testing.assert_allclose(mean, np.stack([p.mean(1) for p in parts], 1), rtol=1e-5)
    most = functional.adaptive_max_pool1d(x, size).cpu().numpy()
    np.testing.assert_array_equal(most, np.stack([p.max(1) for p in parts], 1))


def test_errors() -> None:
    x = torch.zeros(1, 1, 4, 4)
    with pytest.raises(RuntimeError, match="Output size is too small"):
        functional.max_pool2d(x, 9)
    with pytest.raises(RuntimeError, match="at most half of effective kernel size"):
        functional.max_pool2d(x, 2, padding=2)
    with pytest.raises(RuntimeError, match="tuple of two ints"):
        functional.avg_pool2d(x, (1, 2, 3))


@pytest.mark.parametrize(("extent", "places"), [(7, 3), (5, 5), (4, 6)])
def test_adaptive_max_says_where_in_windows_of_different_sizes(extent: int, places: int) -> None:
    x = sample(2, 3, extent, extent)
    values, where = functional.adaptive_max_pool2d(torch.tensor(x), places, True)
    for i in range(places):
        rows = slice(i * extent // places, -(-(i + 1) * extent // places))
        for j in range(places):
            columns = slice(j * extent // places, -(-(j + 1) * extent // places))
            greatest = x[:, :, rows, columns].max((2, 3))
            np.testing.assert_array_equal(values.numpy()[:, :, i, j], greatest)
            flat = np.take_along_axis(x.reshape(2, 3, -1), where.numpy()[:, :, i, j, None], 2)
            np.testing.assert_array_equal(flat[..., 0], greatest)


def test_the_mean_of_integers_goes_towards_zero() -> None:
    x = torch.tensor([[-3, 0, 5, 2]])
    assert functional.avg_pool1d(x, 2).tolist() == [[-1, 3]]
