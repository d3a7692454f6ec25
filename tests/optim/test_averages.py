"""Rprop, ASGD and averages of weights: by hand, and PyTorch's numbers where it is installed."""

from __future__ import annotations

import numpy
import pytest

import flambeau
from flambeau import nn, optim
from flambeau.optim import swa_utils

GRADIENTS = [[1.0, -2.0, 0.5], [0.5, 1.0, 0.5], [-1.0, 2.0, 0.0], [-1.0, 1.0, 2.0]]
CASES = [
    ("Rprop", {}),
    ("Rprop", {"lr": 0.1, "etas": (0.3, 1.5), "step_sizes": (0.05, 0.12), "maximize": True}),
    ("ASGD", {"lr": 0.1}),
    ("ASGD", {"lr": 0.1, "lambd": 0.1, "t0": 1, "weight_decay": 0.1, "maximize": True}),
]


def _trained(framework, name, options):
    parameter = framework.nn.Parameter(framework.tensor([1.0, -2.0, 3.0]))
    optimizer = getattr(framework.optim, name)([parameter], **options)
    for gradient in GRADIENTS:
        parameter.grad = framework.tensor(gradient)
        optimizer.step()
    return parameter.detach().numpy(), optimizer


def test_rprop_by_hand():
    found, optimizer = _trained(flambeau, "Rprop", {"lr": 0.1})
    # steps of the first: 0.1, 0.12, turned (0.06, no step), 0.06 with the previous gradient 0
    assert found[0] == pytest.approx(1.0 - 0.1 - 0.12 + 0.06)
    (state,) = optimizer.state.values()
    assert state["step_size"][0].item() == pytest.approx(0.06)


def test_asgd_averages_from_t0():
    parameter = nn.Parameter(flambeau.tensor([0.0]))
    optimizer = optim.ASGD([parameter], lr=1.0, lambd=0.0, t0=0)
    passed = []
    for _ in range(3):
        parameter.grad = flambeau.tensor([-1.0])
        optimizer.step()
        passed.append(parameter.item())
    assert passed == [1.0, 2.0, 3.0]
    # mu is 1, 1 and 1/2
    assert optimizer.state[parameter]["ax"].item() == pytest.approx(2.5)
    again = optim.ASGD([parameter])
    again.load_state_dict(optimizer.state_dict())
    assert again.state[parameter]["mu"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_steps_as_pytorch(name, options):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    ours, optimizer = _trained(flambeau, name, options)
    theirs, other = _trained(torch, name, options)
    numpy.testing.assert_allclose(ours, theirs, rtol=1e-5)
    mine, its = optimizer.state_dict()["state"][0], other.state_dict()["state"][0]
    assert set(mine) == set(its)
    for key, value in its.items():
        numpy.testing.assert_allclose(mine[key].detach(), value.detach(), rtol=1e-5, err_msg=key)


@pytest.mark.parametrize("options", [{"lr": -1}, {"etas": (1.2, 0.5)}])
def test_rprop_refuses(options):
    with pytest.raises(ValueError, match="Invalid"):
        optim.Rprop([nn.Parameter(flambeau.ones(1))], **options)


@pytest.mark.parametrize("use_buffers", [False, True])
def test_the_average_of_models_is_their_mean(use_buffers):
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    averaged = swa_utils.AveragedModel(model, use_buffers=use_buffers)
    for value in (1.0, 2.0, 6.0):
        with flambeau.no_grad():
            model[0].weight.fill_(value)
            model[1].running_mean.fill_(value)
        averaged.update_parameters(model)
    assert averaged.n_averaged.item() == 3
    assert averaged.module[0].weight.item() == pytest.approx(3.0)
    assert averaged.module[1].running_mean.item() == pytest.approx(3.0 if use_buffers else 6.0)
    assert "module.0.weight" in averaged.state_dict()


def test_an_exponential_average_and_its_list():
    model = nn.Linear(1, 1, bias=False)
    both = [
        swa_utils.AveragedModel(model, avg_fn=swa_utils.get_ema_avg_fn(0.5)),
        swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.5)),
    ]
    for value in (1.0, 2.0, 6.0):
        with flambeau.no_grad():
            model.weight.fill_(value)
        for each in both:
            each.update_parameters(model)
    assert [each.module.weight.item() for each in both] == pytest.approx([3.75, 3.75])
    with pytest.raises(ValueError, match="decay"):
        swa_utils.get_ema_avg_fn(2.0)


def test_batch_statistics_anew():
    layer = nn.BatchNorm1d(1).eval()
    batches = [flambeau.tensor([[0.0], [2.0]]), [flambeau.tensor([[4.0], [6.0]]), None]]
    swa_utils.update_bn(batches, layer)
    assert layer.running_mean.item() == pytest.approx(3.0)
    assert layer.momentum == 0.1
    assert not layer.training


def _rates(framework, options):
    parameter = framework.nn.Parameter(framework.ones(1))
    optimizer = framework.optim.SGD([parameter], lr=1.0)
    schedule = framework.optim.swa_utils.SWALR(optimizer, **options)
    found = [optimizer.param_groups[0]["lr"]]
    for _ in range(5):
        optimizer.step()
        schedule.step()
        found.append(optimizer.param_groups[0]["lr"])
    return found


OPTIONS = [
    {"swa_lr": 0.1, "anneal_epochs": 4, "anneal_strategy": "linear"},
    {"swa_lr": 0.1, "anneal_epochs": 3},
    {"swa_lr": [0.5], "anneal_epochs": 0},
]


def test_the_rate_is_annealed():
    assert _rates(flambeau, OPTIONS[0]) == pytest.approx([1.0, 0.775, 0.55, 0.325, 0.1, 0.1])


@pytest.mark.parametrize("options", OPTIONS)
def test_rates_as_pytorch(options):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("torch.optim.swa_utils", reason="this PyTorch has no swa_utils")
    assert _rates(flambeau, options) == pytest.approx(_rates(torch, options))
