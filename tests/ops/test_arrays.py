"""Less common array operations: gradients, numpy's answers, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arrays_table import ARRAYS, ERRORS, OTHERS, SMOOTH

import flambeau as torch
from flambeau.ops.gradcheck import gradcheck


def made(names: str, gradients: bool = False) -> list[torch.Tensor]:
    found = [torch.tensor(ARRAYS[each]) for each in names.split()]
    return [each.requires_grad_(gradients and each.is_floating_point()) for each in found]


def listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list)) else [value]


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients(name: str) -> None:
    function, names = SMOOTH[name]
    inputs = tuple(made(names, True))
    assert gradcheck(lambda *given: function(torch, *given), inputs)


@pytest.mark.parametrize("name", OTHERS)
def test_float32_gives_the_same(name: str) -> None:
    function, names = OTHERS[name]
    wide = [torch.tensor(ARRAYS[each]) for each in names.split()]
    narrow = [each.float() if each.is_floating_point() else each for each in wide]
    for one, other in zip(*[listed(function(torch, *x)) for x in (narrow, wide)], strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    function, names, kind = ERRORS[name]
    with pytest.raises(kind):
        function(torch, *made(names))


def test_against_numpy() -> None:
    x, holes = ARRAYS["x"], ARRAYS["holes"]
    given, with_holes = torch.tensor(x), torch.tensor(holes)

    def same(found: torch.Tensor, expected: Any) -> None:
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)

    same(torch.quantile(given, 0.3, dim=0), np.quantile(x, 0.3, axis=0))
    same(torch.nanquantile(with_holes, 0.3, dim=1), np.nanquantile(holes, 0.3, axis=1))
    same(torch.cov(given), np.cov(x))
    same(torch.corrcoef(given), np.corrcoef(x))
    same(torch.gradient(given)[1], np.gradient(x)[1])
    counts, edges = np.histogram(x, 4, (-1, 1))
    found = torch.histogram(given, 4, range=(-1.0, 1.0))
    same(found.hist, counts)
    same(found.bin_edges, edges)
    same(torch.histc(given, 4, -1, 1), counts)
    same(torch.bincount(torch.tensor(ARRAYS["counts"])), np.bincount(ARRAYS["counts"]))
    table = ARRAYS["table"]
    same(torch.isin(torch.tensor(table), torch.tensor([1, 2])), np.isin(table, [1, 2]))
    distances = np.linalg.norm(x[:, None] - ARRAYS["y"][None], axis=-1)
    same(torch.cdist(given, torch.tensor(ARRAYS["y"])), distances)
    windows = np.lib.stride_tricks.sliding_window_view(ARRAYS["line"], 3)
    same(torch.tensor(ARRAYS["line"]).as_strided((4, 3), (1, 1)), windows)


def test_the_most_frequent() -> None:
    found = torch.mode(torch.tensor([[3, 1, 3, 1, 2], [5, 4, 4, 5, 4]]))
    assert found.values.tolist() == [1, 4]
    assert found.indices.tolist() == [3, 4]


def test_distances_made_by_a_product_have_a_gradient_where_they_are_0() -> None:
    x = torch.ones(30, 2, requires_grad=True)
    torch.cdist(x, x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max().item() == 0.0


def test_resize_in_place() -> None:
    x = torch.arange(6.0)
    assert x.resize_(2, 2) is x
    assert x.tolist() == [[0.0, 1.0], [2.0, 3.0]]
    x.resize_(5)
    assert x.tolist()[:4] == [0.0, 1.0, 2.0, 3.0]


def test_a_contiguous_as_strided_is_a_view() -> None:
    x = torch.zeros(2, 6)
    x.as_strided((2, 3), (3, 1), 6).fill_(1)
    assert x.tolist() == [[0.0] * 6, [1.0] * 6]


def test_names_that_come_late_are_real_functions() -> None:
    assert torch.Tensor.quantile is torch.quantile
    assert torch.Tensor.bincount.__doc__
