"""Graphs as long as a loop was are computed Node by Node, with the same results."""

from __future__ import annotations

import numpy
import pytest

import flambeau as torch
from flambeau import config
from flambeau.schedule import apart
from flambeau.schedule.flush import STATISTICS
from flambeau.schedule.walk import Walk

pytestmark = pytest.mark.skipif(config.DEVICE == "reference", reason="it interprets")


def episode(steps: int, weight: torch.Tensor) -> tuple[numpy.ndarray, float]:
    """Steps that are computed one by one, and one gradient through all of them."""
    weight.grad = None
    chosen = []
    for step in range(steps):
        x = torch.full((1, 4), step / steps)
        logits = torch.tanh(x @ weight)
        assert logits.sum().item() == logits.sum().item()  # this step is computed now
        chosen.append(torch.log_softmax(logits, 1)[0, step % 3])
    loss = -(torch.stack(chosen) * torch.arange(float(steps))).sum()
    loss.backward()
    return weight.grad.numpy(), loss.item()


def expected(steps: int, weight: numpy.ndarray) -> tuple[numpy.ndarray, float]:
    gradient, loss = numpy.zeros_like(weight), 0.0
    for step in range(steps):
        x = numpy.full((1, 4), step / steps)
        hidden = numpy.tanh(x @ weight)
        share = numpy.exp(hidden) / numpy.exp(hidden).sum()
        loss -= step * numpy.log(share[0, step % 3])
        back = share * step
        back[0, step % 3] -= step
        gradient += x.T @ (back * (1 - hidden**2))
    return gradient, loss


def test_loops_of_many_lengths() -> None:
    torch.manual_seed(0)
    weight = torch.randn(4, 3, requires_grad=True)
    before = STATISTICS.graphs_apart
    built = []
    for steps in (23, 29, 41, 35, 27, 38):
        at = STATISTICS.plans_built + STATISTICS.plans_loaded
        gradient, loss = episode(steps, weight)
        built.append(STATISTICS.plans_built + STATISTICS.plans_loaded - at)
        wanted, value = expected(steps, weight.detach().numpy().astype("float64"))
        assert loss == pytest.approx(value, rel=1e-5)
        numpy.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-4)
    assert STATISTICS.graphs_apart >= before + 5
    assert max(built[2:]) < 25  # one for each Node of a step would be hundreds


def test_results_stay_and_what_lies_between_is_forgotten() -> None:
    for steps in (40, 50):  # the second is another length of the same loop
        x = torch.ones(3, requires_grad=True)
        y, kept = x, []
        for step in range(steps):
            y = torch.sin(y * 1.5)
            if step % 10 == 0:
                kept.append(y)
        y.sum().backward()
        values = numpy.ones(3)
        for step in range(steps):
            values = numpy.sin(values * numpy.float32(1.5))
            if step % 10 == 0:
                numpy.testing.assert_allclose(kept[step // 10].detach().numpy(), values, rtol=1e-4)
        assert x.grad is not None and x.grad.isfinite().all()


def test_a_graph_of_one_length_is_planned_whole() -> None:
    before = STATISTICS.graphs_apart
    for _ in range(3):
        x = torch.ones(3, requires_grad=True)
        y = x
        for _ in range(60):
            y = torch.cos(y * 0.5 + 1)
        y.sum().backward()
        assert x.grad is not None and x.grad.isfinite().all()
    assert STATISTICS.graphs_apart == before


def test_parts_of_one_node_are_one_stage() -> None:
    values, places = torch.sort(torch.randn(4, 6).exp())
    wanted = [values._read(), places._read()]
    assert all(each.op.name == "PICK" for each in wanted)
    found = apart.stages(Walk("cpu", wanted).order)
    assert found[-1] == wanted
    assert all(len(each) == 1 for each in found[:-1])
