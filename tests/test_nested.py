"""Nested tensors: made, taken apart, padded."""

from __future__ import annotations

import copy
from typing import Any

import pytest

import flambeau as torch


def parts() -> list[Any]:
    return [torch.arange(6.0).view(3, 2).requires_grad_(), torch.full((1, 2), 7.0)]


@pytest.mark.parametrize("layout", [None, torch.strided, torch.jagged])
def test_parts_come_back_with_gradients(layout: Any) -> None:
    given = parts()
    made = torch.nested.nested_tensor(given, layout=layout, requires_grad=True)
    assert made.is_nested and not given[0].is_nested and isinstance(made, torch.Tensor)
    assert made.size(0) == len(made) == 2 and made.dim() == 3 and made.size(-1) == 2
    assert made.numel() == 8 and made.is_leaf and made.dtype is torch.float32
    assert [each.tolist() for each in made.unbind()] == [each.tolist() for each in given]
    sum((each * each).sum() for each in made).backward()
    assert made.grad[0].tolist() == (2 * given[0]).tolist() and given[0].grad is None
    kept = torch.nested.as_nested_tensor(given, layout=layout)
    sum((each * each).sum() for each in kept).backward()
    assert given[0].grad.tolist() == (2 * given[0]).tolist()


def test_padding() -> None:
    given = parts()
    made = torch.nested.as_nested_tensor(given)
    padded = made.to_padded_tensor(-1.0)
    assert padded.tolist() == [given[0].tolist(), [[7.0, 7.0], [-1.0, -1.0], [-1.0, -1.0]]]
    padded.pow(2).sum().backward()
    assert given[0].grad.tolist() == (2 * given[0]).tolist()
    wide = torch.nested.to_padded_tensor(made, 0.0, (3, 4, 3))
    assert wide.shape == (3, 4, 3) and wide.sum().item() == 15 + 14
    with pytest.raises(RuntimeError, match="Truncation"):
        made.to_padded_tensor(0.0, (2, 2, 2))


def test_jagged_rows() -> None:
    values = torch.arange(8.0).view(4, 2)
    made = torch.nested.nested_tensor_from_jagged(values, torch.tensor([0, 1, 4]))
    assert made.layout is torch.jagged
    assert made.offsets().tolist() == [0, 1, 4] and made.values().tolist() == values.tolist()
    assert made[1].tolist() == values[1:].tolist()
    again = torch.nested.nested_tensor_from_jagged(values, lengths=torch.tensor([1, 3]))
    assert again.offsets().tolist() == [0, 1, 4]
    assert "offsets=tensor([0, 1, 4])" in repr(made)
    with pytest.raises(RuntimeError, match="first extent"):
        torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(2, 2)], layout=torch.jagged)


def test_arithmetic_keeps_the_parts() -> None:
    made = torch.nested.nested_tensor(parts())
    found = (2 * made - made / 2) + 1
    assert found[1].tolist() == [[11.5, 11.5]]
    assert made.to(torch.float64).dtype is torch.float64
    assert copy.deepcopy(made)[0].tolist() == made[0].tolist()
    with pytest.raises(RuntimeError, match="different parts"):
        made + torch.nested.nested_tensor([torch.ones(2)])


@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_layers_row_by_row(layout: Any) -> None:
    torch.manual_seed(0)
    nn = torch.nn
    model = nn.Sequential(
        nn.Embedding(9, 4), nn.Linear(4, 6), nn.LayerNorm(6), nn.GELU(), nn.Softmax(-1)
    )
    ids = [torch.tensor([1, 2, 3]), torch.tensor([8])]
    found = model(torch.nested.nested_tensor(ids, layout=layout))
    assert found.is_nested and found.layout is layout and found.size(-1) == 6
    for one, part in zip(found.unbind(), ids, strict=True):
        assert torch.allclose(one, model(part), atol=1e-6)
    (found * 2).to_padded_tensor(0.0).pow(2).sum().backward()
    nested = model[1].weight.grad
    model.zero_grad()
    sum((model(part) * 2).pow(2).sum() for part in ids).backward()
    assert torch.allclose(nested, model[1].weight.grad, atol=1e-5)
    assert torch.relu(-found).to_padded_tensor(1.0)[0].sum() == 0
    assert found.double().dtype is torch.float64 and found.is_floating_point()


def test_what_nested_tensors_refuse() -> None:
    made = torch.nested.nested_tensor(parts())
    with pytest.raises(RuntimeError, match="size"):
        _ = made.shape
    with pytest.raises(RuntimeError, match="irregular"):
        made.size(1)
    with pytest.raises(NotImplementedError, match=r"cumsum.*unbind"):
        torch.cumsum(made, 0)
    with pytest.raises(NotImplementedError, match=r"softmax.*unbind"):
        made.softmax(1)
    with pytest.raises(NotImplementedError, match="first argument"):
        torch.add(torch.ones(1), made)
    with pytest.raises(NotImplementedError, match="unbind"):
        made[:, 0]
    with pytest.raises(TypeError, match="Only lists"):
        torch.nested.nested_tensor(3)
    with pytest.raises(RuntimeError, match="same dimension"):
        torch.nested.nested_tensor([torch.ones(2), torch.ones(2, 2)])


def test_numbers_and_nothing() -> None:
    made = torch.nested.nested_tensor([[1, 2], [3]])
    assert [each.tolist() for each in made.unbind()] == [[1, 2], [3]]
    assert made.dtype is torch.int64 and made._nested_tensor_size().tolist() == [[2], [1]]
    assert torch.nested.nested_tensor([]).size(0) == 0
    assert torch.nested.as_nested_tensor(torch.ones(2, 3)).size(1) == 3
