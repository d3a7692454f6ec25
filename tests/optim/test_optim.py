"""Optimizers and schedules: formulas by numpy, groups, hooks, errors, and one plan for a step."""

from __future__ import annotations

import copy
import pickle

import numpy
import pytest

import flambeau as torch
from flambeau import nn, optim
from flambeau.schedule.flush import STATISTICS


def _parameter(values=(1.0, -2.0, 3.0)):
    return nn.Parameter(torch.tensor(list(values)))


def _step(optimizer, parameter, gradient):
    parameter.grad = torch.tensor(numpy.asarray(gradient, numpy.float32))
    optimizer.step()


def test_sgd_by_hand():
    parameter = _parameter()
    optimizer = optim.SGD([parameter], lr=0.5, momentum=0.9, weight_decay=0.1)
    x, buffer = numpy.array([1.0, -2.0, 3.0]), None
    for gradient in ([1, 1, 1], [0.5, 0, -1], [2, 2, 2]):
        _step(optimizer, parameter, gradient)
        g = numpy.array(gradient) + 0.1 * x
        buffer = g if buffer is None else 0.9 * buffer + g
        x = x - 0.5 * buffer
        numpy.testing.assert_allclose(parameter.detach().numpy(), x, rtol=1e-6)


def test_adam_by_hand():
    parameter = _parameter()
    optimizer = optim.Adam([parameter], lr=0.1, betas=(0.8, 0.9), eps=1e-6)
    x, m, v = numpy.array([1.0, -2.0, 3.0]), 0.0, 0.0
    for step, gradient in enumerate(([1, 1, 1], [0.5, 0, -1], [2, 2, 2]), 1):
        _step(optimizer, parameter, gradient)
        g = numpy.array(gradient)
        m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g * g
        x = x - 0.1 * (m / (1 - 0.8**step)) / (numpy.sqrt(v / (1 - 0.9**step)) + 1e-6)
        numpy.testing.assert_allclose(parameter.detach().numpy(), x, rtol=1e-5)


OPTIMIZERS = [
    optim.SGD,
    optim.Adam,
    optim.AdamW,
    optim.RMSprop,
    optim.Adagrad,
    optim.Adadelta,
    optim.Adamax,
    optim.NAdam,
    optim.RAdam,
]


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_all_go_downhill(kind, dtype):
    goal = torch.tensor([1.0, -1.0]).to(getattr(torch, dtype))
    parameter = nn.Parameter(torch.zeros(2).to(goal.dtype))
    optimizer = kind([parameter], lr=1.0 if kind is optim.Adadelta else 0.05)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = ((parameter - goal) ** 2).sum()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] and parameter.dtype is goal.dtype


def test_a_step_is_one_flush_and_a_new_rate_no_new_plan():
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    optimizer = optim.AdamW(net.parameters(), lr=0.1)
    schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    x, y = torch.randn(6, 4), torch.randn(6, 2)
    for step in range(6):
        before = copy.copy(STATISTICS)
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(x), y)
        loss.backward()
        if torch.get_default_device().type != "reference":
            assert STATISTICS.flushes == before.flushes
        optimizer.step()
        schedule.step()
        optimizer.param_groups[0]["betas"] = (0.9 - 0.01 * step, 0.99)
        optimizer.param_groups[0]["weight_decay"] = 0.1 + step
        if torch.get_default_device().type != "reference":
            assert STATISTICS.flushes == before.flushes + 1
            assert loss._storage.node.buffer is not None  # computed by the same flush
            if step:
                assert STATISTICS.plans_built == before.plans_built


def test_parameters_without_gradient_are_skipped():
    one, two = _parameter(), _parameter()
    optimizer = optim.Adam([one, two], lr=0.1)
    _step(optimizer, one, [1, 1, 1])
    assert two.tolist() == [1, -2, 3] and two not in optimizer.state
    assert optimizer.state_dict()["state"][0]["step"].item() == 1


def test_groups():
    one, two, three = _parameter(), _parameter(), _parameter()
    optimizer = optim.SGD([{"params": one}, {"params": [two], "lr": 0.5}], lr=0.1)
    optimizer.add_param_group({"params": three, "lr": 1.0})
    for each in (one, two, three):
        each.grad = torch.ones(3)
    optimizer.step()
    moved = [round(1 - each[0].item(), 4) for each in (one, two, three)]
    assert moved == [0.1, 0.5, 1.0]
    with pytest.raises(ValueError, match="more than one parameter group"):
        optimizer.add_param_group({"params": [one]})
    named = optim.SGD([("a", one), ("b", two)], lr=0.1)
    assert named.state_dict()["param_groups"][0]["param_names"] == ["a", "b"]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda p: optim.SGD([], lr=0.1), ValueError, "empty parameter list"),
        (lambda p: optim.SGD(p, lr=0.1), TypeError, "iterable of Tensors or dicts"),
        (lambda p: optim.SGD([3], lr=0.1), TypeError, "can only optimize Tensors"),
        (lambda p: optim.SGD([p * 2], lr=0.1), ValueError, "non-leaf"),
        (lambda p: optim.SGD({"params": {p}}.values(), lr=0.1), TypeError, "optimize Tensors"),
        (lambda p: optim.SGD([{"params": {p}}], lr=0.1), TypeError, "ordered collections"),
        (lambda p: optim.SGD([p], lr=-1), ValueError, "Invalid learning rate: -1"),
        (lambda p: optim.SGD([p], nesterov=True), ValueError, "Nesterov momentum requires"),
        (lambda p: optim.Adam([p], betas=(1.0, 0.9)), ValueError, "beta parameter at index 0"),
        (lambda p: optim.Adam([p], eps=-1), ValueError, "Invalid epsilon value: -1"),
        (lambda p: optim.Adam([p], foreach=True, fused=True), RuntimeError, "cannot be `True`"),
        (lambda p: optim.Adam([p], differentiable=True), NotImplementedError, "in place"),
        (lambda p: optim.lr_scheduler.StepLR(p, 3), TypeError, "is not an Optimizer"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make(_parameter())


def test_load_state_dict_errors():
    one = optim.SGD([_parameter()], lr=0.1)
    two = optim.SGD([_parameter(), _parameter()], lr=0.1)
    with pytest.raises(ValueError, match="doesn't match the size"):
        one.load_state_dict(two.state_dict())
    with pytest.raises(ValueError, match="different number of parameter groups"):
        one.load_state_dict({"state": {}, "param_groups": []})


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_checkpoints_through_a_file(kind, tmp_path):
    first = _parameter()
    one = kind([first], lr=0.1)
    _step(one, first, [1, 2, 3])
    torch.save({"model": {"p": first.detach()}, "optimizer": one.state_dict()}, tmp_path / "a")
    saved = torch.load(tmp_path / "a")
    second = nn.Parameter(saved["model"]["p"])
    other = kind([second], lr=9.0)
    other.load_state_dict(saved["optimizer"])
    for parameter, optimizer in ((first, one), (second, other)):
        _step(optimizer, parameter, [3, 2, 1])
    assert first.detach().numpy().tobytes() == second.detach().numpy().tobytes()
    assert one.state_dict()["param_groups"] == other.state_dict()["param_groups"]


def test_closures_hooks_and_zero_grad():
    parameter = _parameter()
    optimizer = optim.SGD([parameter], lr=0.1)
    calls = []
    optimizer.register_step_pre_hook(lambda o, args, kwargs: calls.append("before"))
    handle = optimizer.register_step_post_hook(lambda o, args, kwargs: calls.append("after"))

    def closure():
        optimizer.zero_grad()
        loss = (parameter**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 14
    handle.remove()
    optimizer.step()
    assert calls == ["before", "after", "before"]
    optimizer.zero_grad(set_to_none=False)
    assert parameter.grad.tolist() == [0, 0, 0]
    optimizer.zero_grad()
    assert parameter.grad is None


def test_own_optimizers():
    class Own(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for each in group["params"]:
                    each.add_(each.grad, alpha=-group["lr"])

    parameter = _parameter()
    optimizer = Own([parameter], 0.5)
    schedule = optim.lr_scheduler.StepLR(optimizer, 1)
    _step(optimizer, parameter, [1, 1, 1])
    schedule.step()
    assert parameter.tolist() == [0.5, -2.5, 2.5] and schedule.get_last_lr() == [0.05]
    with pytest.raises(NotImplementedError):
        optim.Optimizer([parameter], {}).step()


def test_state_dict_hooks():
    optimizer = optim.SGD([_parameter()], lr=0.1)
    optimizer.register_state_dict_post_hook(lambda o, state: {**state, "more": 1})
    assert optimizer.state_dict()["more"] == 1
    optimizer.register_load_state_dict_pre_hook(lambda o, state: {k: state[k] for k in state})
    seen = []
    optimizer.register_load_state_dict_post_hook(seen.append)
    optimizer.load_state_dict(optimizer.state_dict())
    assert seen == [optimizer]


def test_copies():
    parameter = _parameter()
    optimizer = optim.Adam([parameter], lr=0.1)
    _step(optimizer, parameter, [1, 1, 1])
    for way in (copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))):
        other = way(optimizer)
        (twin,) = other.param_groups[0]["params"]
        assert twin is not parameter and twin.tolist() == parameter.tolist()
        _step(other, twin, [1, 1, 1])
        assert other.state[twin]["step"] == 2


def test_a_rate_that_is_a_tensor():
    parameter, other = _parameter(), _parameter()
    optimizer = optim.Adam([parameter], lr=torch.tensor(0.1))
    schedule = optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    plain = optim.Adam([other], lr=0.1)
    for rate in (0.1, 0.05):
        plain.param_groups[0]["lr"] = rate
        _step(optimizer, parameter, [1, 2, 3])
        _step(plain, other, [1, 2, 3])
        schedule.step()
    numpy.testing.assert_allclose(parameter.detach().numpy(), other.detach().numpy(), rtol=1e-6)
    assert isinstance(optimizer.param_groups[0]["lr"], torch.Tensor)


def test_schedule_before_optimizer_warns():
    optimizer = optim.SGD([_parameter()], lr=0.1)
    schedule = optim.lr_scheduler.StepLR(optimizer, 1)
    with pytest.warns(UserWarning, match=r"lr_scheduler.step\(\)` before `optimizer.step"):
        schedule.step()
    with pytest.warns(UserWarning, match="get_last_lr"):
        schedule.get_lr()


def test_schedule_checkpoint():
    optimizer = optim.SGD([_parameter()], lr=0.1)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, 7)
    for _ in range(3):
        optimizer.step()
        schedule.step()
    other = optim.SGD([_parameter()], lr=0.1)
    resumed = optim.lr_scheduler.CosineAnnealingLR(other, 7)
    resumed.load_state_dict(schedule.state_dict())
    other.load_state_dict(optimizer.state_dict())
    for one, two in ((optimizer, schedule), (other, resumed)):
        one.step()
        two.step()
    assert schedule.get_last_lr() == resumed.get_last_lr()
