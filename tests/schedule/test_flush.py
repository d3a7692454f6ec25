"""When things are computed, what is kept, what is overwritten."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import flambeau as torch
from flambeau.schedule.flush import STATISTICS


def address(tensor: torch.Tensor) -> int:
    return tensor.detach().data_ptr()


def test_every_live_tensor_is_computed_once() -> None:
    a = torch.ones(4)
    b = a * 2
    c = b + 1
    dead = b * 3
    del dead
    before = STATISTICS.flushes
    assert c.sum().item() == 12.0
    assert STATISTICS.flushes == before + 1
    assert b._storage.node.buffer is not None
    assert b.tolist() == [2.0] * 4
    assert STATISTICS.flushes == before + 1


def test_computed_values_let_go_of_what_made_them() -> None:
    a = torch.ones(4)
    b = a * 2
    made_of = weakref.ref(a._storage.node)
    b.tolist()
    del a
    gc.collect()
    assert made_of() is None


def test_a_value_that_nobody_needs_is_overwritten() -> None:
    a = torch.ones(1000)
    a.tolist()
    before = address(a)
    a.add_(1.0)
    assert a[0].item() == 2.0
    assert address(a) == before


def test_a_value_that_is_needed_is_not_overwritten() -> None:
    a = torch.ones(1000)
    a.tolist()
    b = a.clone()
    before = a * 1.0  # pending, made of the old value
    a.add_(1.0)
    assert a[0].item() == 2.0
    assert before[0].item() == 1.0
    assert b[0].item() == 1.0


def test_an_array_that_numpy_sees_is_not_overwritten() -> None:
    a = torch.ones(1000)
    seen = a.numpy()
    a.add_(1.0)
    assert a[0].item() == 2.0
    assert seen[0] == 1.0


def test_what_backward_needs_is_kept_over_a_flush() -> None:
    x = torch.randn(16, 16, requires_grad=True)
    y = torch.tanh(x @ x)
    z = (y * y).sum()
    z.item()  # the forward pass alone
    z.backward()
    expected = x.detach().clone().requires_grad_()
    w = torch.tanh(expected @ expected)
    (w * w).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), expected.grad.numpy(), rtol=1e-5)


def test_what_backward_needs_is_not_overwritten() -> None:
    x = torch.ones(100, requires_grad=True)
    loss = (x * x).sum()
    loss.item()
    with torch.no_grad():
        x.detach().tolist()
    loss.backward(retain_graph=True)
    first = x.grad.tolist()
    x.grad = None
    loss.backward()
    assert x.grad.tolist() == first


def test_a_second_backward_needs_retain_graph() -> None:
    x = torch.ones(3, requires_grad=True)
    loss = (x * x).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_a_failed_flush_loses_nothing() -> None:
    table = torch.arange(5)
    bad = table[torch.tensor([7]) + 0]  # not known yet
    with pytest.raises(IndexError, match="out of bounds"):
        bad.tolist()
    del bad
    assert (table + 1).tolist() == [1, 2, 3, 4, 5]


def test_two_thousand_operations_deep() -> None:
    x = torch.zeros(3)
    for _ in range(1500):
        x = x + 1
    assert x.tolist() == [1500.0] * 3


def test_the_saved_graph_of_a_live_loss_does_not_keep_old_parameters() -> None:
    weight = torch.ones(40, 25, requires_grad=True)
    weight.tolist()
    before = address(weight)
    loss = (weight @ torch.ones(25, 40)).sum()
    loss.backward()
    with torch.no_grad():
        weight.sub_(weight.grad, alpha=0.1)
    weight.tolist()
    assert address(weight) == before
    assert loss.item() == 40_000.0
