"""One element as a Python number: read where it lies, of whatever dtype and view."""

from __future__ import annotations

import numpy
import pytest

import flambeau as torch
from flambeau.graph.dtype import DTYPES

DEVICES = ["cpu", "reference"]


@pytest.mark.parametrize("where", DEVICES)
@pytest.mark.parametrize("name", sorted(DTYPES))
def test_item_is_what_numpy_gives(name: str, where: str) -> None:
    dtype = getattr(torch, name)
    try:
        x = torch.tensor([[0, 1, 2], [3, 100, 1]], device=where).to(dtype)
    except TypeError as error:
        pytest.skip(f"no {name} on {where}: {error}")
    wanted = x.detach()._to_numpy()
    for row, column in ((0, 0), (1, 1), (1, 2)):
        found = x[row, column].item()
        assert found == wanted[row, column].item()
        assert type(found) is type(x.tolist()[row][column])
    assert x.t()[1:2, 1:].item() == wanted[1, 1].item()
    assert x[1:, 1:2].reshape(()).item() == wanted[1, 1].item()
    assert bool(x[0, 0]) is False and bool(x[0, 1]) is True


@pytest.mark.parametrize("where", DEVICES)
def test_signs_extremes_and_no_numbers(where: str) -> None:
    x = torch.tensor([float("nan"), -float("inf"), -0.0], device=where)
    assert numpy.isnan(x[0].item()) and x[1].item() == -float("inf")
    assert numpy.signbit(x[2].item())
    limits = torch.tensor([-(1 << 63), (1 << 63) - 1], device=where)
    assert [limits[0].item(), limits[1].item()] == [-(1 << 63), (1 << 63) - 1]
    pair = torch.view_as_real(torch.tensor([1 + 2j, 3 - 4j], device=where))
    assert pair[1, 1].item() == -4.0 and float(pair[0, 0]) == 1.0


def test_an_element_of_a_view_is_the_latest() -> None:
    x = torch.zeros(4, 5)
    one = x[2][3]
    assert one.item() == 0
    x[2] = torch.arange(5.0)
    assert one.item() == 3 and int(one) == 3 and range(9)[one.long()] == 3
    x += 1
    assert one.item() == 4
    with pytest.raises(RuntimeError, match="2 elements"):
        x[2, :2].item()


def test_arrays_that_are_read_only_or_of_dtypes_that_numpy_lacks() -> None:
    source = numpy.arange(6.0, dtype=numpy.float32).reshape(2, 3)
    source.flags.writeable = False
    assert torch.tensor(source).tolist() == source.tolist()
    assert torch.Tensor._from_numpy(source, copy=False).tolist() == source.tolist()
    low = source.astype(torch.bfloat16.numpy)
    for copy in (False, True):
        x = torch.Tensor._from_numpy(low, copy=copy)
        assert x.dtype is torch.bfloat16 and x.tolist() == source.tolist()
    x = torch.Tensor._from_numpy(low[:0], copy=False)
    assert x.shape == (0, 3) and x.tolist() == []
