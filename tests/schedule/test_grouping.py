"""Groups of Nodes can be put into an order, also where groups went on after others began."""

from __future__ import annotations

import flambeau as torch
from flambeau.nn import functional as F


def outer_loss(weights: list[torch.Tensor]) -> torch.Tensor:
    """Four tasks of two inner steps each, whose gradients are differentiated: one large graph."""
    total = torch.zeros(())
    for _ in range(4):
        x = torch.rand(10, 1) * 10 - 5
        y = (torch.rand(()) * 5) * torch.sin(x + torch.rand(()))
        fast = weights
        for _ in range(2):
            loss = F.mse_loss(network(x[:5], fast), y[:5])
            gradients = torch.autograd.grad(loss, fast, create_graph=True)
            fast = [p - 0.05 * q for p, q in zip(fast, gradients, strict=True)]
        total = total + F.mse_loss(network(x[5:], fast), y[5:])
    return total


def network(x: torch.Tensor, weights: list[torch.Tensor]) -> torch.Tensor:
    hidden = torch.tanh(F.linear(x, weights[0], weights[1]))
    return F.linear(hidden, weights[2], weights[3])


def gradients_of(device: str) -> list[float]:
    torch.manual_seed(0)
    shapes = ((2, 1), (2,), (1, 2), (1,))
    with torch.device(device):
        weights = [torch.randn(shape).requires_grad_() for shape in shapes]
        outer_loss(weights).backward()
    return [each for weight in weights for each in weight.grad.flatten().tolist()]


def test_a_group_that_reads_what_went_on_later_does_not_close_a_circle() -> None:
    expected = gradients_of("reference")
    for mine, its in zip(gradients_of("cpu"), expected, strict=True):
        assert abs(mine - its) <= 1e-3 * abs(its) + 1e-5
