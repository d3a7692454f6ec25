"""Nested tensors: PyTorch's values, gradients and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("layout", ["strided", "jagged"])
def test_nested_tensors(layout: str) -> None:
    arrays = [np.arange(6.0).reshape(3, 2), np.ones((1, 2)), np.zeros((2, 2))]
    found = []
    for library in (flambeau, torch):
        nested = library.nested
        kind = getattr(library, layout)
        given = [library.tensor(each, requires_grad=True) for each in arrays]
        kept = nested.as_nested_tensor(given, layout=kind)
        width = 2 if layout == "jagged" else 3  # there PyTorch does not widen rows
        padded = nested.to_padded_tensor(kept * 3 + 1, -2.0, (3, 4, width))
        padded.pow(2).sum().backward()
        leaf = nested.nested_tensor(given, layout=kind, requires_grad=True, dtype=library.float32)
        sum((each * each).sum() for each in leaf.unbind()).backward()
        results = [padded, leaf.to_padded_tensor(0.0), *leaf.grad.unbind(), leaf.values()]
        results += [each.grad for each in given]
        if layout == "jagged":
            results.append(leaf.offsets())
            made = nested.nested_tensor_from_jagged(given[0], library.tensor([0, 1, 3]))
            results += list(made.unbind())
        facts: list[Any] = [leaf.size(0), leaf.size(2), leaf.dim(), leaf.numel(), leaf.is_leaf]
        facts += [kept.is_leaf, kept.requires_grad, leaf.is_nested, given[0].is_nested]
        for wrong in (3, [library.ones(2), library.ones(2, 2)]):
            with pytest.raises(Exception) as caught:  # noqa: PT011  # its type is compared
                nested.nested_tensor(wrong)
            facts.append(caught.type.__name__)
        found.append((facts, [each.detach().numpy() for each in results]))
    assert found[0][0] == found[1][0]
    for one, other in zip(found[0][1], found[1][1], strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_layers_row_by_row() -> None:
    arrays = [np.arange(6.0, dtype=np.float32).reshape(3, 2), np.ones((1, 2), np.float32)]
    found = []
    for library in (flambeau, torch):
        library.manual_seed(0)
        nn = library.nn
        model = nn.Sequential(nn.Linear(2, 5), nn.LayerNorm(5), nn.GELU(), nn.Linear(5, 3))
        given = library.nested.nested_tensor(
            [library.tensor(each) for each in arrays], layout=library.jagged
        )
        output = model(given)
        output.values().pow(2).sum().backward()
        results = [*output.unbind(), output.offsets(), *[p.grad for p in model.parameters()]]
        found.append([each.detach().numpy() for each in results])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
