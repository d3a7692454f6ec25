"""What autograd keeps: hooks of Functions, of gradients, and derivatives in one direction."""

from __future__ import annotations

import copy
import pickle

import pytest

import flambeau as torch
from flambeau.autograd import forward_ad, graph


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 3 * x * x * gradient


def test_saved_tensors_are_packed_and_unpacked() -> None:
    x = torch.tensor([2.0], requires_grad=True)
    log: list[str] = []

    def pack(tensor):
        log.append("pack")
        return tensor.tolist()

    def unpack(packed):
        log.append("unpack")
        return torch.tensor(packed)

    with graph.saved_tensors_hooks(pack, unpack):
        y = Cube.apply(x)
    z = Cube.apply(x)  # outside: as it is
    (y + z).backward()
    assert log == ["pack", "unpack"]
    assert x.grad.item() == 24
    with graph.save_on_cpu():
        (gradient,) = torch.autograd.grad(Cube.apply(x), x)
    assert gradient.item() == 12


def test_hooks_can_be_refused() -> None:
    refused = pytest.raises(RuntimeError, match="not here")
    with graph.disable_saved_tensors_hooks("not here"), refused:
        graph.saved_tensors_hooks(lambda x: x, lambda x: x).__enter__()
    with graph.saved_tensors_hooks(lambda x: x, lambda x: x):
        pass


def test_an_optimizer_in_backward() -> None:
    model = torch.nn.Linear(2, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    before = model.weight.detach().clone()

    def hook(parameter):
        optimizer.step()
        optimizer.zero_grad()

    handle = model.weight.register_post_accumulate_grad_hook(hook)
    model(torch.ones(1, 2)).sum().backward()
    torch.testing.assert_close(model.weight.detach(), before - 0.5)
    assert model.weight.grad is None
    twin = copy.deepcopy(model)
    pickle.dumps(model.weight)
    twin(torch.ones(1, 2)).sum().backward()
    assert twin.weight.grad.tolist() == [[1.0, 1.0]]  # copies have no hooks
    handle.remove()
    model(torch.ones(1, 2)).sum().backward()
    assert model.weight.grad is not None
    with pytest.raises(RuntimeError, match="non-leaf"):
        (model.weight * 1).register_post_accumulate_grad_hook(hook)
    with pytest.raises(RuntimeError, match="doesn't require gradient"):
        torch.ones(1).register_post_accumulate_grad_hook(hook)


def test_versions_and_multiple_gradients() -> None:
    x = torch.ones(2)
    graph.increment_version([x, x])
    assert x._version == 2
    a, b = torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True)
    calls: list[list[float]] = []
    handle = graph.register_multi_grad_hook(
        [a, b], lambda found: calls.append([each.item() for each in found])
    )
    (a * 2 + b * 3).backward()
    (a * 5 + b * 7).backward()
    assert calls == [[2.0, 3.0], [5.0, 7.0]]
    handle.remove()
    (a + b).backward()
    assert len(calls) == 2
    with pytest.raises(ValueError, match="mode"):
        graph.register_multi_grad_hook([a], print, mode="some")


def test_dual_numbers() -> None:
    x = torch.tensor([0.3, 1.2], dtype=torch.float64)
    direction = torch.tensor([1.0, -2.0], dtype=torch.float64)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, direction)
        primal, tangent = forward_ad.unpack_dual((dual * dual.sin()).cumsum(0))
        torch.testing.assert_close(primal.detach(), (x * x.sin()).cumsum(0))
        expected = ((x.sin() + x * x.cos()) * direction).cumsum(0)
        torch.testing.assert_close(tangent, expected)
        assert forward_ad.unpack_dual(x).tangent is None
        assert forward_ad.unpack_dual(dual.floor()).tangent.tolist() == [0, 0]
        with torch.no_grad():
            assert forward_ad.unpack_dual(dual).tangent.tolist() == [1, -2]
        with pytest.raises(RuntimeError, match="same shape"):
            forward_ad.make_dual(x, direction[:1])
        with pytest.raises(ValueError, match="floating point"):
            forward_ad.make_dual(torch.arange(2), torch.arange(2))
        with pytest.raises(RuntimeError, match="Nested"):
            forward_ad.enter_dual_level()
    with pytest.raises(RuntimeError, match="no level exists"):
        forward_ad.make_dual(x, direction)
    with pytest.raises(RuntimeError, match="not entered"):
        forward_ad.exit_dual_level()
    with torch.autograd.set_multithreading_enabled(False):
        pass
