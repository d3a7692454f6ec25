"""Gradients of and hooks on a view that is used through further views."""

from __future__ import annotations

import flambeau as torch


def doubled() -> tuple[torch.Tensor, torch.Tensor]:
    """A leaf, and a view of twice it."""
    x = torch.arange(8.0).reshape(2, 4).clone().requires_grad_()
    return x, (x * 2).view(2, 2, 2)


def test_gradient_with_respect_to_it() -> None:
    _, view = doubled()
    (gradient,) = torch.autograd.grad((view.view(2, 4) ** 2).sum(), view, create_graph=True)
    assert gradient.tolist() == (2 * view).tolist()
    (second,) = torch.autograd.grad(gradient.flatten()[3], view)
    assert second.flatten().tolist() == [0, 0, 0, 2, 0, 0, 0, 0]


def test_it_keeps_its_gradient() -> None:
    x, view = doubled()
    view.retain_grad()
    view.transpose(0, 1)[1].sum().backward()
    assert view.grad.tolist() == [[[0, 0], [1, 1]], [[0, 0], [1, 1]]]
    assert x.grad.tolist() == [[0, 0, 2, 2], [0, 0, 2, 2]]


def test_its_hook_is_called() -> None:
    x, view = doubled()
    view.register_hook(lambda gradient: gradient * 10)
    view.reshape(-1).sum().backward()
    assert x.grad.unique().tolist() == [20.0]


def test_a_write_between_them() -> None:
    x, view = doubled()
    flat = view.view(8)
    view.mul_(3)
    flat[:4].sum().backward()
    assert x.grad.tolist() == [[6, 6, 6, 6], [0, 0, 0, 0]]


def test_the_view_becomes_another_one() -> None:
    x, view = doubled()
    part = view[1]
    view.squeeze_()
    view.data = torch.zeros(2, 2, 2)
    part.sum().backward()
    assert x.grad.tolist() == [[0, 0, 0, 0], [2, 2, 2, 2]]
